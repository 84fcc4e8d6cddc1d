"""How a shape is written and read back: in one line, in many, and by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.values import json_values
from worker.core.notation import NotationError, digest, parse, pretty, text
from worker.core.shape import infer, merge


@given(values=st.lists(json_values, min_size=1, max_size=4))
def test_what_is_written_reads_back_as_the_same_shape(values: list[Any]) -> None:
    for shape in (infer(values[0]), merge(map(infer, values))):
        assert parse(text(shape)) == shape
        assert parse(pretty(shape)) == shape
        assert parse(text(shape)).size == shape.size
        assert digest(parse(text(shape))) == digest(shape)


def test_a_key_a_line_makes_a_diff_that_says_which() -> None:
    value = {"items": [{"id": 1, "tags": ["a"]}, {"id": 2}], "embedding": [0.5] * 3, "empty": {}, "x y": None}
    assert (
        pretty(infer(value))
        == """\
{
  embedding: number[3],
  empty: {},
  items: {
    id: integer,
    tags?: string[1],
  }[2],
  "x y": null,
}"""
    )
    assert pretty(infer([1.0, 2.0])) == "number[2]"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        pytest.param(" number [ 3 ] [384]", "number[3][384]", id="blanks"),
        pytest.param("{b: string, a: null,}", "{a: null, b: string}", id="keys in any order, a comma after the last"),
        pytest.param("{\n  a: null, # as ever\n  # nothing\n}", "{a: null}", id="remarks"),
        pytest.param("(string | null)", "(null | string)", id="alternatives in any order"),
        pytest.param("(integer | number)", "number", id="an integer beside a number"),
        pytest.param("(number[2] | number[4])", "number[2..4]", id="two lengths"),
        pytest.param("(string | any)", "any", id="anything at all"),
        pytest.param("((null | string) | bool)", "(null | bool | string)", id="alternatives among alternatives"),
        pytest.param("(null)", "null", id="a single alternative"),
        pytest.param("string[]", "string[]", id="any length"),
        pytest.param("string[0..]", "string[]", id="zero or more is any"),
        pytest.param("string[..5]", "string[0..5]", id="at most"),
        pytest.param("string[2..]", "string[2..]", id="at least"),
        pytest.param("string[4..4]", "string[4]", id="from four to four"),
        pytest.param("string[0]", "any[0]", id="always empty"),
        pytest.param("any[]", "any[]", id="a list of anything"),
        pytest.param("any[3]", "any[3]", id="three of anything"),
        pytest.param('{"a": any, "b c"?: number}', '{a: any, "b c"?: number}', id="quotes"),
        pytest.param('{"\\u00e4\\n": any}', '{"ä\\n": any}', id="escapes"),
        pytest.param("{*: number[]}", "{*: number[]}", id="a map"),
        pytest.param('{"*": number}', '{"*": number}', id="a key that is a star"),
        pytest.param("{null: null, any?: any}", "{any?: any, null: null}", id="keys that are words of ours"),
        pytest.param("{}[2]", "{}[2]", id="empty objects"),
    ],
)
def test_what_people_write_is_read_in_its_canonical_form(written: str, canonical: str) -> None:
    shape = parse(written)
    assert text(shape) == canonical
    assert parse(canonical) == shape


@pytest.mark.parametrize(
    ("written", "told"),
    [
        pytest.param(
            "", "column 1: the end is no kind of value; use null, bool, integer, number, string, any, {…}", id="nothing"
        ),
        pytest.param("numbr[3]", "column 1: 'numbr' is no kind of value; did you mean number?", id="a slip"),
        pytest.param("number[3", "column 9: ] is expected here, not the end", id="open bracket"),
        pytest.param("number[x]", "column 8: ] is expected here, not 'x'", id="a word for a length"),
        pytest.param("number[5..3]", "column 12: the range 5..3 is empty", id="an empty range"),
        pytest.param("number 3", "column 8: nothing more is expected here, but '3' follows", id="more"),
        pytest.param("{a number}", "column 4: : is expected here, not 'number'", id="no colon"),
        pytest.param("{a: number b: string}", "column 12: , or } is expected here, not 'b'", id="no comma"),
        pytest.param("{a: null,\n a: null}", "line 2, column 2: the key a is written twice", id="a key twice"),
        pytest.param("{1: null}", "column 2: a key is expected here, not '1'", id="a number for a key"),
        pytest.param('{"\\x": null}', 'column 2: "\\x" is no JSON string', id="an odd escape"),
        pytest.param("{*: number, a: null}", "column 11: } is expected here, not ','", id="a map with keys"),
        pytest.param("(null", "column 6: | or ) is expected here, not the end", id="open parenthesis"),
        pytest.param("null; drop", "column 5: ';' is not expected here", id="another character"),
        pytest.param("{" * 3, "column 2: a key is expected here, not '{'", id="braces"),
        pytest.param("(" * 100, "column 65: nested more than 64 deep", id="100 parentheses"),
        pytest.param("{a:" * 10_000, "column 193: nested more than 64 deep", id="10,000 objects"),
    ],
)
def test_what_is_no_shape_is_refused_with_its_place_and_a_remedy(written: str, told: str) -> None:
    with pytest.raises(NotationError) as refused:
        parse(written)
    assert str(refused.value).startswith(told)


@given(written=st.text(alphabet='{}[]()|:,?*.# \n"\\a1numberstring', max_size=30))
def test_any_text_is_a_shape_or_refused(written: str) -> None:
    try:
        shape = parse(written)
    except NotationError:
        return
    assert parse(text(shape)) == shape

"""The shapes file edited entry by entry: exactly what was asked for, and every other byte as it was."""

from collections import Counter
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.config.lock_lines import HEADER, Fields
from worker.config.lock_text import Key, NotEditableError, with_entries, without_entries

NUMBER: Fields = {"shape": "number[3]", "samples": 2}
OBJECT: Fields = {"shape": "{\n  a: null,\n}", "vectors": ["a", "b.c[0]"], "samples": 3}

BEFORE = """\
# of the search team
shapes:

  # production
  ns_b:
    # the one that matters
    e_1_0_0:
      # learnt on a good day
      shape: |-
        {
          a: null,
        }
      samples: 1   # only one

      note: kept
    # the other one

    k_1_0_0: {shape: string}

# the end
"""


def entries(text: str) -> dict[str, Any]:
    found: dict[str, Any] = (yaml.load(text, yaml.BaseLoader) or {}).get("shapes") or {}
    return found


def test_a_new_file_has_a_header_and_is_sorted() -> None:
    made = with_entries("", {("ns_b", "p"): NUMBER, ("ns_a", "q"): OBJECT, ("ns_a", "o"): NUMBER})
    assert made == HEADER + dedent("""
        shapes:
          ns_a:
            o:
              shape: number[3]
              samples: 2
            q:
              shape: |-
                {
                  a: null,
                }
              vectors: [a, "b.c[0]"]
              samples: 3
          ns_b:
            p:
              shape: number[3]
              samples: 2
        """)


def test_an_entry_is_replaced_key_by_key_and_its_remarks_stay() -> None:
    changed = with_entries(BEFORE, {("ns_b", "e_1_0_0"): OBJECT})
    assert changed == BEFORE.replace(
        "      samples: 1   # only one\n", '      vectors: [a, "b.c[0]"]\n      samples: 3\n'
    )
    changed = with_entries(BEFORE, {("ns_b", "e_1_0_0"): NUMBER})
    block = "      shape: |-\n        {\n          a: null,\n        }\n      samples: 1   # only one\n"
    assert changed == BEFORE.replace(block, "      shape: number[3]\n      samples: 2\n")


def test_a_key_of_ours_that_is_no_longer_there_goes() -> None:
    assert with_entries(BEFORE, {("ns_b", "e_1_0_0"): {"shape": "{\n  a: null,\n}"}}) == BEFORE.replace(
        "      samples: 1   # only one\n", ""
    )


def test_what_says_the_same_is_left_alone() -> None:
    assert with_entries(BEFORE, {("ns_b", "e_1_0_0"): {"shape": "{\n  a: null,\n}", "samples": 1}}) == BEFORE
    assert with_entries(BEFORE, {}) == BEFORE
    assert without_entries(BEFORE, []) == BEFORE


def test_remarks_below_a_key_stay_when_it_is_replaced() -> None:
    text = "shapes:\n  ns:\n    p:\n      shape: any\n        # deep\n\n      samples: 1\n        # deeper\n"
    assert with_entries(text, {("ns", "p"): NUMBER}) == text.replace(": any", ": number[3]").replace(": 1", ": 2")
    long = with_entries(text, {("ns", "p"): {"shape": "{\n  a: null,\n}"}})
    assert "    p:\n      # deep\n      shape: |-\n        {\n          a: null,\n        }\n" in long


def test_remarks_at_the_margin_end_no_entry() -> None:
    text = "shapes:\n  ns:\n    p:\n      shape: any\n# here\n      samples: 1\n# there\n    q:\n      shape: any\n"
    assert with_entries(text, {("ns", "p"): {"shape": "any", "samples": 2}}) == text.replace(": 1", ": 2")
    assert without_entries(text, [("ns", "q")]) == text.replace("    q:\n      shape: any\n", "")
    new = "    pp:\n      shape: any\n"
    assert with_entries(text, {("ns", "pp"): {"shape": "any"}}) == text.replace("    q:", f"{new}    q:")


def test_an_entry_in_braces_is_written_out() -> None:
    changed = with_entries(BEFORE, {("ns_b", "k_1_0_0"): NUMBER})
    new = "    k_1_0_0:\n      shape: number[3]\n      samples: 2\n"
    assert changed == BEFORE.replace("    k_1_0_0: {shape: string}\n", new)


@pytest.mark.parametrize(
    ("plugin", "before"),
    [
        pytest.param("a_1_0_0", "    # the one that matters\n", id="first, above the next one's remark"),
        pytest.param("f_1_0_0", "    k_1_0_0: {shape", id="in the middle, where a blank line parts the remark from it"),
        pytest.param("z_1_0_0", "\n# the end\n", id="last"),
    ],
)
def test_a_new_entry_stands_where_it_belongs(plugin: str, before: str) -> None:
    new = f"    {plugin}:\n      shape: number[3]\n      samples: 2\n"
    assert with_entries(BEFORE, {("ns_b", plugin): NUMBER}) == BEFORE.replace(before, new + before)


@pytest.mark.parametrize(
    ("namespace", "before"),
    [("ns_a", "  # production\n"), ("ns_c", "\n# the end\n")],
)
def test_a_new_namespace_stands_where_it_belongs(namespace: str, before: str) -> None:
    new = f"  {namespace}:\n    p:\n      shape: number[3]\n      samples: 2\n"
    assert with_entries(BEFORE, {(namespace, "p"): NUMBER}) == BEFORE.replace(before, new + before)


def test_entries_go_and_the_remarks_around_them_stay() -> None:
    left = without_entries(BEFORE, [("ns_b", "k_1_0_0")])
    assert left == BEFORE.replace("    k_1_0_0: {shape: string}\n", "")
    assert entries(without_entries(BEFORE, [("ns_b", "e_1_0_0")])) == {"ns_b": {"k_1_0_0": {"shape": "string"}}}
    nothing = without_entries(BEFORE, [("ns_b", "k_1_0_0"), ("ns_b", "e_1_0_0")])
    remarks = (
        "# of the search team",
        "  # production",
        "    # the one that matters",
        "    # the other one",
        "# the end",
    )
    assert [line for line in nothing.splitlines() if line] == [remarks[0], "shapes: {}", *remarks[1:]]
    with pytest.raises(KeyError, match="ns_b"):
        without_entries(BEFORE, [("ns_b", "nobody")])
    with pytest.raises(KeyError):
        without_entries("", [("ns_b", "nobody")])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("# mine\n", "# mine\nshapes:\n  n:\n    p:\n      shape: any\n", id="remarks alone"),
        pytest.param("shapes:\n", "shapes:\n  n:\n    p:\n      shape: any\n", id="no namespace"),
        pytest.param("shapes: {} # none\n", "shapes: # none\n  n:\n    p:\n      shape: any\n", id="empty braces"),
        pytest.param("shapes:\n  n: {}\n", "shapes:\n  n:\n    p:\n      shape: any\n", id="an empty namespace"),
        pytest.param("shapes:\n  n:\n    p:\n", "shapes:\n  n:\n    p:\n      shape: any\n", id="an empty entry"),
        pytest.param(
            "shapes:\n  n:\n    q:\n      shape: any",
            "shapes:\n  n:\n    p:\n      shape: any\n    q:\n      shape: any",
            id="no end of the last line",
        ),
        pytest.param(
            "shapes:\n  n:\n    o:\n      shape: any",
            "shapes:\n  n:\n    o:\n      shape: any\n    p:\n      shape: any\n",
            id="below a last line without an end",
        ),
        pytest.param(
            "shapes:\r\n  m:\r\n    o:\r\n      shape: any\r\n",
            "shapes:\r\n  m:\r\n    o:\r\n      shape: any\r\n  n:\r\n    p:\r\n      shape: any\r\n",
            id="lines that end as on Windows",
        ),
        pytest.param(
            "shapes:\n    m:\n        o:\n            shape: any\n",
            "shapes:\n    m:\n        o:\n            shape: any\n    n:\n        p:\n            shape: any\n",
            id="four blanks",
        ),
        pytest.param(
            "shapes:\n  z:\n    o: {shape: any}\n  a:\n    o: {shape: any}\n",
            "shapes:\n  n:\n    p:\n      shape: any\n  z:\n    o: {shape: any}\n  a:\n    o: {shape: any}\n",
            id="unsorted ones stay so",
        ),
        pytest.param(
            "shapes:\n  n:\n    o:\n      shape: any\n      vectors:\n      - a\n    # next\n    q: {shape: any}\n",
            "shapes:\n  n:\n    o:\n      shape: any\n      vectors:\n      - a\n    p:\n      shape: any\n"
            "    # next\n    q: {shape: any}\n",
            id="a list with its dashes below its key",
        ),
        pytest.param(
            "shapes:\n  m:\n    o: {shape: any}\n\n\n",
            "shapes:\n  m:\n    o: {shape: any}\n  n:\n    p:\n      shape: any\n\n\n",
            id="blank lines at the end",
        ),
    ],
)
def test_whatever_the_file_looks_like_the_rest_of_it_stays(before: str, after: str) -> None:
    assert with_entries(before, {("n", "p"): {"shape": "any"}}) == after


@pytest.mark.parametrize(("there", "wanted"), [("null", '"null"'), ("'3'", "3")])
def test_what_only_looks_the_same_is_written_anew(there: str, wanted: str) -> None:
    name, value = ("shape", "null") if there == "null" else ("samples", 3)
    text = f"shapes:\n  n:\n    p:\n      {name}: {there}\n"
    assert with_entries(text, {("n", "p"): {name: value}}) == text.replace(there, wanted)


def test_a_remark_within_a_list_outlives_it() -> None:
    text = "shapes:\n  n:\n    p:\n      vectors:\n  # why\n      - a\n      samples: 1\n"
    changed = "shapes:\n  n:\n    p:\n      # why\n      vectors: [b]\n      samples: 1\n"
    assert with_entries(text, {("n", "p"): {"vectors": ["b"], "samples": 1}}) == changed
    assert with_entries(text, {("n", "p"): {"samples": 1}}) == changed.replace("      vectors: [b]\n", "")


def test_an_entry_that_goes_leaves_the_remarks_left_of_it() -> None:
    text = "shapes:\n  n:\n    o:\n      shape: any\n# left\n      samples: 1\n    q: {shape: any}\n"
    assert without_entries(text, [("n", "o")]) == "shapes:\n  n:\n# left\n    q: {shape: any}\n"


ODD = [
    "null",
    "yes",
    "1.0",
    "a b",
    "a: b",
    "#a",
    "- a",
    'say "hi"',
    "back\\slash",
    "日本語",
    "\u200b",
    "\U000e0001",
    "[x]",
    "{x}",
    "*",
    "&a",
    "!t",
    "%",
    "'",
    "a#b",
    "~",
    "0x1",
    ".inf",
]


@pytest.mark.parametrize("word", ODD)
def test_any_id_and_any_word_reads_back(word: str) -> None:
    text = with_entries("", {(word, word): {"shape": word, "vectors": [word, "a"]}})
    assert entries(text) == {word: {word: {"shape": word, "vectors": [word, "a"]}}}
    assert without_entries(text, [(word, word)]) == f"{HEADER}\nshapes: {{}}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            "shapes: {n: {p: {shape: any}}}\n", "line 1: not written with one key a line; write it so", id="braces"
        ),
        pytest.param(
            "shapes:\n  n: {q: {shape: any}}\n",
            "line 2: not written with one key a line; write it so",
            id="a namespace in braces",
        ),
        pytest.param("shapes:\n  n: &a\n    q: {shape: any}\n  m: *a\n", "line 4: an alias", id="an alias"),
        pytest.param(
            "shapes:\n  n:\n    p: &a\n      shape: any\n    q: *a\n", "line 5: an alias", id="an alias of the entry"
        ),
        pytest.param("shapes:\n\tn: 1\n", "line 2: not YAML: a tab where only spaces may stand", id="a tab"),
        pytest.param("shapes: [\n", "line 2: not YAML", id="no YAML"),
        pytest.param("shapes:\n---\nshapes:\n", "line 2: not YAML", id="two documents"),
        pytest.param("- shapes\n", "line 1: not written with one key a line", id="a list"),
        pytest.param(
            "shapes:\n  n:\n    ? p\n    : {shape: any}\n",
            "line 3: an alias, or two keys on one line",
            id="question marks",
        ),
        pytest.param("# a\u2028b\nshapes:\n", "line 1: holds a line break of another kind", id="an odd line break"),
        pytest.param("{shapes: {}}\n", "line 1: not written with one key a line", id="all of it in braces"),
    ],
)
def test_what_cannot_be_edited_is_refused_with_its_line_and_a_remedy(text: str, told: str) -> None:
    with pytest.raises(NotEditableError) as refused:
        with_entries(text, {("n", "p"): {"shape": "any"}})
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "shapes:\n  n:\n    p: {shape: x}  # mine\n     # below\n",
            "shapes:\n  n:\n    p:  # mine\n     # below\n      shape: any\n",
            id="an entry in braces",
        ),
        pytest.param(
            "shapes:\n  n:\n    p: # mine\n", "shapes:\n  n:\n    p:  # mine\n      shape: any\n", id="an empty entry"
        ),
        pytest.param(
            "shapes:\n  n:\n    p:\n      shape: |-\n        {\n        }\n       # one\n         # two\n",
            "shapes:\n  n:\n    p:\n      shape: any\n       # one\n         # two\n",
            id="below a text in lines",
        ),
    ],
)
def test_remarks_in_odd_places_stay(before: str, after: str) -> None:
    assert with_entries(before, {("n", "p"): {"shape": "any"}}) == after


def test_a_text_in_lines_goes_above_the_first_key_and_below_a_deep_remark() -> None:
    text = "shapes:\n  n:\n    p:\n          # deep\n      # of samples\n      samples: 1\n"
    assert with_entries(text, {("n", "p"): {"shape": "{\n}", "samples": 1}}) == text.replace(
        "      # of", "      shape: |-\n        {\n        }\n      # of"
    )


def test_a_last_line_without_an_end_gets_that_of_the_others() -> None:
    text = "shapes:\r\n  n:\r\n    o:\r\n      shape: any"
    assert with_entries(text, {("n", "p"): {"shape": "any"}}) == f"{text}\r\n    p:\r\n      shape: any\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "~\n", "null\n", "shapes: ~\n", "shapes:\n  n: null\n", "shapes:\n  n:\n    p: ~\n",
        "shapes:\n  n:\n    p: 5\n", "shapes:\n  n:\n    p: [1]\n", "[a]: c\n", "shapes:\n  [a]:\n    p: {}\n",
        "other: |+\n  x\n\n", "shapes: {}\nshapes: {}\n", "shapes:\n  n:\n    p:\n      shape: a\n      shape: b\n",
    ],
)  # fmt: skip
def test_what_is_no_mapping_of_plain_keys_is_refused(text: str) -> None:
    with pytest.raises(NotEditableError):
        with_entries(text, {("n", "p"): {"shape": "any"}})


@pytest.mark.parametrize("other", ["m: 5", "m: ~", "m: [1]"])
def test_what_others_wrote_wrong_is_left_alone(other: str) -> None:
    text = f"shapes:\n  {other}\n"
    assert with_entries(text, {("n", "p"): {"shape": "any"}}) == f"{text}  n:\n    p:\n      shape: any\n"


_names = st.sampled_from(["a", "b", "c_1_0_0", "null", "a b", "zé"])
_keys = st.tuples(_names, _names)
_fields = st.sampled_from([NUMBER, OBJECT, {"shape": "any"}, {"shape": "{}", "samples": 1}])
_remarks = st.tuples(st.integers(0, 60), st.sampled_from(["# x", "  # y", "    # z", "      # w", "", "        # v"]))


def model_of(fields: Fields) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, int | str) else list(value) for name, value in fields.items()}


def remarks_in(text: str) -> Counter[str]:
    return Counter(line.strip() for line in text.split("\n") if line.strip().startswith("#"))


def remarked(text: str, remarks: list[tuple[int, str]]) -> str:
    """With remarks between lines, wherever they are remarks and not part of a text in several lines."""
    for at, remark in remarks:
        lines = text.split("\n")
        tried = "\n".join([*lines[:at], remark, *lines[at:]])
        try:
            if entries(tried) == entries(text) and at <= len(lines):
                text = tried
        except yaml.YAMLError:
            continue
    return text


@settings(deadline=None)  # composing is slow the first time
@given(
    rounds=st.lists(st.tuples(st.dictionaries(_keys, _fields, max_size=3), st.sets(_keys, max_size=2)), max_size=4),
    remarks=st.lists(_remarks, max_size=4),
)
def test_through_any_edits_the_entries_are_as_asked_and_setting_loses_no_remark(
    rounds: list[tuple[dict[Key, Fields], set[Key]]], remarks: list[tuple[int, str]]
) -> None:
    text = ""
    model: dict[Key, dict[str, Any]] = {}
    for wanted, unwanted in rounds:
        before, text = remarks_in(text), with_entries(text, wanted)
        assert before <= remarks_in(text)
        model |= {key: model_of(fields) for key, fields in wanted.items()}
        text = remarked(text, remarks)
        gone = [key for key in unwanted if key in model]
        text = without_entries(text, gone)
        for key in gone:
            del model[key]
        found = {(name, plugin): entry for name, plugins in entries(text).items() for plugin, entry in plugins.items()}
        assert found == model
        assert with_entries(text, {} if gone else wanted) == text

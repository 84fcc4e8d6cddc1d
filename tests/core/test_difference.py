"""What differs between a pinned shape and a found one: where, what, and whether callers have to care."""

from typing import Any

import pytest
from hypothesis import given

from tests.core.values import json_values
from worker.core.difference import MOST_DIFFERENCES, Difference, Severity, differences
from worker.core.notation import parse
from worker.core.shape import infer


def told(pinned: str, found: str) -> list[str]:
    return list(map(str, differences(parse(pinned), parse(found))))


@pytest.mark.parametrize(
    ("pinned", "found"),
    [
        pytest.param("number", "integer", id="an integer is a number"),
        pytest.param("integer[3]", "number[3]", id="and a number may stand for an integer"),
        pytest.param("{a?: number}", "{}", id="an optional key is missing"),
        pytest.param("{a?: number}", "{a: number}", id="an optional key is there"),
        pytest.param("string[1..3]", "string[2]", id="a length within the range"),
        pytest.param("string[1..]", "string[200]", id="a length without end"),
        pytest.param("string[]", "any[0]", id="an empty list of any length"),
        pytest.param("(null | string)", "null", id="one of several"),
        pytest.param("(null | string)", "(null | string)", id="all of several"),
        pytest.param("(null | string)[3]", "string[3]", id="one of several kinds of element"),
        pytest.param("(null | {a: number})", "{a: integer}", id="an object that may be null"),
        pytest.param("{*: number}", "{a: integer, b: number}", id="an object where there were many keys"),
        pytest.param("{*: (null | number)}", "{*: number}", id="many keys"),
        pytest.param("any", "{a: string}[3]", id="anything"),
        pytest.param("{a: any}", "{a: (null | string)}", id="anything at a key"),
        pytest.param("{a?: number}[2]", "{a?: number}[2]", id="the same"),
    ],
)
def test_what_was_pinned_is_no_difference(pinned: str, found: str) -> None:
    assert told(pinned, found) == []


@pytest.mark.parametrize(
    ("pinned", "found", "lines"),
    [
        pytest.param(
            "{embedding: number[384]}",
            "{embedding: number[768]}",
            ["embedding: expected number[384], found number[768]"],
            id="a length",
        ),
        pytest.param(
            "number[3][384]", "number[3][768]", ["[]: expected number[384], found number[768]"], id="a length within"
        ),
        pytest.param(
            "number[3][384]",
            "number[5][384]",
            ["raw_response: expected number[3][384], found number[5][384]"],
            id="an outer length",
        ),
        pytest.param(
            "string[2..4]", "string[5]", ["raw_response: expected string[2..4], found string[5]"], id="beyond the range"
        ),
        pytest.param(
            "string[2..4]", "string[1]", ["raw_response: expected string[2..4], found string[1]"], id="below the range"
        ),
        pytest.param("string[2]", "string[]", ["raw_response: expected string[2], found string[]"], id="any length"),
        pytest.param("any[0]", "string[2]", ["raw_response: expected any[0], found string[2]"], id="no longer empty"),
        pytest.param("{a: number}", "{}", ["a: expected number, found nothing"], id="a missing key"),
        pytest.param(
            "{a: number}[2]",
            "{a?: number}[2]",
            ["[].a: expected number, found nothing in some of them"],
            id="missing in some",
        ),
        pytest.param("{a: {b: number}}", "{a: {b: string}}", ["a.b: expected number, found string"], id="a type"),
        pytest.param("{a: number}", "{a: null}", ["a: expected number, found null"], id="null"),
        pytest.param(
            "(null | string)", "bool", ["raw_response: expected (null | string), found bool"], id="none of several"
        ),
        pytest.param("number[3]", "(null | number)[3]", ["[]: expected number, found null"], id="null among them"),
        pytest.param(
            "{a: number}[2]",
            "{a: number}",
            ["raw_response: expected {a: number}[2], found {a: number}"],
            id="array to object",
        ),
        pytest.param(
            "{a: number}",
            "{*: number}",
            ["raw_response: expected {a: number}, found {*: number}"],
            id="too many keys to tell",
        ),
        pytest.param(
            "{a: number}",
            "{a: any}",
            ["a: expected number, found any (too deep or too large to tell)"],
            id="too large to tell",
        ),
        pytest.param(
            "{*: number}", "{a: string, b: number}", ["a: expected number, found string"], id="a value of many"
        ),
        pytest.param(
            "{x: {*: number}}", "{x: {*: string}}", ["x.*: expected number, found string"], id="values of many"
        ),
        pytest.param(
            "{*: number}", "{*: string}", ["*: expected number, found string"], id="values of many at the top"
        ),
        pytest.param(
            '{"a b": {"c.d": number}}',
            '{"a b": {"c.d": null}}',
            ['["a b"]["c.d"]: expected number, found null'],
            id="odd keys",
        ),
        pytest.param(
            "{embedding: number[3]}",
            "{embeddings: number[3]}",
            [
                "embedding: expected number[3], found nothing",
                "embeddings: expected nothing, found number[3] (compatible)",
            ],
            id="renamed",
        ),
        pytest.param(
            "{b: number}",
            "{a: string, b: number, c: {d: null}}",
            ["a: expected nothing, found string (compatible)", "c: expected nothing, found {d: null} (compatible)"],
            id="new keys",
        ),
        pytest.param(
            "{z: null}",
            "{a: null, z: bool}",
            ["z: expected null, found bool", "a: expected nothing, found null (compatible)"],
            id="breaking ones first",
        ),
        pytest.param(
            "{a: number, b: number[2]}",
            "{a: null, b: number[3]}",
            ["a: expected number, found null", "b: expected number[2], found number[3]"],
            id="two",
        ),
    ],
)
def test_a_difference_names_its_path_and_both_sides(pinned: str, found: str, lines: list[str]) -> None:
    assert told(pinned, found) == lines


@given(value=json_values)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert differences(infer(value), infer(value)) == ()


@given(pinned=json_values, found=json_values)
def test_any_two_shapes_can_be_compared(pinned: Any, found: Any) -> None:
    told = differences(infer(pinned), infer(found))
    assert all(one.expected != one.found for one in told)


def test_long_elements_do_not_hide_how_many_there_are() -> None:
    element = {f"key_{n}": 1 for n in range(60)}
    (one,) = differences(infer([element] * 2), infer([element] * 3))
    assert one.expected is not None
    assert one.found is not None
    assert one.expected.endswith(", …eger, key_9: integer}[2]")
    assert one.found.endswith(", …eger, key_9: integer}[3]")
    (other,) = differences(infer(element), infer([element]))
    assert other.expected != other.found


def test_what_is_told_stays_short() -> None:
    pinned = {f"k{n:02}": {f"l{m:02}": 1 for m in range(7)} for n in range(60)}
    found = differences(infer(pinned), infer({}))
    assert len(found) == MOST_DIFFERENCES
    assert found[0].path == "k00"
    long = differences(infer(1), infer({f"key_{n}": 1 for n in range(60)}))[0].found
    assert long is not None
    assert len(long) == 160
    assert long.endswith("integer}")


def test_people_read_the_place_with_what_is_expected() -> None:
    missing = Difference(path="", expected="number", found=None, severity=Severity.BREAKING)
    assert missing.expected_there == "number at raw_response"
    extra = Difference(path="a.b", expected=None, found="null", severity=Severity.COMPATIBLE)
    assert extra.expected_there == "nothing at a.b"

"""Vectors inside a reply: found, looked over, measured."""

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.values import json_values
from worker.core.vector import ABSENT, Glance, Survey, cosine, first_nonfinite, lookup, same, survey

NAN, INF = math.nan, math.inf
TREE = {"a": {"b": [{"c": 1}, {"c": 2}]}, "list": [[1, 2], [3]], "null": None, "0": "zero", "odd key!": {"x": 5}}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("a", TREE["a"], id="a key"),
        pytest.param("a.b", [{"c": 1}, {"c": 2}], id="a key in a key"),
        pytest.param("a.b[1].c", 2, id="an element's key"),
        pytest.param("list[0][1]", 2, id="an element of an element"),
        pytest.param("null", None, id="null is a value"),
        pytest.param("0", "zero", id="a number may be a key"),
        pytest.param("odd key!.x", 5, id="a key may hold blanks"),
        pytest.param("", TREE, id="no step"),
        pytest.param("b", ABSENT, id="no such key"),
        pytest.param("a.b.c", ABSENT, id="a key of a list"),
        pytest.param("a[0]", ABSENT, id="an element of an object"),
        pytest.param("a.b[2]", ABSENT, id="beyond the end"),
        pytest.param("null.a", ABSENT, id="a key of null"),
        pytest.param("0[0]", ABSENT, id="an element of a string"),
        pytest.param("[0]", ABSENT, id="an element of the top object"),
    ],
)
def test_a_dotted_path_leads_to_its_value(path: str, expected: Any) -> None:
    assert lookup(TREE, path) == expected


@pytest.mark.parametrize("value", [None, 1, 1.5, "text", True, {"a": [1]}], ids=repr)
def test_what_is_no_list_is_no_vector(value: Any) -> None:
    assert survey(value) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(["1", "2"], id="numbers as strings"),
        pytest.param([1, "2"], id="a string among them"),
        pytest.param([True, False], id="truth values"),
        pytest.param([{"a": 1}], id="objects"),
        pytest.param([[1, 2], ["a", "b"]], id="a list of other lists"),
        pytest.param([1, 2, {}], id="an object among them"),
    ],
)
def test_a_list_of_anything_but_numbers_is_no_vector(value: list[Any]) -> None:
    assert survey(value) is None


@pytest.mark.parametrize(
    ("value", "dimensions", "norms"),
    [
        pytest.param([3.0, 4.0], 2, (5.0,), id="a vector"),
        pytest.param([3, 4], 2, (5.0,), id="of integers"),
        pytest.param([2.0], 1, (2.0,), id="of one element"),
        pytest.param([0.0], 1, (0.0,), id="one zero proves nothing"),
        pytest.param([0.0, 1.0], 2, (1.0,), id="the first is zero"),
        pytest.param([1, 1, 2], 3, (math.sqrt(6),), id="almost constant"),
        pytest.param([2, 1, 2], 3, (3.0,), id="first and last alike"),
        pytest.param([1, 1, 2, 1], 4, (math.sqrt(7),), id="all but one alike"),
        pytest.param([[3.0, 4.0], [0.0, 1.0]], 2, (5.0, 1.0), id="a matrix"),
        pytest.param([[[3, 4]], [[6, 8]]], 2, (5.0, 10.0), id="three levels"),
        pytest.param([[7.0]], 1, (7.0,), id="a matrix of one"),
        pytest.param([1e308, 1.7e308], 2, (INF,), id="longer than a double tells"),
        pytest.param([10**300, 1], 2, (1e300,), id="a large integer"),
    ],
)
def test_a_sound_vector_is_measured(value: list[Any], dimensions: int, norms: tuple[float, ...]) -> None:
    found = survey(value)
    assert found is not None
    assert (found.illness, found.dimensions) == (None, dimensions)
    assert found.norms == pytest.approx(norms)


@pytest.mark.parametrize(
    ("value", "dimensions", "illness"),
    [
        pytest.param([], 0, "an empty vector", id="empty"),
        pytest.param([[]], 0, "an empty vector", id="an empty row"),
        pytest.param([[1, 2], []], 2, "an empty vector", id="an empty row beside another"),
        pytest.param([[[]]], 0, "an empty vector", id="empty, deep down"),
        pytest.param([[1, 2], [3]], 2, "a ragged list of vectors", id="rows of two lengths"),
        pytest.param([[[1, 2]], [[3, 4], [5, 6]]], 2, "a ragged list of vectors", id="two lengths above the rows"),
        pytest.param([1, [2]], 1, "a ragged list of vectors", id="a list among numbers"),
        pytest.param([[1], None], 1, "a ragged list of vectors", id="null beside a row"),
        pytest.param([[1], [[2]]], 1, "a ragged list of vectors", id="rows of two depths"),
        pytest.param([1.0, None, 2.0], 3, "null among the numbers, at [1]", id="null"),
        pytest.param([None], 1, "null among the numbers, at [0]", id="nothing but null"),
        pytest.param([[1, 2], [3, None]], 2, "null among the numbers, at [1] at row 1", id="null in a row"),
        pytest.param([1.0, NAN], 2, "NaN among the numbers", id="NaN"),
        pytest.param([1.0, INF], 2, "a number that no double can hold", id="infinity"),
        pytest.param([INF, NAN], 2, "a number that no double can hold", id="infinity and NaN"),
        pytest.param([10**400, 1], 2, "a number that no double can hold", id="a huge integer"),
        pytest.param([10**400, None], 2, "a number that no double can hold", id="a huge integer and null"),
        pytest.param([10**400, 10**400], 2, "a number that no double can hold", id="nothing but huge integers"),
        pytest.param([0.0, 0.0], 2, "a zero vector", id="zero"),
        pytest.param([0, -0.0, 0.0], 3, "a zero vector", id="zero of every kind"),
        pytest.param([0.5] * 384, 384, "a constant vector, every element 0.5", id="constant"),
        pytest.param([2, 2.0], 2, "a constant vector, every element 2", id="constant across kinds"),
        pytest.param([[1, 2], [0, 0]], 2, "a zero vector at row 1", id="a zero row"),
        pytest.param([[5, 5]], 2, "a constant vector, every element 5", id="the only row"),
    ],
)
def test_an_unsound_vector_is_told_as_what_it_is(value: list[Any], dimensions: int, illness: str) -> None:
    assert survey(value) == Survey(dimensions=dimensions, illness=illness)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param(NAN, (NAN, ""), id="the value itself"),
        pytest.param([1.0, INF], (INF, "[1]"), id="in a list"),
        pytest.param([[1.0], [2.0, -INF]], (-INF, "[1][1]"), id="in a matrix"),
        pytest.param({"a": {"b": NAN}}, (NAN, "a.b"), id="in an object"),
        pytest.param({"a": [{"b": 1}, {"b": NAN}]}, (NAN, "a[1].b"), id="in an object in a list"),
        pytest.param({"x": [1, "a", NAN]}, (NAN, "x[2]"), id="among strings"),
        pytest.param({"x": [NAN], "y": INF}, (NAN, "x[0]"), id="the first of two"),
        pytest.param([[], {}, [[NAN]]], (NAN, "[2][0][0]"), id="after empty ones"),
        pytest.param([10**400, NAN], (NAN, "[1]"), id="beside a huge integer"),
        pytest.param([1.7e308, 1.7e308, [INF]], (INF, "[2][0]"), id="beside large numbers"),
    ],
)
def test_nan_and_infinity_are_found_anywhere(value: Any, found: tuple[float, str]) -> None:
    told = first_nonfinite(value)
    assert told is not None
    assert repr(told) == repr(found)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"a": [1, 2.5, None, "NaN", True]}, id="every kind"),
        pytest.param([10**400], id="a huge integer"),
        pytest.param([1.7e308, 1.7e308], id="numbers whose length overflows"),
        pytest.param([], id="empty list"),
        pytest.param({}, id="empty object"),
        pytest.param("NaN", id="a word"),
    ],
)
def test_what_is_finite_is_left_alone(value: Any) -> None:
    assert first_nonfinite(value) is None


def test_depth_is_no_obstacle() -> None:
    value: Any = NAN
    for _ in range(20_000):
        value = {"a": [value]}
    found = first_nonfinite(value)
    assert found is not None
    assert found[1].startswith("a[0].a[0].a")


def test_a_long_key_above_many_values_costs_nothing() -> None:
    value = {"k" * 1_000_000: {"l" * 1_000_000: {str(number): 1.0 for number in range(100_000)}}}
    started = time.process_time()
    assert first_nonfinite(value) is None
    assert time.process_time() - started < 1.0  # 200 GB of paths, were each put together


@given(value=json_values)
def test_any_json_value_can_be_looked_over(value: Any) -> None:
    survey(value)
    found = first_nonfinite(value)
    assert found is None or not math.isfinite(found[0])


@given(value=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_a_norm_is_the_euclidean_length(value: list[float]) -> None:
    found = survey(value)
    assert found is not None
    if found.illness is None:
        assert found.norms == pytest.approx((math.sqrt(sum(item * item for item in value)),), rel=1e-12, abs=1e-150)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param([1.0, 0.0], [5.0, 0.0], 1.0, id="one direction"),
        pytest.param([1, 0], [0, 3], 0.0, id="at right angles"),
        pytest.param([1.0, 1.0], [-2.0, -2.0], -1.0, id="opposite"),
        pytest.param([1e300, 1e300], [1e-300, 0.0], math.sqrt(0.5), id="enormous beside tiny"),
        pytest.param([0.0, 0.0], [1.0, 0.0], 0.0, id="zero has no direction"),
    ],
)
def test_the_cosine_is_that_of_the_angle_between(one: list[float], other: list[float], expected: float) -> None:
    assert cosine(one, other) == pytest.approx(expected, abs=1e-12)
    assert cosine(other, one) == pytest.approx(expected, abs=1e-12)


@given(value=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9).filter(lambda v: math.hypot(*v) > 1e-3))
def test_a_vector_points_its_own_way(value: list[float]) -> None:
    assert cosine(value, value) == pytest.approx(1.0)
    assert -1.0 <= cosine(value, value[::-1]) <= 1.0
    assert same(value, value)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0], [1.0, 2.001], True),
        ([1.0, 2.0], [1.0, 2.01], False),
        ([1.0, 2.0], [2.0, 4.0], False),
        ([1.0, 2.0], [1.0, 2.0, 0.0], False),
        ([0.0], [0.0], True),
    ],
)
def test_vectors_are_the_same_but_for_rounding(one: list[float], other: list[float], alike: bool) -> None:
    assert same(one, other) is alike


@pytest.mark.parametrize("size", [3, 400], ids=["short", "long enough to be remembered"])
@pytest.mark.parametrize(
    ("element", "floats", "finite"),
    [(0.5, True, True), (1, False, True), (None, False, False), (math.inf, True, False), (math.nan, True, False)],
)
def test_a_list_tells_the_same_however_often_it_is_looked_at(
    size: int, element: Any, floats: bool, finite: bool
) -> None:
    values, glance = [0.25] * (size - 1) + [element], Glance()
    for _ in range(2):
        assert glance.all_floats(values) is floats
        assert math.isfinite(glance.norm(values)) is finite
    assert glance.all_floats([0.25] * size) is True  # another list is another matter

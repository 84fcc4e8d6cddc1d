"""The shape of a JSON value: its text, its hash, its bounds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.values import json_values
from worker.core.shape import MAX_NODES, Shape, infer

MANY = {f"k{number}": number for number in range(65)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "bool", id="bool"),
        pytest.param(3, "integer", id="integer"),
        pytest.param(3.0, "number", id="number"),
        pytest.param("x", "string", id="string"),
        pytest.param([], "any[0]", id="an empty array"),
        pytest.param([[]], "any[1][0]", id="an array of an empty one"),
        pytest.param([1.0, 2.0], "number[2]", id="a vector"),
        pytest.param([1, 2], "integer[2]", id="integers"),
        pytest.param([1, 2.0], "number[2]", id="integers among numbers"),
        pytest.param(["a"], "string[1]", id="strings"),
        pytest.param([[1.0, 2.0]] * 3, "number[3][2]", id="a matrix, outermost first"),
        pytest.param([1, "a"], "(integer | string)[2]", id="mixed"),
        pytest.param([1, True], "(bool | integer)[2]", id="a truth value is no number"),
        pytest.param([1.0, None], "(null | number)[2]", id="null among numbers"),
        pytest.param({}, "{}", id="an empty object"),
        pytest.param({"b": 1, "a": "x"}, "{a: string, b: integer}", id="keys in order"),
        pytest.param({"embedding": [0.5] * 384, "model": "m"}, "{embedding: number[384], model: string}", id="a reply"),
        pytest.param([{"a": 1}, {"a": 2}], "{a: integer}[2]", id="objects alike"),
        pytest.param([{"a": 1}, {"b": 1}], "({a: integer} | {b: integer})[2]", id="objects unlike"),
        pytest.param({"a b": 1}, '{"a b": integer}', id="a key with a blank"),
        pytest.param({'"\\\n': 1}, '{"\\u0022\\u005c\\u000a": integer}', id="a key with odd characters"),
        pytest.param({"\ud800": 1}, '{"\\ud800": integer}', id="a key that is half a character"),
        pytest.param({"": 1}, '{"": integer}', id="an empty key"),
        pytest.param({"x" * 65: 1}, '{"' + "x" * 64 + '…": integer}', id="a long key"),
        pytest.param({"x" * 64: 1}, "{" + "x" * 64 + ": integer}", id="a key just short enough"),
        pytest.param(MANY, "{*: integer}", id="too many keys"),
        pytest.param(MANY | {"k0": "x"}, "{*: (integer | string)}", id="too many keys of two kinds"),
        pytest.param({1, 2}, "...", id="what no parser gives"),
    ],
)
def test_the_text_says_what_is_there(value: Any, text: str) -> None:
    assert infer(value).text() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param([[1, 0], [0.5, 2]], "number[2][2]", id="a row that happens to be whole"),
        pytest.param([{"s": 1}, {"s": 0.5}], "{s: number}[2]", id="a score that happens to be whole"),
        pytest.param([[[1]], [[0.5]]], "number[2][1][1]", id="deeper down"),
        pytest.param([{"s": [1, None]}, {"s": [0.5, None]}], "{s: (null | number)[2]}[2]", id="beside null"),
        pytest.param([{"s": 1}, {"s": 2}], "{s: integer}[2]", id="none of them a fraction"),
        pytest.param([{"s": 1}, {"s": 0.5}, {"t": 1}], "({s: number} | {t: integer})[3]", id="only where it differs"),
    ],
)
def test_integers_beside_numbers_are_numbers(value: Any, text: str) -> None:
    assert infer(value).text() == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(1, 1.0, id="a number"),
        pytest.param([1, 2], [1.0, 2.0], id="a vector"),
        pytest.param([1, None], [1.0, None], id="beside null, which stands between the two words"),
        pytest.param([[1], None], [[1.0], None], id="a vector beside null"),
        pytest.param({"a": 1, "b": 2}, {"b": 0.5, "a": 1}, id="in another order"),
        pytest.param({"x" * 65: 1}, {"x" * 65: 2}, id="a long key"),
    ],
)
def test_the_same_shape_has_the_same_hash(one: Any, other: Any) -> None:
    assert infer(one).digest() == infer(other).digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"integer": 1}, {"number": 1}, id="keys that are words of ours"),
        pytest.param([0.5] * 384, [0.5] * 768, id="lengths"),
        pytest.param(1, "1", id="numbers as strings"),
        pytest.param({"embedding": [0.5]}, {"embeddings": [0.5]}, id="a key"),
        pytest.param({"a": 1}, [{"a": 1}], id="a list for an object"),
        pytest.param({"a": 1}, {"a": 1, "b": 1}, id="a new key"),
        pytest.param({"a": 1}, {"a": None}, id="null for a value"),
        pytest.param([], {}, id="empty ones"),
        pytest.param([[1.0, 2.0]], [[1.0], [2.0]], id="a matrix turned"),
        pytest.param(True, 1, id="true for 1"),
    ],
)
def test_different_shapes_have_different_hashes(one: Any, other: Any) -> None:
    assert infer(one).digest() != infer(other).digest()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param([[0] * size for size in range(1, 10)], "...[9][]", id="nine lengths"),
        pytest.param([[0] * size for size in range(9)], "(...[] | any[0])[9]", id="nine lengths, one empty"),
        pytest.param([{f"k{n}": 1} for n in range(9)], "{*: ...}[9]", id="nine sets of keys"),
        pytest.param(
            [MANY, 1, None, "x", True, *([0] * size for size in range(1, 6))],
            "(...[] | bool | integer | null | string | {*: ...})[10]",
            id="an object of too many keys among them",
        ),
    ],
)
def test_too_many_kinds_of_element_are_outlined(value: Any, text: str) -> None:
    assert infer(value).text() == text


def nested(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_is_cut() -> None:
    assert infer(nested(200)).text() == "{a: " * 16 + "..." + "}" * 16
    assert infer(nested(200)) == infer(nested(300))


def tree(width: int, depth: int) -> Any:
    return {f"k{n}": tree(width, depth - 1) for n in range(width)} if depth else 1.0


def long_lists(depth: int) -> Any:
    return [long_lists(depth - 1) for _ in range(3)] + [depth] if depth else "x"


def of_every_kind(depth: int) -> Any:
    return [{f"k{n}": of_every_kind(depth - 1)} for n in range(7)] if depth else 1


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({str(n): n for n in range(100_000)}, id="100,000 keys"),
        pytest.param({"k" * 1_000_000 + str(n): 1 for n in range(3)}, id="keys of a million characters"),
        pytest.param([[n] * (n % 50) for n in range(100_000)], id="100,000 lists of 50 lengths"),
        pytest.param([{str(n): n} for n in range(100_000)], id="100,000 objects of different keys"),
        pytest.param(tree(50, 3), id="50 × 50 × 50 keys"),
        pytest.param(tree(2, 14), id="16,384 leaves, two by two"),
        pytest.param(long_lists(9), id="lists of lists"),
        pytest.param(of_every_kind(5), id="seven kinds in seven kinds"),
        pytest.param(nested(200), id="200 levels"),
        pytest.param({"\U000e0000" * 64 + str(n): 1 for n in range(64)}, id="keys that have to be escaped"),
    ],
)
def test_a_shape_stays_small_whatever_it_is_of(value: Any) -> None:
    shape = infer(value)
    assert count(shape) == shape.size <= MAX_NODES + 1
    assert len(shape.text()) < 50_000
    assert len(shape.digest()) == 8


def count(shape: Shape) -> int:
    return 1 + sum(count(part) for _, part in shape.parts)


def test_what_is_too_large_together_is_outlined_and_the_rest_is_not() -> None:
    value = {"big": tree(2, 9), "model": "m", "score": 0.5}
    assert infer(value).text() == "{big: {k0: {*: ...}, k1: {*: ...}}, model: string, score: number}"


@given(value=json_values)
def test_any_json_value_has_a_shape(value: Any) -> None:
    shape = infer(value)
    assert infer(value) == shape
    assert count(shape) == shape.size <= MAX_NODES + 1
    assert shape.text().isprintable()
    assert len(shape.digest()) == 8


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(value=json_values)
def test_the_order_of_keys_is_free(value: Any) -> None:
    assert infer(reordered(value)) == infer(value)


def test_the_order_of_keys_is_free_even_where_only_some_are_looked_at() -> None:
    value = {f"{n:04}": "x" if n > 1500 else 1 for n in range(3000)}
    assert infer(reordered(value)) == infer(value)


def widened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: widened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [widened(item) for item in value]
    return 0.5 if type(value) is int else value


@given(value=json_values)
def test_a_hash_does_not_tell_integers_from_numbers(value: Any) -> None:
    assert infer(value).digest() == infer(widened(value)).digest()


@given(values=st.lists(json_values, max_size=6))
def test_the_order_of_elements_is_free(values: list[Any]) -> None:
    assert infer(values) == infer(values[::-1])

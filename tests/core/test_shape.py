"""The shape of a JSON value: what it says, its hash, its bounds, and several merged to one."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.values import json_values
from worker.core.difference import differences
from worker.core.notation import digest, text
from worker.core.shape import MAX_NODES, Shape, infer, merge

MANY = {f"k{number}": number for number in range(65)}


@pytest.mark.parametrize(
    ("value", "written"),
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
        pytest.param([{"a": 1}, {"b": 1}], "{a?: integer, b?: integer}[2]", id="objects unlike"),
        pytest.param({"a b": 1}, '{"a b": integer}', id="a key with a blank"),
        pytest.param({'"\\\n': 1}, '{"\\"\\\\\\n": integer}', id="a key with odd characters"),
        pytest.param({"\ud800": 1}, '{"\\ud800": integer}', id="a key that is half a character"),
        pytest.param({"": 1}, '{"": integer}', id="an empty key"),
        pytest.param({"x" * 65: 1}, '{"' + "x" * 55 + '…dc05afb2": integer}', id="a long key"),
        pytest.param({"größe": 1}, '{"größe": integer}', id="a key of other letters"),
        pytest.param({"x" * 64: 1}, "{" + "x" * 64 + ": integer}", id="a key just short enough"),
        pytest.param(MANY, "{*: integer}", id="too many keys"),
        pytest.param(MANY | {"k0": "x"}, "{*: (integer | string)}", id="too many keys of two kinds"),
        pytest.param({1, 2}, "any", id="what no parser gives"),
    ],
)
def test_the_text_says_what_is_there(value: Any, written: str) -> None:
    assert text(infer(value)) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param([[1, 0], [0.5, 2]], "number[2][2]", id="a row that happens to be whole"),
        pytest.param([{"s": 1}, {"s": 0.5}], "{s: number}[2]", id="a score that happens to be whole"),
        pytest.param([[[1]], [[0.5]]], "number[2][1][1]", id="deeper down"),
        pytest.param([{"s": [1, None]}, {"s": [0.5, None]}], "{s: (null | number)[2]}[2]", id="beside null"),
        pytest.param([{"s": 1}, {"s": 2}], "{s: integer}[2]", id="none of them a fraction"),
        pytest.param([{"s": 1}, {"s": 0.5}, {"t": 1}], "{s?: number, t?: integer}[3]", id="only where it differs"),
    ],
)
def test_integers_beside_numbers_are_numbers(value: Any, written: str) -> None:
    assert text(infer(value)) == written


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
    assert digest(infer(one)) == digest(infer(other))


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
    assert digest(infer(one)) != digest(infer(other))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param([[0] * size for size in range(1, 10)], "integer[9][1..9]", id="lists of nine lengths"),
        pytest.param([[], [1], [0.5, 2]], "number[3][0..2]", id="one of them empty"),
        pytest.param([[], []], "any[2][0]", id="all of them empty"),
        pytest.param([{f"k{n}": 1} for n in range(3)], "{k0?: integer, k1?: integer, k2?: integer}[3]", id="keys"),
        pytest.param([{"a": 1}, {"a": None, "b": [1]}], "{a: (null | integer), b?: integer[1]}[2]", id="null"),
        pytest.param([{str(n): n} for n in range(99)], "{*: integer}[99]", id="too many sets of keys"),
        pytest.param([MANY, {"k": "x"}], "{*: (integer | string)}[2]", id="one of too many keys beside another"),
        pytest.param([{}, {"a": 1}], "{a?: integer}[2]", id="an empty object beside another"),
        pytest.param(
            [MANY, 1, None, "x", True, *([0] * size for size in range(1, 6))],
            "(null | bool | integer | string | integer[1..5] | {*: integer})[10]",
            id="everything",
        ),
    ],
)
def test_elements_of_several_shapes_become_one_that_says_what_varies(value: Any, written: str) -> None:
    assert text(infer(value)) == written


def nested(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_is_cut() -> None:
    assert text(infer(nested(200))) == "{a: " * 16 + "any" + "}" * 16
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
    assert len(text(shape)) < 50_000
    assert len(digest(shape)) == 8


def count(shape: Shape) -> int:
    return 1 + sum(count(part) for _, part in shape.parts)


def test_what_is_too_large_together_is_outlined_and_the_rest_is_not() -> None:
    value = {"big": tree(2, 9), "model": "m", "score": 0.5}
    assert text(infer(value)) == "{big: {k0: {*: any}, k1: {*: any}}, model: string, score: number}"


@given(value=json_values)
def test_any_json_value_has_a_shape(value: Any) -> None:
    shape = infer(value)
    assert infer(value) == shape
    assert count(shape) == shape.size <= MAX_NODES + 1
    assert text(shape).isprintable()
    assert len(digest(shape)) == 8


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(value=json_values)
def test_the_order_of_keys_is_free(value: Any) -> None:
    assert infer(reordered(value)) == infer(value)


def test_the_order_of_keys_is_free_even_where_only_some_are_looked_at() -> None:
    value = {f"{n:04}": "x" if n > 700 else 1 for n in range(3000)}
    assert infer(reordered(value)) == infer(value)


def widened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: widened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [widened(item) for item in value]
    return 0.5 if type(value) is int else value


@given(value=json_values)
def test_a_hash_does_not_tell_integers_from_numbers(value: Any) -> None:
    assert digest(infer(value)) == digest(infer(widened(value)))


@given(values=st.lists(json_values, max_size=6))
def test_the_order_of_elements_is_free(values: list[Any]) -> None:
    assert infer(values) == infer(values[::-1])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({str(n): n for n in range(100_000)}, id="100,000 keys"),
        pytest.param(
            [{str((n + i) % 64): [i] * (n % 7) for i in range(64 - n % 3)} for n in range(800)], id="800 objects"
        ),
        pytest.param([[[n] * (n % 5)] for n in range(100_000)], id="100,000 matrices"),
        pytest.param({"k" * 60_000 + str(n): 1 for n in range(64)}, id="64 keys of 60 kB"),
    ],
)
def test_inferring_takes_little_memory_whatever_it_is_of(value: Any) -> None:
    tracemalloc.start()
    try:
        infer(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024  # such a value itself takes a hundred


@given(values=st.lists(json_values, min_size=1, max_size=5))
def test_a_merged_shape_accepts_each_of_its_samples(values: list[Any]) -> None:
    shapes = [infer(value) for value in values]
    merged = merge(shapes)
    assert [differences(merged, shape) for shape in shapes] == [()] * len(shapes)
    assert merge(shapes[::-1]) == merged
    assert merge([merged, *shapes]) == merged
    assert count(merged) == merged.size <= MAX_NODES + 1


def test_shapes_that_are_too_large_together_are_merged_to_an_outline() -> None:
    shapes = [infer({f"{n}_{k}": {"a": [1], "b": {"c": 1, "d": 2}, "e": 1} for k in range(30)}) for n in range(3)]
    merged = merge(shapes)
    assert text(merged) == "{*: {a: integer[1], b: {c: integer, d: integer}, e: integer}}"
    wide = [infer({f"k{k}": {f"{n}_{i}": [1] for i in range(6)} for k in range(30)}) for n in range(4)]
    assert merge(wide).size <= MAX_NODES
    mixed = {f"k{k}": [{f"{i}": None, "x": [[1], "s"]} for i in range(6)] for k in range(40)}
    assert text(infer(mixed)).startswith("{k0: any[6], ")
    several = {f"k{k}": [[1.5], {f"{i}": None for i in range(12)}] for k in range(40)}
    assert text(infer(several)).startswith("{k0: any[2], ")
    one, other = ({f"k{k}": {f"{kind}{i}": None for i in range(8)} for k in range(50)} for kind in "ab")
    either = merge([infer({**one, "m": None, "s": "x"}), infer({**other, "m": [1], "s": "x"})])
    assert text(either).endswith("k9: {*: any}, m: any, s: string}")
    assert text(merge(wide)).startswith("{k0: {*: any}, ")
    assert all(differences(merge(wide), one) == () for one in wide)

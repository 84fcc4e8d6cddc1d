"""A pin: what it counts against a plugin, what it has at a path, which vectors are in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.values import json_values
from worker.core.notation import digest, parse, text
from worker.core.pin import Pin, at, learn, vector_size, vectors_in
from worker.core.shape import infer


def test_a_pin_says_its_shape_in_one_line_with_the_hash_of_that() -> None:
    pin = Pin(shape=parse("{embedding: number[3]}"))
    assert (pin.text, pin.hash) == ("{embedding: number[3]}", digest(pin.shape))


@pytest.mark.parametrize(
    ("strict", "found", "broken"),
    [
        pytest.param(False, "{a: number}", 0, id="the same"),
        pytest.param(False, "{a: number, b: null}", 0, id="a new key"),
        pytest.param(True, "{a: number, b: null}", 1, id="a new key, strictly"),
        pytest.param(False, "{b: null}", 1, id="a missing key beside a new one"),
        pytest.param(True, "{b: null}", 2, id="both, strictly"),
    ],
)
def test_a_new_key_counts_only_where_it_is_strict(strict: bool, found: str, broken: int) -> None:
    pin = Pin(shape=parse("{a: number}"), strict=strict)
    assert len(pin.broken(pin.compare(parse(found)))) == broken


SHAPE = (
    "{a: {b: number[384]}, list: {c: string}[0..3], map: {*: bool}, free: any, nil: (null | {x: number[2]}),"
    " long: null[]}"
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", "number[384]"),
        ("a.b[0]", "number"),
        ("a.b[384]", None),
        ("a.c", None),
        ("list[2].c", "string"),
        ("list[3].c", None),
        ("list.c", None),
        ("long[99]", "null"),
        ("map.whatever", "bool"),
        ("map[0]", None),
        ("free.x[3].y", "any"),
        ("nil.x", "number[2]"),
        ("a[0]", None),
        ("a.b.c", None),
    ],
)
def test_a_path_leads_to_what_the_shape_has_there(path: str, found: str | None) -> None:
    shape = at(parse(SHAPE), path)
    assert (shape and text(shape)) == found


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("number[384]", (384, 384)),
        ("integer[2..4]", (2, 4)),
        ("number[]", (0, None)),
        ("number[3][384]", (384, 384)),
        ("string[3]", None),
        ("(null | number)[3]", None),
        ("any[0]", None),
        ("number", None),
        ("{a: number[3]}", None),
    ],
)
def test_a_vector_is_an_array_of_numbers_or_of_such(written: str, size: tuple[int, int | None] | None) -> None:
    assert vector_size(parse(written)) == size


def test_what_looks_like_an_embedding_is_found() -> None:
    shape = parse(
        "{embedding: number[384], rows: number[3][64], deep: {v: number[32]}, box: number[4], ids: string[99],"
        ' tokens: number[32..64], "odd key": number[64], list: {v: number[64]}[2], whole: integer[128]}'
    )
    assert list(vectors_in(shape)) == ["deep.v", "embedding", "rows", "whole"]
    assert list(vectors_in(parse("number[384]"))) == []
    assert list(vectors_in(parse("string"))) == []


LONG = [0.5, 1.5] * 16


def test_what_varies_among_samples_is_learnt() -> None:
    pin = learn([{"v": LONG, "tags": ["a"]}, {"v": LONG, "tags": []}, {"v": LONG, "tags": ["b"], "n": 1}])
    assert pin == Pin(shape=parse("{v: number[32], tags: string[0..1], n?: integer}"), vectors=("v",), samples=3)


def test_an_array_that_is_no_sound_vector_in_every_sample_is_not_named() -> None:
    assert learn([{"v": LONG, "w": LONG}, {"v": LONG, "w": [0.0] * 32}]).vectors == ("v",)


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        pytest.param(
            "{a: string[], b: number}", {"a": ["x"], "b": None}, "{a: string[], b: null}", id="a wider length"
        ),
        pytest.param(
            "{a?: null, b: number}", {"b": "x"}, "{a?: null, b: string}", id="an optional key that is missing"
        ),
        pytest.param(
            "{a?: null, b: number}", {"a": None, "b": "x"}, "{a?: null, b: string}", id="and one that is there"
        ),
        pytest.param("{a: null, b: number}", {"b": 1}, "{b: number}", id="a key that is gone"),
        pytest.param("{a: any}", {"a": 1, "b": 2}, "{a: any, b: integer}", id="a new key beside anything"),
        pytest.param("{a: {x: any}[]}", {"a": [{"x": 1, "y": 2}]}, "{a: {x: any, y: integer}[]}", id="within a list"),
        pytest.param("{a: any[2..3]}", {"a": [1]}, "{a: any[1]}", id="a length beyond the range"),
        pytest.param("number[3]", [1.5] * 4, "number[4]", id="a length"),
        pytest.param("any[0]", [1.5], "number[1]", id="no longer empty"),
        pytest.param("{a: null}", [1], "integer[1]", id="another kind"),
    ],
)
def test_what_an_old_pin_says_stays_where_it_holds(old: str, value: object, new: str) -> None:
    learnt = learn([value], Pin(shape=parse(old)))
    assert text(learnt.shape) == new
    assert learnt.compare(infer(value)) == ()


@given(values=st.lists(json_values, min_size=1, max_size=3), old=json_values)
def test_a_learnt_pin_accepts_its_samples_whatever_was_pinned_before(values: list[Any], old: Any) -> None:
    pin = learn(values, Pin(shape=infer(old)))
    assert [pin.compare(infer(value)) for value in values] == [()] * len(values)
    assert learn(values, pin) is pin


def test_which_vectors_somebody_chose_stays_so() -> None:
    old = learn([{"v": LONG, "w": LONG}])
    assert old.vectors == ("v", "w")
    fewer = Pin(shape=old.shape, vectors=("w",))
    assert learn([{"v": LONG, "w": LONG}], fewer) is fewer
    assert learn([{"v": LONG, "w": LONG, "x": LONG}], fewer).vectors == ("w", "x"), "v was taken out by somebody"
    chosen = Pin(shape=parse("{box: number[4]}"), vectors=("box",))
    assert learn([{"box": [1, 2, 3, 4]}], chosen).vectors == ("box",)
    assert learn([{"box": "gone"}], chosen).vectors == ()
    assert learn([{}], chosen).vectors == ()

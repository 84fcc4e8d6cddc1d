"""Judging against what is pinned, against a golden vector, and with other inputs asked besides."""

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import EPOCH_S, exchange, make_target, reply
from worker.core.distinct import OtherReply, expectation_of, held, is_due, questions
from worker.core.finding import Finding
from worker.core.judge import Judgement, explain, judge
from worker.core.notation import digest, parse
from worker.core.outcome import Outcome
from worker.core.pin import Pin
from worker.core.result import Result
from worker.core.rules import Reference
from worker.core.target import Distinct, Expectation, Golden, VectorExpectation
from worker.core.track import Changes, Track, advance

PLAIN = Expectation()


def pinned(written: str, **changes: Any) -> Reference:
    return Reference(pin=Pin(shape=parse(written), **changes))


def judged(raw: Any, reference: Reference, expect: Expectation = PLAIN, **changes: Any) -> Judgement:
    return judge(expect, exchange(reply()._replace(raw_response=raw, **changes)), reference)


# Pins -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "raw", "expected", "found"),
    [
        pytest.param(
            "{embedding: number[3]}", {"embedding": [0.6, 0.8]}, "number[3] at embedding", "number[2]", id="a length"
        ),
        pytest.param("{a: number}", {}, "number at a", "nothing", id="a missing key"),
        pytest.param("{a: number}", [1], "{a: number} at raw_response", "integer[1]", id="another kind"),
        pytest.param("{a: null, b: null}", {"a": 1, "b": 2}, "null at a", "integer, and 1 more", id="two"),
    ],
)
def test_a_reply_that_breaks_the_pin_is_a_mismatch(written: str, raw: Any, expected: str, found: str) -> None:
    told = judged(raw, pinned(written))
    assert (told.outcome, told.rule) == (Outcome.SHAPE_MISMATCH, "pinned shape")
    assert (told.expected, told.found) == (expected, found)
    assert told.shape_match is False
    assert told.shape_diff


def test_a_new_key_is_told_and_not_held_against_the_plugin_unless_strict() -> None:
    raw = {"a": 1, "b": 2}
    told = judged(raw, pinned("{a: number}"))
    assert (told.outcome, told.shape_match) == (Outcome.SUCCESS, True)
    assert [str(one) for one in told.shape_diff or ()] == ["b: expected nothing, found integer (compatible)"]
    assert judged(raw, pinned("{a: number}", strict=True)).outcome is Outcome.SHAPE_MISMATCH


def test_while_a_reply_fits_its_pin_it_has_the_pins_hash() -> None:
    reference = pinned("{a: string[1..5], b?: number}")
    assert reference.pin
    for raw in ({"a": ["x"]}, {"a": ["x", "y"], "b": 1}):
        told = judged(raw, reference)
        assert (told.shape_hash, told.shape_diff) == (reference.pin.hash, ())
    wider = judged({"a": ["x"], "c": 1}, reference)
    assert wider.shape_hash == digest(parse("{a: string[1], c: integer}"))


def test_vectors_that_a_pin_names_must_be_sound_and_are_measured() -> None:
    reference = pinned("{v: number[3]}", vectors=("v",))
    assert judged({"v": [0.0, 0.0, 0.0]}, reference).outcome is Outcome.BAD_VALUES
    told = judged({"v": [3.0, 4.0, 0.0]}, reference)
    assert [(one.path, one.dimensions, one.norm) for one in told.vectors] == [("v", 3, 5.0)]
    assert judged({"v": [0.0, 0.0, 0.0]}, pinned("{v: number[3]}")).outcome is Outcome.SUCCESS


def test_an_errors_null_is_not_compared() -> None:
    told = judged(None, pinned("{a: number}"), status="error")
    assert (told.outcome, told.shape_diff, told.shape_match) == (Outcome.PLUGIN_ERROR, None, None)
    failed = exchange(reply()._replace(raw_response=None, status="error"))
    assert "pinned shape" not in rules(list(explain(PLAIN, failed, pinned("{a: number}"))))


def test_bad_values_come_before_the_pin_and_what_differs_is_told_all_the_same() -> None:
    told = judged({"a": math.nan, "b": 1}, pinned("{a: number, c: null}"))
    assert told.outcome is Outcome.BAD_VALUES
    assert [one.path for one in told.shape_diff or ()] == ["c", "b"]


def test_without_a_pin_nothing_is_compared() -> None:
    told = judged({"a": 1}, Reference())
    assert (told.shape_diff, told.shape_match) == (None, None)


def rules(findings: list[Finding]) -> dict[str, tuple[str, str]]:
    return {one.rule: (one.expected, one.found) for one in findings}


def test_the_pin_is_explained_kept_or_broken() -> None:
    told = rules(list(explain(PLAIN, exchange(reply({"a": 1})), pinned("{a: number}"))))
    assert told["pinned shape"] == ("{a: number}", "the same")
    told = rules(list(explain(PLAIN, exchange(reply({"a": 1, "b": 1})), pinned("{a: number}"))))
    assert told["pinned shape"] == ("{a: number}", "1 compatible difference")
    told = rules(list(explain(PLAIN, exchange(reply({"a": 1, "b": 1, "c": 1})), pinned("{a: number}"))))
    assert told["pinned shape"] == ("{a: number}", "2 compatible differences")


# What is remembered ---------------------------------------------------------------------------------------------------


def advanced(track: Track, raw: Any, written: str | None) -> tuple[Track, Changes]:
    pin = Pin(shape=parse(written)) if written else None
    target, made = make_target(pin=pin), exchange(reply(raw))
    reference = Reference(pin=pin)
    result = Result(target=target, judgement=judge(target.expect, made, reference), exchange=made, reference=reference)
    return advance(track, result)


def test_the_first_reply_is_compared_with_the_pin_as_if_that_had_come_before() -> None:
    track, changes = advanced(Track(), {"a": 1, "b": 2}, "{a: number}")
    assert changes.shape == (digest(parse("{a: number}")), digest(parse("{a: number, b: number}")))
    assert (track.shape_changes, track.shape_match) == (1, True)
    again, changes = advanced(track, {"a": 1, "b": 2}, "{a: number}")
    assert (again.shape_changes, changes.shape) == (1, None)


def test_a_reply_that_fits_its_pin_changes_nothing() -> None:
    track, changes = advanced(Track(), {"a": ["x", "y"]}, "{a: string[1..9]}")
    track, changes = advanced(track, {"a": ["x"]}, "{a: string[1..9]}")
    assert (track.shape_changes, changes.shape) == (0, None)
    track, changes = advanced(track, {"a": ["x"]}, None)
    assert track.shape_match is None


def test_the_pinned_shape_keeps_its_name_when_others_vary() -> None:
    track = Track()
    for number in range(30):
        track, _ = advanced(track, {f"k{number}": 1}, "{a: number}")
    assert track.shape_label == "varying"
    track, _ = advanced(track, {"a": 1}, "{a: number}")
    assert track.shape_label == digest(parse("{a: number}"))


# Golden vectors -------------------------------------------------------------------------------------------------------


def golden(*vector: float, **changes: Any) -> Expectation:
    values: dict[str, Any] = {"path": "embedding", "file": "g.json", "min_cosine": 0.99, "vector": vector} | changes
    return Expectation(golden=Golden(**values))


@pytest.mark.parametrize(
    ("vector", "cosine", "outcome"),
    [
        pytest.param([3.0, 4.0], 1.0, "success", id="longer"),
        pytest.param([0.6, 0.8], 1.0, "success", id="the same"),
        pytest.param([1, 0], 0.6, "drift", id="turned"),
        pytest.param([-0.6, -0.8], -1.0, "drift", id="the opposite"),
        pytest.param([3e200, 4e200], 1.0, "success", id="enormous"),
    ],
)
def test_a_vector_that_has_turned_has_drifted(vector: list[float], cosine: float, outcome: str) -> None:
    told = judged({"embedding": vector}, Reference(), golden(0.6, 0.8))
    assert told.outcome == outcome
    assert told.golden_cosine == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        pytest.param({"embedding": [1.0, 2.0, 3.0]}, "number[3]", id="another size"),
        pytest.param({"embedding": [[0.6, 0.8]]}, "number[1][2]", id="a list of vectors"),
        pytest.param({"embedding": "x"}, "string", id="no vector"),
        pytest.param({"embeddings": [0.6, 0.8]}, "nothing there", id="elsewhere"),
    ],
)
def test_what_cannot_be_compared_with_the_golden_vector_is_a_mismatch(raw: Any, found: str) -> None:
    told = judged(raw, Reference(), golden(0.6, 0.8))
    assert (told.outcome, told.golden_cosine) == (Outcome.SHAPE_MISMATCH, None)
    assert (told.expected, told.found) == ("number[2] at embedding, as in g.json", found)


def test_an_ill_vector_is_bad_values_before_it_is_compared() -> None:
    told = judged({"v": [None, 0.8]}, Reference(), golden(0.6, 0.8, path="v"))
    assert (told.outcome, told.golden_cosine) == (Outcome.BAD_VALUES, None)


def test_without_a_vector_to_compare_the_rules_after_it_are_explained_all_the_same() -> None:
    expect = replace(golden(0.6, 0.8), max_latency_s=10.0)
    told = list(explain(expect, exchange(reply({"other": 1})), Reference()))
    assert told[-2].outcome is Outcome.SHAPE_MISMATCH
    assert told[-1].rule == "max_latency"


def test_drift_names_the_model_that_answered_when_the_vector_was_recorded() -> None:
    expect = golden(0.6, 0.8, inference_name="embed_v1")
    told = judged({"embedding": [1.0, 0.0]}, Reference(), expect, inference_name="embed_v2")
    assert told.found == "0.6; it was recorded from embed_v1, and embed_v2 has answered"
    told = judged({"embedding": [1.0, 0.0]}, Reference(), expect, inference_name="embed_v1")
    assert (told.expected, told.found) == ("a cosine of at least 0.99", "0.6")


def test_shape_comes_before_drift_and_drift_before_slowness() -> None:
    expect = replace(golden(0.6, 0.8), max_latency_s=0.01)
    assert judged({"embedding": [1.0, 0.0]}, pinned("{embedding: number[3]}"), expect).outcome == "shape_mismatch"
    assert judged({"embedding": [1.0, 0.0]}, Reference(), expect).outcome == "drift"


# Distinct inputs ------------------------------------------------------------------------------------------------------

A, B, C = {"text": "a"}, {"text": "b"}, {"text": "c"}
COLLAPSE = Expectation(
    vectors=(VectorExpectation(path="v", dimensions=2, distinct=Distinct(inputs=(A, B, C), every_s=3600.0)),)
)


def others(*vectors: Any) -> Reference:
    replies = (
        OtherReply(inputs=inputs, outcome=Outcome.SUCCESS, raw_response={"v": vector})
        for inputs, vector in zip((A, B, C), vectors, strict=False)
    )
    return Reference(others=tuple(replies))


@pytest.mark.parametrize(
    ("vectors", "found"),
    [
        pytest.param(([1.0, 2.0], [2.0, 1.0], [0.0, 1.0]), None, id="all different"),
        pytest.param(
            ([1.0, 2.0], [2.0, 1.0], [2.0, 1.0]),
            "the same one for distinct.inputs[1] and distinct.inputs[2]",
            id="two alike",
        ),
        pytest.param(
            ([1.0, 2.0], [1.0, 2.0005], [2.0, 1.0]),
            "the same one for distinct.inputs[0] and distinct.inputs[1]",
            id="but for rounding",
        ),
        pytest.param(([1.0, 2.0], [1.0, 2.01], [2.0, 1.0]), None, id="more than rounding"),
        pytest.param(([[1, 2], [3, 4]], [[1, 2], [4, 3]], [[1, 2]]), None, id="matrices that differ in a row"),
        pytest.param(
            ([[1, 2], [3, 4]], [[1, 2], [3, 4]], [[1, 2]]),
            "the same one for distinct.inputs[0] and distinct.inputs[1]",
            id="matrices",
        ),
        pytest.param(([1, 2], [1, 2, 3]), None, id="of other sizes"),
    ],
)
def test_one_vector_for_different_inputs_is_a_collapse(vectors: Any, found: str | None) -> None:
    reference = others(*vectors)
    told = judge(COLLAPSE, exchange(reply({"v": [0.6, 0.8]})), reference)
    assert told.found == found
    assert told.outcome == ("bad_values" if found else "success")
    assert told.distinct is (found is None and len(vectors) == 3)


def test_when_all_were_different_is_remembered() -> None:
    target, made = make_target(expect=COLLAPSE), exchange(reply({"v": [0.6, 0.8]}))
    reference = others([1, 2], [2, 1], [0, 1])
    for vectors, remembered in ((reference, made.ended_at), (others([1, 2], [1, 2], [0, 1]), None)):
        judgement = judge(COLLAPSE, made, vectors)
        track, _ = advance(Track(), Result(target=target, judgement=judgement, exchange=made))
        assert track.distinct_at == remembered


def test_an_input_without_an_answer_is_the_plugins_fault_unless_nothing_is_known() -> None:
    broken = OtherReply(inputs=B, outcome=Outcome.SERVER_ERROR, told="HTTP 500")
    told = judge(COLLAPSE, exchange(reply({"v": [0.6, 0.8]})), Reference(others=(*others([1, 2]).others, broken)))
    assert (told.outcome, told.rule) == (Outcome.SERVER_ERROR, "distinct v")
    assert (told.expected, told.found) == ("an answer to distinct.inputs[1]", "server_error: HTTP 500")
    unknown = OtherReply(inputs=B, outcome=Outcome.RATE_LIMITED)
    told = judge(COLLAPSE, exchange(reply({"v": [0.6, 0.8]})), Reference(others=(*others([1, 2]).others, unknown)))
    assert (told.outcome, told.distinct) == (Outcome.SUCCESS, False)


def test_all_of_it_is_explained() -> None:
    reference = others([1, 2], [2, 1], [0, 1])
    told = [
        (one.rule, one.expected, one.found) for one in explain(COLLAPSE, exchange(reply({"v": [0.6, 0.8]})), reference)
    ]
    assert ("distinct v", "an answer to distinct.inputs[2]", "success") in told
    assert ("distinct v", "another vector for another input", "all different") in told


def test_what_holds_for_other_inputs_is_that_their_vectors_are_sound_and_of_the_size() -> None:
    expect = replace(COLLAPSE, max_latency_s=0.1, keys=("a",), max_warming_s=7.0)
    assert expectation_of(expect, A) == Expectation(
        vectors=(VectorExpectation(path="v", dimensions=2),), max_warming_s=7.0
    )
    assert expectation_of(expect, {"text": "d"}).vectors == ()


def test_inputs_of_two_vectors_are_asked_once() -> None:
    second = VectorExpectation(path="w", distinct=Distinct(inputs=(B, {"text": "d"}), every_s=60.0))
    expect = replace(COLLAPSE, vectors=(*COLLAPSE.vectors, second, VectorExpectation(path="x")))
    assert questions(expect) == (A, B, C, {"text": "d"})
    assert expect.distinct_every_s == 60.0
    assert not held(expect, others([1, 2], [2, 1], [0, 1]).others), "one is not asked yet"


@pytest.mark.parametrize(
    ("last_s_ago", "due"),
    [(None, True), (0.0, False), (3000.0, False), (3450.0, True), (3600.0, True)],
)
def test_they_are_asked_at_their_spacing(last_s_ago: float | None, due: bool) -> None:
    last_at = None if last_s_ago is None else EPOCH_S - last_s_ago
    assert is_due(COLLAPSE, last_at, EPOCH_S, interval_s=300.0) is due
    assert not is_due(PLAIN, last_at, EPOCH_S, interval_s=300.0)

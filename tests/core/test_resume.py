"""A track that began with nothing, joined late to what was remembered: as if it had been remembered from the start."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.core.values import exchanges, expectations
from tests.fakes import EPOCH_S, exchange, make_result, make_target, no_reply, refusal, reply
from worker.core.exchange import Exchange, Phases
from worker.core.result import Result, SkipReason, fail, skip
from worker.core.rules import Reference
from worker.core.target import Expectation
from worker.core.track import VARYING, Track, advance, resume

Step = Result | tuple[Exchange, Expectation]
probed = st.tuples(exchanges, expectations).filter(lambda step: step[0].phases != Phases())
idle = st.sampled_from(
    [
        skip(make_target(), SkipReason.DEADLINE),
        skip(make_target(), SkipReason.SHUTDOWN, attempts=1),
        fail(make_target(), ValueError("a bug"), attempts=1, lateness_s=0.0),
    ]
)


def result_of(step: Step, number: int, warming_since: float | None) -> Result:
    if isinstance(step, Result):
        return step
    made = step[0]._replace(started_at=EPOCH_S + number, ended_at=EPOCH_S + number + 0.5)
    return make_result(made, make_target(expect=step[1]), Reference(warming_since=warming_since))


@given(script=st.lists(probed | idle, max_size=6), last=probed | idle)
def test_joined_late_is_as_good_as_remembered(script: list[Step], last: Step) -> None:
    track = Track()
    for number, step in enumerate(script):
        track, _ = advance(track, result_of(step, number, track.warming_since))
    assume(len(track.shapes_seen) < 8)
    result = result_of(last, len(script), track.warming_since)
    remembered, _ = advance(track, result)
    begun, _ = advance(Track(), result)
    assert repr(resume(track, begun)) == repr(remembered)  # as text, in which NaN is NaN


@given(script=st.lists(probed | idle, max_size=6))
def test_nothing_done_changes_nothing(script: list[Step]) -> None:
    track = Track()
    for number, step in enumerate(script):
        track, _ = advance(track, result_of(step, number, track.warming_since))
    assert repr(resume(track, Track())) == repr(track)


UP, DOWN, THROTTLED = exchange(), exchange(refusal(), status=500), exchange(refusal(), status=429)
TIMED_OUT = exchange(no_reply())


@pytest.mark.parametrize(
    ("remembered", "came", "failures", "unknowns", "success"),
    [
        pytest.param([DOWN, DOWN], DOWN, 3, 0, False, id="a failure more"),
        pytest.param([DOWN, DOWN], THROTTLED, 2, 1, False, id="throttled while it is down"),
        pytest.param([DOWN, DOWN], UP, 0, 0, True, id="recovered"),
        pytest.param([UP, THROTTLED], THROTTLED, 0, 2, True, id="another unknown"),
        pytest.param([UP], DOWN, 1, 0, False, id="the first failure"),
    ],
)
def test_counts_in_a_row_go_on(
    remembered: list[Exchange], came: Exchange, failures: int, unknowns: int, success: bool
) -> None:
    track = Track()
    for step in remembered:
        track, _ = advance(track, make_result(step))
    joined = resume(track, advance(Track(), make_result(came))[0])
    assert (joined.consecutive_failures, joined.consecutive_unknowns, joined.success) == (failures, unknowns, success)


@pytest.mark.parametrize(
    ("steps", "answered_in_s"),
    [
        pytest.param([UP], pytest.approx(0.1), id="a healthy reply"),
        pytest.param([UP, TIMED_OUT], math.inf, id="a time-out is never in time"),
        pytest.param([UP, DOWN], None, id="how fast it failed says nothing"),
        pytest.param([UP, THROTTLED], pytest.approx(0.1), id="an unknown changes nothing"),
        pytest.param([UP, exchange(lost_s=0.1)], pytest.approx(0.1), id="nor does what a stall touched"),
    ],
)
def test_what_a_latency_objective_looks_at(steps: list[Exchange], answered_in_s: float | None) -> None:
    track = Track()
    for step in steps:
        track, _ = advance(track, make_result(step))
    assert track.answered_in_s == answered_in_s


def test_a_shape_that_nobody_knows_any_more_is_no_change() -> None:
    varying = Track(shape_hash=VARYING, shapes_seen=("",) * 8, shape_changes=9, probes=10)
    track, changes = advance(varying, make_result(exchange(reply({"embedding": [1.0]}))))
    assert changes.shape is None
    assert track.shape_label == VARYING

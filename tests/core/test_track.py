"""What is remembered of a target, and how each result moves it on."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.values import exchanges, expectations
from tests.fakes import EPOCH_S, exchange, make_result, make_target, no_reply, refusal, reply
from worker.core.exchange import Exchange, Failure, Malformed, Phase, Phases
from worker.core.outcome import Outcome, Verdict
from worker.core.result import Result, SkipReason, fail, skip
from worker.core.rules import Reference
from worker.core.track import BUCKETS_S, MOST_SHAPES, VARYING, Changes, Track, advance
from worker.core.vector import VectorReading

UP = exchange()
DOWN = exchange(refusal(), status=500)
UNKNOWN = exchange(refusal(), status=429)
WARM = exchange(refusal(error_code="model_warming"), status=503)
SKIPPED = skip(make_target(), SkipReason.OVERRUN)
BROKEN = fail(make_target(), ValueError("a bug"), attempts=1, lateness_s=0.0)


def after(*steps: Exchange | Result, track: Track | None = None) -> Track:
    """The track after these, a minute apart; each is judged with what the track knows."""
    track = track or Track()
    for number, step in enumerate(steps):
        if isinstance(step, Exchange):
            at = EPOCH_S + 60 * number
            made = step._replace(started_at=at, ended_at=at + 0.1)
            step = make_result(made, reference=Reference(warming_since=track.warming_since))
        track, _ = advance(track, step)
    return track


def changes(*steps: Exchange) -> Changes:
    """What the last of these changed."""
    return advance(after(*steps[:-1]), make_result(steps[-1]))[1]


def counts(track: Track) -> tuple[int, int, int, int, int]:
    return (track.probes, track.failures, track.unknowns, track.consecutive_failures, track.consecutive_unknowns)


@pytest.mark.parametrize(
    ("steps", "success", "failure", "expected"),
    [
        pytest.param([], None, None, (0, 0, 0, 0, 0), id="nothing yet"),
        pytest.param([UP], True, None, (1, 0, 0, 0, 0), id="up"),
        pytest.param([DOWN], False, "server_error", (1, 1, 0, 1, 0), id="down"),
        pytest.param([UNKNOWN], None, None, (1, 0, 1, 0, 1), id="unknown proves nothing"),
        pytest.param([DOWN, DOWN], False, "server_error", (2, 2, 0, 2, 0), id="down twice"),
        pytest.param([DOWN, UP], True, None, (2, 1, 0, 0, 0), id="recovered"),
        pytest.param(
            [DOWN, UNKNOWN], False, "server_error", (2, 1, 1, 1, 1), id="an unknown neither raises nor resets"
        ),
        pytest.param([DOWN, UNKNOWN, DOWN], False, "server_error", (3, 2, 1, 2, 0), id="failures across an unknown"),
        pytest.param([UP, UNKNOWN, UNKNOWN], True, None, (3, 0, 2, 0, 2), id="unknowns in a row"),
        pytest.param([UNKNOWN, UP], True, None, (2, 0, 1, 0, 0), id="an unknown ends"),
        pytest.param([DOWN, exchange(no_reply())], False, "timeout", (2, 2, 0, 2, 0), id="the newest failure is told"),
        pytest.param([SKIPPED], None, None, (0, 0, 0, 0, 1), id="skipped is no probe"),
        pytest.param([DOWN, SKIPPED], False, "server_error", (1, 1, 0, 1, 1), id="skipped after down"),
        pytest.param([BROKEN], None, None, (1, 0, 1, 0, 1), id="a bug of ours is unknown"),
    ],
)
def test_each_verdict_moves_what_it_proves(
    steps: list[Exchange | Result], success: bool | None, failure: str | None, expected: tuple[int, ...]
) -> None:
    track = after(*steps)
    assert (track.success, track.failure) == (success, failure and Outcome[failure.upper()])
    assert counts(track) == expected


@pytest.mark.parametrize(
    ("steps", "probed", "conclusive", "succeeded"),
    [
        pytest.param([UP], 0, 0, 0, id="up"),
        pytest.param([UP, DOWN], 60, 60, 0, id="down"),
        pytest.param([UP, DOWN, UNKNOWN], 120, 60, 0, id="unknown"),
        pytest.param([UP, SKIPPED], 0, 0, 0, id="skipped: no call was sent"),
        pytest.param([UP, BROKEN], 0, 0, 0, id="a bug of ours"),
        pytest.param([DOWN], 0, 0, None, id="never up"),
        pytest.param([SKIPPED], None, None, None, id="never probed"),
    ],
)
def test_each_instant_moves_when_it_should(
    steps: list[Exchange | Result], probed: float | None, conclusive: float | None, succeeded: float | None
) -> None:
    track = after(*steps)
    assert track.last_probe_at == (None if probed is None else EPOCH_S + probed)
    assert track.last_conclusive_at == (None if conclusive is None else EPOCH_S + conclusive + 0.1)
    assert track.last_success_at == (None if succeeded is None else EPOCH_S + succeeded + 0.1)


def test_every_call_counts_even_of_a_probe_that_was_cut_off() -> None:
    track, _ = advance(Track(), make_result(attempts=3))
    track, _ = advance(track, skip(make_target(), SkipReason.DEADLINE, attempts=1))
    track, _ = advance(track, skip(make_target(), SkipReason.DEADLINE))
    track, _ = advance(track, BROKEN)
    assert (track.calls, track.probes) == (5, 2)


@pytest.mark.parametrize(
    ("reason", "attempts", "told"),
    [
        pytest.param(SkipReason.DEADLINE, 0, "the batch's deadline came first", id="deadline"),
        pytest.param(SkipReason.SHUTDOWN, 0, "the worker was stopped first", id="shutdown"),
        pytest.param(SkipReason.OVERRUN, 0, "still running from the last cycle", id="overrun"),
        pytest.param(
            SkipReason.OVERLOAD,
            0,
            "still waiting for its turn under the limits since the last cycle",
            id="overload",
        ),
        pytest.param(SkipReason.SHUTDOWN, 1, "the worker was stopped first; the call was cut off", id="cut off"),
    ],
)
def test_a_skipped_target_says_why(reason: SkipReason, attempts: int, told: str) -> None:
    result = skip(make_target(), reason, attempts=attempts)
    assert (result.outcome, result.skipped, result.attempts) == (Outcome.SKIPPED, reason, attempts)
    assert result.judgement.error == told


def test_a_bug_of_ours_is_told() -> None:
    assert BROKEN.outcome is Outcome.INTERNAL_ERROR
    assert BROKEN.judgement.error == "ValueError: a bug"


# Warming --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "since", "outcome"),
    [
        pytest.param([WARM], 0, "warming", id="the first such reply"),
        pytest.param([WARM, WARM], 0, "warming", id="the first of two"),
        pytest.param([WARM, UNKNOWN, WARM], 0, "warming", id="an unknown in between changes nothing"),
        pytest.param([WARM, SKIPPED, WARM], 0, "warming", id="nor does a skipped probe"),
        pytest.param([WARM, UP], None, "success", id="it is warm"),
        pytest.param([WARM, UP, WARM], 120, "warming", id="a success in between starts anew"),
        pytest.param([WARM, DOWN, WARM], 120, "warming", id="so does a failure"),
        pytest.param([WARM] * 6, 0, "warming", id="at the bound"),
        pytest.param([WARM] * 7, 0, "server_error", id="past the bound"),
        pytest.param([WARM] * 9, 0, "server_error", id="past the bound it does not start anew by itself"),
        pytest.param([*[WARM] * 7, UP, WARM], 480, "warming", id="but after a success it does"),
    ],
)
def test_warming_is_since_the_first_such_reply_with_nothing_conclusive_since(
    steps: list[Exchange | Result], since: float | None, outcome: str
) -> None:
    track = after(*steps)
    assert track.outcome == outcome
    assert track.warming_since == (None if since is None else EPOCH_S + since + 0.1)


# What the last call showed --------------------------------------------------------------------------------------------


def test_the_last_call_is_shown() -> None:
    track = after(UP, DOWN)
    assert track.duration_s == pytest.approx(0.1)
    assert (track.phases, track.http_status, track.response_bytes) == (UP.phases, 500, 100)


def test_a_call_without_a_reply_has_no_status() -> None:
    track = after(UP, exchange(no_reply(Failure.CONNECT, Phase.CONNECT), phases=Phases(dns=0.1)))
    assert (track.duration_s, track.phases, track.http_status, track.response_bytes) == (
        None,
        Phases(dns=0.1),
        None,
        None,
    )


def test_a_duration_that_a_stall_touched_is_not_shown() -> None:
    slow = exchange(phases=Phases(send=0.0, wait=9.0, receive=0.0), lost_s=8.5)
    track = after(UP, slow)
    assert track.duration_s == pytest.approx(0.1)
    assert track.phases == UP.phases
    assert track.last_probe_at == EPOCH_S + 60


def of(seconds: float, **kwargs: Any) -> Exchange:
    return exchange(**{"phases": Phases(send=0.0, wait=seconds, receive=0.0)} | kwargs)


@pytest.mark.parametrize(
    ("made", "bucket", "seconds"),
    [
        pytest.param(of(0.0), 0, 0.0, id="nothing"),
        pytest.param(of(0.01), 0, 0.01, id="at a bound it is within"),
        pytest.param(of(0.011), 1, 0.011, id="just over a bound"),
        pytest.param(of(30.0), 10, 30.0, id="the last bound"),
        pytest.param(of(31.0), 11, 31.0, id="beyond"),
        pytest.param(of(0.2, answer=reply(status="error")), 4, 0.2, id="a plugin's error is a reply"),
        pytest.param(of(0.2, answer=Malformed(expected="JSON", found="HTML")), 4, 0.2, id="so is a page of HTML"),
        pytest.param(exchange(no_reply()), 9, 10.0, id="a time-out at the time given"),
        pytest.param(exchange(no_reply(), timeout_s=60.0), 11, 60.0, id="a long one"),
    ],
)
def test_the_histogram_takes_replies_and_timeouts(made: Exchange, bucket: int, seconds: float) -> None:
    track = after(made)
    assert [number for number, count in enumerate(track.buckets) if count] == [bucket]
    assert sum(track.buckets) == 1
    assert track.duration_sum_s == seconds


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(exchange(refusal(), status=500), id="a 500"),
        pytest.param(exchange(refusal(), status=429), id="a 429"),
        pytest.param(exchange(no_reply(Failure.DISCONNECTED)), id="a disconnect"),
        pytest.param(exchange(no_reply(Failure.TIMEOUT, Phase.CONNECT)), id="out of time connecting"),
        pytest.param(exchange(no_reply(Failure.TOO_LARGE, Phase.RECEIVE)), id="too large"),
        pytest.param(of(0.1, lost_s=0.06), id="a reply that a stall touched"),
        pytest.param(exchange(no_reply(), lost_s=0.06), id="a time-out that a stall touched"),
        pytest.param(exchange(phases=Phases()), id="a reply without a duration"),
        pytest.param(SKIPPED, id="skipped"),
        pytest.param(BROKEN, id="a bug of ours"),
    ],
)
def test_the_histogram_takes_nothing_else(made: Exchange | Result) -> None:
    assert after(made).buckets == (0,) * (len(BUCKETS_S) + 1)


# What changed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "recovered"),
    [
        pytest.param([UP], False, id="the first"),
        pytest.param([UP, UP], False, id="up all along"),
        pytest.param([DOWN, UP], True, id="down, up"),
        pytest.param([DOWN, UNKNOWN, UP], True, id="down, unknown, up"),
        pytest.param([UNKNOWN, UP], False, id="unknown, up"),
        pytest.param([DOWN, UNKNOWN], False, id="unknown is no recovery"),
        pytest.param([UP, DOWN], False, id="up, down"),
    ],
)
def test_a_recovery_is_told_once_it_is_proved(steps: list[Exchange], recovered: bool) -> None:
    assert changes(*steps).recovered is recovered


def test_slow_is_up_and_so_a_recovery() -> None:
    down = after(DOWN)
    slow = make_result(exchange(), target=make_target(expect=replace(make_target().expect, max_latency_s=0.05)))
    track, changed = advance(down, slow)
    assert (slow.outcome, track.success, changed.recovered) == (Outcome.SLOW, True, True)


SMALL, LARGE = exchange(reply({"embedding": [0.6, 0.8]})), exchange(reply({"embedding": [0.6, 0.8, 0.0]}))


def test_a_shape_that_changes_is_told_and_counted() -> None:
    assert changes(SMALL).shape is None
    assert changes(SMALL, SMALL).shape is None
    before, now = after(SMALL).shape_hash, after(LARGE).shape_hash
    assert changes(SMALL, LARGE).shape == (before, now)
    assert changes(SMALL, DOWN, LARGE).shape == (before, now)
    assert after(SMALL, LARGE, LARGE, SMALL).shape_changes == 2


def test_another_model_behind_a_plugin_is_told() -> None:
    other = exchange(reply(inference_name="another"))
    assert changes(UP, UP).inference_name is None
    assert changes(UP, other).inference_name == ("custom_plugin_p_1_0_0", "another")
    assert changes(UP, UNKNOWN, other).inference_name == ("custom_plugin_p_1_0_0", "another")


def test_what_a_reply_showed_stays_until_the_next_one() -> None:
    one, other = after(SMALL), after(SMALL, DOWN, UNKNOWN, SKIPPED)
    for name in ("shape_hash", "response_type", "response_keys", "vectors", "inference_name"):
        assert getattr(one, name) == getattr(other, name)


def test_keys_are_counted_and_vectors_shown() -> None:
    track = after(SMALL)
    assert (track.response_type, track.response_keys) == ("dict", 1)
    assert after(exchange(reply([1]))).response_keys is None
    reading = VectorReading(path="embedding", dimensions=2, norm=1.0)
    shown = make_result()
    track, _ = advance(Track(), shown._replace(judgement=shown.judgement._replace(vectors=(reading,))))
    assert track.vectors == (reading,)


def test_a_target_of_too_many_shapes_is_called_varying() -> None:
    steps = [exchange(reply({f"k{number}": 1})) for number in range(MOST_SHAPES + 3)]
    track = after(*steps[:MOST_SHAPES])
    assert track.shape_label == track.shape_hash is not None
    track = after(*steps)
    assert track.shape_label == VARYING
    assert len(track.shapes_seen) == MOST_SHAPES
    assert track.shape_changes == MOST_SHAPES + 2
    assert after(steps[0], track=track).shape_label == track.shapes_seen[0], "one that is known keeps its name"


def test_the_null_of_an_error_is_no_shape_and_its_inference_name_counts() -> None:
    failed = reply(None, status="error", error="it broke", inference_name="another")
    steps = exchange(reply({"embedding": [0.6, 0.8]})), exchange(failed._replace(raw_response=None))
    before, between = after(steps[0]), after(*steps)
    assert (between.shape_hash, between.shape_changes) == (before.shape_hash, 0)
    assert between.inference_name == "another"
    assert after(*steps, steps[0]).shape_changes == 0


def test_before_the_first_reply_there_is_no_shape() -> None:
    assert Track().shape_label is None


# Whatever comes ------------------------------------------------------------------------------------------------------

skips = st.builds(skip, st.just(make_target()), st.sampled_from(SkipReason), attempts=st.integers(0, 3))
steps = st.lists(st.tuples(exchanges, expectations) | skips | st.just(BROKEN), max_size=12)


@given(script=steps)
def test_a_track_keeps_its_books(script: list[tuple[Exchange, Any] | Result]) -> None:
    track = Track()
    observed = 0
    for number, step in enumerate(script):
        before = track
        if isinstance(step, Result):
            result = step
        else:
            made = step[0]._replace(started_at=EPOCH_S + number)
            result = make_result(made, make_target(expect=step[1]), Reference(warming_since=before.warming_since))
        track, _ = advance(before, result)
        verdict, called = result.outcome.verdict, result.exchange is not None
        observed += track.buckets != before.buckets
        assert track.outcome is result.outcome
        assert track.calls == before.calls + result.attempts
        assert track.probes == before.probes + (result.skipped is None)
        assert (track.last_probe_at != before.last_probe_at) == called
        if verdict is Verdict.UNKNOWN:
            assert track.consecutive_unknowns == before.consecutive_unknowns + 1
            for name in ("success", "failure", "consecutive_failures", "failures", "last_conclusive_at"):
                assert getattr(track, name) == getattr(before, name)
        else:
            assert track.consecutive_unknowns == 0
            assert track.success is (verdict is Verdict.UP)
            assert track.consecutive_failures == (0 if track.success else before.consecutive_failures + 1)
            assert result.exchange is not None
            assert track.last_conclusive_at == result.exchange.ended_at
        assert (track.failure is not None) is (track.success is False)
        assert track.failures + track.unknowns <= track.probes
        assert sum(track.buckets) == observed
        assert math.isfinite(track.duration_sum_s)
        assert len(track.shapes_seen) <= MOST_SHAPES + 1
        assert (track.warming_since is None) or verdict is not Verdict.UP


def test_what_takes_too_long_to_warm_is_down_and_stays_it() -> None:
    cold = exchange(refusal(error_code="model_warming"), status=503)
    short = make_target(expect=replace(make_target().expect, max_warming_s=90.0))
    track = Track()
    shown = []
    for number in range(4):
        at = EPOCH_S + 60 * number
        reference = Reference(warming_since=track.warming_since)
        track, _ = advance(track, make_result(cold._replace(started_at=at, ended_at=at + 0.1), short, reference))
        shown.append((track.outcome, track.warming_since))
    since = EPOCH_S + 0.1
    overdue = (Outcome.SERVER_ERROR, since)
    assert shown == [(Outcome.WARMING, since), (Outcome.WARMING, since), overdue, overdue]
    assert after(UP, track=track).warming_since is None

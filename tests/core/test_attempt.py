"""next_attempt: what is asked again, when, and how often."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.attempt import CONFIRMED, Again, Final, Policy, Tries, next_attempt, throttle_wait_s
from worker.core.judge import Judgement
from worker.core.outcome import Outcome, Verdict

NOW = 100.0


def decide(
    outcome: Outcome,
    tries: Tries,
    *,
    retry_after_s: float | None = None,
    rechecks: int = 0,
    deadline: float | None = None,
    key_changed: bool = False,
    stale: bool = False,
) -> Final | Again:
    judgement = Judgement(outcome=outcome, retry_after_s=retry_after_s)
    policy = Policy(rechecks=rechecks, recheck_delay_s=2.0, max_retry_after_s=60.0)
    return next_attempt(
        judgement, tries, now=NOW, deadline=deadline, policy=policy, stale=stale, key_changed=key_changed
    )


@pytest.mark.parametrize(
    ("retry_after_s", "reasks", "wait_s"),
    [
        pytest.param(None, 0, 1.0, id="none readable, first"),
        pytest.param(None, 1, 2.0, id="none readable, second"),
        pytest.param(None, 2, 4.0, id="none readable, third"),
        pytest.param(None, 10, 60.0, id="doubled beyond the cap"),
        pytest.param(7.5, 0, 7.5, id="what was asked for"),
        pytest.param(7.5, 1, 7.5, id="what was asked for, again"),
        pytest.param(0.0, 0, 0.0, id="at once"),
        pytest.param(-5.0, 0, 0.0, id="a date that has passed"),
        pytest.param(60.0, 0, 60.0, id="just the cap"),
        pytest.param(86_400.0, 0, 60.0, id="a day, capped"),
        pytest.param(math.inf, 0, 60.0, id="for ever, capped"),
    ],
)
def test_a_429_is_waited_for(retry_after_s: float | None, reasks: int, wait_s: float) -> None:
    assert throttle_wait_s(retry_after_s, reasks, 60.0) == wait_s


@pytest.mark.parametrize(
    ("tries", "retry_after_s", "expected"),
    [
        pytest.param(Tries(), 5.0, Again(NOW + 5, Tries(throttled=1)), id="first"),
        pytest.param(Tries(throttled=1), 5.0, Again(NOW + 5, Tries(throttled=2)), id="second and last"),
        pytest.param(Tries(throttled=2), 5.0, Final(), id="spent"),
        pytest.param(Tries(), None, Again(NOW + 1, Tries(throttled=1)), id="no header: 1 s"),
        pytest.param(Tries(throttled=1), None, Again(NOW + 2, Tries(throttled=2)), id="no header again: 2 s"),
        pytest.param(Tries(), 3600.0, Again(NOW + 60, Tries(throttled=1)), id="capped"),
        pytest.param(
            Tries(rechecks=2, stalled=2),
            0.0,
            Again(NOW, Tries(rechecks=2, stalled=2, throttled=1)),
            id="counted apart from other repeats",
        ),
    ],
)
def test_a_throttled_probe_is_asked_again_at_most_twice(
    tries: Tries, retry_after_s: float | None, expected: Final | Again
) -> None:
    assert decide(Outcome.RATE_LIMITED, tries, retry_after_s=retry_after_s) == expected


@pytest.mark.parametrize(
    ("tries", "expected"),
    [
        pytest.param(Tries(), Again(NOW, Tries(stalled=1)), id="first, at once"),
        pytest.param(Tries(stalled=1), Again(NOW, Tries(stalled=2)), id="second"),
        pytest.param(Tries(stalled=2), Final(), id="spent"),
    ],
)
def test_a_stalled_probe_is_asked_again_at_most_twice(tries: Tries, expected: Final | Again) -> None:
    assert decide(Outcome.PROBER_STALLED, tries) == expected


@pytest.mark.parametrize(
    ("tries", "key_changed", "expected"),
    [
        pytest.param(Tries(), True, Again(NOW, Tries(key_changes=1)), id="a new key, at once"),
        pytest.param(Tries(), False, Final(), id="the same key"),
        pytest.param(Tries(key_changes=1), True, Final(), id="a new key for the second time"),
    ],
)
def test_a_401_is_repeated_once_with_a_changed_key(tries: Tries, key_changed: bool, expected: Final | Again) -> None:
    assert decide(Outcome.UNAUTHORIZED, tries, key_changed=key_changed) == expected


CONFIRMABLE = ["server_error", "timeout", "disconnected", "dns_failure", "connect_failure", "tls_failure"]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_what_may_be_a_hiccup_is_confirmed(outcome: Outcome) -> None:
    decision = decide(outcome, Tries(throttled=2, stalled=2), rechecks=1)
    if outcome.value in CONFIRMABLE:
        assert decision == Again(NOW + 2, Tries(throttled=2, stalled=2, rechecks=1))
    else:
        assert decision == Final()


@pytest.mark.parametrize(
    ("rechecks", "done", "asked_again"),
    [
        pytest.param(0, 0, False, id="no rechecks"),
        pytest.param(2, 0, True, id="first of two"),
        pytest.param(2, 1, True, id="second of two"),
        pytest.param(2, 2, False, id="both done"),
    ],
)
def test_rechecks_are_counted(rechecks: int, done: int, asked_again: bool) -> None:
    decision = decide(Outcome.SERVER_ERROR, Tries(rechecks=done), rechecks=rechecks)
    assert isinstance(decision, Again) is asked_again


@pytest.mark.parametrize(
    ("deadline", "asked_again"),
    [
        pytest.param(None, True, id="no deadline"),
        pytest.param(NOW + 5.001, True, id="just in time"),
        pytest.param(NOW + 5, False, id="at the deadline"),
        pytest.param(NOW + 1, False, id="after it"),
        pytest.param(NOW - 1, False, id="it has passed"),
    ],
)
def test_an_attempt_past_the_deadline_is_not_waited_for(deadline: float | None, asked_again: bool) -> None:
    decision = decide(Outcome.RATE_LIMITED, Tries(), retry_after_s=5.0, deadline=deadline)
    assert isinstance(decision, Again) is asked_again


@given(
    outcomes=st.lists(st.sampled_from(Outcome), min_size=12, max_size=30),
    rechecks=st.integers(0, 3),
    key_changed=st.booleans(),
    retry_after_s=st.none() | st.floats(allow_nan=False),
)
def test_a_probe_ends_whatever_comes_back(
    outcomes: list[Outcome], rechecks: int, key_changed: bool, retry_after_s: float | None
) -> None:
    tries, now, calls = Tries(), 0.0, 0
    for outcome in outcomes:
        calls += 1
        decision = next_attempt(
            Judgement(outcome=outcome, retry_after_s=retry_after_s),
            tries,
            now=now,
            deadline=None,
            policy=Policy(rechecks=rechecks),
            key_changed=key_changed,
        )
        if isinstance(decision, Final):
            break
        assert now <= decision.at <= now + 60
        if outcome is Outcome.RATE_LIMITED and retry_after_s is not None:
            assert decision.at >= now + min(retry_after_s, 60)
        tries, now = decision.tries, decision.at
    assert calls <= 1 + rechecks + 2 + 2 + 1


def test_only_failures_are_confirmed() -> None:
    assert {outcome.verdict for outcome in CONFIRMED} == {Verdict.DOWN}


def test_a_dead_connection_is_asked_again_at_once_and_once() -> None:
    first = decide(Outcome.DISCONNECTED, Tries(), stale=True)
    assert first == Again(NOW, Tries(stale=1))
    assert decide(Outcome.DISCONNECTED, Tries(stale=1), stale=True) == Final()
    assert decide(Outcome.DISCONNECTED, Tries()) == Final()
    assert decide(Outcome.DISCONNECTED, Tries(), stale=True, deadline=NOW) == Final()

"""next_attempt: is this judgement the result, or is the target asked again, and when?"""

from dataclasses import dataclass
from typing import NamedTuple

from worker.core.judge import Judgement
from worker.core.outcome import Outcome

#: How often a throttled or stalled probe is asked again before it counts as what it is.
MOST_THROTTLED = 2
MOST_STALLED = 2

CONFIRMED = frozenset(
    {
        Outcome.SERVER_ERROR,
        Outcome.TIMEOUT,
        Outcome.DISCONNECTED,
        Outcome.DNS_FAILURE,
        Outcome.CONNECT_FAILURE,
        Outcome.TLS_FAILURE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration says about asking again."""

    rechecks: int = 0
    recheck_delay_s: float = 2.0
    max_retry_after_s: float = 60.0


class Tries(NamedTuple):
    """Why the calls of one probe were repeated so far."""

    rechecks: int = 0
    throttled: int = 0
    stalled: int = 0
    stale: int = 0
    key_changes: int = 0


@dataclass(frozen=True, slots=True)
class Final:
    """The judgement stands."""


@dataclass(frozen=True, slots=True)
class Again:
    """Ask once more, not before `at` (monotonic seconds)."""

    at: float
    tries: Tries


def throttle_wait_s(retry_after_s: float | None, reasks: int, most_s: float) -> float:
    """What a 429 asks for, capped; where it says nothing readable, 1 s, doubled at each re-ask: 1, 2, 4."""
    wanted = float(2**reasks) if retry_after_s is None else max(retry_after_s, 0.0)
    return min(wanted, most_s)


def next_attempt(
    judgement: Judgement,
    tries: Tries,
    *,
    now: float,
    deadline: float | None,
    policy: Policy,
    stale: bool = False,
    key_changed: bool = False,
) -> Final | Again:
    """Decides after a call. An attempt past the deadline is not worth waiting for."""
    if stale and tries.stale == 0:  # nobody heard it: on a new connection it will be told how the plugin is
        again: Again | None = Again(now, tries._replace(stale=1))
    else:
        again = _again(judgement, tries, now, policy, key_changed)
    if again is None or (deadline is not None and again.at >= deadline):
        return Final()
    return again


def _again(judgement: Judgement, tries: Tries, now: float, policy: Policy, key_changed: bool) -> Again | None:
    outcome = judgement.outcome
    if outcome is Outcome.RATE_LIMITED and tries.throttled < MOST_THROTTLED:
        wait_s = throttle_wait_s(judgement.retry_after_s, tries.throttled, policy.max_retry_after_s)
        return Again(now + wait_s, tries._replace(throttled=tries.throttled + 1))
    if outcome is Outcome.PROBER_STALLED and tries.stalled < MOST_STALLED:
        return Again(now, tries._replace(stalled=tries.stalled + 1))
    if outcome is Outcome.UNAUTHORIZED and key_changed and tries.key_changes == 0:
        return Again(now, tries._replace(key_changes=1))
    if outcome in CONFIRMED and tries.rechecks < policy.rechecks:
        return Again(now + policy.recheck_delay_s, tries._replace(rechecks=tries.rechecks + 1))
    return None

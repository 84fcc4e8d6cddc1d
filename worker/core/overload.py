"""Overload: whether the worker has fallen behind what is due, what holds it up, and what would do. No clock is read."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from worker.core.distinct import calls_per_s
from worker.core.fit import concurrency_remedy, intervals_remedy, rate_remedy, rate_text
from worker.core.limit import Limit
from worker.core.target import Target

#: Behind for so long it is no burst; without a sign of it for so long it has caught up.
LASTS_S = 10.0
#: While it lasts, it is told so often.
TELL_EVERY_S = 60.0
#: What piled up while everything was paused or suspended has so long to go, before being late is a sign again.
SETTLE_S = 60.0
#: Half its interval late is late, but not less than this.
LEAST_LATE_S = 5.0

#: What holds calls back when no limit does, in the place of a Limit.
CPU = "cpu"
_CPU_SHARE = 0.9  # of the time: there is no more to have of one core
_HELD_SHARE = 0.1  # of the time: a limit that held for less is not what is in the way
_HEADROOM = 1.1  # windows are 5 % wider than configured, and something is always asked again

_OF_A_NAMESPACE = (Limit.NAMESPACE_RATE, Limit.NAMESPACE_CONCURRENCY)
_KEYS = {
    Limit.RATE: "limits.rate",
    Limit.CONCURRENCY: "limits.concurrency",
    Limit.NAMESPACE_RATE: "limits.per_namespace.rate",
    Limit.NAMESPACE_CONCURRENCY: "limits.per_namespace.concurrency",
}


class Demand(NamedTuple):
    """What some targets ask for; `timeouts` are the calls at a time if every one of them ran into its timeout."""

    probes_per_s: float = 0.0
    calls_per_s: float = 0.0
    timeouts: float = 0.0


def add_demand(asked: dict[str, Demand], target: Target) -> None:
    """Adds what a target asks for to what its namespace does."""
    before, per_s = asked.get(target.key.namespace, Demand()), calls_per_s(target)
    asked[target.key.namespace] = Demand(
        probes_per_s=before.probes_per_s + 1 / target.interval_s,
        calls_per_s=before.calls_per_s + per_s,
        timeouts=before.timeouts + target.timeout_s * per_s,
    )


class Need(NamedTuple):
    """What would have to be allowed: calls a second, and calls at a time."""

    calls_per_s: float
    at_once: float


def need(asked: Iterable[tuple[Demand, float | None]], calls_per_probe: float) -> Need:
    """Of demands, each with the mean seconds that a call of its namespace takes (None: not one has ended yet).

    By Little's law 4 calls a second of 2.5 s each are 10 at a time. What is asked again comes on top:
    `calls_per_probe` are the calls that were made, over the probes.
    """
    per_s = at_once = 0.0
    for demand, call_s in asked:
        more = max(calls_per_probe * demand.probes_per_s / demand.calls_per_s, 1.0)
        per_s += demand.calls_per_s * more
        at_once += (demand.timeouts if call_s is None else demand.calls_per_s * call_s) * more
    return Need(per_s, at_once)


class Waiting(NamedTuple):
    """The probe that has waited for its first call for most of its cycles. `held_by` is None where its namespace is
    free, so that it only waits for its turn.
    """

    namespace: str
    waited_s: float
    interval_s: float
    held_by: Limit | None


class Seen(NamedTuple):
    """What went on in `took_s` seconds.

    `cpu_s` is what the loop's thread used, `rate_s` and `concurrency_s` for how long all calls were held by that limit.
    `skipped` are the probes skipped for overload, `late` those that were started and were late, `lateness_s` is the
    worst of them.
    """

    took_s: float = 0.0
    cpu_s: float = 0.0
    rate_s: float = 0.0
    concurrency_s: float = 0.0
    skipped: int = 0
    probes: int = 0
    calls: int = 0
    late: int = 0
    lateness_s: float = 0.0

    def plus(self, other: "Seen") -> "Seen":
        return Seen(
            took_s=self.took_s + other.took_s,
            cpu_s=self.cpu_s + other.cpu_s,
            rate_s=self.rate_s + other.rate_s,
            concurrency_s=self.concurrency_s + other.concurrency_s,
            skipped=self.skipped + other.skipped,
            probes=self.probes + other.probes,
            calls=self.calls + other.calls,
            late=self.late + other.late,
            lateness_s=max(self.lateness_s, other.lateness_s),
        )

    @property
    def cpu_share(self) -> float:
        return self.cpu_s / self.took_s

    @property
    def is_held(self) -> bool:
        return self.rate_s + self.concurrency_s >= _HELD_SHARE * self.took_s


class Look(NamedTuple):
    """One look at the worker; `seen` is what went on since the last. `settling`: everything was paused or suspended
    less than SETTLE_S ago.
    """

    now: float
    seen: Seen
    settling: bool = False
    waiting: int = 0
    longest: Waiting | None = None


class Spell(NamedTuple):
    """For how long the worker has been behind. `since` is None while it is not; `window` is what went on since then, or
    since it was last told.
    """

    since: float | None = None
    sign_at: float = -math.inf
    told_at: float = -math.inf
    window: Seen = Seen()


class Overload(NamedTuple):
    """It is behind for real. `namespace` is that of a namespace's limit."""

    limit: Limit | str
    namespace: str | None
    waiting: int
    lateness_s: float
    window: Seen


def is_late(waited_s: float, interval_s: float) -> bool:
    return waited_s >= LEAST_LATE_S and waited_s >= interval_s / 2


def watch(spell: Spell, look: Look) -> tuple[Spell, Overload | None]:
    """Takes in a look: the spell after it, and what is to be told now, if anything is."""
    sign = _is_sign(look)
    since = look.now if sign and spell.since is None else spell.since
    sign_at = look.now if sign else spell.sign_at
    if look.settling or since is None or look.now - sign_at >= LASTS_S:
        return Spell(told_at=spell.told_at), None
    spell = spell._replace(since=since, sign_at=sign_at, window=spell.window.plus(look.seen))
    if not sign or look.now - since < LASTS_S or look.now - spell.told_at < TELL_EVERY_S:
        return spell, None
    return spell._replace(told_at=look.now, window=Seen()), _overload(spell.window, look)


def _is_sign(look: Look) -> bool:
    """Lateness alone is one only where no limit holds calls back: otherwise what is late has been seen waiting."""
    seen, longest = look.seen, look.longest
    waits = longest is not None and is_late(longest.waited_s, longest.interval_s)
    return seen.skipped > 0 or waits or (seen.late > 0 and not seen.is_held)


def _overload(window: Seen, look: Look) -> Overload:
    longest = look.longest
    limit = _in_the_way(window, longest and longest.held_by)
    return Overload(
        limit=limit,
        namespace=longest.namespace if longest and limit in _OF_A_NAMESPACE else None,
        waiting=look.waiting,
        lateness_s=max(window.lateness_s, longest.waited_s if longest else 0.0),
        window=window,
    )


def _in_the_way(window: Seen, held_by: Limit | None) -> Limit | str:
    if held_by in _OF_A_NAMESPACE:
        return held_by
    if window.cpu_share >= _CPU_SHARE:
        return CPU
    if held_by is not Limit.CONCURRENCY:  # it waits for its turn, not for the calls kept free for other namespaces
        if not window.is_held:
            return CPU
        if window.rate_s >= window.concurrency_s:
            return Limit.RATE
    # Calls that wait for the CPU fill up the concurrency as well, and more of it would not help: not where what was
    # started used so much that all that was due would have used up a core.
    due = (window.probes + window.skipped) / max(window.probes, 1)
    return CPU if window.cpu_share * due >= _CPU_SHARE else Limit.CONCURRENCY


def fields(found: Overload, need: Need, configured: Mapping[Limit, tuple[str | int, float]]) -> dict[str, Any]:
    """The event's fields. `configured` has each limit as it is written, and as a number: calls a second, or at a time.

    What is needed is more than what is configured, whatever the sums say: that was not enough.
    """
    limit, window = found.limit, found.window
    if not isinstance(limit, Limit):
        factor = need.calls_per_s * window.took_s / max(window.calls, 1)
        remedy = f"{intervals_remedy(max(factor, _HEADROOM))}, or the targets shared among several workers"
        told: dict[str, Any] = {"needed": rate_text(need.calls_per_s), "remedy": remedy}
    elif limit in (Limit.RATE, Limit.NAMESPACE_RATE):
        written, amount = configured[limit]
        per_s = max(need.calls_per_s, amount * _HEADROOM)
        remedy = rate_remedy(_KEYS[limit], per_s, per_s / amount)
        told = {"needed": rate_text(per_s), "configured": written, "remedy": remedy}
    else:
        written, amount = configured[limit]
        calls = max(math.ceil(need.at_once - 1e-9), math.floor(amount) + 1)
        remedy = concurrency_remedy(_KEYS[limit], calls, calls / amount)
        told = {"needed": calls, "configured": written, "remedy": remedy}
    return (
        {"limit": limit, "namespace": found.namespace}
        | told
        | {
            "waiting": found.waiting,
            "lateness_s": round(found.lateness_s, 3),
            "skipped": window.skipped,
            "window_s": round(window.took_s, 3),
        }
    )

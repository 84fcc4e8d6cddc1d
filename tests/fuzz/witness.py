"""Stands for the plugins, and holds every call against what was promised of targets, limits and pauses."""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass

from tests.fakes import FakeClock, exchange, no_reply, refusal, reply
from worker.core.exchange import Exchange, Failure, Phase
from worker.core.outcome import Outcome
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.limits import widened_s
from worker.settings import LimitSettings, Rate

#: Calls of one probe at most: one recheck, and those asked again for a 429, a stall, a dead connection, a new key.
MOST_CALLS = 8
RECHECK_DELAY_S = 2.0
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a plugin answers, and after how long."""

    kind: str = "well"
    takes_s: float = 0.1
    retry_after_s: float | None = None

    @property
    def wait_s(self) -> float:
        """For how long one reply of it may hold others up."""
        asked_s = 4.0 if self.retry_after_s is None else min(self.retry_after_s, 60.0)
        return self.takes_s + RECHECK_DELAY_S * (self.kind != "well") + asked_s * (self.kind == "throttled")


WELL = Manner()


class Sends:
    """When calls under one rate went out, as far as it has to know of them: as many, and for as long, as the largest
    rate asks for that there has been since it was last idle.
    """

    def __init__(self) -> None:
        self.rate: Rate | None = None
        self._at: list[float] = []
        self._remembers = 0
        self._remembers_s = 0.0

    def limit(self, rate: Rate | None, now: float) -> None:
        if rate is None or not self._at or self._at[-1] <= now - self._remembers_s:
            self._at, self._remembers, self._remembers_s = [], 0, 0.0
        self._at = self._at[-self._remembers :]
        if rate is not None:
            self._remembers = max(self._remembers, rate.count)
            self._remembers_s = max(self._remembers_s, rate.period_s)
        self.rate = rate

    def add(self, now: float) -> bool:
        """Whether the call was allowed."""
        if self.rate is None:
            return True
        self._at = [*self._at[-self._remembers :], now]
        return sum(at > now - self.rate.period_s + _ROUNDING_S for at in self._at) <= self.rate.count


class Witness:
    """`broken` is what was not kept. `lives` are the targets of the list: one that left and comes back is another one.
    `leaving` are those that a reload is just taking out.
    """

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.lives: dict[TargetKey, int] = {}
        self.leaving: set[TargetKey] = set()
        self.manners: dict[TargetKey, Manner] = {}
        self.limits = LimitSettings()
        self.calls: Counter[tuple[TargetKey, int]] = Counter()
        self.told: Counter[tuple[TargetKey, int]] = Counter()
        self.inflight: Counter[tuple[TargetKey, int]] = Counter()
        self.waits: dict[TargetKey, tuple[float, float]] = {}
        self._clock = FakeClock()
        self._sends = Sends()
        self._namespace_sends: dict[str, Sends] = {}
        #: Of each namespace, and of all (""), from when until when.
        self._pauses: dict[str, list[tuple[float, float]]] = {}
        self.may_fail: set[TargetKey] = set()

    # What the machine says --------------------------------------------------------------------------------------------

    def limit(self, limits: LimitSettings) -> None:
        self.limits = limits
        self._sends.limit(limits.rate, self._clock.now())
        for sends in self._namespace_sends.values():
            sends.limit(limits.namespace_rate, self._clock.now())

    def behave(self, key: TargetKey, manner: Manner) -> None:
        self.manners[key] = manner
        if manner.kind in ("raising", "cancelled"):
            self.may_fail.add(key)

    # What the engine does ---------------------------------------------------------------------------------------------

    async def call(self, target: Target, fresh: bool) -> Exchange:
        key, life, manner = target.key, _life(target), self.manners.get(target.key, WELL)
        self._see(key, life)
        started_at = self._clock.wall()
        self.inflight[key, life] += 1
        try:
            await asyncio.sleep(min(manner.takes_s, target.timeout_s))
        finally:
            self.inflight[key, life] -= 1
        made = _answered(manner, target, fresh)
        if made.http_status == 429:
            self._pause(key.namespace, manner.retry_after_s)
        return made._replace(started_at=started_at, ended_at=self._clock.wall())

    def record(self, recorded: Recorded) -> None:
        result = recorded.result
        key, life = result.target.key, _life(result.target)
        self._expect(self._is_known(key, life), f"a result of {key} {life}, which has left")
        fails = result.outcome is Outcome.INTERNAL_ERROR
        self._expect(not fails or key in self.may_fail, f"internal error: {result.judgement.error}")
        self.told[key, life] += result.attempts

    def forget(self, key: TargetKey) -> None:
        pass

    # What was promised ------------------------------------------------------------------------------------------------

    def _see(self, key: TargetKey, life: int) -> None:
        now, namespace = self._clock.now(), key.namespace
        self.calls[key, life] += 1
        self.waits[key] = (now, 0.0)
        self._expect(self._is_known(key, life), f"{key} {life} is called, which has left")
        self._expect(not self.inflight[key, life], f"{key} is called twice at a time")
        ours = sum(count for (other, _), count in self.inflight.items() if other.namespace == namespace)
        self._expect(self.inflight.total() < self.limits.concurrency, "too many calls in flight")
        self._expect(ours < (self.limits.namespace_concurrency or math.inf), f"too many of {namespace} in flight")
        self._expect(self._sends.add(now), f"more calls than {self.limits.rate}")
        sends = self._namespace_sends.get(namespace)
        if sends is None:
            sends = self._namespace_sends[namespace] = Sends()
            sends.limit(self.limits.namespace_rate, now)
        self._expect(sends.add(now), f"more calls of {namespace} than {self.limits.namespace_rate}")
        for since, until in self._pauses.get(namespace, []) + self._pauses.get("", []):
            # what was on its way at the very instant of the 429 could not know of it
            held = since + _ROUNDING_S < now < until - _ROUNDING_S
            self._expect(not held, f"{namespace} is called at {now}, paused from {since} until {until}")

    def _pause(self, namespace: str, asked_s: float | None) -> None:
        now = self._clock.now()
        pause = (now, now + (1.0 if asked_s is None else min(asked_s, 60.0)))
        self._pauses.setdefault(namespace, []).append(pause)
        others = [until for name, known in self._pauses.items() if name not in (namespace, "") for _, until in known]
        if any(until > now + _ROUNDING_S for until in others):
            self._pauses.setdefault("", []).append(pause)

    def _is_known(self, key: TargetKey, life: int) -> bool:
        return self.lives.get(key) == life or key in self.leaving

    def _expect(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.broken.append(otherwise)

    # That nobody starves ----------------------------------------------------------------------------------------------

    def patience_s(self, targets: dict[TargetKey, Target]) -> float:
        """For so long a target may wait for what the others do; its own interval comes on top. A namespace's calls go
        in turn with those of the others, within it they go in the order in which they were due.
        """
        manners = [self.manners.get(key, WELL) for key, count in self._present(targets) for _ in range(count)]
        namespaces = len({key.namespace for key in targets})
        each = MOST_CALLS if any(manner.kind != "well" for manner in manners) else 1
        calls = (len(manners) + 1) * each * namespaces
        longest_s = max((manner.wait_s for manner in manners), default=0.0)
        rates = [rate for rate in (self.limits.rate, self.limits.namespace_rate) if rate is not None]
        return calls * longest_s + sum((calls / rate.count + 1) * widened_s(rate.period_s) for rate in rates)

    def _present(self, targets: dict[TargetKey, Target]) -> list[tuple[TargetKey, int]]:
        """Those of the list, and calls that are still in flight of some that left."""
        gone = [(key, count) for (key, life), count in self.inflight.items() if self.lives.get(key) != life]
        return [(key, 1) for key in targets] + gone

    def grow_patient(self, targets: dict[TargetKey, Target], more_s: float = 0.0) -> None:
        """Each target may wait as long as the worst that it met since its last call."""
        patience_s = self.patience_s(targets)
        for key in targets:
            since, until_now_s = self.waits.get(key, (self._clock.now(), 0.0))
            self.waits[key] = (since + more_s, max(until_now_s, patience_s))

    def starving(self, targets: dict[TargetKey, Target], longest_interval_s: float) -> list[str]:
        now = self._clock.now()
        return [
            f"{key} waits since {self.waits[key][0]}, now is {now}, patience {self.waits[key][1]}"
            for key in targets
            if now - self.waits[key][0] > 2 * longest_interval_s + self.waits[key][1] + 1.0
        ]


def _life(target: Target) -> int:
    return int(target.labels["life"])


def _answered(manner: Manner, target: Target, fresh: bool) -> Exchange:
    if manner.takes_s >= target.timeout_s:
        return exchange(no_reply(), timeout_s=target.timeout_s)
    match manner.kind:
        case "throttled":
            return exchange(refusal(retry_after_s=manner.retry_after_s, retry_after_present=True), status=429)
        case "broken":
            return exchange(refusal(), status=500)
        case "refused":
            return exchange(refusal(), status=401)
        case "stalled":
            return exchange(no_reply(), lost_s=target.timeout_s)
        case "stale" if not fresh:
            lost = no_reply(Failure.DISCONNECTED, Phase.WAIT)
            return exchange(lost, stale=True, reused_connection=True)
        case "raising":
            raise RuntimeError("a bug")
        case "cancelled":
            raise asyncio.CancelledError
        case _:
            return exchange(reply())

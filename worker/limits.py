"""Rate, concurrency and pauses: what may be called now, and if not, what holds it and until when.

Everything is asked by one dispatcher; nothing here waits. Caps count our sends while the server counts arrivals, which
jitter, so every window is wider than configured by max(50 ms, 2 %).
"""

import math
from collections import deque
from dataclasses import dataclass

from asyncio_throttle.throttler import Throttler

from worker.core.limit import Limit
from worker.settings import LimitSettings, Rate

#: So many calls make the mean of a namespace's durations.
RECENT_CALLS = 50


@dataclass(frozen=True, slots=True)
class Hold:
    """A limit in the way, until a monotonic instant; infinity means until a call in flight returns."""

    limit: Limit
    until: float


@dataclass(slots=True, eq=False)
class Permit:
    """The right to make one call, given back with `Limits.release`. Every window that counts the call keeps it, with
    when the call was sent. `trials` are the pauses that it tries out.
    """

    namespace: str
    at: float
    trials: tuple["Gate", ...] = ()


def widened_s(period_s: float) -> float:
    """1 s becomes 1.05 s, a minute 61.2 s."""
    return period_s + max(0.05, 0.02 * period_s)


class Window:
    """A sliding log: at most `count` sends in any widened period. Of a reload it remembers as many sends, and for as
    long, as the largest rate since it was last idle asks for, since that rate may come back.
    """

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        self._period_s = self._remembers_s = widened_s(rate.period_s)
        self._sent: deque[Permit] = deque(maxlen=rate.count)

    def free_at(self, now: float) -> float:
        """When the next send may go; `now` or earlier when it may at once."""
        return now if len(self._sent) < self._count else self._sent[-self._count].at + self._period_s

    def take(self, permit: Permit) -> None:
        self._sent.append(permit)

    def adopt(self, before: "Window") -> None:
        assert before._sent.maxlen is not None
        self._remembers_s = max(self._period_s, before._remembers_s)
        self._sent = deque(before._sent, maxlen=max(self._count, before._sent.maxlen))

    def is_idle(self, now: float) -> bool:
        """Nothing was sent for as long as it remembers."""
        return not self._sent or self._sent[-1].at + self._remembers_s <= now


class Gate:
    """Closed while a 429 asks for it. When a pause ends, one call goes first: the others wait for its answer."""

    def __init__(self) -> None:
        self.until = -math.inf
        self._open = True
        self._trying = False

    @property
    def is_open(self) -> bool:
        return self._open

    def pause(self, until: float) -> None:
        self.until = max(self.until, until)
        self._open = False

    def paused(self, now: float) -> bool:
        return not self._open and now < self.until

    def closed_since(self, at: float) -> bool:
        """Whether it has been closed at any time since then."""
        return not self._open or self.until > at

    def free_at(self, now: float) -> float:
        if self._open:
            return now
        return math.inf if self._trying else self.until

    def take(self) -> bool:
        """True when this call is the one that goes first."""
        self._trying = self._trying or not self._open
        return not self._open

    def settle(self, now: float) -> None:
        """The call that went first came back; unless it was refused in turn, the gate opens."""
        self._trying = False
        self._open = now >= self.until


class NamespaceLimits:
    """One namespace's window, calls in flight and pause. `call_s` is the mean time for which a call was in flight, the
    latest RECENT_CALLS counting most, once `ended` is not 0.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self.window = Window(settings.namespace_rate) if settings.namespace_rate else None
        self.concurrency = settings.namespace_concurrency or math.inf
        self.gate = Gate()
        self.inflight = 0
        self.ended = 0
        self.call_s = 0.0

    def note(self, took_s: float) -> None:
        """A call has ended."""
        if self.ended < RECENT_CALLS:
            self.ended += 1
        self.call_s += (took_s - self.call_s) / self.ended

    def is_idle(self, now: float) -> bool:
        """Nothing in flight, paused or counted that a later call would have to respect."""
        return not self.inflight and self.gate.is_open and (self.window is None or self.window.is_idle(now))

    def hold(self, now: float) -> Hold | None:
        free_at = self.gate.free_at(now)
        if free_at > now:
            return Hold(Limit.PAUSE, free_at)
        if self.inflight >= self.concurrency:
            return Hold(Limit.NAMESPACE_CONCURRENCY, math.inf)
        free_at = self.window.free_at(now) if self.window else now
        return Hold(Limit.NAMESPACE_RATE, free_at) if free_at > now else None


class Limits:
    """All limits of one worker."""

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self._window = Window(settings.rate)
        self._gate = Gate()
        self._namespaces: dict[str, NamespaceLimits] = {}
        self.inflight = 0
        #: Whether there are several namespaces; then none may have every call in flight, or it could hold up the rest.
        self.shared = False

    def hold(self, now: float) -> Hold | None:
        """What holds every call back, if anything does."""
        free_at = self._gate.free_at(now)
        if free_at > now:
            return Hold(Limit.PAUSE, free_at)
        if self.inflight >= self.settings.concurrency:
            return Hold(Limit.CONCURRENCY, math.inf)
        free_at = self._window.free_at(now)
        return Hold(Limit.RATE, free_at) if free_at > now else None

    def namespace_hold(self, namespace: str, now: float) -> Hold | None:
        """What holds a namespace's calls back, if anything does."""
        limits = self._namespace(namespace)
        if self.shared and limits.inflight >= max(self.settings.concurrency - 1, 1):
            return Hold(Limit.CONCURRENCY, math.inf)
        return limits.hold(now)

    def take(self, namespace: str, now: float) -> Permit:
        """Counts a call that is sent now; to be asked only when nothing holds it."""
        limits, permit = self._namespace(namespace), Permit(namespace, now)
        self._window.take(permit)
        if limits.window:
            limits.window.take(permit)
        self.inflight += 1
        limits.inflight += 1
        if not (self._gate.is_open and limits.gate.is_open):
            permit.trials = tuple(gate for gate in (self._gate, limits.gate) if gate.take())
        return permit

    def release(self, permit: Permit, now: float, late_s: float = 0.0) -> None:
        """The call has ended, however it did. A 429 must have been told with `pause` before.

        `late_s` is how long after `take` the request went out: a new connection takes its time, and what a server sees
        late counts late.
        """
        limits = self._namespace(permit.namespace)
        limits.note(now - permit.at)
        permit.at += late_s
        self.inflight -= 1
        limits.inflight -= 1
        for gate in permit.trials:
            gate.settle(now)

    def pause(self, namespace: str, now: float, until: float) -> bool:
        """A 429 pauses its namespace; a second namespace's during that pause pauses everything: True then."""
        others = any(limits.gate.paused(now) for name, limits in self._namespaces.items() if name != namespace)
        self._namespace(namespace).gate.pause(until)
        if others:
            self._gate.pause(until)
        return others

    def paused_since(self, namespace: str | None, at: float) -> bool:
        """Whether a 429 has held this namespace, or everything (always, for None), at any time since then."""
        ours = self._namespaces.get(namespace) if namespace else None
        return self._gate.closed_since(at) or (ours is not None and ours.gate.closed_since(at))

    def call_s(self, namespace: str) -> float | None:
        """The mean time for which a call of this namespace is in flight; None when that is not known yet."""
        ours = self._namespaces.get(namespace)
        return ours.call_s if ours and ours.ended else None

    def adopt(self, before: "Limits", now: float) -> None:
        """Takes over what is in flight, sent and paused from the limits before a reload, so that no cap is exceeded."""
        self.inflight = before.inflight
        self._gate = before._gate
        if not before._window.is_idle(now):
            self._window.adopt(before._window)
        for name, old in before._namespaces.items():
            if old.is_idle(now):
                continue  # it may have left the list
            new = self._namespace(name)
            new.inflight, new.gate, new.ended, new.call_s = old.inflight, old.gate, old.ended, old.call_s
            if old.window and new.window:
                new.window.adopt(old.window)

    def _namespace(self, name: str) -> NamespaceLimits:
        found = self._namespaces.get(name)
        if found is None:
            found = self._namespaces[name] = NamespaceLimits(self.settings)
        return found


class HardCap:
    """asyncio-throttle's Throttler, asked last: our own log already knows the answer, so it hardly ever waits."""

    def __init__(self, rate: Rate) -> None:
        self._throttler = Throttler(rate_limit=rate.count, period=widened_s(rate.period_s))

    async def __call__(self) -> None:
        await self._throttler.acquire()  # type: ignore[no-untyped-call]  # the package has no annotations

"""What the engine is given: everything outside it, and the terms on which it calls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from worker.clock import Clock
from worker.core.attempt import Policy
from worker.core.exchange import Exchange
from worker.core.limit import Limit
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.limits import Limits


class Recorder(Protocol):
    """Where results go: a sink, or several behind one. It never raises."""

    def record(self, recorded: Recorded) -> None: ...

    def forget(self, key: TargetKey) -> None: ...


class Event(Protocol):
    """Logs one of the worker's own events."""

    def __call__(self, name: str, *, level: str = "info", **fields: Any) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything outside.

    `call` with True takes a new connection. `key_version` changes with the API key; asked with True it looks for a new
    one at once. `throttled` is told for how many seconds due calls were held back, and by which limit; `begun` when
    everything is in place and the first call may go. `cpu_s` are the seconds of CPU that the loop's thread has used.
    """

    call: Callable[[Target, bool], Awaitable[Exchange]]
    clock: Clock
    key_version: Callable[[bool], int]
    recorder: Recorder
    event: Event
    throttled: Callable[[Limit, float], None]
    begun: Callable[[], None] = lambda: None
    cpu_s: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a configuration allows: its limits, when to ask again, and how long calls in flight are waited for.

    `hard_cap` is asked before every call.
    """

    limits: Limits
    hard_cap: Callable[[], Awaitable[None]]
    policy: Policy
    grace_s: float
    rate_per_s: float

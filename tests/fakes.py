"""The world as tests pass it in: a loop whose time jumps, a clock, scripted plugins, sinks that remember."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from worker.core.exchange import Answer, Exchange, Failure, NoReply, Phase, Phases, Refusal, Reply
from worker.core.judge import judge
from worker.core.outcome import Outcome
from worker.core.result import Result
from worker.core.rules import Reference
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded

#: Where the wall clock of tests stands when a virtual loop's time is 0.
EPOCH_S = 1_700_000_000.0


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: when nothing is ready it moves the loop's time on by as long as it was to wait."""

    MOST_TURNS = 1_000_000

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0  # in which no time passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is left to happen: the test would hang"
            self.now += max(timeout, 0.0)
        self._turns = 0 if timeout else self._turns + 1
        assert self._turns < self.MOST_TURNS, "the loop turns and no time passes: the test would hang"
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour of sleeping takes no time. It governs no sockets and no threads."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def freeze(self, seconds: float) -> None:
        """Time passes while the loop stands still, as when the process is suspended."""
        self._jumping.now += seconds


T = TypeVar("T")


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class FakeClock:
    """The virtual loop's time; the wall clock goes along, from EPOCH_S, unless it is set to jump."""

    def __init__(self) -> None:
        self.wall_offset_s = EPOCH_S

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self.now() + self.wall_offset_s


class FixedClock:
    """A clock that stands until it is told."""

    def __init__(self, now: float = 0.0) -> None:
        self.at = now
        self.wall_offset_s = EPOCH_S

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.wall_offset_s + self.at


def make_target(plugin: str = "p_1_0_0", namespace: str = "ns_a", **changes: Any) -> Target:
    values: dict[str, Any] = {"interval_s": 60.0, "timeout_s": 10.0} | changes
    return Target(key=TargetKey(namespace, plugin), **values)


def reply(raw_response: Any = None, **changes: Any) -> Reply:
    """A healthy documented reply."""
    values: dict[str, Any] = {"status": "success", "inference_name": "custom_plugin_p_1_0_0"} | changes
    return Reply(raw_response={"embedding": [0.6, 0.8]} if raw_response is None else raw_response, **values)


def refusal(**changes: Any) -> Refusal:
    return Refusal(**({"error": "refused"} | changes))


def no_reply(failure: Failure = Failure.TIMEOUT, died_in: Phase = Phase.WAIT) -> NoReply:
    return NoReply(failure=failure, died_in=died_in, error=f"died in {died_in}")


def exchange(
    answer: Answer | None = None, *, status: int | None = 200, at: float = EPOCH_S, **changes: Any
) -> Exchange:
    """A call of 100 ms: 10 to send, 80 to wait, 10 to receive."""
    values: dict[str, Any] = {
        "started_at": at,
        "ended_at": at + 0.1,
        "timeout_s": 10.0,
        "answer": reply() if answer is None else answer,
        "phases": Phases(send=0.01, wait=0.08, receive=0.01),
        "http_status": None if isinstance(answer, NoReply) else status,
        "response_bytes": None if isinstance(answer, NoReply) else 100,
    }
    return Exchange(**(values | changes))


def make_result(
    made: Exchange | None = None, target: Target | None = None, reference: Reference | None = None, attempts: int = 1
) -> Result:
    """What the engine makes of an exchange (a healthy one if none is given)."""
    probed = target or make_target()
    made = made or exchange()
    reference = reference or Reference(pin=probed.pin)
    return Result(
        target=probed,
        judgement=judge(probed.expect, made, reference),
        exchange=made,
        reference=reference,
        attempts=attempts,
        lateness_s=0.0,
    )


class ScriptedPlugins:
    """Stands for the client. `script` gives the answer for a target and the number of its call, from 0.

    Every call takes `takes_s` of virtual time; `calls` remembers (target, start) and `most_inflight` the peak.
    """

    def __init__(
        self,
        clock: FakeClock,
        script: Callable[[Target, int], tuple[Answer, int | None]] = lambda _target, _number: (reply(), 200),
        takes_s: float | Callable[[Target], float] = 0.1,
    ) -> None:
        self._clock = clock
        self._script = script
        self._takes_s = takes_s if callable(takes_s) else lambda _target: takes_s
        self._numbers: Counter[TargetKey] = Counter()
        self.calls: list[tuple[TargetKey, float]] = []
        self.inflight = 0
        self.most_inflight = 0
        self.fresh_calls = 0
        #: The numbers of calls whose kept-alive connection is dead.
        self.dead: frozenset[int] = frozenset()

    async def __call__(self, target: Target, fresh: bool = False) -> Exchange:
        number = self._numbers[target.key]
        self._numbers[target.key] += 1
        self.calls.append((target.key, self._clock.now()))
        self.fresh_calls += fresh
        started_at, began = self._clock.wall(), self._clock.now()
        self.inflight += 1
        self.most_inflight = max(self.most_inflight, self.inflight)
        try:
            await asyncio.sleep(self._takes_s(target))
        finally:
            self.inflight -= 1
        ended_at = started_at + self._clock.now() - began  # as the client has it
        if number in self.dead and not fresh:
            lost = no_reply(Failure.DISCONNECTED, Phase.WAIT)
            return exchange(lost, at=started_at, ended_at=ended_at, stale=True, reused_connection=True)
        answer, status = self._script(target, number)
        return exchange(answer, status=status, at=started_at, ended_at=ended_at)


class MemoryRecorder:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.forgotten: list[TargetKey] = []

    def record(self, recorded: Recorded) -> None:
        self.recorded.append(recorded)

    def forget(self, key: TargetKey) -> None:
        self.forgotten.append(key)

    @property
    def outcomes(self) -> dict[str, list[Outcome]]:
        """The outcomes of each plugin, in order."""
        found: dict[str, list[Outcome]] = {}
        for recorded in self.recorded:
            found.setdefault(recorded.result.target.key.plugin, []).append(recorded.result.outcome)
        return found


class MemoryEvents:
    """Takes the worker's own events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, name: str, *, level: str = "info", **fields: Any) -> None:
        self.events.append((name, level, fields))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, _, fields in self.events if event == name]


async def no_cap() -> None:
    """Stands for asyncio-throttle, whose clock is hard-wired."""

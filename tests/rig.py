"""Rig: an engine with all of its world scripted, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.fakes import FakeClock, MemoryEvents, MemoryRecorder, ScriptedPlugins, no_cap, refusal, reply
from worker.core.attempt import Policy
from worker.core.exchange import Answer, Exchange
from worker.core.limit import Limit
from worker.core.outcome import Outcome
from worker.core.target import Target
from worker.engine import Engine
from worker.limits import Limits
from worker.settings import LimitSettings, Rate
from worker.world import Terms, World

Script = Callable[[Target, int], tuple[Answer, int | None]]

FAST = Rate(count=1000, period_s=1.0)
OK: tuple[Answer, int] = (reply(), 200)
BROKEN: tuple[Answer, int] = (refusal(), 500)
REFUSED: tuple[Answer, int] = (refusal(), 401)


def throttled(retry_after_s: float | None = None) -> tuple[Answer, int]:
    return refusal(retry_after_s=retry_after_s), 429


def make_terms(
    rate: Rate = FAST,
    concurrency: int = 50,
    namespace_concurrency: int | None = None,
    namespace_rate: Rate | None = None,
    rechecks: int = 0,
    grace_s: float = 10.0,
) -> Terms:
    settings = LimitSettings(
        rate=rate,
        concurrency=concurrency,
        namespace_concurrency=namespace_concurrency,
        namespace_rate=namespace_rate,
    )
    policy = Policy(rechecks=rechecks)
    return Terms(limits=Limits(settings), hard_cap=no_cap, policy=policy, grace_s=grace_s, rate_per_s=rate.per_second)


class Rig:
    """An engine and all of its world. `wrap` stands between the engine and the scripted plugins."""

    def __init__(
        self,
        script: Script = lambda _target, _number: OK,
        takes_s: float | Callable[[Target], float] = 0.1,
        wrap: Callable[[Awaitable[Exchange]], Awaitable[Exchange]] = lambda call: call,
        hard_cap: Callable[[], Awaitable[None]] = no_cap,
        **terms: Any,
    ) -> None:
        self.clock = FakeClock()
        self.plugins = ScriptedPlugins(self.clock, script, takes_s)
        self.recorder, self.events = MemoryRecorder(), MemoryEvents()
        self.held_s: Counter[Limit] = Counter()
        self.key = 0
        self.new_key = False  # a new one lies ready
        self.cpu_share = 0.0  # of the time
        self.engine = Engine(
            World(
                call=lambda target, fresh: wrap(self.plugins(target, fresh)),
                clock=self.clock,
                key_version=self._key_version,
                recorder=self.recorder,
                event=self.events,
                throttled=self._throttled,
                cpu_s=lambda: self.clock.now() * self.cpu_share,
            ),
            replace(make_terms(**terms), hard_cap=hard_cap),
        )

    def _key_version(self, look: bool) -> int:
        if look and self.new_key:
            self.key, self.new_key = self.key + 1, False
        return self.key

    def _throttled(self, limit: Limit, seconds: float) -> None:
        self.held_s[limit] += seconds  # type: ignore[assignment]  # a Counter adds up seconds as well

    async def batch(self, targets: Sequence[Target], deadline_s: float | None = None) -> "Rig":
        await self.engine.run_batch(targets, period_s=300.0, deadline_s=deadline_s)
        return self

    async def forever(self, targets: Sequence[Target], for_s: float) -> "Rig":
        asyncio.get_running_loop().call_later(for_s, self.engine.stop)
        await self.engine.run_forever(targets)
        return self

    def later(self, seconds: float, do: Callable[..., object], *args: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, do, *args)

    @property
    def outcomes(self) -> dict[str, list[Outcome]]:
        return self.recorder.outcomes

    @property
    def attempts(self) -> list[int]:
        return [recorded.result.attempts for recorded in self.recorder.recorded]

    def starts(self, plugin: str) -> list[float]:
        return [at for key, at in self.plugins.calls if key.plugin == plugin]

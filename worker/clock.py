"""Time, passed in: so that scheduling, limits and confirmation are tested without waiting."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the worker knows of time."""

    def now(self) -> float:
        """Seconds on the event loop's monotonic clock; everything is scheduled on it."""

    def wall(self) -> float:
        """Unix seconds; for people and metrics only."""


class SystemClock:
    """The real thing: CLOCK_MONOTONIC, which asyncio's own loop uses as well. No function of ours is in between, since
    every probe asks fifteen times.
    """

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class Alarm:
    """Wakes one waiter: when rung, or at an instant of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, until: float) -> None:
        delay_s = max(until - self._clock.now(), 0.0)
        timer = asyncio.get_running_loop().call_later(delay_s, self._rung.set)
        try:
            await self._rung.wait()
        finally:
            timer.cancel()
        self._rung.clear()

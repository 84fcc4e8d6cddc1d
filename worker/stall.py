"""How long our own event loop stood still: what a latency must not be blamed on a plugin for."""

import asyncio
from collections.abc import Callable

from worker.clock import Clock

TICK_S = 0.02
#: Stalls that follow the first one within this time are told together: a starved worker stalls ten times a second.
TOGETHER_S = 10.0
#: Shorter lags are what an idle machine shows several times in 20 s.
STALL_S = 0.05


class LagMeter:
    """Samples the loop's lag by a timer; a lag over 50 ms is a stall and adds to `lost_s`."""

    def __init__(self, clock: Clock, *, on_lag: Callable[[float], None], on_stall: Callable[[float], None]) -> None:
        self._clock = clock
        self._on_lag = on_lag
        self._on_stall = on_stall
        self._lost_s = 0.0
        self._expected_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._expect(self._clock.now())

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def lost_s(self) -> float:
        """Seconds lost to stalls so far, one that the timer has not come round to included."""
        if self._timer is not None:
            self._take_stall(self._clock.now())
        return self._lost_s

    def _tick(self) -> None:
        now = self._clock.now()
        if not self._take_stall(now):
            self._on_lag(max(now - self._expected_at, 0.0))
        self._expect(now)

    def _expect(self, now: float) -> None:
        """A tick after the reading that was judged: what passes between two readings would be forgotten."""
        self._expected_at = now + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _take_stall(self, now: float) -> bool:
        lag_s = now - self._expected_at
        if lag_s <= STALL_S:
            return False
        self._lost_s += lag_s
        self._expected_at = now
        self._on_lag(lag_s)
        self._on_stall(lag_s)
        return True


class Stalls:
    """Tells of stalls: of the first one at once, of those that follow it all together. `tell` takes how many there were
    and the seconds that were lost.
    """

    def __init__(self, tell: Callable[[int, float], None]) -> None:
        self._tell = tell
        self._number = 0
        self._lost_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, lost_s: float) -> None:
        self._number += 1
        self._lost_s += lost_s
        if self._timer is None:
            self._tell_and_wait()

    def stop(self) -> None:
        """What is not told yet is told now."""
        if self._timer:
            self._timer.cancel()
        self._told()

    def _tell_and_wait(self) -> None:
        told = self._told()
        self._timer = asyncio.get_running_loop().call_later(TOGETHER_S, self._tell_and_wait) if told else None

    def _told(self) -> bool:
        """False when there is nothing new."""
        number, lost_s = self._number, self._lost_s
        self._number, self._lost_s = 0, 0.0
        if number:
            self._tell(number, lost_s)
        return bool(number)

"""How long our own event loop stood still: what a latency must not be blamed on a plugin for."""

import asyncio
from collections.abc import Callable

from worker.clock import Clock

TICK_S = 0.02
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
        self._expected_at = self._clock.now() + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

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
        self.start()

    def _take_stall(self, now: float) -> bool:
        lag_s = now - self._expected_at
        if lag_s <= STALL_S:
            return False
        self._lost_s += lag_s
        self._expected_at = now
        self._on_lag(lag_s)
        self._on_stall(lag_s)
        return True

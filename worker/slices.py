"""Slices: long work on the event loop during which probes go on."""

import asyncio
import gc
import time
from types import TracebackType
from typing import Self

#: How long the work holds the loop at a time: what a reply that comes meanwhile may be seen late.
SLICE_S = 0.001
#: What fewer targets are made of a collection looks through in a few milliseconds.
WORTH_KEEPING = 1_000


class Slices:
    """A block whose work is done in slices, `await pause()` between its steps.

    The garbage collector is paused for as long: what such work builds is no garbage, yet a collection would look
    through all of it, for tens of milliseconds in one go.
    """

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s

    def __enter__(self) -> Self:
        self._collects = gc.isenabled()
        gc.disable()
        self._over_at = time.perf_counter() + self._slice_s
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._collects:
            gc.enable()

    async def pause(self) -> None:
        """Lets the loop go on, if this slice is over."""
        if time.perf_counter() >= self._over_at:
            await asyncio.sleep(0)
            self._over_at = time.perf_counter() + self._slice_s

    def keep(self, made: int) -> None:
        """What was built stays, as what was there at the start does: where it is much, no collection need look at it.

        Garbage that nobody has found yet stays with it, for good: some 200 objects where a third of all calls fail.
        """
        if made >= WORTH_KEEPING:
            gc.freeze()

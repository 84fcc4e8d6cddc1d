"""The garbage collector, set for a process that keeps much and makes little garbage.

Almost all that a probe makes is freed as soon as nobody refers to it. What is left for the collector are circles: a
closed connection's transport (asyncio's own), now and then an exception. But to find them it goes through all that is
kept, a million objects at 100,000 targets, for hundreds of milliseconds in which every latency that is measured is
wrong. So that is done seldom, and what is new is looked through often.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Python's own are 700, 10, 10. Ten thousand new objects take about a millisecond; a whole collection is never begun by
#: itself.
THRESHOLDS = (10_000, 2, 1_000_000)
#: All of it is looked through when so much time has gone, or the process has grown by a quarter.
WHOLE_S = 3600.0
LOOK_S = 60.0
GROWTH = 1.25
_STATM = Path("/proc/self/statm")


@contextmanager
def tuned() -> Iterator[None]:
    """What is there at the start stays, so no collection need look at it."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
    try:
        yield
    finally:
        gc.set_threshold(*before)


def collect_young() -> None:
    """To be asked several times a second where results replace each other: 13,000 new objects a second take a
    millisecond. Nothing while the collector is paused: what a reload has built so far would take tens of them.

    The collector counts what was made less what was freed, old or new. A track that takes the place of another counts
    nothing, so that it would not begin by itself before all tracks are new, and take 50 ms for 10,000 of them.
    """
    if gc.isenabled():
        gc.collect(1)


async def collect_for_ever(pages: Callable[[], int] = lambda: resident_pages()) -> None:
    """All of it, when it is time and the collector is not paused."""
    loop = asyncio.get_running_loop()
    looked_at, kept = loop.time(), pages()
    while True:
        await asyncio.sleep(LOOK_S)
        if gc.isenabled() and (loop.time() - looked_at >= WHOLE_S or pages() > kept * GROWTH):
            gc.collect()
            looked_at, kept = loop.time(), pages()


def resident_pages(statm: Path = _STATM) -> int:
    """How much memory the process has; 0 where the system does not tell."""
    try:
        return int(statm.read_text().split()[1])
    except OSError:
        return 0

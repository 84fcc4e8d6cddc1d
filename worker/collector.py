"""The garbage collector, set for a process that keeps much and makes little garbage.

Almost all that a probe makes is freed as soon as nobody refers to it. What is left for the collector are circles: a
closed connection's transport (asyncio), now and then an exception. But looking for them it goes through all that is
kept, a million objects at 100,000 targets, for hundreds of milliseconds in which every latency that is measured is
wrong.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: A young collection at 10,000 objects more than before takes about a millisecond; every third looks at those that the
#: last ones left, too; all that is kept is looked through when 1.5 million have come. (Python's own: 700, 10, 10.)
THRESHOLDS = (10_000, 2, 50)
#: So that a small worker, which would take days to come to that, stays small. It takes a millisecond for 1,000 targets.
WHOLE_S = 3600.0


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


async def collect_for_ever() -> None:
    """All of it, once an hour."""
    while True:
        await asyncio.sleep(WHOLE_S)
        gc.collect()

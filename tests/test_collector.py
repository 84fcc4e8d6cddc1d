"""The garbage collector while a worker runs, and after it."""

import asyncio
import gc

from tests.fakes import virtually
from worker.collector import THRESHOLDS, WHOLE_S, collect_for_ever, tuned


def test_it_is_tuned_as_long_as_a_worker_runs() -> None:
    before = gc.get_threshold()
    with tuned():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before


class Circle:
    def __init__(self, gone: list[str]) -> None:
        self.myself, self.gone = self, gone

    def __del__(self) -> None:
        self.gone.append("gone")


def test_what_only_the_collector_ends_is_gone_within_the_hour() -> None:
    async def main() -> list[str]:
        gone: list[str] = []
        Circle(gone)
        gc.collect(0)
        kept = Circle(gone)
        gc.collect(1)  # it is old by now
        del kept
        gone.clear()
        collecting = asyncio.create_task(collect_for_ever())
        await asyncio.sleep(WHOLE_S + 1.0)
        collecting.cancel()
        return gone

    assert virtually(main()) == ["gone"]

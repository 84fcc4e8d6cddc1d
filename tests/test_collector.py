"""The garbage collector while a worker runs, and after it."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes import virtually
from worker.collector import GROWTH, LOOK_S, THRESHOLDS, WHOLE_S, collect_for_ever, collect_young, resident_pages, tuned
from worker.slices import Slices


def test_it_is_tuned_as_long_as_a_worker_runs() -> None:
    before = gc.get_threshold()
    with tuned():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before


class Circle:
    """Only the collector ends it."""

    def __init__(self, gone: Callable[[], object]) -> None:
        self.myself, self.gone = self, gone

    def __del__(self) -> None:
        self.gone()


@pytest.fixture
def by_hand() -> Iterator[None]:
    """No collection begins by itself."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(0)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("by_hand")
def test_what_is_new_is_looked_through_and_what_is_old_is_left() -> None:
    gone: list[str] = []
    old = Circle(lambda: gone.append("old"))
    collect_young()
    Circle(lambda: gone.append("young"))
    del old
    collect_young()
    assert gone == ["young"]


@pytest.mark.usefixtures("by_hand")
async def test_nothing_is_looked_through_while_the_collector_is_paused() -> None:
    gone: list[str] = []
    with Slices():
        Circle(lambda: gone.append("built by a reload"))
        collect_young()
        assert gone == []
    collect_young()
    assert gone == ["built by a reload"]


def old_garbage_is_gone_after(*pages: int) -> float:
    """In seconds, where the process has so many pages of memory at one look after the other."""

    async def main() -> float:
        gone = asyncio.Event()
        old = Circle(gone.set)
        collect_young()
        del old
        seen = iter(pages)
        collecting = asyncio.create_task(collect_for_ever(lambda: next(seen, pages[-1])))
        began = asyncio.get_running_loop().time()
        await gone.wait()
        collecting.cancel()
        return asyncio.get_running_loop().time() - began

    return virtually(main())


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(
    ("pages", "after_s"),
    [
        pytest.param((1000,), WHOLE_S, id="within the hour"),
        pytest.param((0,), WHOLE_S, id="where the system does not tell"),
        pytest.param((1000, 1100, 1000 * GROWTH + 1), 2 * LOOK_S, id="as soon as the process has grown by a quarter"),
    ],
)
def test_what_is_old_is_looked_through(pages: tuple[int, ...], after_s: float) -> None:
    assert old_garbage_is_gone_after(*pages) == pytest.approx(after_s, abs=2.0)


def test_the_system_tells_how_much_memory_there_is() -> None:
    assert resident_pages() > 1000
    assert resident_pages(Path("/nonexistent")) == 0

"""Slices: the loop goes on between them, and the collector waits for the end."""

import asyncio
import gc
import time
from contextlib import suppress

import pytest

from worker.slices import WORTH_KEEPING, Slices


async def test_others_have_their_turn_when_a_slice_is_over_and_not_before() -> None:
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    with Slices(slice_s=0.005) as slices:
        await slices.pause()
        assert turns == []
        time.sleep(0.006)  # noqa: ASYNC251 (work)
        await slices.pause()
    assert turns == [1]


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_waits_and_is_then_as_it_was(collects: bool) -> None:
    (gc.enable if collects else gc.disable)()
    try:
        with suppress(ZeroDivisionError), Slices():
            assert not gc.isenabled()
            _ = 1 / 0
        assert gc.isenabled() is collects
    finally:
        gc.enable()


@pytest.mark.parametrize(("made", "stays"), [(0, False), (WORTH_KEEPING - 1, False), (WORTH_KEEPING, True)])
def test_only_much_is_kept_from_the_collector(made: int, stays: bool) -> None:
    before = gc.get_freeze_count()
    built: list[list[int]] = [[] for _ in range(100)]
    try:
        with Slices() as slices:
            slices.keep(made)
        assert (gc.get_freeze_count() >= before + len(built)) is stays
    finally:
        if stays:
            gc.unfreeze()

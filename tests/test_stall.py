"""How long our own loop stood still, on a loop that can be frozen."""

import asyncio
from collections.abc import Callable

import pytest

from tests.fakes import FakeClock, VirtualLoop, virtually
from worker.stall import STALL_S, TICK_S, TOGETHER_S, LagMeter, Stalls


class Metered:
    """A meter and what it told."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.stalls: list[float] = []
        self.meter = LagMeter(FakeClock(), on_lag=self.lags.append, on_stall=self.stalls.append)


def freeze(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.freeze(seconds)


async def _frozen(*freezes: float, rest_s: float = 1.0) -> Metered:
    """Each freeze half way between two ticks, then a rest."""
    metered = Metered()
    metered.meter.start()
    for seconds in freezes:
        await asyncio.sleep(rest_s + TICK_S / 2)
        freeze(seconds)
        await asyncio.sleep(0)
    await asyncio.sleep(rest_s)
    return metered


def metered_over(*freezes: float) -> Metered:
    async def main() -> Metered:
        metered = await _frozen(*freezes)
        metered.meter.stop()
        return metered

    return virtually(main())


def test_a_loop_that_runs_loses_nothing() -> None:
    metered = metered_over()
    assert metered.meter.lost_s() == 0.0
    assert metered.stalls == []
    assert len(metered.lags) == pytest.approx(1.0 / TICK_S, abs=2)
    assert max(metered.lags) < 1e-6


@pytest.mark.parametrize(
    ("freezes", "stalls"),
    [
        pytest.param((0.03,), 0, id="too short to count"),
        pytest.param((0.055,), 0, id="still within 50 ms of the tick"),
        pytest.param((0.2,), 1, id="a stall"),
        pytest.param((9.0,), 1, id="suspended for 9 s"),
        pytest.param((0.9, 0.9, 0.9), 3, id="again and again"),
        pytest.param((0.2, 0.03, 3600.0), 2, id="of every length"),
    ],
)
def test_what_was_lost_is_known_to_a_tick(freezes: tuple[float, ...], stalls: int) -> None:
    metered = metered_over(*freezes)
    assert len(metered.stalls) == stalls
    assert metered.meter.lost_s() == sum(metered.stalls)
    lost = sum(seconds for seconds in freezes if seconds > STALL_S + TICK_S)
    assert lost - stalls * TICK_S <= metered.meter.lost_s() <= lost


def test_a_stall_within_a_tick_is_not_forgotten() -> None:
    stalls: list[float] = []
    stops = iter([0.9])

    async def main() -> float:
        meter = LagMeter(FakeClock(), on_lag=lambda _: freeze(next(stops, 0.0)), on_stall=stalls.append)
        meter.start()
        await asyncio.sleep(2.0)
        meter.stop()
        return meter.lost_s()

    assert virtually(main()) == sum(stalls) == pytest.approx(0.9, abs=TICK_S)


def test_a_stall_is_known_before_the_timer_comes_round() -> None:
    async def main() -> tuple[float, float, Metered]:
        metered = Metered()
        metered.meter.start()
        await asyncio.sleep(1.0)
        before = metered.meter.lost_s()
        freeze(5.0)
        at_once = metered.meter.lost_s() - before
        await asyncio.sleep(1.0)
        later = metered.meter.lost_s() - before
        metered.meter.stop()
        return at_once, later, metered

    at_once, later, metered = virtually(main())
    assert at_once == pytest.approx(5.0, abs=TICK_S)
    assert later == at_once  # counted once
    assert metered.stalls == [at_once]
    assert max(metered.lags) == at_once  # and seen by the histogram, whoever noticed it first


def test_a_second_stall_before_the_timer_comes_round_counts_as_well() -> None:
    async def main() -> float:
        metered = Metered()
        metered.meter.start()
        for _ in range(2):
            freeze(5.0)
            metered.meter.lost_s()
        return metered.meter.lost_s()

    assert virtually(main()) == pytest.approx(10.0, abs=TICK_S)


def test_asking_while_all_is_well_changes_nothing() -> None:
    async def main() -> tuple[float, int]:
        metered = Metered()
        metered.meter.start()
        for _ in range(100):
            await asyncio.sleep(0.003)
            assert metered.meter.lost_s() == 0.0
        return metered.meter.lost_s(), len(metered.lags)

    lost_s, ticks = virtually(main())
    assert lost_s == 0.0
    assert ticks == pytest.approx(15, abs=1)


def _stopped(meter: LagMeter) -> None:
    meter.start()
    meter.stop()


@pytest.mark.parametrize(
    "begin", [pytest.param(lambda meter: meter.stop(), id="never started"), pytest.param(_stopped, id="stopped")]
)
def test_a_meter_that_does_not_run_counts_nothing(begin: Callable[[LagMeter], None]) -> None:
    async def main() -> Metered:
        metered = Metered()
        begin(metered.meter)
        freeze(5.0)
        await asyncio.sleep(1.0)
        return metered

    metered = virtually(main())
    assert metered.meter.lost_s() == 0.0
    assert metered.lags == []


def told_of(*pauses_s: float) -> list[tuple[int, float]]:
    """What is told of stalls of 0.1 s, each so long after the one before, and at the end."""

    async def main() -> list[tuple[int, float]]:
        told: list[tuple[int, float]] = []
        stalls = Stalls(lambda number, lost_s: told.append((number, round(lost_s, 3))))
        for pause_s in pauses_s:
            await asyncio.sleep(pause_s)
            stalls.add(0.1)
        stalls.stop()
        return told

    return virtually(main())


@pytest.mark.parametrize(
    ("pauses_s", "told"),
    [
        pytest.param((), [], id="none"),
        pytest.param((0.0,), [(1, 0.1)], id="one, at once"),
        pytest.param((0.0, 1.0, 1.0), [(1, 0.1), (2, 0.2)], id="the next two together, at the end"),
        pytest.param((0.0, 1.0, TOGETHER_S), [(1, 0.1), (1, 0.1), (1, 0.1)], id="one in each ten seconds"),
        pytest.param((0.0, 3 * TOGETHER_S), [(1, 0.1), (1, 0.1)], id="two far apart, each at once"),
    ],
)
def test_stalls_that_follow_one_another_are_told_together(
    pauses_s: tuple[float, ...], told: list[tuple[int, float]]
) -> None:
    assert told_of(*pauses_s) == told

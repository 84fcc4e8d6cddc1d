"""The wall clock set by an hour under a running worker: nothing that it measures or holds against a plugin changes."""

import asyncio
from collections.abc import Awaitable

import pytest

from tests.fakes import FakeClock, exchange, make_target, refusal, virtually
from tests.rig import OK, Rig, Script
from worker.core.exchange import Answer, Exchange
from worker.core.outcome import Outcome
from worker.core.target import Expectation, Target, TargetKey
from worker.core.track import Track
from worker.jumps import LEAST_S, Jumps

HOUR_S = 3600.0
SET = pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])


def warms(_target: Target, _number: int) -> tuple[Answer, int | None]:
    return refusal(error_code="model_warming"), 503


def is_up(_target: Target, _number: int) -> tuple[Answer, int | None]:
    return OK


class Minded(Rig):
    """A rig whose calls are minded, as the worker's are; the clock is set at this instant."""

    def __init__(self, script: Script, takes_s: float, by_s: float, at: float) -> None:
        super().__init__(script, takes_s, wrap=self._minded)
        self.jumps = Jumps(clock=self.clock, tracks=lambda: self.engine.tracks)
        self.later(at, self._set, by_s)

    def _set(self, by_s: float) -> None:
        self.clock.wall_offset_s += by_s

    def _minded(self, call: Awaitable[Exchange]) -> Awaitable[Exchange]:
        return self.jumps.minded(call)


def run(script: Script, *, by_s: float, takes_s: float = 0.1, at: float = 200.0) -> Minded:
    """15 minutes of a target that is asked every minute."""

    async def main() -> Minded:
        rig = Minded(script, takes_s, by_s, at)
        target = make_target(expect=Expectation(max_warming_s=300.0), timeout_s=60.0)
        await rig.forever([target], 900.0)
        return rig

    return virtually(main())


@SET
@pytest.mark.parametrize("takes_s", [0.1, 50.0], ids=["between_calls", "during_a_call"])
def test_a_plugin_may_warm_for_as_long_as_if_the_clock_had_not_been_set(by_s: float, takes_s: float) -> None:
    steady, jumped = (run(warms, by_s=by, takes_s=takes_s) for by in (0.0, by_s))
    outcomes = jumped.outcomes["p_1_0_0"]
    assert outcomes == steady.outcomes["p_1_0_0"]
    assert {Outcome.WARMING, Outcome.SERVER_ERROR} <= {*outcomes}


@SET
@pytest.mark.parametrize("takes_s", [0.1, 50.0])
def test_instants_are_told_by_the_clock_as_it_is_and_no_duration_changes(by_s: float, takes_s: float) -> None:
    steady, jumped = (run(is_up, by_s=by, takes_s=takes_s) for by in (0.0, by_s))
    for before, after in zip(steady.recorder.recorded, jumped.recorder.recorded, strict=True):
        was, now = before.result.exchange, after.result.exchange
        if was is None or now is None:
            assert was is now
            continue
        set_by = by_s if was.ended_at - steady.clock.wall_offset_s >= 200.0 else 0.0
        assert now.ended_at - was.ended_at == pytest.approx(set_by)
        assert now.ended_at - now.started_at == pytest.approx(takes_s)
        assert after.result.judgement == before.result.judgement


@SET
def test_distinct_inputs_are_asked_after_as_long(by_s: float) -> None:
    async def main() -> Track:
        clock, key = FakeClock(), TargetKey("ns_a", "p")
        tracks = {key: Track(distinct_at=clock.wall()), TargetKey("ns_a", "q"): Track()}
        jumps = Jumps(clock=clock, tracks=lambda: tracks)
        await asyncio.sleep(10.0)
        clock.wall_offset_s += by_s
        await jumps.minded(asyncio.sleep(0.0, exchange()))
        assert tracks[key].distinct_at == pytest.approx(clock.wall() - 10.0)
        return tracks[TargetKey("ns_a", "q")]

    assert virtually(main()) == Track()


def test_a_clock_that_is_steered_moves_nothing() -> None:
    async def main() -> float | None:
        clock, key = FakeClock(), TargetKey("ns_a", "p")
        tracks = {key: Track(warming_since=clock.wall())}
        jumps, before = Jumps(clock=clock, tracks=lambda: tracks), clock.wall()
        for _ in range(100):
            clock.wall_offset_s += LEAST_S / 2
            await jumps.minded(asyncio.sleep(0.0, exchange()))
        since = tracks[key].warming_since
        return since and since - before

    assert virtually(main()) == 0.0

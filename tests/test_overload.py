"""More is due than the limits allow, in virtual time: who is told, who gets what, and that nothing grows."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.fakes import VirtualLoop, make_target, virtually
from tests.rig import BROKEN, OK, Rig, make_terms, throttled
from worker.core.exchange import Answer
from worker.core.limit import Limit
from worker.core.outcome import Outcome
from worker.core.result import SkipReason
from worker.core.target import Target
from worker.settings import Rate


def many(count: int, namespace: str = "ns", **changes: Any) -> list[Target]:
    return [make_target(f"{namespace}_{number}", namespace, **changes) for number in range(count)]


def skipped(rig: Rig) -> Counter[SkipReason]:
    return Counter(item.result.skipped for item in rig.recorder.recorded if item.result.skipped)


def running(targets: list[Target], for_s: float, **rig: Any) -> Rig:
    async def main() -> Rig:
        return await Rig(**rig).forever(targets, for_s)

    return virtually(main())


def told(rig: Rig) -> list[dict[str, Any]]:
    return rig.events.named("worker.overloaded")


FIVE = Rate(count=5, period_s=1.0)

# Why a target is skipped ----------------------------------------------------------------------------------------------


def test_what_never_got_its_turn_is_skipped_for_overload() -> None:
    rig = running(many(100, interval_s=2.0), 60.0, rate=FIVE)
    reasons = skipped(rig)
    assert reasons[SkipReason.OVERLOAD] > 2000
    assert reasons[SkipReason.OVERRUN] < 20, "those in flight when their turn came round"
    assert {outcome.verdict for found in rig.outcomes.values() for outcome in found} == {"up", "unknown"}


@pytest.mark.parametrize(
    ("answer", "takes_s"),
    [
        pytest.param(OK, 25.0, id="it is in flight"),
        pytest.param(throttled(25.0), 0.1, id="it waits to be asked again, and its namespace is paused"),
        pytest.param(throttled(3.0), 8.0, id="a call goes first when a pause ends, and the others wait for it"),
    ],
)
def test_what_is_slow_unwell_or_paused_is_skipped_for_overrun(answer: tuple[Answer, int], takes_s: float) -> None:
    rig = running(many(2, interval_s=10.0), 300.0, script=lambda _target, _number: answer, takes_s=takes_s)
    assert skipped(rig)[SkipReason.OVERRUN] > 10
    assert skipped(rig)[SkipReason.OVERLOAD] == 0
    assert told(rig) == []


def rechecking_at_half_the_rate() -> Rig:
    """Two calls a probe, and the rate has one."""
    return running(
        many(4, interval_s=4.0),
        120.0,
        script=lambda _target, _number: BROKEN,
        rechecks=1,
        rate=Rate(count=1, period_s=1.0),
    )


def test_what_is_to_be_asked_again_and_waits_for_the_rate_is_skipped_for_overload() -> None:
    rig = rechecking_at_half_the_rate()
    assert skipped(rig)[SkipReason.OVERLOAD] > 10


# Who is told ----------------------------------------------------------------------------------------------------------


def test_an_overloaded_rate_is_told_within_15_s_and_then_once_a_minute() -> None:
    async def main() -> tuple[Rig, list[int]]:
        rig, seen = Rig(rate=FIVE), list[int]()
        for at in (10.0, 15.0, 70.0, 77.0, 200.0):
            rig.later(at, lambda: seen.append(len(told(rig))))
        return await rig.forever(many(100, interval_s=2.0), 201.0), seen

    rig, seen = virtually(main())
    assert seen == [0, 1, 1, 2, 4]
    first, second, *_ = told(rig)
    assert first == {
        "limit": Limit.RATE,
        "namespace": None,
        "needed": "50/s",
        "configured": "5/s",
        "remedy": "limits.rate: 50/s fits, or intervals 10 times as long",
        "waiting": first["waiting"],
        "lateness_s": first["lateness_s"],
        "skipped": first["skipped"],
        "window_s": first["window_s"],
    }
    assert 80 <= second["waiting"] <= 100
    assert 15.0 <= second["lateness_s"] <= 25.0
    assert second["skipped"] == pytest.approx(45 * 60, rel=0.05)
    assert second["window_s"] == pytest.approx(60.0, abs=2.0)


def test_an_overloaded_concurrency_is_told_with_what_the_measured_durations_need() -> None:
    rig = running(many(20, interval_s=5.0), 60.0, takes_s=1.0, concurrency=2)
    found = told(rig)[0]
    assert (found["limit"], found["needed"], found["configured"]) == (Limit.CONCURRENCY, 4, 2)
    assert found["remedy"] == "limits.concurrency: 4 fits, or intervals 2 times as long, or shorter timeouts"


def test_what_is_asked_again_counts_among_what_is_needed() -> None:
    rig = rechecking_at_half_the_rate()
    assert told(rig)[-1]["needed"] in ("2/s", "3/s")


@pytest.mark.parametrize(
    ("limits", "told_as"),
    [
        pytest.param(
            {"namespace_rate": Rate(count=30, period_s=60.0)},
            (Limit.NAMESPACE_RATE, "big", "4/s", "30/m"),
            id="rate",
        ),
        pytest.param({"namespace_concurrency": 2}, (Limit.NAMESPACE_CONCURRENCY, "big", 4, 2), id="concurrency"),
        pytest.param({"concurrency": 3}, (Limit.CONCURRENCY, None, 5, 3), id="the calls kept free for others"),
    ],
)
def test_a_limit_that_holds_one_namespace_is_told_with_its_name(
    limits: dict[str, Any], told_as: tuple[Limit, str | None, str | int, str | int]
) -> None:
    targets = many(20, "big", interval_s=5.0) + many(2, "small", interval_s=5.0)
    rig = running(targets, 60.0, takes_s=1.0, **limits)
    found = told(rig)[0]
    assert (found["limit"], found["namespace"], found["needed"], found["configured"]) == told_as
    assert Outcome.SKIPPED not in rig.outcomes["small_0"][:-1]


def test_a_limit_that_is_hardly_too_tight_is_told_before_a_target_is_skipped() -> None:
    """A third too little: the queue grows slowly, and something waits for half its interval long before a whole one."""
    rig = running(many(40, interval_s=60.0), 240.0, rate=Rate(count=30, period_s=60.0))
    assert (told(rig)[0]["skipped"], told(rig)[0]["needed"]) == (0, "40/m")


def test_a_processor_that_is_busy_is_told_and_no_limit() -> None:
    async def main() -> Rig:
        rig = Rig(takes_s=1.0, concurrency=2)
        rig.cpu_share = 0.97
        return await rig.forever(many(20, interval_s=5.0), 60.0)

    found = told(virtually(main()))[0]
    assert (found["limit"], found["needed"]) == ("cpu", "4/s")
    assert found["remedy"] == "intervals 2 times as long, or the targets shared among several workers"


@pytest.mark.parametrize(
    ("targets", "rig"),
    [
        pytest.param(many(300, interval_s=300.0), {"rate": Rate(count=2, period_s=1.0)}, id="it fits"),
        pytest.param(many(30, interval_s=60.0), {"takes_s": 3.0, "concurrency": 2}, id="a first round that is dense"),
        pytest.param(
            many(100, "a", interval_s=30.0) + many(100, "b", interval_s=30.0),
            {"rate": Rate(count=10, period_s=1.0), "script": lambda _target, n: throttled(40.0) if n == 3 else OK},
            id="everything is paused",
        ),
        pytest.param(
            many(20, "a", interval_s=10.0) + many(20, "b", interval_s=10.0),
            {"script": lambda _target, number: OK if number % 2 else throttled(8.0)},
            id="everything is paused over and over",
        ),
    ],
)
def test_what_is_no_overload_is_not_told(targets: list[Target], rig: dict[str, Any]) -> None:
    assert told(running(targets, 900.0, **rig)) == []


def test_a_suspension_is_told_otherwise() -> None:
    async def main() -> Rig:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        rig = Rig(rate=Rate(count=4, period_s=1.0))
        rig.later(200.0, loop.freeze, 600.0)
        return await rig.forever(many(100, interval_s=60.0), 1100.0)

    assert told(virtually(main())) == []


def test_a_batch_is_due_all_at_once_and_never_overloaded() -> None:
    async def main() -> Rig:
        return await Rig(rate=FIVE).batch(many(500, interval_s=2.0), deadline_s=60.0)

    rig = virtually(main())
    assert told(rig) == []
    assert set(skipped(rig)) == {SkipReason.DEADLINE}


def test_a_reload_that_mends_it_ends_it() -> None:
    async def main() -> Rig:
        rig = Rig(rate=FIVE)
        rig.later(30.0, rig.engine.replace_terms, make_terms(rate=Rate(count=60, period_s=1.0)))
        return await rig.forever(many(100, interval_s=2.0), 120.0)

    rig = virtually(main())
    assert len(told(rig)) == 1
    assert skipped(rig)[SkipReason.OVERLOAD] < 2000


# Who gets what --------------------------------------------------------------------------------------------------------

CYCLE_S = 60.0
CYCLES = 50


@pytest.mark.parametrize(
    ("limits", "calls_per_s"),
    [
        pytest.param({"rate": Rate(count=2, period_s=1.0), "takes_s": 0.1}, 2 / 1.05, id="rate"),
        pytest.param({"concurrency": 4, "takes_s": 2.0}, 2.0, id="concurrency"),
    ],
)
def test_namespaces_share_in_turn_and_so_do_their_targets(limits: dict[str, Any], calls_per_s: float) -> None:
    """The limits have less than a third. Who needs less than a share gets all of it, the others get the same."""
    sizes = {"huge": 270, "large": 100, "tiny": 5}
    targets = [target for name, size in sizes.items() for target in many(size, name, interval_s=CYCLE_S)]
    rig = running(targets, (CYCLES + 1) * CYCLE_S, **limits)
    probes = Counter[str]()
    for key, at in rig.plugins.calls:
        probes[key.namespace] += at >= CYCLE_S
    assert probes["tiny"] == pytest.approx(5 * CYCLES, abs=5)
    assert probes.total() == pytest.approx(calls_per_s * CYCLE_S * CYCLES, rel=0.02)
    assert probes["huge"] == pytest.approx(probes["large"], rel=0.02)
    for name, size in sizes.items():
        cycles = max(size * CYCLES / probes[name], 1.0)  # between two probes of a target, on the average
        for number in range(size):
            starts = rig.starts(f"{name}_{number}")
            gaps = [later - earlier for earlier, later in pairwise([0.0, *starts, (CYCLES + 1) * CYCLE_S])]
            assert max(gaps) <= (cycles + 2) * CYCLE_S, f"{name}_{number} was starved"


def test_lateness_is_measured_from_the_moment_when_it_was_due_however_long_it_waited() -> None:
    rig = running(many(30, interval_s=10.0), 300.0, rate=Rate(count=1, period_s=1.0))
    late = [item.result.lateness_s for item in rig.recorder.recorded if item.result.exchange]
    assert max(filter(None, late)) == pytest.approx(30 * 1.05 - 1, abs=5.0)
    assert min(filter(None, late[60:])) > 10.0


def test_each_second_in_which_calls_are_held_counts_once_whatever_holds_them() -> None:
    """A call of 1.5 s, then the rest of a second: concurrency and rate take turns."""
    rig = running(many(20, interval_s=5.0), 100.0, takes_s=1.5, concurrency=2, rate=Rate(count=60, period_s=60.0))
    assert min(rig.held_s[Limit.RATE], rig.held_s[Limit.CONCURRENCY]) > 5.0
    assert 90.0 <= rig.held_s[Limit.RATE] + rig.held_s[Limit.CONCURRENCY] <= 100.0


def test_a_namespace_that_is_held_for_an_hour_is_told_as_time_passes() -> None:
    rig = running(many(3, interval_s=60.0), 200.0, namespace_rate=Rate(count=1, period_s=3600.0))
    assert rig.held_s[Limit.NAMESPACE_RATE] == pytest.approx(170.0, abs=30.0)


# That nothing grows ---------------------------------------------------------------------------------------------------


class Sizes:
    """Looks at everything that could grow."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.most = Counter[str]()
        self.wrong: list[str] = []

    def look(self) -> None:
        engine = self.rig.engine
        waiting = [probe.target.key for queue in engine._backlog._queues.values() for probe in queue.probes]
        if not len(waiting) == len(set(waiting)) == len(engine._backlog):
            self.wrong.append("two probes of a target wait")
        if not set(waiting) <= engine.targets.keys():
            self.wrong.append("a target that left waits")
        sizes = {
            "backlog": len(waiting),
            "held": len(engine._backlog._held),
            "turns": len(engine._backlog._turns),
            "due": len(engine.agenda._due),
            "again": len(engine.agenda._again),
            "running": len(engine._running),
            "workers": len(engine._workers),
            "idle": len(engine._idle),
            "demands": len(engine._strain._demands),
        }
        self.most |= Counter(sizes)

    def every(self, seconds: float) -> None:
        self.look()
        self.rig.later(seconds, self.every, seconds)


def test_nothing_grows_in_a_thousand_cycles_of_overload() -> None:
    """Some fail and are asked again, some are throttled, a namespace has a rate of its own."""

    def script(target: Target, number: int) -> tuple[Answer, int | None]:
        failing = int(target.key.plugin.rpartition("_")[2]) % 5 == 0
        return BROKEN if failing else throttled(3.0) if number % 50 == 49 else OK

    targets = [target for name in "abc" for target in many(20, name, interval_s=5.0)]

    async def main() -> tuple[Sizes, Sizes]:
        rig = Rig(
            script, takes_s=0.7, rate=FIVE, concurrency=3, namespace_rate=Rate(count=90, period_s=60.0), rechecks=1
        )
        early, late = Sizes(rig), Sizes(rig)
        rig.later(0.0, early.every, 1.3)
        rig.later(200 * 5.0, late.every, 1.3)
        await rig.forever(targets, 1000 * 5.0)
        return early, late

    early, late = virtually(main())
    bounds = {"backlog": 60, "held": 6, "turns": 3, "due": 60, "again": 60, "running": 60, "workers": 3, "idle": 3}
    assert early.wrong == late.wrong == []
    assert late.most.keys() >= bounds.keys() - {"idle"}, "it was looked at"
    for name, bound in bounds.items():
        assert early.most[name] <= bound, name
        assert late.most[name] <= bound, name


def test_reloads_leave_nothing_behind_of_what_waited() -> None:
    targets = many(40, interval_s=2.0)

    async def main() -> Sizes:
        rig = Rig(rate=Rate(count=1, period_s=1.0), script=lambda _target, _number: BROKEN, rechecks=2)
        sizes = Sizes(rig)
        rig.later(0.0, sizes.every, 0.9)
        for number in range(100):
            changed = targets[: number % 7] if number % 2 else [replace(target, timeout_s=1.0) for target in targets]
            rig.later(5.0 + number, rig.engine.replace_targets, changed)
        await rig.forever(targets, 120.0)
        return sizes

    sizes = virtually(main())
    most = sizes.most
    assert sizes.wrong == []
    assert 0 < most["backlog"] <= 40
    assert 0 < most["again"] <= 120  # those that left are dropped when their time comes

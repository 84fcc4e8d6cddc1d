"""The engine in virtual time: one batch, and for ever."""

import asyncio
import gc
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import (
    EPOCH_S,
    ScriptedPlugins,
    VirtualLoop,
    make_target,
    no_reply,
    refusal,
    reply,
    virtually,
)
from tests.rig import BROKEN, FAST, OK, REFUSED, Rig, Script, make_terms, throttled
from worker.core.exchange import Answer, Exchange
from worker.core.limit import Limit
from worker.core.outcome import Outcome
from worker.core.result import SkipReason
from worker.core.schedule import fraction
from worker.core.target import Target
from worker.core.track import Track
from worker.engine import HEARTBEAT_S
from worker.probe import Probe
from worker.settings import Rate


def most_in(starts: list[float], period_s: float) -> int:
    return max((bisect_left(starts, at + period_s) - number for number, at in enumerate(starts)), default=0)


def now() -> float:
    return asyncio.get_running_loop().time()


def freeze(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.freeze(seconds)


def many(count: int, namespaces: int = 1, **changes: Any) -> list[Target]:
    return [make_target(f"p{number}", f"ns{number % namespaces}", **changes) for number in range(count)]


# One batch ------------------------------------------------------------------------------------------------------------


def test_two_thousand_targets_are_probed_once_each_within_their_limits() -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig(takes_s=0.08, rate=Rate(count=500, period_s=1.0), concurrency=50)
        await rig.batch(many(2000, 200))
        return rig, now()

    rig, took_s = virtually(main())
    starts = [at for _, at in rig.plugins.calls]
    assert took_s < 6.0
    assert len(starts) == len({key for key, _ in rig.plugins.calls}) == len(rig.recorder.recorded) == 2000
    assert most_in(starts, 1.0) <= 500
    assert rig.plugins.most_inflight <= 50
    assert {recorded.result.outcome for recorded in rig.recorder.recorded} == {Outcome.SUCCESS}
    assert rig.engine.inflight == 0


def test_an_empty_batch_ends_at_once() -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig()
        return await rig.batch([]), now()

    rig, took_s = virtually(main())
    assert (rig.recorder.recorded, took_s) == ([], 0.0)


def test_a_batch_goes_on_from_what_is_remembered() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.engine.tracks = {make_target("p0").key: Track(probes=7), make_target("gone").key: Track(probes=9)}
        return await rig.batch([make_target("p0"), make_target("p1")])

    rig = virtually(main())
    assert {key.plugin: track.probes for key, track in rig.engine.tracks.items()} == {"p0": 8, "p1": 1}


def test_lateness_is_the_first_calls_start_minus_the_moment_it_was_due() -> None:
    async def main() -> Rig:
        return await Rig(takes_s=2.0, concurrency=1).batch(many(3))

    late = [recorded.result.lateness_s for recorded in virtually(main()).recorder.recorded]
    assert late == [0.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("grace_s", "took_s", "third"),
    [
        pytest.param(1.0, 8.0, Outcome.SKIPPED, id="too short: cut off"),
        pytest.param(5.0, 9.0, Outcome.SUCCESS, id="long enough"),
        pytest.param(0.0, 7.0, Outcome.SKIPPED, id="none"),
    ],
)
def test_at_the_deadline_what_is_in_flight_gets_the_grace(grace_s: float, took_s: float, third: Outcome) -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig(takes_s=3.0, concurrency=1, grace_s=grace_s)
        await rig.batch(many(10), deadline_s=7.0)
        return rig, now()

    rig, ended_at = virtually(main())
    outcomes = Counter(recorded.result.outcome for recorded in rig.recorder.recorded)
    assert ended_at == took_s
    assert outcomes.total() == 10
    assert outcomes[Outcome.SUCCESS] == (3 if third is Outcome.SUCCESS else 2)
    assert sorted(rig.attempts) == [0] * 7 + [1] * 3
    reasons = {recorded.result.skipped for recorded in rig.recorder.recorded if recorded.result.skipped}
    assert reasons == {SkipReason.DEADLINE}
    assert sum(track.calls for track in rig.engine.tracks.values()) == len(rig.plugins.calls) == 3


def test_a_batch_that_is_stopped_reports_every_target() -> None:
    async def main() -> Rig:
        rig = Rig(takes_s=1.0, concurrency=2)
        rig.later(2.5, rig.engine.stop)
        rig.later(2.6, rig.engine.stop, SkipReason.DEADLINE)  # too late to matter
        return await rig.batch(many(10))

    rig = virtually(main())
    skipped = [recorded.result.skipped for recorded in rig.recorder.recorded]
    assert Counter(skipped) == {None: 6, SkipReason.SHUTDOWN: 4}


def test_a_batch_that_was_stopped_before_it_began_sends_nothing() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.engine.stop()
        return await rig.batch(many(5))

    rig = virtually(main())
    assert rig.plugins.calls == []
    assert [recorded.result.skipped for recorded in rig.recorder.recorded] == [SkipReason.SHUTDOWN] * 5


def test_a_batch_that_is_cancelled_passes_it_on() -> None:
    async def main() -> Rig:
        rig = Rig(takes_s=5.0)
        task = asyncio.create_task(rig.batch(many(3)))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return rig

    rig = virtually(main())
    assert (len(rig.plugins.calls), rig.plugins.inflight, rig.recorder.recorded) == (3, 0, [])


# Asked again ----------------------------------------------------------------------------------------------------------


def answers(*script: tuple[Answer, int | None]) -> Script:
    """One after the other; the last for ever."""
    return lambda _target, number: script[min(number, len(script) - 1)]


@pytest.mark.parametrize(
    ("script", "rechecks", "outcome", "calls"),
    [
        pytest.param([BROKEN], 0, "server_error", 1, id="no rechecks"),
        pytest.param([BROKEN, OK], 1, "success", 2, id="it recovers"),
        pytest.param([BROKEN], 2, "server_error", 3, id="it is confirmed"),
        pytest.param([BROKEN, (no_reply(), None)], 1, "timeout", 2, id="the last attempt is the result"),
        pytest.param([(refusal(), 404)], 2, "not_found", 1, id="not what is confirmed"),
    ],
)
def test_a_failure_is_confirmed_before_it_counts(
    script: list[tuple[Answer, int | None]], rechecks: int, outcome: str, calls: int
) -> None:
    async def main() -> Rig:
        return await Rig(answers(*script), rechecks=rechecks).batch([make_target("p")])

    rig = virtually(main())
    assert rig.outcomes == {"p": [outcome]}
    assert rig.attempts == [calls]
    assert rig.starts("p") == pytest.approx([2.1 * number for number in range(calls)])
    assert rig.engine.tracks[make_target("p").key].calls == calls


@pytest.mark.parametrize(
    ("script", "starts", "outcome"),
    [
        pytest.param([throttled(), OK], [0, 1.1], "success", id="once, nothing readable: 1 s"),
        pytest.param([throttled(), throttled(), OK], [0, 1.1, 3.2], "success", id="twice: 1 s, 2 s"),
        pytest.param([throttled()], [0, 1.1, 3.2], "rate_limited", id="always: three calls in all"),
        pytest.param([throttled(7.0), OK], [0, 7.1], "success", id="what it asked for"),
        pytest.param([throttled(3600.0), OK], [0, 60.1], "success", id="capped"),
        pytest.param([throttled(0.0), OK], [0, 0.1], "success", id="at once"),
    ],
)
def test_a_429_is_asked_again(script: list[tuple[Answer, int | None]], starts: list[float], outcome: str) -> None:
    async def main() -> Rig:
        return await Rig(answers(*script)).batch([make_target("p")])

    rig = virtually(main())
    assert rig.starts("p") == pytest.approx(starts)
    assert rig.outcomes == {"p": [outcome]}


def test_a_429_pauses_its_namespace_and_says_so() -> None:
    called: list[str] = []

    def script(target: Target, _number: int) -> tuple[Answer, int | None]:
        called.append(target.key.plugin)
        return throttled(5.0) if len(called) == 1 else OK

    async def main() -> Rig:
        return await Rig(script, concurrency=1).batch(many(6, 2))

    rig = virtually(main())
    first, paused = called[0], rig.plugins.calls[0][0].namespace
    assert rig.events.named("limits.throttled") == [
        {"namespace": paused, "plugin": first, "paused": "namespace", "wait_s": 5.0}
    ]
    assert all(at >= 5.1 for key, at in rig.plugins.calls[1:] if key.namespace == paused)
    assert all(at < 1.0 for key, at in rig.plugins.calls if key.namespace != paused)
    assert rig.held_s[Limit.PAUSE] == pytest.approx(5.0, abs=0.2)


def test_one_plugin_that_always_says_429_does_not_freeze_the_fleet() -> None:
    def script(target: Target, _number: int) -> tuple[Answer, int | None]:
        return throttled() if target.key.plugin == "p0" else OK

    async def main() -> tuple[Rig, float]:
        rig = Rig(script, concurrency=5)
        await rig.batch(many(100, 10))
        return rig, now()

    rig, took_s = virtually(main())
    assert rig.outcomes == {f"p{number}": [Outcome.SUCCESS] for number in range(100)} | {"p0": [Outcome.RATE_LIMITED]}
    assert max(at for key, at in rig.plugins.calls if key.namespace != "ns0") < 3.0
    assert took_s < 10.0
    assert {fields["paused"] for fields in rig.events.named("limits.throttled")} == {"namespace"}


def test_429s_of_two_namespaces_pause_everything_and_then_one_call_goes_first() -> None:
    def script(target: Target, number: int) -> tuple[Answer, int | None]:
        return throttled(4.0) if number == 0 and target.key.namespace in ("ns0", "ns1") else OK

    async def main() -> Rig:
        return await Rig(script, concurrency=6, takes_s=0.5).batch(many(40, 4))

    rig = virtually(main())
    assert "everything" in [fields["paused"] for fields in rig.events.named("limits.throttled")]
    assert {tuple(found) for found in rig.outcomes.values()} == {(Outcome.SUCCESS,)}
    later = sorted(at for _, at in rig.plugins.calls if at > 0.6)
    assert later[0] >= 4.5
    assert later[1] >= later[0] + 0.5


def test_one_slow_namespace_holds_up_no_other() -> None:
    def takes_s(target: Target) -> float:
        return 10.0 if target.key.namespace == "ns0" else 0.1

    async def main() -> Rig:
        return await Rig(takes_s=takes_s, concurrency=10, namespace_concurrency=2).batch(many(200, 10))

    rig = virtually(main())
    assert max(at for key, at in rig.plugins.calls if key.namespace != "ns0") < 3.0  # 180 calls of 0.1 s, 8 at once
    slow = [at for key, at in rig.plugins.calls if key.namespace == "ns0"]
    assert slow == pytest.approx([10.0 * (number // 2) for number in range(20)], abs=0.2)
    assert rig.held_s[Limit.NAMESPACE_CONCURRENCY] > 0


@pytest.mark.parametrize("concurrency", [2, 4])
def test_one_slow_namespace_never_has_every_call_in_flight(concurrency: int) -> None:
    def takes_s(target: Target) -> float:
        return 2.0 if target.key.namespace == "slow" else 0.001

    targets = [make_target(f"s{number}", "slow") for number in range(12)]
    targets += [make_target(f"f{number}", "fast") for number in range(40)]

    async def main() -> tuple[Rig, float]:
        rig = Rig(takes_s=takes_s, concurrency=concurrency)
        return await rig.batch(targets), now()

    rig, took_s = virtually(main())
    assert max(at for key, at in rig.plugins.calls if key.namespace == "fast") < 0.1
    # when the others are done it may have all there is
    alone = concurrency if concurrency == 2 else concurrency - 1
    assert took_s <= 2.0 * (12 / alone + 1) + 0.1
    assert rig.plugins.most_inflight == concurrency


def test_a_namespace_alone_has_every_call() -> None:
    async def main() -> tuple[Rig, float]:
        return await Rig(takes_s=1.0, concurrency=2).batch(many(10)), now()

    assert virtually(main())[1] == pytest.approx(5.0, abs=0.01)


def test_a_connection_that_was_dead_is_asked_again_on_a_new_one_within_the_limits() -> None:
    async def main() -> Rig:
        rig = Rig(rate=Rate(count=1, period_s=1.0), concurrency=2)
        rig.plugins.dead = frozenset({0})
        return await rig.batch([make_target("a"), make_target("b")])

    rig = virtually(main())
    assert rig.outcomes == {"a": [Outcome.SUCCESS], "b": [Outcome.SUCCESS]}
    assert rig.attempts == [2, 2], "every call counts"
    assert rig.plugins.fresh_calls == 2
    assert most_in([at for _, at in rig.plugins.calls], 1.0) == 1


def test_a_probe_that_met_a_dead_connection_stays_off_the_kept_ones() -> None:
    """No call is repeated twice for that: another dead one would leave it without a result."""

    async def main() -> Rig:
        rig = Rig(script=lambda _target, _number: (refusal(), 500), rechecks=1)
        rig.plugins.dead = frozenset({0, 2})
        return await rig.batch([make_target("a")])

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"a": [Outcome.SERVER_ERROR]}, [3])


@pytest.mark.parametrize("stopped", [True, False])
def test_a_dead_connection_that_cannot_be_asked_again_proves_nothing(stopped: bool) -> None:
    async def main() -> Rig:
        rig = Rig(takes_s=0.5)
        rig.plugins.dead = frozenset({0})
        if stopped:
            rig.later(0.1, rig.engine.stop)
        return await rig.batch([make_target("a")], None if stopped else 0.1)

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"a": [Outcome.SKIPPED]}, [1])


def test_a_stop_while_a_dead_connection_waits_to_be_asked_again_proves_nothing() -> None:
    async def main() -> Rig:
        rig = Rig(rate=Rate(count=1, period_s=60.0))
        rig.plugins.dead = frozenset({0})
        rig.later(1.0, rig.engine.stop)
        return await rig.batch([make_target("a")])

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"a": [Outcome.SKIPPED]}, [1])


def test_a_worker_that_waits_keeps_no_reply() -> None:
    """It may be a hundred megabytes, and they may all have one."""

    def kept() -> int:
        return sum(isinstance(thing, Probe) for thing in gc.get_objects())

    async def main() -> list[int]:
        rig, found = Rig(takes_s=lambda target: 5.0 if target.key.plugin == "p0" else 0.1, concurrency=4), list[int]()
        for at in (0.05, 1.0):
            rig.later(at, lambda: found.append(kept()))
        await rig.batch(many(4))
        return found

    before = kept()
    busy, idle = virtually(main())
    assert (busy - before, idle - before) == (4, 1)


def test_a_bug_in_what_is_remembered_is_an_outcome_and_the_batch_goes_on() -> None:
    async def main() -> Rig:
        rig = Rig(script=lambda target, _number: (reply(inference_name=7 if target.key.plugin == "p0" else "x"), 200))
        return await rig.batch(many(3))

    rig = virtually(main())
    assert rig.outcomes["p0"] == [Outcome.INTERNAL_ERROR]
    assert rig.outcomes["p1"] == rig.outcomes["p2"] == [Outcome.SUCCESS]


def test_a_reload_that_lifts_a_limit_frees_what_it_held() -> None:
    async def main() -> Rig:
        rig = Rig(namespace_rate=Rate(count=1, period_s=3600.0), concurrency=5)
        rig.later(1.0, rig.engine.replace_terms, make_terms(concurrency=5))
        rig.later(5.0, rig.engine.stop)
        return await rig.batch(many(5))

    rig = virtually(main())
    assert {outcome for found in rig.outcomes.values() for outcome in found} == {Outcome.SUCCESS}


@pytest.mark.parametrize(
    ("new_key", "script", "outcome", "calls"),
    [
        pytest.param(True, [REFUSED, OK], "success", 2, id="a new key that works"),
        pytest.param(True, [REFUSED], "unauthorized", 2, id="a new key that does not"),
        pytest.param(False, [REFUSED, OK], "unauthorized", 1, id="no new key"),
    ],
)
def test_a_401_is_repeated_once_with_a_changed_key(
    new_key: bool, script: list[tuple[Answer, int | None]], outcome: str, calls: int
) -> None:
    async def main() -> Rig:
        rig = Rig(answers(*script))
        rig.new_key = new_key
        return await rig.batch([make_target("p")])

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"p": [outcome]}, [calls])


@pytest.mark.parametrize(
    ("stalled", "outcome", "calls"),
    [
        pytest.param(1, "success", 2, id="once"),
        pytest.param(2, "success", 3, id="twice"),
        pytest.param(9, "prober_stalled", 3, id="for ever"),
    ],
)
def test_a_stalled_probe_is_asked_again_at_once(stalled: int, outcome: str, calls: int) -> None:
    done = 0

    async def wrap(call: Awaitable[Exchange]) -> Exchange:
        nonlocal done
        done += 1
        return (await call)._replace(lost_s=5.0 if done <= stalled else 0.0)

    def script(_target: Target, number: int) -> tuple[Answer, int | None]:
        return (no_reply(), None) if number < stalled else OK

    async def main() -> Rig:
        return await Rig(script, wrap=wrap).batch([make_target("p")])

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"p": [outcome]}, [calls])
    assert rig.starts("p") == pytest.approx([0.1 * number for number in range(calls)])


def test_what_waits_to_be_asked_again_holds_no_place() -> None:
    def script(target: Target, _number: int) -> tuple[Answer, int | None]:
        return BROKEN if target.key.plugin == "p0" else OK

    async def main() -> tuple[Rig, float]:
        rig = Rig(script, concurrency=1, rechecks=1)
        await rig.batch(many(15))
        return rig, now()

    rig, took_s = virtually(main())
    assert rig.outcomes["p0"] == [Outcome.SERVER_ERROR]
    assert took_s < 3.7  # 16 calls of 0.1 s, and at most the wait of 2 s beside them


def test_a_stop_while_a_probe_waits_to_be_asked_again_reports_what_it_came_to() -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig(answers(BROKEN), rechecks=1)
        rig.later(1.0, rig.engine.stop)
        await rig.batch([make_target("p")])
        return rig, now()

    rig, took_s = virtually(main())
    assert (rig.outcomes, rig.attempts, took_s) == ({"p": [Outcome.SERVER_ERROR]}, [1], 1.0)


def test_after_a_stop_nothing_is_asked_again() -> None:
    async def main() -> Rig:
        rig = Rig(answers(BROKEN), rechecks=3, takes_s=2.0)
        rig.later(1.0, rig.engine.stop)
        return await rig.batch([make_target("p")])

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"p": [Outcome.SERVER_ERROR]}, [1])


def test_a_second_call_that_is_cut_off_proves_nothing_and_is_counted() -> None:
    async def main() -> Rig:
        rig = Rig(answers(BROKEN), rechecks=1, takes_s=2.0, grace_s=0.5)
        rig.later(4.5, rig.engine.stop)
        return await rig.batch([make_target("p")])

    rig = virtually(main())
    assert (rig.outcomes, rig.attempts) == ({"p": [Outcome.SKIPPED]}, [2])


@pytest.mark.parametrize(
    ("script", "outcome", "calls"),
    [
        pytest.param([OK], "skipped", 0, id="before its first call"),
        pytest.param([BROKEN], "server_error", 1, id="before its second"),
    ],
)
def test_a_stop_does_not_wait_for_the_hard_cap(
    script: list[tuple[Answer, int | None]], outcome: str, calls: int
) -> None:
    asked = 0

    async def hard_cap() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(1000.0 if asked > calls else 0.0)

    async def main() -> tuple[Rig, float]:
        rig = Rig(answers(*script), rechecks=1, hard_cap=hard_cap)
        rig.later(5.0, rig.engine.stop)
        await rig.batch([make_target("p")])
        return rig, now()

    rig, took_s = virtually(main())
    assert (rig.outcomes, rig.attempts, took_s) == ({"p": [outcome]}, [calls], 5.0)


# Our own bugs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("a bug"), id="an error"),
        pytest.param(asyncio.CancelledError("leaked"), id="a cancellation that nobody asked for"),
    ],
)
def test_a_bug_of_ours_is_an_outcome_and_the_batch_goes_on(error: BaseException) -> None:
    def script(target: Target, _number: int) -> tuple[Answer, int | None]:
        if target.key.plugin == "p3":
            raise error
        return OK

    async def main() -> Rig:
        return await Rig(script, concurrency=2).batch(many(10))

    rig = virtually(main())
    assert rig.outcomes == {f"p{number}": [Outcome.SUCCESS] for number in range(10)} | {"p3": [Outcome.INTERNAL_ERROR]}
    assert rig.events.named("worker.failed") == [{"exc_info": error, "target": "ns0/p3"}]
    assert rig.attempts == [1] * 10
    assert rig.engine.inflight == 0


# For ever -------------------------------------------------------------------------------------------------------------


def phase_s(target: Target) -> float:
    return fraction(target.key) * target.interval_s


def test_a_thousand_cycles_stand_at_their_phase_and_do_not_drift() -> None:
    targets = many(4, interval_s=60.0)

    async def main() -> Rig:
        return await Rig().forever(targets, 60.0 * 1001)

    rig = virtually(main())
    for target in targets:
        first, *cycles = rig.starts(target.key.plugin)
        assert first <= 30.0
        assert cycles[0] - first >= 30.0  # not on the heels of the first
        assert 999 <= len(cycles) <= 1001
        for number, at in enumerate(cycles):
            assert at == pytest.approx(cycles[0] + 60.0 * number, abs=1e-3)
        assert (cycles[-1] + EPOCH_S - phase_s(target) + 1) % 60.0 == pytest.approx(1.0, abs=1e-3)


def test_what_is_remembered_is_not_probed_anew_at_a_restart() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.engine.tracks = {make_target("old", interval_s=3600.0).key: Track(probes=1, last_probe_at=EPOCH_S - 60)}
        return await rig.forever([make_target("old", interval_s=3600.0), make_target("new", interval_s=3600.0)], 3600.0)

    rig = virtually(main())
    old = make_target("old", interval_s=3600.0)
    assert [(at + EPOCH_S) % 3600.0 for at in rig.starts("old")] == pytest.approx([phase_s(old)], abs=0.01)
    assert rig.starts("new")[0] < 30.0


def test_a_target_that_is_still_running_is_skipped_once_each_cycle() -> None:
    async def main() -> Rig:
        return await Rig(takes_s=lambda _target: 150.0).forever([make_target("p", interval_s=60.0)], 1800.0)

    rig = virtually(main())
    starts, outcomes = rig.starts("p"), Counter(rig.outcomes["p"])
    assert [b - a for a, b in pairwise(starts[1:])] == pytest.approx([180.0] * (len(starts) - 2))
    assert outcomes[Outcome.SKIPPED] == pytest.approx(2 * len(starts), abs=2)
    overruns = [item.result for item in rig.recorder.recorded if item.result.skipped is SkipReason.OVERRUN]
    assert len(overruns) == outcomes[Outcome.SKIPPED] - (
        rig.recorder.recorded[-1].result.skipped is SkipReason.SHUTDOWN
    )


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_wall_clock_that_jumps_changes_no_instant(jump_s: float) -> None:
    def starts(jumps: bool) -> list[float]:
        async def main() -> Rig:
            rig = Rig()

            def jump() -> None:
                rig.clock.wall_offset_s += jump_s

            if jumps:
                rig.later(200.0, jump)
            return await rig.forever(many(3), 900.0)

        rig = virtually(main())
        assert {outcome for found in rig.outcomes.values() for outcome in found} == {Outcome.SUCCESS}
        return [at for _, at in rig.plugins.calls]

    assert starts(jumps=True) == starts(jumps=False)


def test_cycles_that_were_slept_through_are_one() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.later(200.0, freeze, 600.0)
        return await rig.forever(many(5, interval_s=60.0), 1100.0)

    rig = virtually(main())
    for target in many(5, interval_s=60.0):
        starts = rig.starts(target.key.plugin)
        assert [at for at in starts if 200.0 <= at <= 800.0] == [800.0]
        after = [at for at in starts if at > 800.0]
        assert [(at + EPOCH_S) % 60.0 for at in after] == pytest.approx([phase_s(target)] * len(after), abs=0.01)
        assert len(after) == 5


def test_the_heartbeat_shows_that_the_dispatcher_lives() -> None:
    beats = []

    async def main() -> None:
        rig = Rig()
        for second in range(1, 100):
            rig.later(float(second), lambda: beats.append(rig.clock.wall() - (rig.engine.heartbeat_at or 0.0)))
        await rig.forever([make_target(interval_s=3600.0)], 100.0)

    virtually(main())
    assert len(beats) == 99
    assert max(beats) <= HEARTBEAT_S + 0.01


def test_a_daemon_without_targets_waits_for_some() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.later(100.0, rig.engine.replace_targets, [make_target("p")])
        return await rig.forever([], 300.0)

    rig = virtually(main())
    assert 100.0 <= rig.starts("p")[0] < 130.0


# Reload ---------------------------------------------------------------------------------------------------------------


def test_a_target_that_is_added_is_probed_soon_and_the_others_keep_their_phase() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.later(100.0, rig.engine.replace_targets, many(4))
        return await rig.forever(many(3), 600.0)

    async def alone() -> Rig:
        return await Rig().forever(many(3), 600.0)

    rig, undisturbed = virtually(main()), virtually(alone())
    assert 100.0 <= rig.starts("p3")[0] < 130.0
    for plugin in ("p0", "p1", "p2"):
        assert rig.starts(plugin) == undisturbed.starts(plugin)
    assert rig.recorder.forgotten == []


@pytest.mark.parametrize(
    ("script", "takes_s", "removed_at", "concurrency"),
    [
        pytest.param([OK], 0.1, 100.0, 5, id="between two cycles"),
        pytest.param([OK], 40.0, 35.0, 5, id="in flight"),
        pytest.param([BROKEN], 10.0, 35.0, 5, id="in flight and failing"),
        pytest.param([throttled(50.0)], 0.1, 35.0, 5, id="waiting to be asked again"),
        pytest.param([OK], 40.0, 35.0, 1, id="waiting for a place"),
    ],
)
def test_a_target_that_is_removed_is_forgotten_and_its_result_dropped(
    script: list[tuple[Answer, int | None]], takes_s: float, removed_at: float, concurrency: int
) -> None:
    targets = many(3)

    async def main() -> tuple[Rig, list[int]]:
        rig, seen = Rig(answers(*script), takes_s=takes_s, concurrency=concurrency, rechecks=1), list[int]()

        def remove() -> None:
            rig.engine.replace_targets(targets[:1])
            seen.append(len(rig.recorder.recorded))

        rig.later(removed_at, remove)
        await rig.forever(targets, 400.0)
        return rig, seen

    rig, (before,) = virtually(main())
    assert sorted(key.plugin for key in rig.recorder.forgotten) == ["p1", "p2"]
    assert {item.result.target.key.plugin for item in rig.recorder.recorded[before:]} == {"p0"}
    assert [key.plugin for key in rig.engine.tracks] == ["p0"]
    assert {key.plugin for key, at in rig.plugins.calls if at > removed_at} == {"p0"}


def test_a_target_that_comes_back_while_its_call_is_in_flight_starts_anew() -> None:
    target = make_target("p", interval_s=60.0)

    async def main() -> Rig:
        rig = Rig(answers(BROKEN, OK), takes_s=lambda _target: 25.0)
        rig.later(31.0, rig.engine.replace_targets, [])
        rig.later(32.0, rig.engine.replace_targets, [target])
        return await rig.forever([target], 200.0)

    rig = virtually(main())
    assert rig.starts("p")[0] < 31.0 < rig.starts("p")[0] + 25.0
    assert Outcome.SERVER_ERROR not in rig.outcomes["p"]
    assert rig.engine.tracks[target.key].failures == 0
    instants = [item.result.exchange.started_at for item in rig.recorder.recorded if item.result.exchange]
    assert len(instants) == len(set(instants))


def test_a_429_for_a_target_that_has_left_pauses_its_namespace_too() -> None:
    stays, leaves = make_target("stays", interval_s=5.0), make_target("leaves", interval_s=600.0)

    async def main() -> Rig:
        rig = Rig(
            lambda target, _number: throttled(40.0) if target == leaves else OK,
            takes_s=lambda target: 25.0 if target == leaves else 0.1,
        )
        rig.later(31.0, rig.engine.replace_targets, [stays])
        return await rig.forever([stays, leaves], 200.0)

    rig = virtually(main())
    told_at = rig.starts("leaves")[0] + 25.0
    assert rig.starts("leaves")[0] < 31.0 < told_at
    assert [at for at in rig.starts("stays") if told_at < at < told_at + 40.0] == []
    assert [at for at in rig.starts("stays") if at > told_at + 40.0]


def test_a_target_that_comes_back_while_it_was_to_be_asked_again_is_not_asked_twice() -> None:
    target = make_target("p", interval_s=600.0)

    async def main() -> Rig:
        rig = Rig(answers(throttled(40.0), OK))
        rig.later(30.0, rig.engine.replace_targets, [])
        rig.later(30.5, rig.engine.replace_targets, [target])
        return await rig.forever([target], 200.0)

    rig = virtually(main())
    assert len(rig.starts("p")) == 2
    assert (rig.outcomes, rig.attempts) == ({"p": [Outcome.SUCCESS]}, [1])


def test_a_reload_during_the_grace_that_removes_what_is_in_flight_ends_the_run() -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig(takes_s=30.0, grace_s=10.0)
        rig.later(37.0, rig.engine.replace_targets, [])
        await rig.forever([make_target("p")], 35.0)
        return rig, now()

    rig, ended_at = virtually(main())
    assert (rig.recorder.recorded, ended_at) == ([], 37.0)


def test_an_interval_that_changes_takes_its_own_phase() -> None:
    slow, fast = make_target("p", interval_s=600.0), make_target("p", interval_s=50.0)

    async def main() -> Rig:
        rig = Rig()
        rig.later(1000.0, rig.engine.replace_targets, [fast])
        return await rig.forever([slow], 1500.0)

    rig = virtually(main())
    after = [at for at in rig.starts("p") if at >= 1000.0]
    assert len(after) == 10
    assert [(at + EPOCH_S) % 50.0 for at in after] == pytest.approx([phase_s(fast)] * 10, abs=0.01)


def test_what_waits_is_called_on_the_new_terms_of_its_target() -> None:
    seen: list[float] = []

    def takes_s(target: Target) -> float:
        seen.append(target.timeout_s)
        return 5.0

    async def main() -> Rig:
        rig = Rig(takes_s=takes_s, concurrency=1)
        rig.later(30.5, rig.engine.replace_targets, many(12, timeout_s=3.0))
        return await rig.forever(many(12, timeout_s=2.0), 80.0)

    virtually(main())
    assert seen == sorted(seen)
    assert set(seen) == {2.0, 3.0}


def test_new_terms_keep_the_caps() -> None:
    rate = Rate(count=5, period_s=1.0)

    async def main() -> Rig:
        rig = Rig(takes_s=0.7, rate=rate, concurrency=4)
        for number in range(1, 60):
            terms = make_terms(rate=rate, concurrency=4)
            rig.later(number * 0.31, rig.engine.replace_terms, terms)
        return await rig.batch(many(80, 7))

    rig = virtually(main())
    assert most_in([at for _, at in rig.plugins.calls], 1.0) <= 5
    assert rig.plugins.most_inflight <= 4
    assert len(rig.recorder.recorded) == 80
    assert rig.engine.inflight == 0


def test_new_terms_hold_at_once() -> None:
    async def main() -> tuple[Rig, ScriptedPlugins, ScriptedPlugins]:
        rig, other = Rig(concurrency=1, takes_s=10.0), Rig(takes_s=0.1)
        before, after = rig.plugins, other.plugins

        def replace_all() -> None:
            rig.plugins = after  # as a reload exchanges the client behind the connection
            rig.engine.replace_terms(make_terms(concurrency=50))

        rig.later(15.0, replace_all)
        await rig.batch(many(10))
        return rig, before, after

    rig, before, after = virtually(main())
    assert (len(before.calls), len(after.calls)) == (2, 8)
    assert {at for _, at in after.calls} == {15.0}
    assert len(rig.recorder.recorded) == 10


def test_limits_that_hold_calls_back_are_told_for_how_long() -> None:
    async def main() -> Rig:
        return await Rig(takes_s=1.0, concurrency=1, rate=Rate(count=1, period_s=1.0)).batch(many(5))

    rig = virtually(main())
    assert rig.held_s[Limit.CONCURRENCY] == pytest.approx(4.0, abs=0.01)
    assert rig.held_s[Limit.RATE] == pytest.approx(4 * 0.05, abs=0.01)
    assert not math.isnan(rig.held_s.total())


# Out of turn ----------------------------------------------------------------------------------------------------------


def test_a_target_may_be_probed_out_of_turn() -> None:
    target = make_target("p", interval_s=3600.0)

    async def main() -> tuple[Rig, float]:
        rig = Rig()
        running = asyncio.create_task(rig.forever([target], 1000.0))
        await asyncio.sleep(500.0)
        await rig.engine.probe_now(target.key)
        told_at = now()
        await running
        return rig, told_at

    rig, told_at = virtually(main())
    assert told_at == pytest.approx(500.1)
    assert 500.0 in rig.starts("p")
    assert len(rig.outcomes["p"]) == len(rig.starts("p"))


def test_several_who_ask_share_one_probe() -> None:
    target = make_target("p", interval_s=3600.0)

    async def main() -> Rig:
        rig = Rig(takes_s=5.0)
        running = asyncio.create_task(rig.forever([target], 1000.0))
        await asyncio.sleep(500.0)
        await asyncio.gather(*(rig.engine.probe_now(target.key) for _ in range(3)))
        await running
        return rig

    assert virtually(main()).starts("p").count(500.0) == 1


@pytest.mark.parametrize(
    ("takes_s", "ask_at", "told_at", "starts"),
    [
        pytest.param(5.0, 500.0, 501.0, 1, id="in flight"),
        pytest.param(0.1, 500.0, 500.1, 1, id="it has ended"),
    ],
)
def test_who_waits_for_a_target_that_leaves_is_told(takes_s: float, ask_at: float, told_at: float, starts: int) -> None:
    target = make_target("p", interval_s=3600.0)

    async def main() -> tuple[Rig, float]:
        rig = Rig(takes_s=takes_s)
        rig.later(501.0, rig.engine.replace_targets, [])
        running = asyncio.create_task(rig.forever([target], 1000.0))
        await asyncio.sleep(ask_at)
        await rig.engine.probe_now(target.key)
        ended_at = now()
        await running
        return rig, ended_at

    rig, ended_at = virtually(main())
    assert ended_at == pytest.approx(told_at)
    assert len([at for at in rig.starts("p") if at >= ask_at]) == starts


def test_a_probe_out_of_turn_joins_one_that_is_under_way() -> None:
    target = make_target("p", interval_s=60.0)

    async def main() -> tuple[Rig, float]:
        rig = Rig(takes_s=20.0)
        running = asyncio.create_task(rig.forever([target], 200.0))
        await asyncio.sleep(30.0)  # the first round is over, its call is not
        assert rig.plugins.inflight == 1
        await rig.engine.probe_now(target.key)
        ended_at = now()
        await running
        return rig, ended_at

    rig, ended_at = virtually(main())
    assert ended_at == pytest.approx(rig.starts("p")[0] + 20.0)


def test_a_target_that_leaves_while_it_waits_for_the_hard_cap_is_not_called() -> None:
    async def hard_cap() -> None:
        await asyncio.sleep(20.0)

    async def main() -> Rig:
        rig = Rig(hard_cap=hard_cap)
        rig.later(20.0, rig.engine.replace_targets, [])
        rig.later(300.0, rig.engine.replace_targets, [make_target("q")])
        return await rig.forever([make_target("p")], 400.0)

    rig = virtually(main())
    assert rig.starts("p") == []
    assert len(rig.starts("q")) >= 1


# Whatever happens -----------------------------------------------------------------------------------------------------

ANSWERS: list[tuple[Answer, int | None]] = [
    OK,
    BROKEN,
    REFUSED,
    (refusal(), 404),
    (refusal(error_code="model_warming"), 503),
    throttled(),
    throttled(3.0),
    (no_reply(), None),
    (reply(status="error"), 200),
]
durations = st.sampled_from([0.0, 0.05, 0.3, 2.0, 9.0])
RAISES = -1


@st.composite
def scripts(draw: st.DrawFn) -> dict[str, list[tuple[int, float]]]:
    """For each of up to eight plugins, some calls: which answer, after how long."""
    call = st.tuples(st.sampled_from([*range(len(ANSWERS)), RAISES]), durations)
    return {f"p{number}": draw(st.lists(call, min_size=1, max_size=4)) for number in range(draw(st.integers(1, 8)))}


class Checked(Rig):
    """A rig on a drawn script, which checks what must always hold."""

    def __init__(self, script: dict[str, list[tuple[int, float]]], **terms: Any) -> None:
        self._calls = Counter[str]()
        self.strays: list[str] = []

        def takes_s(target: Target) -> float:
            calls = script.get(target.key.plugin, [(0, 0.1)])
            self._calls[target.key.plugin] += 1
            return calls[(self._calls[target.key.plugin] - 1) % len(calls)][1]

        def answer(target: Target, number: int) -> tuple[Answer, int | None]:
            calls = script.get(target.key.plugin, [(0, 0.1)])
            which = calls[number % len(calls)][0]
            if which == RAISES:
                raise ValueError("a bug")
            return ANSWERS[which]

        super().__init__(answer, takes_s, **terms)
        inner = self.recorder.record

        def record(recorded: Any) -> None:
            if recorded.result.target.key not in self.engine.targets:
                self.strays.append(str(recorded.result.target.key))
            inner(recorded)

        self.recorder.record = record  # type: ignore[method-assign]  # a watch on a fake

    def check(self, rate: Rate, concurrency: int) -> None:
        assert self.strays == []
        assert self.plugins.most_inflight <= concurrency
        assert most_in([at for _, at in self.plugins.calls], rate.period_s) <= rate.count
        assert (self.engine.inflight, self.plugins.inflight) == (0, 0)
        results = [recorded.result for recorded in self.recorder.recorded]
        seen = [id(result.exchange) for result in results if result.exchange]  # two may begin in the same instant
        assert len(seen) == len(set(seen))


@settings(deadline=None)
@given(
    script=scripts(),
    rate=st.sampled_from([Rate(count=1, period_s=1.0), Rate(count=7, period_s=1.0), FAST]),
    concurrency=st.integers(1, 4),
    namespace_concurrency=st.none() | st.integers(1, 2),
    rechecks=st.integers(0, 2),
    grace_s=st.sampled_from([0.0, 1.0, 20.0]),
    deadline_s=st.none() | st.floats(0, 20),
    stop_s=st.none() | st.floats(0, 20),
    new_terms_s=st.none() | st.floats(0, 10),
)
def test_a_batch_ends_with_one_result_for_each_target_whatever_happens(
    script: dict[str, list[tuple[int, float]]],
    rate: Rate,
    concurrency: int,
    namespace_concurrency: int | None,
    rechecks: int,
    grace_s: float,
    deadline_s: float | None,
    stop_s: float | None,
    new_terms_s: float | None,
) -> None:
    terms: dict[str, Any] = {
        "rate": rate,
        "concurrency": concurrency,
        "namespace_concurrency": namespace_concurrency,
        "rechecks": rechecks,
        "grace_s": grace_s,
    }
    targets = [make_target(plugin, f"ns{number % 3}") for number, plugin in enumerate(script)]

    async def main() -> tuple[Checked, float]:
        rig = Checked(script, **terms)
        if stop_s is not None:
            rig.later(stop_s, rig.engine.stop)
        if new_terms_s is not None:
            rig.later(new_terms_s, lambda: rig.engine.replace_terms(make_terms(**terms)))
        await rig.batch(targets, deadline_s=deadline_s)
        return rig, now()

    rig, took_s = virtually(main())
    rig.check(rate, concurrency)
    assert Counter(item.result.target.key for item in rig.recorder.recorded) == {item.key: 1 for item in targets}
    assert sum(rig.attempts) == len(rig.plugins.calls) == sum(track.calls for track in rig.engine.tracks.values())
    ends = [at for at in (deadline_s, stop_s) if at is not None]
    assert took_s <= (min(ends) + grace_s + 0.001 if ends else 1000.0)


reloads = st.lists(st.tuples(st.floats(0, 60), st.sets(st.integers(0, 7)), st.sampled_from([5.0, 20.0])), max_size=4)


@settings(deadline=None)
@given(script=scripts(), reload_at=reloads, rechecks=st.integers(0, 1), stop_s=st.floats(0.1, 80), frozen_s=durations)
def test_a_daemon_keeps_its_books_through_any_reload_and_ends_when_told(
    script: dict[str, list[tuple[int, float]]],
    reload_at: list[tuple[float, set[int], float]],
    rechecks: int,
    stop_s: float,
    frozen_s: float,
) -> None:
    rate = Rate(count=5, period_s=1.0)
    terms: dict[str, Any] = {"concurrency": 3, "rechecks": rechecks, "grace_s": 2.0}

    async def main() -> tuple[Checked, float]:
        rig = Checked(script, rate=rate, **terms)
        for at, numbers, interval_s in reload_at:
            chosen = [make_target(f"p{number}", f"ns{number % 3}", interval_s=interval_s) for number in numbers]
            rig.later(at, rig.engine.replace_targets, chosen)
            rig.later(at, lambda: rig.engine.replace_terms(make_terms(rate, **terms)))
        rig.later(20.0, freeze, frozen_s)
        await rig.forever(
            [make_target(plugin, f"ns{n % 3}", interval_s=10.0) for n, plugin in enumerate(script)], stop_s
        )
        return rig, now()

    rig, ended_at = virtually(main())
    rig.check(rate, 3)
    assert stop_s <= ended_at <= stop_s + 2.0 + frozen_s + 0.001
    assert rig.engine.tracks.keys() == rig.engine.targets.keys()
    assert sum(track.calls for track in rig.engine.tracks.values()) <= len(rig.plugins.calls)
    for key in rig.engine.targets:
        mine = [item.track for item in rig.recorder.recorded if item.result.target.key == key]
        assert not mine or mine[-1] == rig.engine.tracks[key] or key in rig.recorder.forgotten

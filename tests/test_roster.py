"""The list exchanged in steps while an engine probes: whole at every step, and nothing lost between them."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from tests.fakes import make_target, virtually
from tests.rig import Rig
from worker.core.outcome import Outcome
from worker.core.result import SkipReason
from worker.core.target import Target
from worker.core.track import Track
from worker.roster import replacing


def many(numbers: Iterable[int], interval_s: float = 20.0) -> list[Target]:
    return [make_target(f"p{number}", f"ns{number % 3}", interval_s=interval_s) for number in numbers]


async def slowly(rig: Rig, targets: Sequence[Target]) -> None:
    """Probes go on between any two steps."""
    for _ in replacing(rig.engine, targets):
        await asyncio.sleep(0.05)


def test_what_is_the_same_object_is_neither_given_out_nor_scheduled_again() -> None:
    old = many(range(5))

    async def main() -> None:
        rig = Rig()
        rig.engine.replace_targets(old)
        due = dict(rig.engine.agenda.next_due_at)
        new = [*old[:3], replace(old[3], interval_s=5.0), replace(old[4], timeout_s=1.0), *many([9])]
        given = [target for target in replacing(rig.engine, new) if target]
        assert given == new[3:]
        changed = {key for key, at in rig.engine.agenda.next_due_at.items() if due.get(key) != at}
        assert changed == {new[3].key, new[5].key}
        assert list(rig.engine.targets.values()) == new

    virtually(main())


def test_the_new_list_counts_as_a_whole_when_those_that_leave_are_gone() -> None:
    old, new = many(range(10)), many(range(5, 15), interval_s=30.0)

    async def main() -> None:
        rig = Rig()
        rig.engine.replace_targets(old)
        lists: list[list[Target]] = []
        for _ in replacing(rig.engine, new):
            listed = rig.engine.targets
            assert listed.keys() <= rig.engine.tracks.keys()
            if not lists or lists[-1] != list(listed.values()):
                lists.append(list(listed.values()))
        assert lists == [*(old[gone:] for gone in range(6)), new]
        assert rig.engine.tracks.keys() == rig.engine.targets.keys()
        assert sorted(rig.recorder.forgotten) == sorted(target.key for target in old[:5])

    virtually(main())


@pytest.mark.parametrize("takes_s", [0.1, 7.0])
def test_probes_go_on_while_the_list_is_exchanged(takes_s: float) -> None:
    """Slow plugins have calls in flight when they leave, change and come back."""
    lists = [many(range(60)), many(range(30, 90)), many(range(60), interval_s=10.0), many(range(20))]

    async def main() -> Rig:
        rig = Rig(takes_s=takes_s, concurrency=20)
        running = asyncio.create_task(rig.forever(lists[0], 200.0))
        await asyncio.sleep(25.0)
        for targets in lists[1:]:
            await slowly(rig, targets)
            await asyncio.sleep(15.0)
        return await running

    rig = virtually(main())
    assert rig.events.named("worker.failed") == []
    assert list(rig.engine.targets.values()) == lists[-1]
    assert rig.engine.tracks.keys() == rig.engine.targets.keys()
    assert all(track.outcome is Outcome.SUCCESS for track in rig.engine.tracks.values())
    for plugin in ("p0", "p19"):
        starts = [at for at in rig.starts(plugin) if at > 120.0]
        assert len(starts) >= 3, "it goes on at its interval"
    assert all(after - before >= takes_s for before, after in zip(rig.starts("p0"), rig.starts("p0")[1:], strict=False))


def test_a_new_target_is_probed_although_others_are_still_being_scheduled() -> None:
    async def main() -> Rig:
        rig = Rig()
        running = asyncio.create_task(rig.forever([], 100.0))
        await asyncio.sleep(1.0)
        await slowly(rig, many(range(800), interval_s=1000.0))  # takes more than 80 s
        return await running

    rig = virtually(main())
    first = min(at for _, at in rig.plugins.calls)
    assert first < 50.0
    lateness = [item.result.lateness_s for item in rig.recorder.recorded]
    assert all(late is not None and late < 0.1 for late in lateness), "the dispatcher is woken for each"


def test_a_stop_in_the_middle_ends_cleanly() -> None:
    async def main() -> Rig:
        rig = Rig(takes_s=3.0)
        running = asyncio.create_task(rig.forever(many(range(20)), 40.0))
        await asyncio.sleep(39.0)
        exchanging = asyncio.create_task(slowly(rig, many(range(10, 600))))
        await running
        ended_at = asyncio.get_running_loop().time()
        assert ended_at <= 43.0 + 0.001
        assert not exchanging.done()
        await exchanging
        return rig

    rig = virtually(main())
    assert rig.engine.agenda.next_due_at == {}, "nothing is scheduled any more"
    skipped = [item.result.target.key.plugin for item in rig.recorder.recorded if item.result.skipped]
    assert all(int(plugin[1:]) < 20 for plugin in skipped)
    assert {item.result.skipped for item in rig.recorder.recorded} <= {None, SkipReason.SHUTDOWN}


def test_a_target_that_is_known_from_before_keeps_its_phase() -> None:
    """What a memory restored: it needs no early first probe."""
    target = make_target("p", interval_s=3600.0)

    async def main() -> None:
        rig = Rig()
        rig.engine.tracks[target.key] = Track(last_probe_at=rig.clock.wall() - 60.0)
        rig.engine.replace_targets([target])
        due_at = rig.engine.agenda.next_due_at[target.key]
        rig.engine.agenda.schedule(target, rig.clock.now())
        assert rig.engine.agenda.next_due_at[target.key] == due_at

    virtually(main())

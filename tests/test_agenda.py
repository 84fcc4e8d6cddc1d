"""What comes when: stable phases, no drift, nothing twice."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import EPOCH_S, FixedClock, make_target
from worker.agenda import Agenda
from worker.core.schedule import fraction, next_due
from worker.core.target import TargetKey
from worker.probe import Probe


class AnyClock:
    """A wall clock and a monotonic one that have nothing to do with each other."""

    def __init__(self, wall: float, now: float) -> None:
        self.at_wall, self.at = wall, now

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at_wall


def probe(plugin: str = "p") -> Probe:
    return Probe(target=make_target(plugin), due_at=0.0)


def taken(agenda: Agenda, now: float) -> list[tuple[TargetKey, float]]:
    return list(agenda.take_due(now))


def test_phases_are_of_the_wall_clock_whenever_the_process_began() -> None:
    target = make_target(interval_s=60.0)
    walls = []
    for wall, now in ((EPOCH_S, 5.0), (EPOCH_S + 31.4, 1_000_000.0)):
        agenda = Agenda(AnyClock(wall, now))
        agenda.schedule(target, now)
        walls.append((agenda.next_due_at[target.key] - now + wall) % 60.0)
    assert walls[0] == pytest.approx(walls[1], abs=1e-4)
    assert walls[0] == pytest.approx(fraction(target.key) * 60.0, abs=1e-4)


def test_an_instant_comes_once_and_not_before_its_time() -> None:
    agenda, target = Agenda(FixedClock()), make_target()
    agenda.schedule(target, 0.0)
    due_at = agenda.next_due_at[target.key]
    assert agenda.next_at() == due_at
    assert taken(agenda, due_at - 0.001) == []
    assert taken(agenda, due_at) == [(target.key, due_at)]
    assert taken(agenda, due_at) == []
    assert agenda.next_at() == math.inf


def test_several_come_in_order() -> None:
    agenda = Agenda(FixedClock())
    targets = [make_target(f"p{number}") for number in range(50)]
    for target in targets:
        agenda.schedule(target, 0.0)
    found = taken(agenda, 60.0)
    assert len(found) == 50
    assert found == sorted(found, key=lambda item: item[1])


def test_a_target_may_be_scheduled_while_what_is_due_is_taken() -> None:
    agenda, target = Agenda(FixedClock()), make_target(interval_s=60.0)
    agenda.schedule(target, 0.0)
    count = 0
    for _, due_at in agenda.take_due(600.0):
        agenda.schedule(target, due_at)
        count += 1
    assert count == 10


def test_a_target_that_left_is_not_due() -> None:
    agenda, target = Agenda(FixedClock()), make_target()
    agenda.schedule(target, 0.0)
    agenda.forget(target.key)
    agenda.forget(target.key)
    assert taken(agenda, 1000.0) == []


def test_a_target_that_was_scheduled_anew_comes_at_its_new_instant_only() -> None:
    agenda = Agenda(FixedClock())
    agenda.schedule(make_target(interval_s=60.0), 0.0)
    agenda.schedule(make_target(interval_s=600.0), 100.0)
    key = make_target().key
    assert [found for found, _ in taken(agenda, 2000.0)] == [key]
    agenda.schedule(make_target(), 0.0)
    agenda.schedule(make_target(), 0.0)
    due_at = agenda.next_due_at[key]
    found = agenda.take_due(due_at)
    assert next(found) == (key, due_at)
    agenda.schedule(make_target(), due_at)
    assert list(found) == []


def test_a_new_target_is_due_soon() -> None:
    agenda, target = Agenda(FixedClock(1000.0)), make_target(interval_s=3600.0)
    agenda.schedule_first(target, targets=1, rate_per_s=1.0)
    assert 1000.0 <= agenda.next_due_at[target.key] < 1030.0


def test_what_is_left_of_targets_that_went_is_taken_out_while_the_others_go_on() -> None:
    agenda = Agenda(FixedClock())
    stay, leave = ([make_target(f"{name}{n}", interval_s=60.0) for n in range(1200)] for name in ("s", "l"))
    undisturbed = Agenda(FixedClock())
    for target in (*stay, *leave):
        agenda.schedule(target, 0.0)
    for target in stay:
        undisturbed.schedule(target, 0.0)
    assert list(agenda.tidying()) == [], "not worth while"
    for target in leave:
        agenda.schedule(target, 100.0)
        agenda.forget(target.key)
    agenda.forget(stay.pop().key)
    came: list[tuple[TargetKey, float]] = []
    for number, _ in enumerate(agenda.tidying()):
        for key, due_at in agenda.take_due(number / 10):
            came.append((key, due_at))
            agenda.schedule(make_target(key.plugin, interval_s=60.0), due_at)
        if number == 50:
            agenda.forget(stay.pop(0).key)
    assert len(agenda._due) < 2 * len(stay)
    came += taken(agenda, 1000.0)
    listed = {target.key for target in stay}
    once = taken(undisturbed, 1000.0)
    first = dict(reversed(came))
    assert {key: due_at for key, due_at in once if key in listed} == {key: first[key] for key in listed}
    assert len(came) == len(set(came)), "nothing comes twice"


def test_what_is_to_be_asked_again_comes_at_its_time_in_order() -> None:
    agenda = Agenda(FixedClock())
    late, one, two = probe("late"), probe("one"), probe("two")
    for item, at in ((late, 9.0), (one, 5.0), (two, 5.0)):
        agenda.ask_again(item, at)
    assert agenda.next_at() == 5.0
    assert list(agenda.take_again(4.9)) == []
    assert list(agenda.take_again(5.0)) == [one, two]
    assert list(agenda.take_again(100.0)) == [late]


def test_the_next_instant_is_of_either_kind() -> None:
    agenda, target = Agenda(FixedClock()), make_target()
    agenda.schedule(target, 0.0)
    due_at = agenda.next_due_at[target.key]
    agenda.ask_again(probe(), due_at - 1)
    assert agenda.next_at() == due_at - 1
    list(agenda.take_again(due_at))
    agenda.ask_again(probe(), due_at + 1)
    assert agenda.next_at() == due_at


def test_clearing_gives_back_what_waited() -> None:
    agenda, waiting = Agenda(FixedClock()), [probe("one"), probe("two")]
    agenda.schedule(make_target(), 0.0)
    for item in waiting:
        agenda.ask_again(item, 5.0)
    assert agenda.clear() == waiting
    assert (agenda.next_at(), agenda.next_due_at, list(agenda.take_again(9.0))) == (math.inf, {}, [])


def test_a_wall_clock_that_jumps_moves_nothing() -> None:
    clock, target = AnyClock(EPOCH_S, 0.0), make_target(interval_s=60.0)
    agenda = Agenda(clock)
    agenda.schedule(target, 0.0)
    first = agenda.next_due_at[target.key]
    for number, jump_s in enumerate((3600.0, -7200.0, 17.0), start=1):
        clock.at_wall += jump_s
        agenda.schedule(target, agenda.next_due_at[target.key])
        assert agenda.next_due_at[target.key] == pytest.approx(first + 60.0 * number, abs=1e-5)


@given(
    wall=st.floats(0, 1e6) | st.floats(1.6e9, 1.9e9) | st.floats(2.147e9, 2.148e9),
    now=st.floats(0, 1e7),
    interval_s=st.sampled_from([0.1, 0.3, 1.0, 7.0, 60.0, 300.0]),
    plugin=st.text(max_size=5),
)
def test_no_instant_comes_twice_or_is_left_out_whatever_the_clocks_say(
    wall: float, now: float, interval_s: float, plugin: str
) -> None:
    agenda, target = Agenda(AnyClock(wall, now)), make_target(plugin, interval_s=interval_s)
    agenda.schedule(target, now)
    due_at = first = agenda.next_due_at[target.key]
    for _ in range(50):
        agenda.schedule(target, due_at)
        assert agenda.next_due_at[target.key] - due_at == pytest.approx(interval_s, abs=1e-5)
        due_at = agenda.next_due_at[target.key]
    assert due_at == pytest.approx(first + 50 * interval_s, abs=1e-5)


def test_instants_are_those_of_the_pure_schedule() -> None:
    agenda, target = Agenda(FixedClock()), make_target(interval_s=60.0)
    agenda.schedule(target, 100.0)
    assert agenda.next_due_at[target.key] + EPOCH_S == next_due(target.key, 60.0, EPOCH_S + 100.0)

"""The stopwatch of a call: one phase at a time, and gaps that count nowhere."""

from worker.core.exchange import Phase, Phases
from worker.mixpeek.timeline import Timeline


class Hand:
    """Where the clock stands."""

    time_s = 0.0

    def now(self) -> float:
        return self.time_s


def test_phases_follow_one_another() -> None:
    hand = Hand()
    timeline = Timeline(hand.now)
    for phase in Phase:
        timeline.enter(phase)
        hand.time_s += 1.0
    timeline.leave()
    assert timeline.phases() == Phases(dns=1.0, connect=1.0, tls=1.0, send=1.0, wait=1.0, receive=1.0)


def test_a_phase_entered_twice_adds_up() -> None:
    """A host with two addresses, the first of which does not answer."""
    timeline = Timeline(Hand().now)
    timeline.enter(Phase.CONNECT, 0.0)
    timeline.enter(Phase.TLS, 2.0)
    timeline.enter(Phase.CONNECT, 5.0)
    timeline.leave(6.0)
    assert timeline.phases() == Phases(connect=3.0, tls=3.0)


def test_a_switched_phase_never_happened() -> None:
    hand = Hand()
    timeline = Timeline(hand.now)
    timeline.enter(Phase.CONNECT)
    timeline.switch(Phase.DNS)
    hand.time_s = 2.0
    timeline.leave()
    assert timeline.phases() == Phases(dns=2.0)
    assert timeline.phase is Phase.DNS


def test_a_gap_is_counted_nowhere() -> None:
    timeline = Timeline(Hand().now)
    timeline.enter(Phase.TLS, 0.0)
    timeline.leave(1.0)
    timeline.enter(Phase.SEND, 5.0)
    timeline.leave(6.0)
    assert timeline.phases() == Phases(tls=1.0, send=1.0)


def test_a_complete_call_ended_with_its_last_byte() -> None:
    """However long the call then waited for its turn on the loop."""
    hand = Hand()
    timeline = Timeline(hand.now)
    timeline.enter(Phase.RECEIVE, 1.0)
    timeline.arrived_at = 3.0
    hand.time_s = 9.0
    timeline.land(complete=True)
    assert timeline.phases() == Phases(receive=2.0)


def test_a_call_that_died_ended_when_it_died() -> None:
    hand = Hand()
    timeline = Timeline(hand.now)
    timeline.enter(Phase.RECEIVE, 1.0)
    timeline.arrived_at = 3.0
    hand.time_s = 9.0
    timeline.land(complete=False)
    assert timeline.phases() == Phases(receive=8.0)


def test_no_phase_is_negative() -> None:
    timeline = Timeline(Hand().now)
    timeline.enter(Phase.SEND, 2.0)
    timeline.enter(Phase.WAIT, 1.0)
    timeline.leave(3.0)
    assert timeline.phases() == Phases(send=0.0, wait=2.0)

"""The times of a call: one phase at a time, and gaps that count nowhere."""

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
    seen = []
    for phase in (Phase.DNS, Phase.CONNECT, Phase.TLS):
        timeline.enter(phase)
        seen.append(timeline.phase)
        hand.time_s += 1.0
    timeline.send()
    seen.append(timeline.phase)
    timeline.written_at = 4.0
    seen.append(timeline.phase)
    timeline.heard_at = 5.0
    seen.append(timeline.phase)
    timeline.arrived_at = 6.0
    timeline.land(complete=True)
    assert timeline.phases() == Phases(dns=1.0, connect=1.0, tls=1.0, send=1.0, wait=1.0, receive=1.0)
    assert seen == list(Phase)


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
    hand = Hand()
    timeline = Timeline(hand.now)
    timeline.enter(Phase.TLS, 0.0)
    timeline.leave(1.0)
    hand.time_s = 5.0
    timeline.send()
    hand.time_s = 6.0
    timeline.land(complete=False)
    assert timeline.phases() == Phases(tls=1.0, send=1.0)


def test_a_complete_call_ended_with_its_last_byte() -> None:
    """However long the call then waited for its turn on the loop."""
    timeline = heard(Hand())
    timeline.land(complete=True)
    assert timeline.phases() == Phases(send=0.0, wait=1.0, receive=2.0)


def test_a_call_that_died_ended_when_it_died() -> None:
    timeline = heard(Hand())
    timeline.land(complete=False)
    assert timeline.phases() == Phases(send=0.0, wait=1.0, receive=8.0)


def heard(hand: Hand) -> Timeline:
    """The head came after 1 s, the newest bytes after 3 s; now 9 s have gone."""
    timeline = Timeline(hand.now)
    timeline.send()
    timeline.written_at, timeline.heard_at, timeline.arrived_at = 0.0, 1.0, 3.0
    hand.time_s = 9.0
    return timeline


def test_a_reply_before_the_request_was_out_leaves_no_wait() -> None:
    timeline = Timeline(Hand().now)
    timeline.send()
    timeline.heard_at = timeline.arrived_at = 2.0
    timeline.land(complete=True)
    assert timeline.phases() == Phases(send=2.0, receive=0.0)


def test_no_phase_is_negative() -> None:
    hand = Hand()
    timeline = Timeline(hand.now)
    hand.time_s = 2.0
    timeline.send()
    timeline.written_at, timeline.heard_at = 1.0, 3.0
    hand.time_s = 3.0
    timeline.land(complete=False)
    assert timeline.phases() == Phases(send=0.0, wait=2.0, receive=0.0)

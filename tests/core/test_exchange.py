"""An exchange's own words: its phases, its duration, its names."""

import pytest

from tests.fakes import exchange, no_reply
from worker.core.exchange import PHASE_NAMES, Failure, Phase, Phases
from worker.core.target import TargetKey


@pytest.mark.parametrize(
    ("phases", "duration_s"),
    [
        pytest.param(Phases(dns=9.0, connect=9.0, tls=9.0, send=1.0, wait=2.0, receive=4.0), 7.0, id="a whole call"),
        pytest.param(Phases(dns=9.0, connect=9.0, tls=9.0), None, id="nothing was sent"),
        pytest.param(Phases(send=1.0), 1.0, id="it died while sending"),
        pytest.param(Phases(send=0.0, wait=2.0), 2.0, id="it died while waiting"),
        pytest.param(Phases(), None, id="nothing happened"),
    ],
)
def test_a_duration_is_what_a_caller_with_an_open_connection_waits(phases: Phases, duration_s: float | None) -> None:
    assert phases.duration_s == duration_s
    assert exchange(phases=phases).duration_s == duration_s


def test_phases_have_the_names_of_the_metric_in_order() -> None:
    assert PHASE_NAMES == tuple(Phase) == ("dns", "connect", "tls", "send", "wait", "receive")
    assert Phases(wait=0.5).as_dict() == dict.fromkeys(PHASE_NAMES) | {"wait": 0.5}


def test_only_a_call_without_a_reply_died_in_a_phase() -> None:
    assert exchange().died_in is None
    assert exchange(no_reply(Failure.TIMEOUT, Phase.TLS)).died_in is Phase.TLS


def test_a_target_is_named_by_namespace_and_plugin() -> None:
    assert str(TargetKey("ns_a", "p_1_0_0")) == "ns_a/p_1_0_0"


def test_what_a_new_connection_took_is_told_apart_from_the_duration() -> None:
    assert Phases(send=1.0, wait=2.0).connecting_s == 0.0
    assert Phases(dns=1.0, connect=2.0, tls=4.0, send=8.0).connecting_s == 7.0

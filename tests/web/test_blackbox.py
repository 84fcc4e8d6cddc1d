"""A result under blackbox_exporter's names."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import exchange, make_target, no_reply, refusal
from tests.web.surface import recorded
from worker.core.exchange import Exchange, Failure, Phase, Phases
from worker.core.result import SkipReason, skip
from worker.core.track import Recorded, Track, advance
from worker.sinks.rows import row
from worker.web.blackbox import blackbox_text

ALL = Phases(dns=0.001, connect=0.002, tls=0.004, send=0.01, wait=0.08, receive=0.02)


def samples(text: str) -> dict[str, float]:
    """Values by name, with the phase where there is one."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def told(made: Exchange) -> dict[str, float]:
    return samples(blackbox_text(row(recorded(make_target(), made))))


def test_the_duration_is_of_all_phases() -> None:
    assert told(exchange(phases=ALL)) == pytest.approx(
        {
            "probe_success": 1,
            "probe_duration_seconds": 0.117,
            "probe_http_duration_seconds resolve": 0.001,
            "probe_http_duration_seconds connect": 0.002,
            "probe_http_duration_seconds tls": 0.004,
            "probe_http_duration_seconds processing": 0.09,
            "probe_http_duration_seconds transfer": 0.02,
            "probe_http_status_code": 200,
        }
    )


def test_a_failure_is_0() -> None:
    assert told(exchange(refusal(), status=500))["probe_success"] == 0


def test_what_proved_nothing_has_no_success() -> None:
    assert "probe_success" not in told(exchange(refusal(), status=403))


def test_phases_that_did_not_happen_are_0_and_so_is_a_missing_status() -> None:
    found = told(exchange(no_reply(Failure.CONNECT, Phase.CONNECT), phases=Phases(connect=0.5)))
    assert found["probe_http_status_code"] == 0
    assert found["probe_duration_seconds"] == 0.5
    assert found["probe_http_duration_seconds processing"] == 0


def test_a_probe_that_was_skipped_tells_nothing() -> None:
    result = skip(make_target(), SkipReason.SHUTDOWN)
    track, changes = advance(Track(), result)
    found = samples(blackbox_text(row(Recorded(result=result, track=track, changes=changes))))
    assert "probe_success" not in found
    assert found["probe_duration_seconds"] == 0

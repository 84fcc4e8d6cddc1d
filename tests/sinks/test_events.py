"""Which events a result gives, and with exactly which fields."""

from typing import Any

import pytest

from tests.sinks.given import INTERNAL_ERROR, T0, exchange, last, probed, refused, reply, target, timed_out
from tests.sinks.logged import start, told, written
from worker.core.exchange import Refusal
from worker.core.result import SkipReason
from worker.core.target import Expectation
from worker.sinks.log import LogSink


def test_a_failure_says_everything_that_whoever_acts_needs() -> None:
    call = refused(500, "it\nbroke", request_id="req-1", excerpt='{"detail": "it broke"}')
    lines = told(last(probed(target(labels={"team": "search"}), call)), level="warning")
    assert lines == [
        {
            "level": "warning",
            "event": "probe.failed",
            "namespace": "ns_a",
            "plugin": "embed_1_0_0",
            "labels": {"team": "search"},
            "outcome": "server_error",
            "fault": "plugin",
            "http_status": 500,
            "duration_s": 0.042,
            "phases": {"dns": 0.001, "connect": 0.002, "tls": None, "send": 0.0005, "wait": 0.04, "receive": 0.0015},
            "died_in": None,
            "attempts": 1,
            "consecutive_failures": 1,
            "inference_name": None,
            "error": "it broke",
            "request_id": "req-1",
            "expected": "HTTP 2xx",
            "found": "HTTP 500",
            "excerpt": '{"detail": "it broke"}',
        }
    ]


def test_a_call_that_died_says_in_which_phase() -> None:
    (line,) = told(last(probed(target(), timed_out())))
    none = dict.fromkeys(("dns", "connect", "tls", "receive"))
    assert (line["died_in"], line["phases"]) == ("wait", {**none, "send": 0.0005, "wait": 9.99})


def test_a_failure_has_all_its_fields_whether_or_not_there_is_anything_to_say() -> None:
    (line,) = told(last(probed(target(), timed_out())))
    absent = ("http_status", "request_id", "inference_name", "excerpt")
    assert {name: line[name] for name in absent} == dict.fromkeys(absent)
    assert line["labels"] == {}


def test_a_recovery_says_how_long_it_was_down_and_after_how_many_failures() -> None:
    run = probed(target(), timed_out(at=T0), refused(500, at=T0 + 60), exchange(at=T0 + 120))
    recovered, succeeded = told(*run)[2:]
    assert recovered == {
        "level": "info",
        "event": "probe.recovered",
        "namespace": "ns_a",
        "plugin": "embed_1_0_0",
        "labels": {},
        "outcome": "success",
        "down_s": 120.0,
        "failures_before": 2,
    }
    assert (succeeded["event"], succeeded["level"]) == ("probe.succeeded", "debug")


def test_a_recovery_from_before_the_worker_started_does_not_guess() -> None:
    run = probed(target(), timed_out(), timed_out(at=T0 + 60), exchange(at=T0 + 120))
    assert "down_s" not in told(*run[1:], level="info")[1]
    (line,) = told(run[2], level="info")
    assert line["event"] == "probe.recovered"
    assert not {"down_s", "failures_before"} & set(line)


def test_what_a_target_that_left_was_like_is_forgotten() -> None:
    run = probed(target(), timed_out(), exchange(at=T0 + 60))
    stream = start("info")
    sink = LogSink()
    sink.record(run[0])
    sink.forget(run[0].result.target.key)
    sink.record(run[1])
    assert "down_s" not in written(stream)[1]


def test_a_success_is_told_at_debug_alone() -> None:
    (line,) = told(last(probed(target(), exchange(request_id="r"))))
    assert (line["level"], line["event"], line["outcome"]) == ("debug", "probe.succeeded", "success")
    assert not {"fault", "excerpt", "consecutive_failures", "consecutive_unknowns"} & set(line)
    assert told(last(probed(target(), exchange())), level="info") == []


def test_a_slow_success_is_told_with_what_was_expected() -> None:
    slow = target(expect=Expectation(max_latency_s=0.01))
    (line,) = told(last(probed(slow, exchange())))
    assert (line["event"], line["level"]) == ("probe.succeeded", "debug")
    assert (line["outcome"], line["fault"]) == ("slow", "plugin")
    assert (line["expected"], line["found"]) == ("at most 0.01 s", "0.042 s")


@pytest.mark.parametrize(
    ("call", "level", "outcome"),
    [
        pytest.param(refused(401), "warning", "unauthorized", id="the configuration's fault"),
        pytest.param(INTERNAL_ERROR, "warning", "internal_error", id="ours"),
        pytest.param(SkipReason.DEADLINE, "info", "skipped", id="skipped"),
        pytest.param(
            exchange(Refusal(error="cold", error_code="model_warming"), http_status=503),
            "info",
            "warming",
            id="warming",
        ),
    ],
)
def test_a_result_that_proves_nothing_is_as_loud_as_somebody_can_act_on_it(call: Any, level: str, outcome: str) -> None:
    (line,) = told(last(probed(target(), call)))
    assert (line["event"], line["level"], line["outcome"]) == ("probe.unknown", level, outcome)
    assert line["consecutive_unknowns"] == 1
    assert "consecutive_failures" not in line
    assert line.get("reason") == ("deadline" if outcome == "skipped" else None)


def test_a_change_of_shape_names_both_and_a_change_of_name_stands_beside_it() -> None:
    before, after = exchange(), exchange(reply({"vector": [1.0]}, inference_name="embed_v2"))
    run = probed(target(), before, after)
    changed, succeeded = told(*run)[1:]
    hashes = [one.track.shape_hash for one in run]
    assert changed == {
        "level": "info",
        "event": "shape.changed",
        "namespace": "ns_a",
        "plugin": "embed_1_0_0",
        "labels": {},
        "before": hashes[0],
        "after": hashes[1],
        "shape": "{vector: number[1]}",
        "inference_name": "embed_v2",
        "inference_name_before": "embed_v1",
    }
    assert (succeeded["event"], succeeded["inference_name_before"]) == ("probe.succeeded", "embed_v1")


def test_a_shape_that_never_stays_is_called_varying_once() -> None:
    calls = [exchange(reply({f"key{n}": 1}), at=T0 + n) for n in range(20)]
    changes = [line for line in told(*probed(target(), *calls)) if line["event"] == "shape.changed"]
    assert len(changes) == 8
    assert [change["after"] == "varying" for change in changes] == [False] * 7 + [True]


def test_long_texts_are_cut_and_kept_on_one_line() -> None:
    call = refused(500, "e\n" * 600, excerpt="é" * 4000, request_id="r" * 900)
    (line,) = told(last(probed(target(), call)))
    assert len(line["error"]) == 500
    assert len(line["request_id"]) == 200
    assert len(line["excerpt"].encode()) == 2048

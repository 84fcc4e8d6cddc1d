"""Which events a result gives, and with exactly which fields."""

from typing import Any

import pytest

from tests.sinks.given import INTERNAL_ERROR, SECRET, T0, exchange, last, probed, refused, reply, target, timed_out
from tests.sinks.logged import start, told, written
from worker.core.exchange import Refusal
from worker.core.notation import parse
from worker.core.pin import Pin
from worker.core.result import SkipReason
from worker.core.target import Expectation, Golden, Target
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
            "shape_diff": None,
            "golden_cosine": None,
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


def test_skips_of_an_overloaded_worker_are_no_line_each() -> None:
    skipped = last(probed(target(), SkipReason.OVERLOAD))
    assert told(skipped, level="info") == []
    assert [(line["event"], line["reason"]) for line in told(skipped)] == [("probe.unknown", "overload")]


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


def pinned(written: str, **changes: Any) -> Target:
    return target(pin=Pin(shape=parse(written)), **changes)


def test_a_broken_pin_is_told_path_by_path_in_the_failure_and_in_the_change_of_shape() -> None:
    changed, failed = told(last(probed(pinned("{embedding: number[3], model: string}"), exchange())))
    assert (changed["event"], failed["event"]) == ("shape.changed", "probe.failed")
    assert changed["before"] == Pin(shape=parse("{embedding: number[3], model: string}")).hash
    for line in (changed, failed):
        assert line["shape_diff"] == [
            {"path": "embedding", "expected": "number[3]", "found": "number[2]", "severity": "breaking"},
            {"path": "model", "expected": "string", "found": None, "severity": "breaking"},
        ]
    assert (failed["expected"], failed["found"]) == ("number[3] at embedding", "number[2], and 1 more")


def test_a_new_key_is_a_change_of_shape_and_no_failure() -> None:
    changed, succeeded = told(last(probed(pinned("{}"), exchange())))
    assert (changed["event"], succeeded["event"]) == ("shape.changed", "probe.succeeded")
    (new,) = changed["shape_diff"]
    assert new == {"path": "embedding", "expected": None, "found": "number[2]", "severity": "compatible"}


def test_a_secret_in_a_key_is_in_no_difference() -> None:
    lines = told(last(probed(pinned("{}"), exchange(reply({SECRET: 1})))))
    assert SECRET not in str(lines)
    assert lines[0]["shape_diff"][0]["path"] == "[secret]"


def test_many_differences_are_cut() -> None:
    changed, _ = told(last(probed(pinned("{}"), exchange(reply({f"k{n:02}": 1 for n in range(30)})))))
    assert [one["path"] for one in changed["shape_diff"]] == [f"k{n:02}" for n in range(10)]


def test_drift_names_the_cosine_and_a_change_of_model_in_one_line() -> None:
    golden = Golden(path="embedding", file="g.json", min_cosine=0.99, vector=(0.6, 0.8), inference_name="embed_v1")
    of = target(expect=Expectation(golden=golden))
    turned = exchange(reply({"embedding": [1.0, 0.0]}, inference_name="embed_v2"))
    line = told(*probed(of, exchange(), turned))[-1]
    assert (line["outcome"], line["golden_cosine"]) == ("drift", 0.6)
    assert (line["inference_name_before"], line["inference_name"]) == ("embed_v1", "embed_v2")


def test_long_texts_are_cut_and_kept_on_one_line() -> None:
    call = refused(500, "e\n" * 600, excerpt="é" * 4000, request_id="r" * 900)
    (line,) = told(last(probed(target(), call)))
    assert len(line["error"]) == 500
    assert len(line["request_id"]) == 200
    assert len(line["excerpt"].encode()) == 2048

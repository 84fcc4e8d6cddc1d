"""What differs from a pinned shape, as the table, the reports, the metrics and the page tell it."""

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.sinks.given import SECRET, T0, exchange, last, probed, redact, reply, target
from worker.core.notation import parse
from worker.core.pin import Pin
from worker.core.summary import summarise
from worker.core.target import Expectation, Golden, Target
from worker.core.track import MOST_SHAPES, Recorded
from worker.sinks.junit import junit
from worker.sinks.markdown import markdown
from worker.sinks.metrics import Metrics
from worker.sinks.reports import RunInfo
from worker.sinks.rows import row, shape_lines
from worker.sinks.table import print_table

RUN = RunInfo(run_id="run-1", started_at=T0, finished_at=T0 + 1, complete=True)
RENAMED = reply({"embeddings": [0.6, 0.8]})


def pinned(written: str, *, strict: bool = False, **changes: Any) -> Target:
    return target(pin=Pin(shape=parse(written), strict=strict), **changes)


def table(recorded: Recorded) -> list[str]:
    stream = io.StringIO()
    print_table([row(recorded)], summarise([recorded.result]), elapsed_s=1.0, stream=stream)
    return stream.getvalue().splitlines()


def exposition(*recorded: Recorded) -> str:
    metrics = Metrics(version="0.1.0", python="3.11.0")
    metrics.add(recorded[0].result.target)
    for one in recorded:
        metrics.record(one)
    return b"".join(metrics.exposition()).decode()


def test_one_difference_is_told_once() -> None:
    told = table(last(probed(pinned("{embedding: number[3]}"), exchange())))
    assert told[1].endswith("shape_mismatch  42 ms    200     {embedding: number[2]}")
    assert told[2:-1] == ["  └ expected number[3] at embedding, found number[2]"]


def test_several_stand_a_line_each() -> None:
    told = table(last(probed(pinned("{embedding: number[2]}"), exchange(RENAMED))))
    assert told[2:-1] == [
        "  └ expected number[2] at embedding, found nothing",
        "  └ embedding: expected number[2], found nothing",
        "  └ embeddings: expected nothing, found number[2] (compatible)",
    ]


def test_more_than_a_few_are_counted() -> None:
    told = row(last(probed(pinned("{}"), exchange(reply({f"k{n}": 1 for n in range(5)})))))
    assert told.outcome == "success"
    assert shape_lines(told) == [
        *(f"k{n}: expected nothing, found integer (compatible)" for n in range(3)),
        "… and 2 more",
    ]


def test_the_reports_have_all_of_it() -> None:
    recorded = last(probed(pinned("{embedding: number[2]}"), exchange(RENAMED)))
    told = row(recorded)
    assert told.as_dict()["shape_diff"] == [
        {"path": "embedding", "expected": "number[2]", "found": None, "severity": "breaking"},
        {"path": "embeddings", "expected": None, "found": "number[2]", "severity": "compatible"},
    ]
    (failure,) = ET.fromstring(b"".join(junit(RUN, [told]))).iter("failure")
    assert "shape: {embeddings: number[2]}\nembedding: expected number[2], found nothing\n" in (failure.text or "")
    text = b"".join(markdown(RUN, [told], summarise([recorded.result]))).decode()
    assert r"| {embeddings: number\[2\]}<br>embedding: expected number".replace("{", r"\{").replace("}", r"\}") in text


@pytest.mark.parametrize(("written", "shown"), [("{embedding: number[2]}", []), (None, None)])
def test_what_fits_and_what_is_not_pinned_are_told_apart(written: str | None, shown: list[object] | None) -> None:
    of = pinned(written) if written else target()
    assert row(last(probed(of, exchange()))).as_dict()["shape_diff"] == shown


def test_a_secret_in_a_key_is_in_no_report() -> None:
    told = row(last(probed(pinned("{}"), exchange(reply({SECRET: 1})))), redact)
    assert SECRET not in str(told.as_dict())


@pytest.mark.parametrize(
    ("strict", "raw", "match"),
    [
        (False, {"embedding": [0.6, 0.8]}, "1"),
        (False, {"embedding": [0.6, 0.8], "more": 1}, "1"),
        (True, {"embedding": [0.6, 0.8], "more": 1}, "0"),
        (False, {"embedding": [0.6]}, "0"),
    ],
)
def test_whether_the_reply_fits_its_pin_is_a_metric(strict: bool, raw: object, match: str) -> None:
    text = exposition(last(probed(pinned("{embedding: number[2]}", strict=strict), exchange(reply(raw)))))
    assert f'plugin_probe_response_shape_match{{mixpeek_namespace="ns_a",plugin="embed_1_0_0"}} {match}\n' in text


def test_without_a_pin_there_is_no_such_metric() -> None:
    assert "plugin_probe_response_shape_match{" not in exposition(last(probed(target(), exchange())))


def test_the_cosine_to_the_golden_vector_is_a_metric() -> None:
    golden = Golden(path="embedding", file="g.json", min_cosine=0.5, vector=(1.0, 0.0))
    text = exposition(last(probed(target(expect=Expectation(golden=golden)), exchange())))
    assert 'plugin_probe_golden_cosine{mixpeek_namespace="ns_a",plugin="embed_1_0_0"} 0.6\n' in text


def test_keys_that_are_random_on_every_call_make_a_handful_of_series_over_time() -> None:
    recorded = probed(pinned("{a: number}"), *(exchange(reply({f"k{n}": 1}), at=T0 + n) for n in range(300)))
    shown = {label for one in recorded for label in re.findall(r'shape="(\w+)"', exposition(one))}
    assert len(shown) == MOST_SHAPES + 1
    assert "varying" in shown

"""The reports: keys and their order, what JSON and XML can't say, and files written whole."""

import gc
import json
import math
import os
import stat
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import given

from tests.sinks.given import (
    INTERNAL_ERROR,
    SECRET,
    T0,
    VECTOR,
    exchange,
    last,
    probed,
    recorded_runs,
    redact,
    refused,
    reply,
    target,
    timed_out,
)
from worker.core.result import SkipReason
from worker.core.summary import summarise
from worker.core.track import Recorded
from worker.core.vector import VectorReading
from worker.sinks import textfile
from worker.sinks.junit import junit
from worker.sinks.markdown import cell, markdown
from worker.sinks.reports import RunInfo, json_chunks
from worker.sinks.rows import row

RUN = RunInfo(run_id="run-1", started_at=T0, finished_at=T0 + 1.25, complete=True)

TOP = ["run_id", "started_at", "finished_at", "duration_s", "complete", "shard", "summary", "results"]
KEYS = [
    "namespace",
    "plugin",
    "labels",
    "verdict",
    "outcome",
    "fault",
    "http_status",
    "duration_s",
    "phases",
    "died_in",
    "lost_s",
    "attempts",
    "started_at",
    "inference_name",
    "response_type",
    "response_keys",
    "response_bytes",
    "shape",
    "shape_hash",
    "shape_diff",
    "vectors",
    "golden_cosine",
    "expected",
    "found",
    "error",
    "request_id",
]


def batch() -> list[Recorded]:
    return [
        last(probed(target(labels={"team": "search"}, expect=VECTOR), exchange(request_id="req-1"))),
        last(probed(target(plugin="ner|2"), refused(500, "a | b\n<b>\x00"))),
        last(probed(target("ns_b", "late"), SkipReason.DEADLINE)),
        last(probed(target("ns_b", "ours"), INTERNAL_ERROR)),
        last(probed(target("ns_b", "stuck"), timed_out())),
    ]


def report(recorded: list[Recorded]) -> dict[str, Any]:
    summary = summarise(one.result for one in recorded)
    document: dict[str, Any] = json.loads(b"".join(json_chunks(RUN, [row(one) for one in recorded], summary)))
    return document


def test_a_row_has_exactly_the_words_of_the_contract_in_their_order() -> None:
    shown = row(batch()[0]).as_dict()
    assert list(shown) == KEYS
    assert shown == {
        "namespace": "ns_a",
        "plugin": "embed_1_0_0",
        "labels": {"team": "search"},
        "verdict": "up",
        "outcome": "success",
        "fault": "none",
        "http_status": 200,
        "duration_s": 0.042,
        "phases": {"dns": 0.001, "connect": 0.002, "tls": None, "send": 0.0005, "wait": 0.04, "receive": 0.0015},
        "died_in": None,
        "lost_s": 0.0,
        "attempts": 1,
        "started_at": "2026-09-21T14:13:20.250Z",
        "inference_name": "embed_v1",
        "response_type": "dict",
        "response_keys": ["embedding"],
        "response_bytes": 120,
        "shape": "{embedding: number[2]}",
        "shape_hash": batch()[0].track.shape_hash,
        "shape_diff": None,
        "vectors": [{"path": "embedding", "dimensions": 2, "norm": 1.0}],
        "golden_cosine": None,
        "expected": None,
        "found": None,
        "error": None,
        "request_id": "req-1",
    }


def test_a_row_of_a_probe_that_was_not_made_says_so_and_nothing_else() -> None:
    shown = row(batch()[2]).as_dict()
    assert list(shown) == KEYS
    assert (shown["outcome"], shown["attempts"], shown["started_at"], shown["lost_s"]) == ("skipped", 0, None, None)
    assert shown["error"] == "the batch's deadline came first"


def test_the_document_has_its_summary_first_and_rows_in_the_order_given() -> None:
    shown = report(batch())
    assert list(shown) == TOP
    assert (shown["started_at"], shown["duration_s"], shown["shard"]) == ("2026-09-21T14:13:20.250Z", 1.25, None)
    assert shown["summary"] == {
        "targets": 5,
        "up": 1,
        "down": 2,
        "unknown": 2,
        "by_outcome": {"skipped": 1, "timeout": 1, "server_error": 1, "success": 1, "internal_error": 1},
        "latency_s": {"p50": 0.042, "p95": 0.042, "p99": 0.042, "max": 0.042},
    }


def test_a_batch_without_a_target_is_a_valid_report() -> None:
    assert report([])["results"] == []
    assert ET.fromstring(b"".join(junit(RUN, []))).get("tests") == "0"


def test_what_json_cannot_say_is_null() -> None:
    of = row(last(probed(target(), exchange())))
    assert of.as_dict()["duration_s"] == 0.042
    assert of._replace(duration_s=math.nan).as_dict()["duration_s"] is None
    endless = of.judgement._replace(vectors=(VectorReading(path="v", dimensions=1, norm=math.inf),))
    assert of._replace(judgement=endless).as_dict()["vectors"] == [{"path": "v", "dimensions": 1, "norm": None}]


def test_a_reply_of_many_keys_reports_a_hundred() -> None:
    many = last(probed(target(), exchange(reply({f"k{n}": n for n in range(1000)}))))
    assert len(row(many).as_dict()["response_keys"]) == 100


def held(of: object) -> Iterator[object]:
    """Everything that this object keeps alive, down to the modules."""
    seen: set[int] = set()
    left = [of]
    while left:
        one = left.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType | FunctionType):
            seen.add(id(one))
            yield one
            left += gc.get_referents(one)


@pytest.mark.parametrize("response_bytes", [1000, 10_000_000])
def test_a_row_does_not_keep_its_reply_alive(response_bytes: int) -> None:
    raw = {"embedding": [0.6, 0.8], "note": "only in the reply"}
    kept = row(last(probed(target(), exchange(reply(raw), response_bytes=response_bytes, excerpt="its beginning"))))
    assert not {"only in the reply", "its beginning"} & {one for one in held(kept) if isinstance(one, str)}


def test_of_a_large_reply_a_row_keeps_no_more_than_it_shows() -> None:
    raw = {f"{n}" + "k" * 10_000: n for n in range(1000)}
    call = exchange(reply(raw, error="e" * 1_000_000), response_bytes=11_000_000)
    of = row(last(probed(target(), call)), redact)
    assert sum(len(one) for one in held(of) if isinstance(one, str)) < 200_000
    small = row(last(probed(target(), exchange(reply(raw, error="e" * 1_000_000)))), redact)
    assert of.as_dict() | {"response_bytes": 120} == small.as_dict()


@pytest.mark.parametrize("response_bytes", [1000, 10_000_000])
def test_no_secret_that_a_server_echoes_reaches_a_row(response_bytes: int) -> None:
    echo = reply({SECRET: 1}, inference_name=SECRET, error="y" * 490 + SECRET)
    call = exchange(echo, request_id=SECRET, response_bytes=response_bytes)
    assert SECRET[:10] not in json.dumps(row(last(probed(target(), call)), redact).as_dict())


@given(run=recorded_runs())
def test_whatever_came_back_every_report_can_be_read(run: list[Recorded]) -> None:
    rows, summary = [row(one) for one in run], summarise(one.result for one in run)
    for shown in report(run)["results"]:
        assert list(shown) == KEYS
        assert "\n" not in (shown["error"] or "")
    assert len(ET.fromstring(b"".join(junit(RUN, rows))).findall("*/testcase")) == len(run)
    lines = b"".join(markdown(RUN, rows, summary)).decode().split("\n")
    assert not any(line.replace(r"\|", "").count("|") not in (0, 3, 11) for line in lines)


def test_junit_tells_failures_errors_and_skipped_apart() -> None:
    suites = ET.fromstring(b"".join(junit(RUN, [row(one) for one in batch()])))
    (suite,) = suites
    totals = {"tests": "5", "failures": "2", "errors": "1", "skipped": "1", "time": "1.250"}
    assert suites.attrib == totals | {"name": "plugin-probe"}
    assert suite.attrib == totals | {"name": "plugin-probe", "timestamp": "2026-09-21T14:13:20.250"}
    cases = suite.findall("testcase")
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["skipped"], ["error"], ["failure"]]
    assert cases[0].attrib == {"classname": "ns_a", "name": "embed_1_0_0", "time": "0.042000"}
    assert cases[1][0].attrib == {"type": "server_error", "message": r"server_error: a | b <b>\x00"}
    assert "expected: HTTP 2xx\nfound: HTTP 500" in (cases[1][0].text or "")
    assert cases[2][0].get("message") == "skipped: the batch's deadline came first"


def test_markdown_has_totals_and_what_is_down_with_every_cell_escaped() -> None:
    rows, summary = [row(one) for one in batch()], summarise(one.result for one in batch())
    text = b"".join(markdown(RUN, rows, summary)).decode()
    assert "| targets | 5 |\n| up | 1 |\n| down | 2 |\n| unknown | 2 |\n" in text
    assert "| took | 1.2 s |" in text
    down, unknown = text.split("### Down")[1].split("### Unknown")
    assert r"| ns\_a | ner\|2 | server\_error | plugin | 500 | 42 ms | HTTP 2xx | HTTP 500 |" in down
    assert r"a \| b &lt;b&gt;" in down
    assert "late" in unknown
    assert "embed" not in text


def test_a_cell_is_plain_text_on_one_line() -> None:
    assert cell("a|b\nc <img src=x> [x](y) `z` *w* @all") == (
        r"a\|b c &lt;img src=x&gt; \[x\]\(y\) \`z\` \*w\* &#64;all"
    )
    assert cell("\ud800\x1b") == r"\\ud800\\x1b"


def test_a_long_table_is_cut_and_says_so() -> None:
    told = [last(probed(target(plugin=f"p{n}"), timed_out())) for n in range(130)]
    text = b"".join(markdown(RUN, [row(one) for one in told], summarise(one.result for one in told))).decode()
    assert "… and 30 more" in text


def chunks_that_fail() -> Iterator[bytes]:
    yield b"half"
    raise OSError("no more")


def test_a_file_is_replaced_whole_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "probe.prom"
    path.write_text("old")
    textfile.write(path, [b"new ", b"", b"text"])
    assert path.read_text() == "new text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["probe.prom"]


def test_a_file_that_can_not_be_finished_leaves_the_old_one_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "probe.prom"
    path.write_text("old")
    with pytest.raises(OSError, match="no more"):
        textfile.write(path, chunks_that_fail())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["probe.prom"]


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "file", tmp_path / "link"
    real.parent.mkdir()
    link.symlink_to(real)
    textfile.write(link, [b"text"])
    assert link.is_symlink()
    assert real.read_text() == "text"


@pytest.mark.parametrize("missing", ["nowhere/probe.prom", "file/probe.prom"])
def test_a_folder_that_is_none_is_an_os_error(tmp_path: Path, missing: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        textfile.write(tmp_path / missing, [b"text"])


def test_what_is_no_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    textfile.write(pipe, [b"te", b"xt"])
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


def test_for_the_reader_of_a_pipe_nobody_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nobody reads this pipe"):
        textfile.write(tmp_path / "pipe", [b"text"])


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_pipe_that_has_no_name_but_its_number_is_written_to(name: str) -> None:
    reader, writer = os.pipe()
    textfile.write(name.format(writer), [b"te", b"xt"])
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    os.close(writer)


def test_a_file_that_was_opened_for_us_goes_on_where_it_was(tmp_path: Path) -> None:
    with (tmp_path / "summary.md").open("wb", buffering=0) as file:
        file.write(b"before ")
        textfile.write(f"/dev/fd/{file.fileno()}", [b"text"])
        file.write(b" after")
    assert (tmp_path / "summary.md").read_bytes() == b"before text after"

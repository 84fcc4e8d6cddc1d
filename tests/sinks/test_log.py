"""The log: secrets nowhere, one object a line whatever is in it and whatever becomes of stderr."""

import io
import json
import logging
import sys
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sinks.given import SECRET, hostile_texts, probed, recorded_runs, redact, refused, target
from tests.sinks.logged import start, told, written
from worker.core.track import Recorded
from worker.sinks.log import LogSink, configure


def test_other_events_carry_their_own_fields() -> None:
    stream = start("info")
    LogSink().event("run.finished", targets=7, by_outcome={"success": 7}, nothing=None, ratio=float("nan"))
    LogSink().event("sink.failed", level="error", sink="textfile")
    LogSink().event("hidden", level="debug")
    assert written(stream) == [
        {"level": "info", "event": "run.finished", "targets": 7, "by_outcome": {"success": 7}, "ratio": "nan"},
        {"level": "error", "event": "sink.failed", "sink": "textfile"},
    ]


def test_keys_of_every_line_come_in_one_order() -> None:
    stream = start()
    LogSink().event("run.started", targets=1)
    assert list(json.loads(stream.getvalue())) == ["timestamp", "level", "event", "run_id", "targets"]


class Awkward:
    """Its text holds the secret, or can't be had."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    def __repr__(self) -> str:
        if self.broken:
            raise RuntimeError("no")
        return f"<{SECRET}>"


def shout(argument: str) -> None:
    """Raises with a local variable and an argument that nobody may see."""
    hidden = f"local {argument}"
    try:
        raise ValueError("inner", argument)
    except ValueError as error:
        raise RuntimeError(f"key {argument}", len(hidden)) from error


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_the_secret_is_nowhere(fmt: str) -> None:
    stream = start(fmt=fmt)
    sink = LogSink(redact=redact)
    echoed = refused(500, f"Authorization: Bearer {SECRET}", excerpt=f"{'x' * 2040}{SECRET}", request_id=SECRET)
    straddling = refused(500, "y" * 490 + SECRET)
    for recorded in probed(target(labels={SECRET: SECRET}), echoed, straddling):
        sink.record(recorded)
    sink.event("sink.failed", url=f"http://{SECRET}@host", deep=[{"a": (SECRET, Awkward())}], odd=Awkward(broken=True))
    try:
        shout(SECRET)
    except RuntimeError:
        sink.event("worker.overloaded", level="error", exc_info=True)
        logging.getLogger("aiohttp.client").exception("failed with %s", SECRET)
    logging.getLogger("asyncio").warning("bad format %s %s", SECRET)
    text = stream.getvalue()
    assert SECRET[:12] not in text
    assert "[secret]" in text
    assert "Traceback" in text
    assert "local " not in text.replace("local variable", "")
    assert "hidden =" not in text.replace('hidden = f"', "")


def test_a_secret_that_json_would_disguise_is_found_all_the_same() -> None:
    stream = io.StringIO()
    configure(level="info", fmt="json", run_id="r", redact=lambda text: text.replace('k"e\\y', "***"), stream=stream)
    LogSink().event("sink.failed", url='http://k"e\\y@host')
    assert json.loads(stream.getvalue())["url"] == "http://***@host"


def test_libraries_and_warnings_speak_through_the_same_log() -> None:
    stream = start("debug")
    logging.getLogger("aiohttp.access").info("not heard")
    logging.getLogger("asyncio").error("Task %s was\ndestroyed", 7)
    logging.getLogger("odd").log(35, "between the levels")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old\nways", DeprecationWarning, stacklevel=1)
    first, second, third = written(stream)
    assert first == {"level": "error", "event": "Task 7 was\ndestroyed", "logger": "asyncio"}
    assert second == {"level": "warning", "event": "between the levels", "logger": "odd"}
    assert (third["level"], third["logger"]) == ("warning", "py.warnings")
    assert "DeprecationWarning: old\nways" in third["event"]


def test_a_library_that_says_the_same_over_and_over_is_not_heard_each_time() -> None:
    stream = start()
    for said in ("no descriptor", "no descriptor", "something else", "no descriptor"):
        logging.getLogger("asyncio").error(said)
    logging.getLogger("aiohttp").error("no descriptor")
    assert [(line["logger"], line["event"]) for line in written(stream)] == [
        ("asyncio", "no descriptor"),
        ("asyncio", "something else"),
        ("asyncio", "no descriptor"),
        ("aiohttp", "no descriptor"),
    ]


@given(name=hostile_texts, value=st.recursive(hostile_texts | st.floats() | st.binary(), st.lists))
def test_hostile_text_never_breaks_a_line(name: str, value: Any) -> None:
    stream = start()
    LogSink().event("run.started", **{f"x{name}": value})
    logging.getLogger("any").error(name)
    assert len(written(stream)) == 2


@given(run=recorded_runs())
def test_whatever_came_back_every_line_parses(run: list[Recorded]) -> None:
    lines = told(*run)
    assert len(lines) >= len(run)
    assert {line["event"] for line in lines} <= {
        "probe.failed",
        "probe.unknown",
        "probe.succeeded",
        "probe.recovered",
        "shape.changed",
    }


def test_on_the_console_no_escape_sequence_and_no_second_line_passes() -> None:
    stream = start(fmt="console")
    LogSink().event("sink.failed\x1b[31m", level="error", error="a\x1b[2J\nb", nested={"k": "\x1b[0m\n"})
    text = stream.getvalue()
    assert "\x1b" not in text
    assert len(text.splitlines()) == 1
    assert r"a\x1b[2J\x0ab" in text


class Broken(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize("stream", [pytest.param(Broken(), id="broken pipe"), pytest.param(closed(), id="closed")])
def test_a_broken_stderr_costs_lines_and_not_the_worker(stream: io.StringIO, fmt: Any) -> None:
    configure(level="info", fmt=fmt, run_id="r", redact=redact, stream=stream)
    LogSink().event("run.started")
    logging.getLogger("asyncio").error("heard by nobody")


def test_no_stderr_at_all_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    configure(level="info", fmt="console", run_id="r", redact=redact)
    LogSink().event("run.started")


def test_a_very_long_text_loses_its_middle() -> None:
    stream = start()
    LogSink().event("sink.failed", error="a" * 100_000 + "z")
    (line,) = written(stream)
    assert len(line["error"]) < 17_000
    assert line["error"].endswith("z")

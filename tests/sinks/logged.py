"""The log set up on a stream of the test's own, and read back."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from tests.sinks.given import redact
from worker.core.track import Recorded
from worker.sinks.log import LogSink, configure


@contextmanager
def untouched() -> Iterator[None]:
    """configure() is for the whole process: puts everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def start(level: str = "debug", fmt: Any = "json") -> io.StringIO:
    stream = io.StringIO()
    configure(level=level, fmt=fmt, run_id="run-1", redact=redact, stream=stream)
    return stream


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    """Every line parsed, without its timestamp and run_id, which are checked here."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
        assert line.pop("run_id") == "run-1"
    return lines


def told(*recorded: Recorded, level: str = "debug") -> list[dict[str, Any]]:
    stream = start(level)
    sink = LogSink(redact=redact)
    for one in recorded:
        sink.record(one)
    return written(stream)

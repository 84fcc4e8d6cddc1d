"""Tracebacks tell where, and nothing of what was in variables, even where nobody redacts."""

import io
from typing import Literal

import pytest

from tests.sinks.given import SECRET
from worker.sinks.log import LogSink, configure
from worker.sinks.text import unchanged


def fail(key: str) -> None:
    raise RuntimeError(f"{len(key)} characters")


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_no_variable_is_shown(fmt: Literal["json", "console"]) -> None:
    stream = io.StringIO()
    configure(level="debug", fmt=fmt, run_id="run-1", redact=unchanged, stream=stream)
    try:
        fail(SECRET)
    except RuntimeError:
        LogSink().event("worker.crashed", level="critical", exc_info=True)
    assert "Traceback" in stream.getvalue()
    assert f"{len(SECRET)} characters" in stream.getvalue()
    assert SECRET not in stream.getvalue()

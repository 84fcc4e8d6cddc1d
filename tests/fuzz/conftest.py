"""What the fuzz tests have in common."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.fuzz.budget import tried


@pytest.fixture(autouse=True, scope="module")
def _untouched_logging() -> Iterator[None]:
    """configure() is for the whole process: put everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tried:
        terminalreporter.write_line(f"fuzz: {tried.total():,} examples")
        for name, count in tried.most_common():
            terminalreporter.write_line(f"  {count:7,} {name}")

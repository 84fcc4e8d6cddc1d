"""What the fuzz tests have in common."""

from collections.abc import Iterator

import pytest

from tests.fuzz.budget import tried
from tests.sinks.logged import untouched


@pytest.fixture(autouse=True, scope="module")
def _untouched_logging() -> Iterator[None]:
    with untouched():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tried:
        terminalreporter.write_line(f"fuzz: {tried.total():,} examples")
        for name, count in tried.most_common():
            terminalreporter.write_line(f"  {count:7,} {name}")

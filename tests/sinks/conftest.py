"""Logging is the process's: every test leaves it as it was."""

from collections.abc import Iterator

import pytest

from tests.sinks.logged import untouched


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    with untouched():
        yield

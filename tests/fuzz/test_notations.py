"""Retry-After, durations, sizes, rates and objectives: what fits reads back as it is, what does not is refused with the
remedy.
"""

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from tests.fakes import EPOCH_S
from tests.fuzz.budget import fuzzed
from tests.fuzz.replies import dates, moments, retry_afters
from tests.sinks.given import hostile_texts
from worker.config.units import (
    DURATION_PATTERN,
    MAX_DURATION_S,
    MAX_RATE_COUNT,
    MAX_SIZE_BYTES,
    RATE_PATTERN,
    SIZE_PATTERN,
    duration_s,
    duration_text,
    objective,
    percent_text,
    rate,
    size_bytes,
    size_text,
)
from worker.retry_after import MAX_RETRY_AFTER_S, retry_after_s

_FORMS: list[Callable[[datetime], str]] = [
    lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
    lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    lambda at: at.strftime("%a %b %e %H:%M:%S %Y"),
]


@fuzzed(0.1, at=moments, form=st.sampled_from(_FORMS), blanks=st.sampled_from(["", " ", "\t"]))
def test_a_date_of_any_form_is_as_far_away_as_it_is(at: datetime, form: Callable[[datetime], str], blanks: str) -> None:
    asked_s = retry_after_s(blanks + form(at) + blanks, EPOCH_S)
    assert asked_s == max(at.timestamp() - EPOCH_S, 0.0)


@fuzzed(
    0.1,
    text=retry_afters
    | hostile_texts
    | st.tuples(dates, hostile_texts, st.integers(0, 30)).map(
        lambda drawn: drawn[0][: drawn[2]] + drawn[1] + drawn[0][drawn[2] :]
    ),
    now=st.floats(0, 4e9) | st.sampled_from([0.0, EPOCH_S, 2.5e11]),
)
def test_whatever_retry_after_says_it_is_a_bounded_time_or_nothing(text: str, now: float) -> None:
    asked_s = retry_after_s(text, now)
    assert asked_s is None or 0.0 <= asked_s <= MAX_RETRY_AFTER_S
    if re.fullmatch(r"[0-9]{1,9}", text):
        assert asked_s == min(int(text), MAX_RETRY_AFTER_S)


# What people write ----------------------------------------------------------------------------------------------------

_digits = (
    st.integers(0, 10**6).map(str)
    | st.integers(0, 10**25).map(str)
    | st.sampled_from(["0", "00", "1e3", "-1", "\u0663"])
)
_decimals = st.sampled_from(["", "", ".5", ".25", ".", ".000001", ".123456789012345678901"])
_units = st.sampled_from(
    ["", "ms", "s", "m", "h", "d", "w", "S", "min", "KiB", "MiB", "GiB", "MB", "%", "/s", "/m", "/h", "/d"]
)
_written = st.builds("".join, st.tuples(_digits, _decimals, st.sampled_from(["", " ", "  "]), _units))
_values: st.SearchStrategy[Any] = st.one_of(
    _written,
    _written,
    hostile_texts,
    st.integers(),
    st.floats(),
    st.sampled_from([None, True, False, [], {}, 10**400, -(10**400), math.nan, math.inf]),
)


def read(reader: Callable[[Any], Any], value: Any, remedy: str) -> Any:
    """What it is read as; None where it is refused, in a short line that holds the remedy."""
    try:
        return reader(value)
    except ValueError as error:
        told = str(error)
        assert re.search(remedy, told), told
        assert told.isprintable()
        assert len(told) <= 250
        return None


@fuzzed(0.17, value=_values)
def test_a_duration_reads_back_or_is_refused_with_the_remedy(value: Any) -> None:
    seconds = read(duration_s, value, "write it like 250ms|more than zero|at most 366d")
    if seconds is None:
        assert not (isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,4}(ms|s|m)", value))
        return
    assert 0 < seconds <= MAX_DURATION_S
    written = duration_text(seconds)
    assert duration_s(written) == seconds
    assert not isinstance(written, str) or re.match(DURATION_PATTERN, written)


@fuzzed(0.1, value=_values)
def test_a_size_reads_back_or_is_refused_with_the_remedy(value: Any) -> None:
    size = read(size_bytes, value, "write it like 512KiB|from 1 byte to 1024MiB")
    if size is not None:
        assert 1 <= size <= MAX_SIZE_BYTES
        written = size_text(size)
        assert size_bytes(written) == size
        assert not isinstance(written, str) or re.match(SIZE_PATTERN, written)


@fuzzed(0.1, value=_values)
def test_a_rate_reads_back_or_is_refused_with_the_remedy(value: Any) -> None:
    found = read(rate, value, r"write it like 5/s|whole number; write|from 1 to 1000000 calls")
    if found is not None:
        assert 1 <= found.count <= MAX_RATE_COUNT
        assert rate(str(found)) == found
        assert re.match(RATE_PATTERN, str(found))
    elif isinstance(value, str):
        proposed = proposal(value)
        assert proposed is None or rate(proposed).count


def proposal(value: str) -> str | None:
    """What a refusal says would do in the place of a rate that is no whole number."""
    try:
        rate(value)
    except ValueError as error:
        found = re.search(r"whole number; write ([0-9]+/[smh])$", str(error))
        return found[1] if found else None
    return None


@fuzzed(0.1, value=_values)
def test_an_objective_reads_back_or_is_refused_with_the_remedy(value: Any) -> None:
    share = read(objective, value, "write it like 99.5%|more than 0% and less than 100%")
    if share is not None:
        assert 0 < share < 1
        assert objective(percent_text(share)) == share

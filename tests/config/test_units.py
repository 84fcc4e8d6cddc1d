"""Durations, sizes, objectives and rates: what is read, what is refused, and that what is written reads back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config.units import (
    MAX_DURATION_S,
    duration_s,
    duration_text,
    objective,
    parse_duration,
    percent_text,
    rate,
    size_bytes,
    size_text,
)
from worker.core.fit import rate_text
from worker.settings import Rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("100ms", 0.1),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("30d", 2_592_000.0),
        ("1.5h", 5400.0),
        ("45", 45.0),
        ("0.2", 0.2),
        (" 10 s ", 10.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5 minutes", "1h30m", "five", "1e3", "0", "0s", "-1s", "nan", "٣s", "1" * 400]
)
def test_a_wrong_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize("value", [None, True, [], {}, float("nan"), float("inf"), 10**400, -(10**400), 1e12])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_s(value)


@given(st.floats(min_value=0.0, max_value=MAX_DURATION_S))
def test_a_duration_that_is_written_reads_back_the_same(seconds: float) -> None:
    assert duration_s(duration_text(seconds), zero=True) == seconds


@given(st.integers(min_value=0, max_value=int(MAX_DURATION_S * 1000)))
def test_whole_milliseconds_are_written_as_text(milliseconds: int) -> None:
    text = duration_text(milliseconds / 1000)
    assert isinstance(text, str)
    assert duration_s(text, zero=True) == milliseconds / 1000


@pytest.mark.parametrize(
    ("value", "size"), [(1, 1), ("100", 100), ("512KiB", 524_288), ("4MiB", 4_194_304), ("4 MiB", 4_194_304)]
)
def test_a_size_is_read(value: object, size: int) -> None:
    assert size_bytes(value) == size


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "4MB", "1GiB", "2048MiB", "x"])
def test_a_wrong_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="size"):
        size_bytes(value)


@given(st.integers(min_value=1, max_value=1024**3))
def test_a_size_that_is_written_reads_back_the_same(size: int) -> None:
    assert size_bytes(size_text(size)) == size


@pytest.mark.parametrize(
    ("value", "share"),
    [("99.5%", 0.995), ("99.9%", 0.999), (" 99.95 %", 0.9995), ("50%", 0.5), ("0.1%", 0.001), (0.995, 0.995)],
)
def test_an_objective_is_read(value: object, share: float) -> None:
    assert objective(value) == share


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("100%", "nothing is always up"),
        ("0%", "more than 0% and less than 100%, not '0%'"),
        ("99.99999999999%", "write it like 99.5%"),
        ("1000%", "write it like 99.5%"),
        ("-1%", "write it like 99.5%"),
        ("\u0669\u0669%", "write it like 99.5%"),
        ("99,5%", "write it like 99.5%"),
        ("99.5", "write it like 99.5%"),
        (99.5, "less than 100%, not 99.5"),
        (1, "nothing is always up"),
        (0, "more than 0%"),
        (-0.5, "more than 0%"),
        (float("nan"), "more than 0%"),
        (10**400, "not a huge number"),
        (True, "true is no objective"),
        (None, "nothing is no objective"),
        ([], "a list is no objective"),
    ],
)
def test_a_wrong_objective_is_refused(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        objective(value)


@given(percent=st.decimals("0.0001", "99.9999999999", places=10))
def test_an_objective_that_is_written_reads_back_the_same(percent: Decimal) -> None:
    share = objective(f"{percent}%")
    assert share == pytest.approx(float(percent) / 100, abs=1e-12)
    assert objective(percent_text(share)) == share


@pytest.mark.parametrize(("share", "text"), [(0.995, "99.5%"), (0.999, "99.9%"), (0.9, "90%"), (0.07, "7%")])
def test_an_objective_is_written_as_people_do(share: float, text: str) -> None:
    assert percent_text(share) == text


@pytest.mark.parametrize(
    ("text", "count", "period_s"), [("5/s", 5, 1.0), ("30/m", 30, 60.0), ("1000/h", 1000, 3600.0), ("5 / s", 5, 1.0)]
)
def test_a_rate_is_read(text: str, count: int, period_s: float) -> None:
    assert rate(text) == Rate(count=count, period_s=period_s)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("0.5/s", "write 30/m"),
        ("2.5/s", "write 150/m"),
        ("0.1/m", "write 6/h"),
        ("0.00001/s", "longer window"),
        ("16667.5/s", "longer window"),
        (5, "write 5/s"),
        ("100/min", "write it like 5/s"),
        ("5/d", "write it like 5/s"),
        ("0/s", "from 1 to"),
        (None, "nothing is no rate"),
    ],
)
def test_a_wrong_rate_is_refused_with_what_would_do(value: object, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        rate(value)


@given(st.floats(min_value=1e-6, max_value=900_000.0))
def test_the_rate_that_is_proposed_allows_what_is_asked(per_second: float) -> None:
    assert rate(rate_text(per_second)).per_second >= per_second * (1 - 1e-6)


@pytest.mark.parametrize("value", ["0.00005%", 1e-7, 0.9999999999999, "99.95%", 0.5])
def test_an_objective_is_shown_as_it_reads_back(value: object) -> None:
    assert objective(percent_text(objective(value))) == objective(value)

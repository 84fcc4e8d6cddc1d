"""The status page."""

import re

import pytest

from tests.fakes import exchange, refusal, reply
from tests.web.surface import probed, waiting
from worker.core.notation import parse
from worker.core.pin import Pin
from worker.core.shard import Shard
from worker.web.page import MOST_ROWS, _clock, _milliseconds, _span, status_page

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def rows(page: str) -> list[str]:
    return re.findall(r"<tr>\n\s*<td>.*?</tr>", page, re.DOTALL)


def test_sick_targets_stand_first_and_are_counted() -> None:
    page = status_page(
        [
            probed("well"),
            waiting("later"),
            probed("who", exchange(refusal(), status=403)),
            probed("sick", exchange(refusal(), status=500)),
        ]
    )
    assert [re.findall(r"<td>(\w+)", row)[1] for row in rows(page)] == ["sick", "who", "later", "well"]
    for count in ("1 down", "1 unknown", "1 up", "1 not probed yet"):
        assert count in page
    assert "<title>plugin-probe: 1 down of 4</title>" in page


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(probed("p", exchange(refusal(error=HOSTILE), status=500)), id="an error"),
        pytest.param(probed("p", exchange(reply({HOSTILE: 1}))), id="a shape"),
        pytest.param(probed("p", exchange(reply(status=HOSTILE))), id="a status"),
        pytest.param(probed(HOSTILE), id="an id"),
        pytest.param(probed("p", labels={"team": HOSTILE}), id="a label"),
    ],
)
def test_nothing_that_others_choose_is_markup(shown: object) -> None:
    page = status_page([shown])  # type: ignore[list-item]  # parametrize knows no types
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_a_failure_says_what_was_expected_and_found() -> None:
    page = status_page([probed("sick", exchange(refusal(error="out of memory"), status=500))])
    assert "expected HTTP 2xx, found HTTP 500" in page
    assert "<code>out of memory</code>" in page


def test_an_empty_list_is_a_page_too() -> None:
    assert "0 down" in status_page([])


def test_only_a_shards_page_says_which_it_is() -> None:
    assert "shard 3 of 4, counted from 0: " in status_page([waiting()], Shard(index=3, count=4))
    assert "shard" not in status_page([waiting()])


def test_more_rows_than_anybody_reads_are_left_to_the_json() -> None:
    page = status_page([waiting(f"p{number:05}") for number in range(MOST_ROWS + 5)])
    assert len(rows(page)) == MOST_ROWS
    assert "and 5 more" in page


def test_the_page_loads_nothing() -> None:
    page = status_page([probed()])
    assert not re.search(r'(src|href)="?(https?:)?//', page)
    assert "<script" not in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (-3.0, "0 s"), (12.4, "12 s"), (240.0, "4 min"), (9000.0, "2.5 h")]
)
def test_spans_are_short(seconds: float | None, text: str) -> None:
    assert _span(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (0.0042, "4.2 ms"), (0.25, "250 ms"), (12.5, "12,500 ms")])
def test_latencies_are_in_milliseconds(seconds: float | None, text: str) -> None:
    assert _milliseconds(seconds) == text


@pytest.mark.parametrize(("at", "text"), [(None, "–"), (1_700_000_000.0, "2023-11-14 22:13:20"), (1e18, "?")])
def test_instants_are_in_utc(at: float | None, text: str) -> None:
    assert _clock(at) == text


def test_what_differs_from_a_pinned_shape_stands_below_and_is_escaped() -> None:
    shown = probed("p", exchange(reply({HOSTILE: 1})), pin=Pin(shape=parse("{embedding: number[2]}")))
    (row,) = rows(status_page([shown]))
    assert "expected number[2] at embedding, found nothing" in row
    assert "embedding: expected number[2], found nothing" in row
    assert "expected nothing, found integer (compatible)" in row
    assert "<script>" not in row

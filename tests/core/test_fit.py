"""What fits is said in the configuration's own words."""

import pytest

from worker.core.fit import concurrency_remedy, intervals_remedy, rate_remedy, rate_text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        pytest.param(50.0, "50/s", id="a second"),
        pytest.param(0.1 + 0.2, "18/m", id="a minute, and no more for a rounding error"),
        pytest.param(1 / 600, "6/h", id="an hour"),
        pytest.param(1e-9, "1/h", id="never none"),
    ],
)
def test_a_rate_is_written_over_the_shortest_window_in_which_it_is_one(per_second: float, text: str) -> None:
    assert rate_text(per_second) == text


def test_a_remedy_names_the_key_and_what_else_would_do() -> None:
    assert rate_remedy("limits.rate", 12.0, 2.4) == "limits.rate: 12/s fits, or intervals 2.4 times as long"
    told = concurrency_remedy("limits.concurrency", 8, 4.0)
    assert told == "limits.concurrency: 8 fits, or intervals 4 times as long, or shorter timeouts"


def test_a_factor_is_rounded_up() -> None:
    assert intervals_remedy(1.41) == "intervals 1.5 times as long"
    assert intervals_remedy(1.5) == "intervals 1.5 times as long"

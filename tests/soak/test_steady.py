"""When something that is sampled counts as flat."""

from collections.abc import Sequence

import pytest

from tests.soak.steady import growth, is_flat

FLAT = [100.0] * 20
CYCLES = [100.0, 110.0, 120.0, 130.0] * 15


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        (FLAT, True),
        (CYCLES, True),
        ([*range(20), *[20.0] * 40], True),  # it warms up
        ([*FLAT, *FLAT, 900.0, *FLAT], True),  # a peak
        ([*reversed(range(60))], True),  # it falls
        ([100.0 + number / 2 for number in range(60)], False),
        ([value + number / 2 for number, value in enumerate(CYCLES)], False),
        ([*FLAT, *FLAT, *[120.0] * 20], False),  # a step that is too high
    ],
)
def test_what_grows_after_the_warm_up_is_not_flat(samples: Sequence[float], flat: bool) -> None:
    assert is_flat(samples, share=0.05, slack=5.0) is flat


def test_growth_is_between_the_quarters() -> None:
    assert growth([1.0, 3.0, 0.0, 0.0, 0.0, 0.0, 13.0, 11.0]) == 10.0
    assert growth([7.0]) == 0.0

"""Whether something that is measured over and over has grown."""

from collections.abc import Sequence
from statistics import median

#: So much of the samples is the warm-up.
WARM_UP = 1 / 3


def settled(samples: Sequence[float]) -> Sequence[float]:
    """Those after the warm-up."""
    return samples[int(len(samples) * WARM_UP) :]


def growth(samples: Sequence[float]) -> float:
    """From the least of the first quarter to the least of the last one: what is lost is under every ebb, while tides
    and peaks are no growth.
    """
    quarter = max(len(samples) // 4, 1)
    return min(samples[-quarter:]) - min(samples[:quarter])


def is_flat(samples: Sequence[float], *, share: float, slack: float) -> bool:
    """After the warm-up it rose by no more than this share of its median and `slack`."""
    kept = settled(samples)
    return growth(kept) <= share * median(kept) + slack

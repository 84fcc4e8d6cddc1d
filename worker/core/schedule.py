"""When each target is due, and in which order a batch goes. Times are seconds; nothing here reads a clock."""

import math
from collections.abc import Sequence
from hashlib import blake2b

from worker.core.target import TargetKey

#: A target that has never been probed is probed within this of the start, not only when its phase comes.
FIRST_ROUND_S = 30.0
#: More calls a second than this are not for a first round: it may come on top of much else, on a small machine.
FIRST_PER_S = 500.0
_GOLDEN = (math.sqrt(5) - 1) / 2


def fraction(key: TargetKey) -> float:
    """A stable number in [0, 1) for a target, spread evenly over targets, the same in every process."""
    digest = blake2b(f"{key.namespace}\0{key.plugin}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def next_due(key: TargetKey, interval_s: float, after: float) -> float:
    """The first instant later than `after` at which the target is due.

    Instants are fraction × interval + n × interval on the given clock, so they never drift:
    a fraction of 0.25 at 60 s is due at 15, 75, 135; after 75.0 comes 135.0, after 74.9 comes 75.0.
    """
    phase_s = fraction(key) * interval_s
    turns = math.floor((after - phase_s) / interval_s) + 1
    if phase_s + turns * interval_s <= after:  # float rounding at an instant itself
        turns += 1
    return phase_s + turns * interval_s  # always this product, so that an instant is the same number from anywhere


def first_due(key: TargetKey, interval_s: float, now: float, *, targets: int, rate_per_s: float) -> float:
    """When a target that was never probed is first due: soon, but spread so wide that the rate allows all of them, and
    the processor too.

    60 targets at 1/s are spread over 66 s; 3 targets over 30 s, or over their interval where that is shorter; 100,000
    at 5,000/s over 200 s, or their interval.
    """
    spread_s = min(interval_s, max(FIRST_ROUND_S, 1.1 * targets / rate_per_s, targets / FIRST_PER_S))
    return now + fraction(key) * spread_s


def batch_order(keys: Sequence[TargetKey], started_at: float, period_s: float) -> list[int]:
    """Indexes of `keys` in the order in which a batch calls them.

    Hash order, which mixes namespaces, entered at another place in every run (`started_at` in Unix seconds over the
    period counts the runs), so that a deadline does not always cost the same targets.
    """
    order = sorted(range(len(keys)), key=lambda index: fraction(keys[index]))
    if not order:
        return order
    run = math.floor(started_at / period_s)
    start = int((run * _GOLDEN) % 1.0 * len(order))
    return order[start:] + order[:start]

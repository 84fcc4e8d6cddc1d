"""How long the benchmarks take: the defaults are what figures are published from, less is for a quick look."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`blocks` of every ratio, `minutes` of the scheduler, `seconds` at each rate of the accuracy."""

    blocks: int = 40
    minutes: float = 3.0
    seconds: float = 15.0

"""A ratio of sums over interleaved blocks, with its spread."""

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`ours` and `theirs` are CPU seconds, block by block; the ratio is of their sums."""

    name: str
    goal: str
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return sum(self.ours) / sum(self.theirs)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Of the ratios of single blocks."""
        first, _, third = statistics.quantiles([a / b for a, b in zip(self.ours, self.theirs, strict=True)], n=4)
        return first, third

    def line(self) -> str:
        first, third = self.quartiles
        spread = f"{first:.2f} to {third:.2f} in the middle half of {len(self.ours)} blocks"
        medians = f"{statistics.median(self.ours):.3f} s beside {statistics.median(self.theirs):.3f} s CPU"
        return f"{self.name}: {self.ratio:.2f} ({spread}; {medians}); goal {self.goal}"

    def as_dict(self) -> dict[str, Any]:
        first, third = self.quartiles
        return {
            "name": self.name,
            "goal": self.goal,
            "ratio": self.ratio,
            "quartiles": [first, third],
            "blocks": len(self.ours),
            "ours_s": self.ours,
            "theirs_s": self.theirs,
        }

"""What a benchmark finds: a ratio over interleaved blocks, a reading that is no ratio, or why there is neither."""

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

#: Nothing was promised of this figure; it is shown because it explains another one.
NO_GOAL = "–"
_GOAL = re.compile(r"(≤|<|≥|>) (\d[\d.,]*)")


class Row(Protocol):
    """A line of the table."""

    @property
    def name(self) -> str: ...

    @property
    def goal(self) -> str: ...

    @property
    def met(self) -> bool | None:
        """None where nothing was promised, or nothing measured."""

    @property
    def measured(self) -> str: ...

    @property
    def spread(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


def holds(goal: str, value: float) -> bool | None:
    """Whether a value meets `≤ 1.33`, `> 1`, `≤ 50 ms` (in that unit). Raises ValueError for what is no goal."""
    if goal == NO_GOAL:
        return None
    parts = _GOAL.match(goal)
    if parts is None:
        raise ValueError(f"{goal!r} is no goal")
    bound = float(parts[2].replace(",", ""))
    return {"≤": value <= bound, "<": value < bound, "≥": value >= bound, ">": value > bound}[parts[1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`ours` and `theirs` are seconds of `clock`, block by block; the ratio is of their sums.

    A block does `each` pieces of work. Turned over (`rates`), the ratio is of pieces per second, ours to theirs.
    """

    name: str
    goal: str
    ours: list[float]
    theirs: list[float]
    each: int = 1
    clock: str = "CPU"
    rates: bool = False

    @property
    def ratio(self) -> float:
        return self._ratio(sum(self.ours), sum(self.theirs))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Of the ratios of single blocks; of fewer than two there is no spread."""
        ratios = [self._ratio(*pair) for pair in zip(self.ours, self.theirs, strict=True)]
        if len(ratios) < 2:
            return ratios[0], ratios[0]
        first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return first, third

    @property
    def met(self) -> bool | None:
        return holds(self.goal, self.ratio)

    @property
    def measured(self) -> str:
        told = [self._piece(sum(seconds) / len(seconds) / self.each) for seconds in (self.ours, self.theirs)]
        return f"{self.ratio:.2f} ({told[0]} beside {told[1]}, {self.clock})"

    @property
    def spread(self) -> str:
        first, third = self.quartiles
        return f"{first:.2f} to {third:.2f} in {len(self.ours)} blocks"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "goal": self.goal,
            "met": self.met,
            "ratio": self.ratio,
            "quartiles": list(self.quartiles),
            "blocks": len(self.ours),
            "each": self.each,
            "clock": self.clock,
            "ours_s": self.ours,
            "theirs_s": self.theirs,
        }

    def _ratio(self, ours: float, theirs: float) -> float:
        return theirs / ours if self.rates else ours / theirs

    def _piece(self, seconds: float) -> str:
        return f"{1 / seconds:,.0f}/s" if self.rates else in_words(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A figure that is no ratio: milliseconds, kilobytes, a count. Its goal is in the same unit."""

    name: str
    value: float
    unit: str = ""
    goal: str = NO_GOAL
    spread: str = ""

    @property
    def met(self) -> bool | None:
        return holds(self.goal, self.value)

    @property
    def measured(self) -> str:
        large = abs(self.value) >= 100 or self.value == int(self.value)
        return f"{self.value:,.0f} {self.unit}".strip() if large else f"{self.value:.3g} {self.unit}".strip()

    def as_dict(self) -> dict[str, Any]:
        keys = ("name", "value", "unit", "goal", "met", "spread")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Could not be measured here."""

    name: str
    why: str
    goal: str = NO_GOAL
    met: None = None
    spread: str = ""

    @property
    def measured(self) -> str:
        return self.why

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "goal": self.goal, "met": None, "why": self.why}


def in_words(seconds: float) -> str:
    """In the unit that suits them, three digits of it."""
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= pair[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"


def table(rows: Iterable[Row]) -> str:
    """What, measured, spread, goal, met."""
    answers = {True: "yes", False: "NO", None: ""}
    lines = [("what", "measured", "spread", "goal", "met?")]
    lines += [(row.name, row.measured, row.spread, row.goal, answers[row.met]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]  # five of them, as in every line
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

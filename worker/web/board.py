"""Board: the newest result of every target, as the status page and the JSON API show it."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from worker.core.outcome import Verdict
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track
from worker.sinks.rows import Row, row
from worker.sinks.text import Redact, unchanged

#: Sick first, then what nothing is known of.
_ORDER = {Verdict.DOWN: 0, Verdict.UNKNOWN: 1, None: 2, Verdict.UP: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One target as it is shown: `row` is of its newest result, None before there is one."""

    target: Target
    track: Track
    next_due_in_s: float | None
    row: Row | None

    @property
    def verdict(self) -> Verdict | None:
        return self.track.outcome.verdict if self.track.outcome else None

    def as_dict(self) -> dict[str, Any]:
        track = self.track
        return {
            "namespace": self.target.key.namespace,
            "plugin": self.target.key.plugin,
            "labels": dict(self.target.labels),
            "interval_s": self.target.interval_s,
            "verdict": self.verdict,
            "outcome": track.outcome,
            "consecutive_failures": track.consecutive_failures,
            "consecutive_unknowns": track.consecutive_unknowns,
            "last_probe_at": track.last_probe_at,
            "last_success_at": track.last_success_at,
            "next_due_in_s": self.next_due_in_s,
            "result": self.row and self.row.as_dict(),
        }


@dataclass(slots=True)
class Board:
    """A sink that keeps the newest row of each target."""

    rows: dict[TargetKey, Row] = field(default_factory=dict)
    redact: Redact = unchanged

    def record(self, recorded: Recorded) -> None:
        self.rows[recorded.result.target.key] = row(recorded, self.redact)

    def forget(self, key: TargetKey) -> None:
        self.rows.pop(key, None)


def sick_first(targets: Iterable[Shown], most: int) -> list[Shown]:
    """Down, then unknown, then not yet probed, then up; by name within each."""
    return heapq.nsmallest(most, targets, key=lambda shown: (_ORDER[shown.verdict], shown.target.key))

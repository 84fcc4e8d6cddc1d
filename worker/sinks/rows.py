"""Row: what the reports keep of one result. A batch may have 200,000 of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.core.difference import Difference
from worker.core.exchange import PHASE_NAMES, Exchange, Phases
from worker.core.judge import Judgement
from worker.core.outcome import Outcome
from worker.core.target import TargetKey
from worker.core.track import Recorded
from worker.core.vector import VectorReading
from worker.sinks.text import Redact, finite, one_line, unchanged

#: Of a reply's top-level keys so many are reported.
MOST_KEYS = 100
#: Longest text that a reply chose, in characters.
TEXT_LENGTH = 500
#: Longest shape, in characters.
SHAPE_LENGTH = 4096

_NO_PHASES = Phases()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One result without its reply. `started_at` is in Unix seconds; every text is one line and redacted."""

    key: TargetKey
    labels: Mapping[str, str]
    outcome: Outcome
    http_status: int | None
    duration_s: float | None
    phases: Phases
    died_in: str | None
    lost_s: float | None
    attempts: int
    started_at: float | None
    inference_name: str | None
    response_type: str | None
    response_keys: tuple[str, ...] | None
    response_bytes: int | None
    shape: str | None
    shape_hash: str | None
    shape_diff: tuple[Difference, ...] | None
    vectors: tuple[VectorReading, ...]
    golden_cosine: float | None
    expected: str | None
    found: str | None
    error: str | None
    request_id: str | None

    def as_dict(self) -> dict[str, Any]:
        """The report's words in the report's order; JSON can say all of it."""
        outcome = self.outcome
        return {
            "namespace": self.key.namespace,
            "plugin": self.key.plugin,
            "labels": dict(self.labels),
            "verdict": outcome.verdict.value,
            "outcome": outcome.value,
            "fault": outcome.fault.value,
            "http_status": self.http_status,
            "duration_s": finite(self.duration_s),
            "phases": {name: finite(getattr(self.phases, name)) for name in PHASE_NAMES},
            "died_in": self.died_in,
            "lost_s": finite(self.lost_s),
            "attempts": self.attempts,
            "started_at": instant(self.started_at),
            "inference_name": self.inference_name,
            "response_type": self.response_type,
            "response_keys": None if self.response_keys is None else list(self.response_keys),
            "response_bytes": self.response_bytes,
            "shape": self.shape,
            "shape_hash": self.shape_hash,
            "shape_diff": None if self.shape_diff is None else list(map(difference, self.shape_diff)),
            "vectors": None if self.shape is None else [_vector(reading) for reading in self.vectors],
            "golden_cosine": finite(self.golden_cosine),
            "expected": self.expected,
            "found": self.found,
            "error": self.error,
            "request_id": self.request_id,
        }


def row(recorded: Recorded, redact: Redact = unchanged) -> Row:
    """What is kept of a result; the reply itself, which may be megabytes, is not."""
    result = recorded.result
    target, exchange = result.target, result.exchange
    return Row(
        key=target.key,
        labels=target.labels,
        outcome=result.outcome,
        attempts=result.attempts,
        **_of_exchange(exchange, redact),
        **_of_judgement(result.judgement, redact),
    )


def _of_exchange(exchange: Exchange | None, redact: Redact) -> dict[str, Any]:
    return {
        "http_status": exchange and exchange.http_status,
        "duration_s": exchange and exchange.duration_s,
        "phases": exchange.phases if exchange else _NO_PHASES,
        "died_in": exchange and exchange.died_in and exchange.died_in.value,
        "lost_s": exchange and exchange.lost_s,
        "started_at": exchange and exchange.started_at,
        "response_bytes": exchange and exchange.response_bytes,
        "request_id": one_line(exchange.request_id, TEXT_LENGTH, redact) if exchange else None,
    }


def _of_judgement(judgement: Judgement, redact: Redact) -> dict[str, Any]:
    def text(value: str | None) -> str | None:
        return one_line(value, TEXT_LENGTH, redact)

    keys = judgement.response_keys
    return {
        "inference_name": text(judgement.inference_name),
        "response_type": text(judgement.response_type),
        "response_keys": None if keys is None else tuple(text(key) or "" for key in keys[:MOST_KEYS]),
        "shape": one_line(judgement.shape, SHAPE_LENGTH, redact),
        "shape_hash": judgement.shape_hash,
        "shape_diff": redacted(judgement.shape_diff, redact),
        "vectors": judgement.vectors,
        "golden_cosine": judgement.golden_cosine,
        "expected": text(judgement.expected),
        "found": text(judgement.found),
        "error": text(judgement.error),
    }


def redacted(found: Sequence[Difference] | None, redact: Redact) -> tuple[Difference, ...] | None:
    """The same differences with every text, of which a reply chose some, on one line and without secrets."""

    def text(value: str | None) -> str | None:
        return one_line(value, TEXT_LENGTH, redact)

    if found is None:
        return None
    return tuple(
        Difference(path=text(d.path) or "", expected=text(d.expected), found=text(d.found), severity=d.severity)
        for d in found
    )


def difference(found: Difference) -> dict[str, str | None]:
    """A difference in the report's words, which are the log's too."""
    return {
        "path": found.path,
        "expected": found.expected,
        "found": found.found,
        "severity": found.severity.value,
    }


def shape_lines(row: Row, most: int = 3) -> list[str]:
    """What differs from the pinned shape, for people: one a line, and how many more there are.

    Nothing where it is the one thing that `expected` and `found` tell already.
    """
    found = row.shape_diff or ()
    if len(found) == 1 and row.outcome is Outcome.SHAPE_MISMATCH:
        return []
    more = [f"… and {len(found) - most} more"] if len(found) > most else []
    return [*map(str, found[:most]), *more]


def _vector(reading: VectorReading) -> dict[str, Any]:
    return {"path": reading.path, "dimensions": reading.dimensions, "norm": finite(reading.norm)}


def instant(at: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC, to the millisecond: 2026-09-01T12:00:00.250Z."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Row: what the reports keep of one result. A batch may have 200,000 of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.core.difference import Difference
from worker.core.exchange import Phase, Phases
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

#: What a larger reply chose is cut at once: a row must not keep its texts and thousands of keys alive.
SMALL_BYTES = 16_384


class Row(NamedTuple):
    """One result without its reply. `started_at` is in Unix seconds; every text is one line and redacted when it is
    asked for: making a row is on every probe's path, and few of them are ever read. `duration_s` is that of the phases,
    kept since a written report tells each of them rounded."""

    key: TargetKey
    labels: Mapping[str, str]
    judgement: Judgement
    redact: Redact
    attempts: int
    started_at: float | None = None
    phases: Phases = Phases()
    duration_s: float | None = None
    http_status: int | None = None
    died_in: Phase | None = None
    lost_s: float | None = None
    response_bytes: int | None = None
    raw_request_id: str | None = None

    @property
    def outcome(self) -> Outcome:
        return self.judgement.outcome

    @property
    def latency_s(self) -> float | None:
        """What a summary measures: only a documented reply has a shape."""
        return self.duration_s if self.judgement.shape is not None and self.lost_s == 0 else None

    @property
    def shape(self) -> str | None:
        return one_line(self.judgement.shape, SHAPE_LENGTH, self.redact)

    @property
    def shape_diff(self) -> tuple[Difference, ...] | None:
        return redacted(self.judgement.shape_diff, self.redact)

    @property
    def expected(self) -> str | None:
        return self._text(self.judgement.expected)

    @property
    def found(self) -> str | None:
        return self._text(self.judgement.found)

    @property
    def error(self) -> str | None:
        return self._text(self.judgement.error)

    @property
    def request_id(self) -> str | None:
        return self._text(self.raw_request_id)

    def _text(self, value: str | None) -> str | None:
        return one_line(value, TEXT_LENGTH, self.redact)

    def as_dict(self) -> dict[str, Any]:
        """The report's words in the report's order; JSON can say all of it."""
        outcome, judgement, text = self.outcome, self.judgement, self._text
        keys, differences = judgement.response_keys, self.shape_diff
        return {
            "namespace": self.key.namespace,
            "plugin": self.key.plugin,
            "labels": dict(self.labels),
            "verdict": outcome.verdict.value,
            "outcome": outcome.value,
            "fault": outcome.fault.value,
            "http_status": self.http_status,
            "duration_s": finite(self.duration_s),
            "phases": {name: finite(seconds) for name, seconds in self.phases.as_dict().items()},
            "died_in": self.died_in and self.died_in.value,
            "lost_s": finite(self.lost_s),
            "attempts": self.attempts,
            "started_at": instant(self.started_at),
            "inference_name": text(judgement.inference_name),
            "response_type": text(judgement.response_type),
            "response_keys": None if keys is None else list(map(text, keys[:MOST_KEYS])),
            "response_bytes": self.response_bytes,
            "shape": self.shape,
            "shape_hash": judgement.shape_hash,
            "shape_diff": None if differences is None else list(map(difference, differences)),
            "vectors": None if judgement.shape is None else list(map(_vector, judgement.vectors)),
            "golden_cosine": finite(judgement.golden_cosine),
            "expected": self.expected,
            "found": self.found,
            "error": self.error,
            "request_id": self.request_id,
        }


def row(recorded: Recorded, redact: Redact = unchanged) -> Row:
    """What is kept of a result; the reply itself, which may be megabytes, is not."""
    result = recorded.result
    target, judgement, exchange = result.target, result.judgement, result.exchange
    if exchange is None:
        return Row(target.key, target.labels, judgement, redact, result.attempts)
    if (exchange.response_bytes or 0) > SMALL_BYTES:
        judgement = _cut(judgement, redact)
    return Row(
        target.key,
        target.labels,
        judgement,
        redact,
        result.attempts,
        exchange.started_at,
        exchange.phases,
        exchange.phases.duration_s,
        exchange.http_status,
        exchange.died_in,
        exchange.lost_s,
        exchange.response_bytes,
        exchange.request_id,
    )


def _cut(judgement: Judgement, redact: Redact) -> Judgement:
    def text(value: str | None) -> str | None:
        return one_line(value, TEXT_LENGTH, redact)

    keys = judgement.response_keys
    return judgement._replace(
        expected=text(judgement.expected),
        found=text(judgement.found),
        error=text(judgement.error),
        response_keys=None if keys is None else tuple(text(key) or "" for key in keys[:MOST_KEYS]),
        shape=one_line(judgement.shape, SHAPE_LENGTH, redact),
        shape_diff=redacted(judgement.shape_diff, redact),
    )


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


def moment(text: str) -> float:
    """Unix seconds of what `instant` wrote. Raises ValueError."""
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC).timestamp()
    raise ValueError(f"{text[:40]!r} is no time such as 2026-09-01T12:00:00.250Z")

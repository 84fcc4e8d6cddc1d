"""Which log events a recorded result gives, and with which fields. Pure: how they are written is log.py's matter."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from worker.core.outcome import Fault, Outcome, Verdict
from worker.core.result import SkipReason
from worker.core.target import TargetKey
from worker.core.track import VARYING, Recorded, Track
from worker.sinks.rows import difference, redacted
from worker.sinks.text import Redact, finite, one_line, unchanged

#: Longest error, expected or found, in characters.
ERROR_LENGTH = 500
#: Longest word of a reply (inference_name, request_id), in characters.
WORD_LENGTH = 200
#: So many differences from a pinned shape are logged; the breaking ones come first.
MOST_DIFFERENCES = 10
#: Most of a reply's beginning that is logged, in bytes.
EXCERPT_BYTES = 2048

_WARNED = frozenset({Fault.CONFIGURATION, Fault.PROBER})


class Event(NamedTuple):
    """`level` is the logging module's number. Fields are None where they do not apply."""

    level: int
    name: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outage:
    """`since` is None when the target was already failing at the first result seen."""

    since: float | None
    failures: int


class Narrator:
    """Turns results into events; remembers who is down, so that a recovery can say for how long."""

    def __init__(self, redact: Redact = unchanged) -> None:
        self._redact = redact
        self._outages: dict[TargetKey, _Outage] = {}
        self._varying: set[TargetKey] = set()

    def forget(self, key: TargetKey) -> None:
        self._outages.pop(key, None)
        self._varying.discard(key)

    def tell(self, recorded: Recorded, least: int) -> Iterable[Event]:
        """The events of one result at level `least` or above, in order; fields are built for those alone."""
        result, _, changes = recorded
        quiet = least > logging.DEBUG and not changes.recovered and changes.shape is None
        if quiet and result.outcome.up and result.target.key not in self._outages:
            return ()  # as nearly every result is
        return self._tell(recorded, least)

    def _tell(self, recorded: Recorded, least: int) -> Iterator[Event]:
        verdict = recorded.result.outcome.verdict
        outage = self._remember(recorded, verdict)
        shape = self._shape_change(recorded)
        if shape and least <= logging.INFO:
            yield Event(logging.INFO, "shape.changed", _given(_shape_fields(recorded, *shape, self._redact)))
        if recorded.changes.recovered and least <= logging.INFO:
            yield Event(logging.INFO, "probe.recovered", _given(_identity(recorded) | _recovery(recorded, outage)))
        level, name = _headline(recorded, verdict)
        if least <= level:
            fields = _fields(recorded, verdict, self._redact)
            # a failure has all its fields, so that whoever reads them by name finds each; elsewhere absent says enough
            yield Event(level, name, fields if verdict is Verdict.DOWN else _given(fields))

    def _remember(self, recorded: Recorded, verdict: Verdict) -> _Outage | None:
        key = recorded.result.target.key
        if verdict is Verdict.UP:
            return self._outages.pop(key, None)
        if verdict is Verdict.DOWN:
            failures = recorded.track.consecutive_failures
            before = self._outages.get(key)
            since = before.since if before else recorded.track.last_conclusive_at if failures == 1 else None
            self._outages[key] = _Outage(since=since, failures=failures)
        return None

    def _shape_change(self, recorded: Recorded) -> tuple[str, str] | None:
        """(before, after); a plugin whose shape is never the same twice is called `varying`, once, and then left."""
        changed, key = recorded.changes.shape, recorded.result.target.key
        if changed is None or key in self._varying:
            return None
        if recorded.track.shape_label != VARYING:
            return changed
        self._varying.add(key)
        return changed[0], VARYING


def _headline(recorded: Recorded, verdict: Verdict) -> tuple[int, str]:
    outcome = recorded.result.outcome
    if verdict is Verdict.DOWN:
        return logging.WARNING, "probe.failed"
    if recorded.result.skipped is SkipReason.OVERLOAD:  # worker.overloaded counts them: a line each is more load
        return logging.DEBUG, "probe.unknown"
    if verdict is Verdict.UNKNOWN:
        warned = outcome.fault in _WARNED and outcome is not Outcome.SKIPPED
        return logging.WARNING if warned else logging.INFO, "probe.unknown"
    return logging.DEBUG, "probe.succeeded"


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _identity(recorded: Recorded) -> dict[str, Any]:
    target = recorded.result.target
    return {"namespace": target.key.namespace, "plugin": target.key.plugin, "labels": dict(target.labels)}


def _fields(recorded: Recorded, verdict: Verdict, redact: Redact) -> dict[str, Any]:
    result, track = recorded.result, recorded.track
    judgement, exchange = result.judgement, result.exchange
    fault = result.outcome.fault
    fields = _identity(recorded) | {
        "outcome": result.outcome.value,
        "fault": None if fault is Fault.NONE else fault.value,
        **({"reason": result.skipped.value} if result.skipped else {}),
        **_call(recorded),
        "attempts": result.attempts,
        **_in_a_row(track, verdict),
        **_inference_name(recorded, redact),
        "error": one_line(judgement.error, ERROR_LENGTH, redact),
        "request_id": one_line(exchange.request_id, WORD_LENGTH, redact) if exchange else None,
        "expected": one_line(judgement.expected, ERROR_LENGTH, redact),
        "found": one_line(judgement.found, ERROR_LENGTH, redact),
        "shape_diff": _shape_diff(recorded, redact),
        "golden_cosine": finite(judgement.golden_cosine),
    }
    if exchange and verdict is not Verdict.UP:
        fields["excerpt"] = _cut_bytes(exchange.excerpt and redact(exchange.excerpt))
    return fields


def _in_a_row(track: Track, verdict: Verdict) -> dict[str, Any]:
    if verdict is Verdict.UP:
        return {}
    down = verdict is Verdict.DOWN
    return (
        {"consecutive_failures": track.consecutive_failures}
        if down
        else {"consecutive_unknowns": track.consecutive_unknowns}
    )


def _call(recorded: Recorded) -> dict[str, Any]:
    exchange = recorded.result.exchange
    if exchange is None:
        return {}
    phases = {name: finite(seconds) for name, seconds in exchange.phases.as_dict().items()}
    return {
        "http_status": exchange.http_status,
        "duration_s": finite(exchange.duration_s),
        "phases": phases,
        "died_in": exchange.died_in and exchange.died_in.value,
    }


def _inference_name(recorded: Recorded, redact: Redact) -> dict[str, Any]:
    renamed = recorded.changes.inference_name
    return {
        "inference_name": one_line(recorded.result.judgement.inference_name, WORD_LENGTH, redact),
        **({"inference_name_before": one_line(renamed[0], WORD_LENGTH, redact)} if renamed else {}),
    }


def _recovery(recorded: Recorded, outage: _Outage | None) -> dict[str, Any]:
    now = recorded.track.last_success_at
    since = outage.since if outage else None
    return {
        "outcome": recorded.result.outcome.value,
        "down_s": None if now is None or since is None else finite(now - since, 3),
        "failures_before": outage.failures if outage else None,
    }


def _shape_fields(recorded: Recorded, before: str, after: str, redact: Redact) -> dict[str, Any]:
    return _identity(recorded) | {
        "before": before,
        "after": after,
        "shape": one_line(recorded.result.judgement.shape, ERROR_LENGTH, redact),
        "shape_diff": _shape_diff(recorded, redact),
        **_inference_name(recorded, redact),
    }


def _shape_diff(recorded: Recorded, redact: Redact) -> list[dict[str, str | None]] | None:
    """What differs from the pinned shape; None where nothing does, or none is pinned."""
    found = redacted(recorded.result.judgement.shape_diff, redact) or ()
    return [difference(one) for one in found[:MOST_DIFFERENCES]] or None


def _cut_bytes(text: str | None) -> str | None:
    """At most EXCERPT_BYTES once encoded, never cut within a character."""
    if text is None or len(text) * 4 <= EXCERPT_BYTES:
        return text
    return text.encode(errors="replace")[:EXCERPT_BYTES].decode(errors="ignore")

"""Memory: the tracks that a worker goes on from, read back from the metrics that it last wrote."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from worker.core.exchange import PHASE_NAMES, Phases
from worker.core.outcome import OUTCOMES
from worker.core.target import TargetKey
from worker.core.track import BUCKETS_S, MOST_SHAPES, VARYING, Track
from worker.core.vector import VectorReading
from worker.sinks.labels import RESPONSE_TYPES
from worker.sinks.reading import Sample, own_counts
from worker.sinks.text import Redact

_PREFIX = "plugin_probe_"
_BOUND = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|\+Inf")
_MEASURED = (f"{_PREFIX}vector_norm", f"{_PREFIX}golden_cosine")

#: Of the families of one sample a target: the track's field, and what the sample's value is there.
_PLAIN: dict[str, tuple[str, Callable[[float], Any]]] = {
    "success": ("success", bool),
    "consecutive_failures": ("consecutive_failures", int),
    "consecutive_unknowns": ("consecutive_unknowns", int),
    "last_probe_timestamp_seconds": ("last_probe_at", float),
    "last_conclusive_timestamp_seconds": ("last_conclusive_at", float),
    "last_success_timestamp_seconds": ("last_success_at", float),
    "warming_since_timestamp_seconds": ("warming_since", float),
    "last_duration_seconds": ("duration_s", float),
    "http_status_code": ("http_status", lambda value: int(value) or None),
    "response_bytes": ("response_bytes", int),
    "probes_total": ("probes", int),
    "failures_total": ("failures", int),
    "unknowns_total": ("unknowns", int),
    "calls_total": ("calls", int),
    "response_shape_match": ("shape_match", bool),
    "response_keys": ("response_keys", int),
    "golden_cosine": ("golden_cosine", float),
    "response_shape_changes_total": ("shape_changes", int),
    "duration_seconds_sum": ("duration_sum_s", float),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """`tracks` of the targets that were known; `own` are the samples of the worker and of its namespaces."""

    tracks: dict[TargetKey, Track] = field(default_factory=dict)
    own: list[Sample] = field(default_factory=list)

    def redacted(self, redact: Redact) -> "Memory":
        """Without the secrets that somebody may have planted in labels that are written again."""
        return Memory(tracks={key: _redacted(track, redact) for key, track in self.tracks.items()}, own=self.own)


def _redacted(track: Track, redact: Redact) -> Track:
    shape = track.shape_hash and redact(track.shape_hash)
    vectors = tuple(reading._replace(path=redact(reading.path)) for reading in track.vectors)
    return track._replace(shape_hash=shape, vectors=vectors)


def everyone(_: TargetKey) -> bool:
    """No target is passed over."""
    return True


class Recollection:
    """What samples tell, taken one by one: all of them together are several times as large as what they come to.

    Of a target that `concerns` turns down nothing is kept.
    """

    def __init__(self, concerns: Callable[[TargetKey], bool] = everyone) -> None:
        self._concerns = concerns
        self._found: dict[TargetKey, dict[str, Any] | None] = {}
        self._own: list[Sample] = []

    def take(self, sample: Sample) -> None:
        """Other families than ours are passed over. ValueError: what none of ours says."""
        if not sample.name.startswith(_PREFIX):
            return
        namespace, plugin = sample.labels.get("mixpeek_namespace"), sample.labels.get("plugin")
        _check(sample)
        if namespace is None or plugin is None:
            self._own.append(sample)
            return
        key = TargetKey(namespace, plugin)
        if key not in self._found:
            self._found[key] = {} if self._concerns(key) else None
        fields = self._found[key]
        if fields is not None:
            _take(fields, sample)

    def memory(self) -> Memory:
        """Of all that was taken. ValueError: counts that can't be."""
        kept = ((key, fields) for key, fields in self._found.items() if fields is not None)
        return Memory(tracks={key: _track(fields) for key, fields in kept}, own=self._own)


def recall(samples: Iterable[Sample]) -> Memory:
    """What these samples tell. ValueError: what none of ours says."""
    recollection = Recollection()
    for sample in samples:
        recollection.take(sample)
    return recollection.memory()


def _check(sample: Sample) -> None:
    """Only a vector's numbers can be what no count or time can be."""
    name, labels, value = sample
    if not name.startswith(_MEASURED) and not 0 <= value < math.inf:
        raise ValueError(f"{name}{labels} is {value}")
    if name.endswith("_bucket") and not _BOUND.fullmatch(labels.get("le", "")):
        raise ValueError(f"{name}{labels} has no bound")


def _take(fields: dict[str, Any], sample: Sample) -> None:
    name = sample.name.removeprefix(_PREFIX)
    plain = _PLAIN.get(name)
    if plain:
        fields[plain[0]] = plain[1](sample.value)
    elif name in _LABELLED:
        _LABELLED[name](fields, sample.labels, sample.value)


def _outcome(name: str, fields: dict[str, Any], labels: dict[str, str], _: float) -> None:
    """None for a word of another version."""
    fields[name] = OUTCOMES.get(labels.get("outcome", ""))


def _phase(fields: dict[str, Any], labels: dict[str, str], value: float) -> None:
    phase = labels.get("phase")
    if phase in PHASE_NAMES:
        fields.setdefault("phases", {})[phase] = value


def _bucket(fields: dict[str, Any], labels: dict[str, str], value: float) -> None:
    """By value: the Pushgateway writes a bound of 1.0 as 1."""
    fields.setdefault("buckets", {})[float(labels["le"])] = int(value)


def _shape(fields: dict[str, Any], labels: dict[str, str], _: float) -> None:
    kind = labels.get("response_type")
    fields["response_type"] = kind if kind in RESPONSE_TYPES else "other"
    fields["shape"] = labels.get("shape")


def _dimensions(fields: dict[str, Any], labels: dict[str, str], value: float) -> None:
    fields.setdefault("sizes", {})[labels.get("path", "")] = int(value)


def _norm(fields: dict[str, Any], labels: dict[str, str], value: float) -> None:
    fields.setdefault("norms", {})[labels.get("path", "")] = value


def _good(fields: dict[str, Any], labels: dict[str, str], value: float) -> None:
    """How long it took is not known any more, only whether that was in time."""
    if labels.get("slo") == "latency":
        fields["answered_in_s"] = 0.0 if value else math.inf


_LABELLED: dict[str, Callable[[dict[str, Any], dict[str, str], float], None]] = {
    "outcome": partial(_outcome, "outcome"),
    "failure_info": partial(_outcome, "failure"),
    "phase_duration_seconds": _phase,
    "duration_seconds_bucket": _bucket,
    "response_shape_info": _shape,
    "vector_dimensions": _dimensions,
    "vector_norm": _norm,
    "slo_good": _good,
}


def _track(fields: dict[str, Any]) -> Track:
    shape = fields.pop("shape", None)
    sizes, norms = fields.pop("sizes", {}), fields.pop("norms", {})
    fields["vectors"] = tuple(VectorReading(path, sizes[path], norm) for path, norm in norms.items() if path in sizes)
    fields["phases"] = Phases(**fields.get("phases", {}))
    counts = own_counts(fields.pop("buckets", {}), BUCKETS_S)
    if counts:
        fields["buckets"] = counts
    else:
        fields.pop("duration_sum_s", None)
    track = Track(shape_hash=shape, **fields)
    return track._replace(shapes_seen=_shapes_seen(track))


def _shapes_seen(track: Track) -> tuple[str, ...]:
    """Only the last shape was written down. Whose shape has changed at every other reply has shown enough of them: the
    places of those that nobody knows any more are taken.
    """
    seen = () if track.shape_hash in (None, VARYING) else (track.shape_hash,)
    if track.shape_changes < MOST_SHAPES or track.shape_changes * 2 < track.probes:
        return seen
    return (*seen, *("",) * (MOST_SHAPES - len(seen)))

"""The metric families of a target: their names, help, where each value is read and how its lines are written.

Lines are written again only when what was read has changed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from worker.core.exchange import PHASE_NAMES, Phases
from worker.core.outcome import Outcome
from worker.core.target import Target, TargetKey
from worker.core.track import BUCKETS_S, Track
from worker.core.vector import VectorReading

#: What `response_type` may say as a label; a reply chooses the word, so anything else is `other`.
RESPONSE_TYPES = frozenset({"dict", "list", "str", "int", "float", "bool", "NoneType"})

#: Names that a target's own labels can't take: ours, and what Prometheus and promtool keep for themselves.
_TAKEN = frozenset({"mixpeek_namespace", "plugin", "le", "quantile"})

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_UNFIT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN", "True": "1", "False": "0"}


class Subject(NamedTuple):
    """What the families of one target are read from: its fields, and what several of them say together."""

    target: Target
    track: Track

    @property
    def status(self) -> int | None:
        track = self.track
        return None if track.last_probe_at is None else track.http_status or 0

    @property
    def shape(self) -> tuple[str, str] | None:
        track = self.track
        shape = track.shape_label
        if shape is None:
            return None
        kind = track.response_type or ""
        return kind if kind in RESPONSE_TYPES else "other", shape

    @property
    def histogram(self) -> tuple[tuple[int, ...], float]:
        track = self.track
        return track.buckets, track.duration_sum_s


Write = Callable[[str, Any], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric name. `read` is the path of a value in a Subject; where it is None the target has no sample.

    `write` takes the target's labels, already rendered, and that value.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    read: str
    write: Write


def head(name: str, kind: str, text: str, *, openmetrics: bool) -> bytes:
    """HELP and TYPE. OpenMetrics names a counter without `_total`; text 0.0.4 names it as its samples are."""
    shown = name.removesuffix("_total") if openmetrics and kind == "counter" else name
    return f"# HELP {shown} {text}\n# TYPE {shown} {kind}\n".encode()


def escape(value: str) -> str:
    r"""A label value as both formats want it; what they can't carry (NUL, lone surrogates) is spelt out: \\u0000."""
    if _UNFIT.search(value):
        value = _UNFIT.sub(lambda match: f"\\u{ord(match[0]):04x}", value)
    return value.translate(_ESCAPES)


def number(value: float) -> str:
    text = repr(value)
    return _SPECIAL.get(text, text)


def target_labels(key: TargetKey) -> str:
    return f'mixpeek_namespace="{escape(key.namespace)}",plugin="{escape(key.plugin)}"'


def info_labels(labels: Mapping[str, str]) -> str:
    """A target's own labels, each name made valid and unique: `app/tier` is app_tier, `plugin` is label_plugin."""
    named: dict[str, str] = {}
    for label, value in labels.items():
        name = re.sub(r"[^a-zA-Z0-9_]", "_", label)
        if not name or name[0].isdigit() or name.startswith("__"):
            name = f"label_{name}"
        while name in _TAKEN or name in named:
            name = f"label_{name}"
        named[name] = value
    return "".join(f',{name}="{escape(value)}"' for name, value in named.items())


def _plain(name: str, read: str, text: str, kind: Literal["gauge", "counter"] = "gauge") -> Family:
    """A family of one sample a target, whose value is an integer or a finite float."""
    opening = f"{name}{{"

    def write(labels: str, value: float) -> bytes:
        return f"{opening}{labels}}} {value!r}\n".encode()

    return Family(name=name, kind=kind, help=text, read=read, write=write)


def _counter(name: str, read: str, text: str) -> Family:
    return _plain(name, read, text, "counter")


def _gauge(name: str, text: str, read: str, write: Write) -> Family:
    return Family(name=name, kind="gauge", help=text, read=read, write=write)


def _flag(name: str, read: str, text: str) -> Family:
    return _gauge(name, text, read, lambda labels, value: f"{name}{{{labels}}} {1 if value else 0}\n".encode())


def _write_outcome(labels: str, outcome: Outcome) -> bytes:
    return f'plugin_probe_outcome{{{labels},outcome="{outcome}"}} 1\n'.encode()


def _write_failure(labels: str, outcome: Outcome) -> bytes:
    return f'plugin_probe_failure_info{{{labels},outcome="{outcome}",fault="{outcome.fault}"}} 1\n'.encode()


_PHASES = tuple(f',phase="{name}"}} ' for name in PHASE_NAMES)


def _write_phases(labels: str, phases: Phases) -> bytes:
    lines = [
        f"plugin_probe_phase_duration_seconds{{{labels}{phase}{seconds!r}\n"
        for phase, seconds in zip(_PHASES, phases, strict=True)
        if seconds is not None
    ]
    return "".join(lines).encode()


def _write_info(labels: str, own: Mapping[str, str]) -> bytes:
    return f"plugin_probe_target_info{{{labels}{info_labels(own) if own else ''}}} 1\n".encode()


#: Paths and shapes are few, and escaping one takes longer than writing the rest of its line.
_word = lru_cache(maxsize=4096)(escape)


def _write_shape(labels: str, shown: tuple[str, str]) -> bytes:
    kind, shape = shown
    shape = _word(shape)
    return f'plugin_probe_response_shape_info{{{labels},response_type="{kind}",shape="{shape}"}} 1\n'.encode()


def _write_vectors(name: str, read: Callable[[VectorReading], float]) -> Write:
    def write(labels: str, vectors: tuple[VectorReading, ...]) -> bytes:
        if len(vectors) > 1:  # one path may be expected of twice
            vectors = tuple({reading.path: reading for reading in vectors}.values())
        lines = [f'{name}{{{labels},path="{_word(one.path)}"}} {number(read(one))}\n' for one in vectors]
        return "".join(lines).encode()

    return write


def _write_buckets(name: str) -> Write:
    bounds = (*map(repr, BUCKETS_S), "+Inf")
    template = "".join(f'{name}_bucket{{\1,le="{bound}"}} %r\n' for bound in bounds)
    template += f"{name}_sum{{\1}} %r\n{name}_count{{\1}} %r\n"

    def write(labels: str, value: tuple[tuple[int, ...], float]) -> bytes:
        buckets, total_s = value
        counts = (*accumulate(buckets),)
        text = template % (*counts, total_s, counts[-1])
        return text.encode().replace(b"\1", labels.encode())  # faster than filling them in one by one

    return write


FAMILIES: tuple[Family, ...] = (
    _gauge(
        "plugin_probe_target_info",
        "A configured target and its labels; always 1.",
        "target.labels",
        _write_info,
    ),
    _plain("plugin_probe_interval_seconds", "target.interval_s", "How often the target is probed."),
    _flag("plugin_probe_success", "track.success", "The last conclusive verdict: 1 up, 0 down."),
    _gauge("plugin_probe_outcome", "The current outcome; always 1.", "track.outcome", _write_outcome),
    _gauge(
        "plugin_probe_failure_info",
        "The newest conclusive failure and who has to act, while the last conclusive verdict is down; always 1.",
        "track.failure",
        _write_failure,
    ),
    _plain(
        "plugin_probe_consecutive_failures",
        "track.consecutive_failures",
        "Failures in a row; an unknown neither raises nor resets them.",
    ),
    _plain(
        "plugin_probe_consecutive_unknowns",
        "track.consecutive_unknowns",
        "Results in a row that proved nothing about the plugin.",
    ),
    _plain(
        "plugin_probe_last_probe_timestamp_seconds", "track.last_probe_at", "When the last call was sent, Unix time."
    ),
    _plain(
        "plugin_probe_last_conclusive_timestamp_seconds",
        "track.last_conclusive_at",
        "When a probe last proved the plugin up or down, Unix time.",
    ),
    _plain(
        "plugin_probe_last_success_timestamp_seconds",
        "track.last_success_at",
        "When a probe last proved the plugin up, Unix time.",
    ),
    _plain(
        "plugin_probe_warming_since_timestamp_seconds",
        "track.warming",
        "Since when the plugin has said that it is warming, Unix time.",
    ),
    _plain(
        "plugin_probe_last_duration_seconds",
        "track.duration_s",
        "Send, wait and receive of the last call that no stall of the worker touched.",
    ),
    _gauge(
        "plugin_probe_phase_duration_seconds",
        "Phases of that call; those that did not happen are absent.",
        "track.phases",
        _write_phases,
    ),
    _plain("plugin_probe_http_status_code", "status", "HTTP status of the last call; 0 without a reply."),
    _plain("plugin_probe_response_bytes", "track.response_bytes", "Size of the last reply's body once decoded."),
    _counter("plugin_probe_probes_total", "track.probes", "Results, skipped ones apart."),
    _counter("plugin_probe_failures_total", "track.failures", "Results whose verdict was down."),
    _counter(
        "plugin_probe_unknowns_total", "track.unknowns", "Results that proved nothing about the plugin, skipped apart."
    ),
    _counter("plugin_probe_calls_total", "track.calls", "Every call sent: what is billed."),
    Family(
        name="plugin_probe_duration_seconds",
        kind="histogram",
        help="Latency of 2xx replies, and of time-outs at the time given; nothing that a stall of the worker touched.",
        read="histogram",
        write=_write_buckets("plugin_probe_duration_seconds"),
    ),
    _gauge("plugin_probe_response_shape_info", "Kind and shape of the last reply; always 1.", "shape", _write_shape),
    _flag(
        "plugin_probe_response_shape_match",
        "track.shape_match",
        "Whether the last reply fits the pinned shape: 1 yes, 0 no; absent where none is pinned.",
    ),
    _plain("plugin_probe_response_keys", "track.response_keys", "Top-level keys of the last reply that was an object."),
    _gauge(
        "plugin_probe_vector_dimensions",
        "Elements of the vector at a path that is configured or pinned.",
        "track.vectors",
        _write_vectors("plugin_probe_vector_dimensions", attrgetter("dimensions")),
    ),
    _gauge(
        "plugin_probe_vector_norm",
        "Euclidean length of the vector at a path that is configured or pinned.",
        "track.vectors",
        _write_vectors("plugin_probe_vector_norm", attrgetter("norm")),
    ),
    _plain("plugin_probe_golden_cosine", "track.golden_cosine", "Cosine of the last reply's vector to the golden one."),
    _counter(
        "plugin_probe_response_shape_changes_total",
        "track.shape_changes",
        "How often a reply had another shape than the one before, or at first than the pinned one.",
    ),
)

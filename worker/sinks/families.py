"""The metric families of a target: their names, help, where each value is read and how its lines are written."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate  # noqa: F401 (used by what is compiled)
from typing import Any, Literal, NamedTuple

from worker.core.exchange import PHASE_NAMES
from worker.core.target import Target
from worker.core.track import BUCKETS_S, Track
from worker.core.vector import VectorReading
from worker.sinks.labels import info_labels, number, shape_labels, word  # noqa: F401 (used by what is compiled)


class Sample(NamedTuple):
    """What is written of one value; nothing where that is None.

    Both are Python: `value` an expression over `target` and `track`, `text` the body of an f-string over `labels` (the
    target's, already rendered) and `value`. They may call what this module knows, and are compiled by `writer`.
    """

    value: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric name. What `moves` with every probe is always written anew, the rest when one of them has changed."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    samples: tuple[Sample, ...]
    moves: bool = False


def head(name: str, kind: str, text: str, *, openmetrics: bool) -> bytes:
    """HELP and TYPE. OpenMetrics names a counter without `_total`; text 0.0.4 names it as its samples are."""
    shown = name.removesuffix("_total") if openmetrics and kind == "counter" else name
    return f"# HELP {shown} {text}\n# TYPE {shown} {kind}\n".encode()


def dimensions(labels: str, vectors: Sequence[VectorReading]) -> str:
    return "".join(
        [f'plugin_probe_vector_dimensions{{{labels},path="{word(p)}"}} {size}\n' for p, size, _ in _once(vectors)]
    )


def norms(labels: str, vectors: Sequence[VectorReading]) -> str:
    lines = [
        f'plugin_probe_vector_norm{{{labels},path="{word(path)}"}} {number(norm)}\n' for path, _, norm in _once(vectors)
    ]
    return "".join(lines)


def _once(vectors: Sequence[VectorReading]) -> Collection[VectorReading]:
    """Of a path that is expected of twice, one."""
    return vectors if len(vectors) < 2 else {reading.path: reading for reading in vectors}.values()


#: To the microsecond and to the millisecond: more is noise, and all digits of a float take twice as long to find.
_SECONDS, _INSTANT = "{value:.6f}", "{value:.3f}"


def _line(name: str, more: str = "", shown: str = "{value!r}") -> str:
    return name + "{{{labels}" + more + "}} " + shown + "\n"


def _plain(name: str, value: str, text: str, *, shown: str = "{value!r}", moves: bool = False) -> Family:
    """A gauge of one sample, an integer or a finite float."""
    return Family(name=name, kind="gauge", help=text, samples=(Sample(value, _line(name, shown=shown)),), moves=moves)


def _counter(name: str, value: str, text: str, *, moves: bool = False) -> Family:
    return Family(name=name, kind="counter", help=text, samples=(Sample(value, _line(name)),), moves=moves)


def _flag(name: str, value: str, text: str) -> Family:
    return Family(name=name, kind="gauge", help=text, samples=(Sample(value, _line(name, shown="{value + 0}")),))


def _info(name: str, value: str, more: str, text: str) -> Family:
    """A gauge that is always 1 and tells by its labels."""
    return Family(name=name, kind="gauge", help=text, samples=(Sample(value, _line(name, more, "1")),))


def _phases(name: str, text: str) -> Family:
    samples = [Sample(f"track.phases.{phase}", _line(name, f',phase="{phase}"', _SECONDS)) for phase in PHASE_NAMES]
    return Family(name=name, kind="gauge", help=text, samples=tuple(samples), moves=True)


def _vectors(name: str, lines: str, text: str) -> Family:
    return Family(name=name, kind="gauge", help=text, samples=(Sample("track.vectors", lines),), moves=True)


def _by_objective(name: str, text: str, availability: str, latency: str, *, shown: str = "{value!r}") -> Family:
    named = (("availability", availability), ("latency", latency))
    samples = tuple(Sample(value, _line(name, f',slo="{slo}"', shown)) for slo, value in named)
    return Family(name=name, kind="gauge", help=text, samples=samples)


def _histogram(name: str, text: str) -> Family:
    bounds = (*map(repr, BUCKETS_S), "+Inf")
    lines = [_line(f"{name}_bucket", f',le="{bound}"', f"{{value[{index}]}}") for index, bound in enumerate(bounds)]
    lines += [_line(f"{name}_sum", shown="{track.duration_sum_s:.6f}"), _line(f"{name}_count", shown="{value[-1]}")]
    samples = (Sample("(*accumulate(track.buckets),)", "".join(lines)),)
    return Family(name=name, kind="histogram", help=text, samples=samples, moves=True)


def writer(families: Iterable[Family]) -> Callable[[str, Any, Any], tuple[bytes, ...]]:
    """Takes rendered labels, a target and a track, or what has their fields; gives the lines of each family.

    One function with every line in its place takes half the time of going through the families one by one, and every
    probe pays for it. Nothing but what stands in this module is compiled.
    """
    lines = [
        "+".join(f"(b'' if (value := {value}) is None else f{text!r}.encode())" for value, text in family.samples)
        for family in families
    ]
    return _compiled("labels, target, track", lines)


def reader(families: Iterable[Family]) -> Callable[[Target, Track], tuple[Any, ...]]:
    """Gives all that the families' lines are made of."""
    return _compiled("target, track", [sample.value for family in families for sample in family.samples])


def _compiled(parameters: str, values: Sequence[str]) -> Callable[..., tuple[Any, ...]]:
    made: Callable[..., tuple[Any, ...]] = eval(f"lambda {parameters}: ({', '.join(values)},)", globals())  # noqa: S307 (ours)
    return made


#: By target or, where that is configured, by namespace (tally.py).
DURATION = _histogram(
    "plugin_probe_duration_seconds",
    "Latency of 2xx replies, and of time-outs at the time given; nothing that a stall of the worker touched.",
)

FAMILIES: tuple[Family, ...] = (
    _info(
        "plugin_probe_target_info",
        "target.labels",
        "{info_labels(value)}",
        "A configured target and its labels; always 1.",
    ),
    _plain("plugin_probe_interval_seconds", "target.interval_s", "How often the target is probed."),
    _flag("plugin_probe_success", "track.success", "The last conclusive verdict: 1 up, 0 down."),
    _info("plugin_probe_outcome", "track.outcome", ',outcome="{value}"', "The current outcome; always 1."),
    _info(
        "plugin_probe_failure_info",
        "track.failure",
        ',outcome="{value}",fault="{value.fault}"',
        "The newest conclusive failure and who has to act, while the last conclusive verdict is down; always 1.",
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
        "plugin_probe_last_probe_timestamp_seconds",
        "track.last_probe_at",
        "When the last call was sent, Unix time.",
        shown=_INSTANT,
        moves=True,
    ),
    _plain(
        "plugin_probe_last_conclusive_timestamp_seconds",
        "track.last_conclusive_at",
        "When a probe last proved the plugin up or down, Unix time.",
        shown=_INSTANT,
        moves=True,
    ),
    _plain(
        "plugin_probe_last_success_timestamp_seconds",
        "track.last_success_at",
        "When a probe last proved the plugin up, Unix time.",
        shown=_INSTANT,
        moves=True,
    ),
    _plain(
        "plugin_probe_warming_since_timestamp_seconds",
        "track.warming_since",
        "Since when the plugin says that it is warming, be it for too long, Unix time.",
        shown=_INSTANT,
    ),
    _plain(
        "plugin_probe_last_duration_seconds",
        "track.duration_s",
        "Send, wait and receive of the last call that no stall of the worker touched.",
        shown=_SECONDS,
        moves=True,
    ),
    _phases("plugin_probe_phase_duration_seconds", "Phases of that call; those that did not happen are absent."),
    _plain(
        "plugin_probe_http_status_code",
        "None if track.last_probe_at is None else track.http_status or 0",
        "HTTP status of the last call; 0 without a reply.",
    ),
    _plain(
        "plugin_probe_response_bytes", "track.response_bytes", "Size of the last reply's body once decoded.", moves=True
    ),
    _counter("plugin_probe_probes_total", "track.probes", "Results, skipped ones apart.", moves=True),
    _counter("plugin_probe_failures_total", "track.failures", "Results whose verdict was down."),
    _counter(
        "plugin_probe_unknowns_total", "track.unknowns", "Results that proved nothing about the plugin, skipped apart."
    ),
    _counter("plugin_probe_calls_total", "track.calls", "Every call sent: what is billed.", moves=True),
    DURATION,
    _info(
        "plugin_probe_response_shape_info",
        "shape_labels(track.shape_label, track.response_type)",
        "{value}",
        "Kind and shape of the last reply; always 1.",
    ),
    _flag(
        "plugin_probe_response_shape_match",
        "track.shape_match",
        "Whether the last reply fits the pinned shape: 1 yes, 0 no; absent where none is pinned.",
    ),
    _plain("plugin_probe_response_keys", "track.response_keys", "Top-level keys of the last reply that was an object."),
    _vectors(
        "plugin_probe_vector_dimensions",
        "{dimensions(labels, value)}",
        "Elements of the vector at a path that is configured or pinned.",
    ),
    _vectors(
        "plugin_probe_vector_norm",
        "{norms(labels, value)}",
        "Euclidean length of the vector at a path that is configured or pinned.",
    ),
    _by_objective(
        "plugin_probe_slo_good",
        "Whether a service level objective is met now: 1 yes, 0 no.",
        "None if target.slo.availability is None else track.success",
        "None if target.slo.latency is None or track.answered_in_s is None"
        " else track.answered_in_s <= target.slo.latency_below_s",
        shown="{value + 0}",
    ),
    _by_objective(
        "plugin_probe_slo_objective",
        "The share of the time for which it is to be met.",
        "target.slo.availability",
        "target.slo.latency",
    ),
    _plain("plugin_probe_golden_cosine", "track.golden_cosine", "Cosine of the last reply's vector to the golden one."),
    _counter(
        "plugin_probe_response_shape_changes_total",
        "track.shape_changes",
        "How often a reply had another shape than the one before, or at first than the pinned one.",
    ),
)

"""What is counted by namespace: results by outcome and, where they are asked for, durations.

Ours: prometheus_client takes 12 µs a series at each scrape.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import add, sub

from worker.core.outcome import OUTCOMES, Outcome
from worker.core.track import BUCKETS_S, Exemplar, Track
from worker.sinks.exemplars import Exemplars
from worker.sinks.families import DURATION, head, writer
from worker.sinks.labels import escape
from worker.sinks.reading import Sample, own_counts

NAME = "plugin_probe_results_total"

_write_duration = writer([DURATION])


@dataclass(slots=True, kw_only=True, eq=False)
class _Namespace:
    """Only `success` starts at 0: all 25 outcomes of 200 namespaces would be 5,000 series.

    The names of the histogram's parts are those of a track, so that it is written as one.
    """

    label: str
    targets: int = 0
    results: dict[Outcome, int] = field(default_factory=lambda: {Outcome.SUCCESS: 0})
    buckets: tuple[int, ...] = Track().buckets
    duration_sum_s: float = 0.0
    exemplar: Exemplar | None = None


class Tally:
    """Counts of the namespaces that have targets; a namespace's go when its last target goes.

    Until then nothing goes down: what a target added stays when that target leaves.
    """

    def __init__(self, exemplars: Exemplars | None = None) -> None:
        self._exemplars = exemplars or Exemplars("")
        self._namespaces: dict[str, _Namespace] = {}

    def enter(self, namespace: str, track: Track) -> None:
        """One target more, with what is remembered of it."""
        counted = self._namespaces.get(namespace)
        if counted is None:
            label = f'mixpeek_namespace="{escape(namespace)}"'
            counted = self._namespaces[namespace] = _Namespace(label=label)
        counted.targets += 1
        self.observe(namespace, Track(), track)

    def leave(self, namespace: str) -> None:
        counted = self._namespaces[namespace]
        counted.targets -= 1
        if not counted.targets:
            del self._namespaces[namespace]

    def count(self, namespace: str, outcome: Outcome) -> None:
        results = self._namespaces[namespace].results
        results[outcome] = results.get(outcome, 0) + 1

    def observe(self, namespace: str, before: Track, after: Track) -> None:
        """Takes into the namespace's histogram what came to the target's."""
        if after.buckets is not before.buckets:
            counted = self._namespaces[namespace]
            came = map(sub, after.buckets, before.buckets)
            counted.buckets = (*map(add, counted.buckets, came),)
            counted.duration_sum_s += after.duration_sum_s - before.duration_sum_s
            counted.exemplar = after.exemplar

    def resume(self, samples: Iterable[Sample]) -> None:
        """Goes on from what was counted of the namespaces that are there."""
        buckets: dict[_Namespace, dict[float, int]] = {}
        sums: dict[_Namespace, float] = {}
        for name, labels, value in samples:
            counted = self._namespaces.get(labels.get("mixpeek_namespace", ""))
            if counted is None:
                continue
            if name == NAME and labels.get("outcome") in OUTCOMES:
                outcome = OUTCOMES[labels["outcome"]]
                counted.results[outcome] = counted.results.get(outcome, 0) + int(value)
            elif name == f"{DURATION.name}_bucket":
                buckets.setdefault(counted, {})[float(labels["le"])] = int(value)
            elif name == f"{DURATION.name}_sum":
                sums[counted] = value
        for counted, cumulative in buckets.items():
            came = own_counts(cumulative, BUCKETS_S)
            if came:
                counted.buckets = (*map(add, counted.buckets, came),)
                counted.duration_sum_s += sums.get(counted, 0.0)

    def results(self, *, openmetrics: bool) -> Iterator[bytes]:
        opening = head(NAME, "counter", "Results by namespace and outcome.", openmetrics=openmetrics)
        for counted in list(self._namespaces.values()):
            label = f'{NAME}{{{counted.label},outcome="'
            lines = "".join([f'{label}{outcome.value}"}} {count}\n' for outcome, count in counted.results.items()])
            yield opening + lines.encode()
            opening = b""

    def durations(self, *, openmetrics: bool) -> Iterator[bytes]:
        opening = head(DURATION.name, DURATION.kind, DURATION.help, openmetrics=openmetrics)
        for counted in list(self._namespaces.values()):
            (lines,) = _write_duration(counted.label, None, counted)
            yield opening + (self._exemplars.mark(lines, counted.exemplar) if openmetrics else lines)
            opening = b""

"""results_total: results by namespace and outcome. Ours: prometheus_client takes 12 µs a series at each scrape."""

from collections import Counter
from collections.abc import Iterator

from worker.core.outcome import Outcome
from worker.sinks.families import escape, head

NAME = "plugin_probe_results_total"


class Tally:
    """Counts of the namespaces that have targets; a namespace's go when its last target goes."""

    def __init__(self) -> None:
        self._targets: Counter[str] = Counter()
        self._counts: dict[str, dict[Outcome, int]] = {}

    def enter(self, namespace: str) -> None:
        """One target more. Only `success` starts at 0: all 25 outcomes of 200 namespaces would be 5,000 series."""
        self._targets[namespace] += 1
        self._counts.setdefault(namespace, {Outcome.SUCCESS: 0})

    def leave(self, namespace: str) -> None:
        self._targets[namespace] -= 1
        if self._targets[namespace] <= 0:
            del self._targets[namespace]
            self._counts.pop(namespace, None)

    def count(self, namespace: str, outcome: Outcome) -> None:
        counts = self._counts[namespace]
        counts[outcome] = counts.get(outcome, 0) + 1

    def stream(self, *, openmetrics: bool) -> Iterator[bytes]:
        opening = head(NAME, "counter", "Results by namespace and outcome.", openmetrics=openmetrics)
        for namespace, counts in list(self._counts.items()):
            label = f'{NAME}{{mixpeek_namespace="{escape(namespace)}",outcome="'
            lines = "".join(f'{label}{outcome.value}"}} {count}\n' for outcome, count in counts.items())
            yield opening + lines.encode()
            opening = b""

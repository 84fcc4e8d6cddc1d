"""Metrics: the sink behind /metrics and the textfile; targets' families and the worker's own in one exposition."""

import platform
import time
from collections.abc import Callable, Iterator

from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track
from worker.settings import Histograms
from worker.sinks.exemplars import Exemplars
from worker.sinks.exposition import SLICE_S, Exposition, in_pieces
from worker.sinks.families import DURATION, FAMILIES
from worker.sinks.instruments import Instruments
from worker.sinks.memory import Memory
from worker.sinks.tally import Tally


class Metrics:
    """Everything on /metrics. What is not measured from results is set through `own`."""

    def __init__(
        self,
        *,
        version: str,
        python: str = platform.python_version(),
        histograms: Histograms = "target",
        shard: int | None = None,
        exemplars: Exemplars | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.own = Instruments(version=version, python=python, shard=shard)
        self._by_namespace = histograms == "namespace"
        families = [family for family in FAMILIES if family is not DURATION or not self._by_namespace]
        self._exposition = Exposition(families=families, clock=clock, exemplars=exemplars)
        self._tally = Tally(exemplars)
        self.own.targets.set_function(lambda: len(self._exposition))

    def add(self, target: Target, track: Track = Track()) -> None:  # noqa: B008 (frozen)
        """A configured target: its series exist from now on. Added again, it is replaced and keeps its counts."""
        if target.key in self._exposition:
            self.replace(target)
            return
        self._exposition.add(target, track)
        self._tally.enter(target.key.namespace, track)

    def replace(self, target: Target) -> None:
        """A known target with other settings (interval, labels)."""
        self._exposition.replace(target)

    def resume(self, memory: Memory) -> dict[TargetKey, Track]:
        """Goes on from what was remembered of the targets that are there, of their namespaces and of the worker.

        Gives what the tracks are now.
        """
        resumed = {}
        for key, remembered in memory.tracks.items():
            if key in self._exposition:
                before, resumed[key] = self._exposition.resume(key, remembered)
                if self._by_namespace:
                    self._tally.observe(key.namespace, before, resumed[key])
        self._tally.resume(memory.own)
        self.own.resume(memory.own)
        return resumed

    def record(self, recorded: Recorded) -> None:
        """Marks the target and counts; nothing is rendered. Results of a target that has left are dropped."""
        result = recorded.result
        before = self._exposition.record(recorded)
        if before is None:
            return
        namespace = result.target.key.namespace
        self._tally.count(namespace, result.outcome)
        if self._by_namespace:
            self._tally.observe(namespace, before, recorded.track)
        if result.skipped is not None:
            self.own.skipped.labels(result.skipped.value).inc()
        if result.lateness_s is not None:
            self.own.lateness.observe(result.lateness_s)

    def forget(self, key: TargetKey) -> None:
        if key in self._exposition:
            self._exposition.forget(key)
            self._tally.leave(key.namespace)

    def render(self, budget_s: float = SLICE_S) -> bool:
        """Renders some of what has changed, for at most `budget_s`; True when nothing is left."""
        return self._exposition.render(budget_s)

    def exposition(self, *, openmetrics: bool = False) -> Iterator[bytes]:
        """The whole text in pieces of at most 64 kB; an empty one is only a chance to let the event loop go on."""
        yield from self._exposition.stream(openmetrics=openmetrics)
        if self._by_namespace:
            yield from in_pieces(self._tally.durations(openmetrics=openmetrics))
        yield from in_pieces(self._tally.results(openmetrics=openmetrics))
        yield self.own.text(openmetrics=openmetrics) + (b"# EOF\n" if openmetrics else b"")

"""Instruments: the metrics of the worker itself, each an attribute for whoever measures it."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import add
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics_format
from prometheus_client.registry import Collector

from worker.core.limit import Limit
from worker.core.result import SkipReason
from worker.sinks.reading import Sample, own_counts

#: What can fail to take a result; others get their series at their first failure.
SINKS = ("log", "metrics", "report", "textfile", "pushgateway", "remote_write")

_LATENESS_S = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300)
_LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class LateGauge:
    """A gauge that is absent, not 0, until it is first set. `value` is None while it is absent."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str, labels: Mapping[str, str]) -> None:
        self._registry = registry
        self._gauge = Gauge(name, text, list(labels), registry=None)
        self._child = self._gauge.labels(**labels) if labels else self._gauge
        self.value: float | None = None

    def set(self, value: float | None) -> None:
        """None makes it absent."""
        if value is None:
            self.clear()
            return
        self._child.set(value)
        if self.value is None:
            self._registry.register(self._gauge)
        self.value = value

    def clear(self) -> None:
        """Absent again."""
        if self.value is not None:
            self._registry.unregister(self._gauge)
            self.value = None


class QuickHistogram(Collector):
    """A histogram without labels, for what every probe observes: the library's own takes three times as long."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._bounds = name, text, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def resume(self, cumulative: Mapping[float, int], sum_s: float) -> None:
        """Adds what was observed before, if it was counted by the same bounds."""
        counts = own_counts(cumulative, self._bounds)
        if counts:
            self._counts = [*map(add, self._counts, counts)]
            self._sum += sum_s

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        named = (*map(str, map(float, self._bounds)), "+Inf")
        buckets = [*zip(named, accumulate(self._counts), strict=True)]
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class _Counted(NamedTuple):
    """A counter, and what its label may say."""

    made: Counter
    label: str | None
    values: tuple[str, ...]


class Instruments:
    """Counters take `.inc()`, gauges `.set()`, histograms `.observe()`; labels whose values are known start at 0.

    `shard` is the label of what is said of runs, None where there is but one.
    """

    def __init__(self, *, version: str, python: str, shard: int | None = None) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        build = Gauge("plugin_probe_build_info", "Always 1.", ["version", "python"], registry=registry)
        build.labels(version=version, python=python).set(1)
        self.targets = Gauge("plugin_probe_targets", "Configured targets.", registry=registry)
        self.inflight = Gauge("plugin_probe_inflight", "Calls under way.", registry=registry)
        late = "Start of a probe minus the moment it was due."
        self.lateness = QuickHistogram(registry, "plugin_probe_lateness_seconds", late, _LATENESS_S)
        lagged = "How much later than asked the event loop woke up."
        self.loop_lag = QuickHistogram(registry, "plugin_probe_loop_lag_seconds", lagged, _LAG_S)
        self._count(registry)
        self._date(registry, {} if shard is None else {"shard": str(shard)})

    def _count(self, registry: CollectorRegistry) -> None:
        self._counters: dict[str, _Counted] = {}

        def counter(name: str, text: str, label: str | None = None, values: Iterable[str] = ()) -> Counter:
            made = Counter(name, text, [label] if label else [], registry=registry)
            known = tuple(values)
            for value in known:
                made.labels(value)
            self._counters[f"{name.removeprefix('plugin_probe_')}_total"] = _Counted(made, label, known)
            return made

        waited = "Seconds for which calls that were due were held up, by what held them up."
        self.throttle_seconds = counter("plugin_probe_throttle_seconds", waited, "limit", Limit)
        self.stalls = counter("plugin_probe_stalls", "Times that the worker itself was suspended or starved.")
        self.skipped = counter("plugin_probe_skipped", "Probes that were due and not made.", "reason", SkipReason)
        retried = "Calls repeated because a reused connection had gone stale."
        self.stale_retries = counter("plugin_probe_stale_connection_retries", retried)
        failed = "Results or files that an output did not take."
        self.sink_failures = counter("plugin_probe_sink_failures", failed, "sink", SINKS)

    def _date(self, registry: CollectorRegistry, shard: Mapping[str, str]) -> None:
        def late(name: str, text: str, labels: Mapping[str, str] | None = None) -> LateGauge:
            return LateGauge(registry, f"plugin_probe_{name}", text, labels or {})

        expiry = "When the first certificate of the server's chain runs out, Unix time."
        self.tls_expiry = late("tls_earliest_cert_expiry_timestamp_seconds", expiry)
        self.shards = late("shards", "How many workers share the targets.", shard)
        self.run_interval = late("run_interval_seconds", "How often a run is expected.", shard)
        ran = "When the last run, or turn of the scheduler, was, Unix time."
        self.last_run = late("last_run_timestamp_seconds", ran, shard)
        success = "When a run last was complete and all its outputs written, Unix time."
        self.last_run_success = late("last_run_success_timestamp_seconds", success, shard)
        self.last_run_duration = late("last_run_duration_seconds", "How long the last run took.", shard)
        self.reload_successful = late("config_last_reload_successful", "1 when the last reload was accepted.")
        reloaded = "When a reload was last accepted, Unix time."
        self.reload_success = late("config_last_reload_success_timestamp_seconds", reloaded)

    def resume(self, samples: Iterable[Sample]) -> None:
        """Goes on from what was counted before. Of the gauges, those that a run which fails can't set anew."""
        histograms = {"lateness": self.lateness, "loop_lag": self.loop_lag}
        buckets: dict[str, dict[float, int]] = {}
        sums: dict[str, float] = {}
        for name, labels, value in samples:
            short = name.removeprefix("plugin_probe_")
            family, _, part = short.rpartition("_seconds_")
            if family in histograms and part == "bucket":
                buckets.setdefault(family, {})[float(labels["le"])] = int(value)
            elif family in histograms and part == "sum":
                sums[family] = value
            elif short in self._counters:
                self._resume_counter(self._counters[short], labels, value)
            elif short == "last_run_success_timestamp_seconds" and self.last_run_success.value is None:
                self.last_run_success.set(value)
            elif short == "tls_earliest_cert_expiry_timestamp_seconds" and self.tls_expiry.value is None:
                self.tls_expiry.set(value)
        for family, counted in buckets.items():
            histograms[family].resume(counted, sums.get(family, 0.0))

    def _resume_counter(self, counter: _Counted, labels: Mapping[str, str], value: float) -> None:
        if counter.label is None:
            counter.made.inc(value)
        elif labels.get(counter.label) in counter.values:
            counter.made.labels(labels[counter.label]).inc(value)

    def text(self, *, openmetrics: bool) -> bytes:
        """All of them, without `_created` series and without `# EOF`."""
        generate = openmetrics_format.generate_latest if openmetrics else generate_latest
        rendered: bytes = generate(_Uncreated(self.registry))
        return rendered.removesuffix(b"# EOF\n")


class _Uncreated:
    """The registry without `_created` series; prometheus_client's own switch for that is one for the whole process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric

"""A simulated fleet: plugins with a script of results, the workers that probe them, and what Prometheus scrapes of it.

A script is one word a result: `ok*3 timeout*2`. A word is an outcome (`ok` is success), or `gone` (taken off the list).
After a `+`: `reshaped` (another shape than before), `fits` or `unfit` (a pin that is kept or broken).
The last word goes on for ever.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from worker.core.outcome import OUTCOMES, Outcome
from worker.core.result import SkipReason

GONE = "gone"
#: No call was sent.
SILENT = frozenset({Outcome.SKIPPED, Outcome.INTERNAL_ERROR})

#: Values by series, each as PromQL writes it.
Exposition = dict[str, float]
#: What a worker says of itself at a moment; None where the series is absent.
Own = Callable[[float], float | None]

FIRST_S = 7.0  # a target that nothing is known of is probed early
CALL_S = 1.0
BEAT_S = 1.0  # since a daemon's scheduler last looked round
RUN_S = 10.0  # a batch's, from its first call to its push


def series(name: str, **labels: str) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inside}}}"


def words(script: str) -> list[str]:
    """`ok*2 timeout` is ok ok timeout."""
    pairs = [word.partition("*") for word in script.split()]
    return [word for word, _, times in pairs for _ in range(int(times or 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    name: str
    script: str
    namespace: str = "ns_one"
    labels: Mapping[str, str] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)  # slo → objective

    def word(self, number: int) -> str:
        """Of the n-th result, counted from 1."""
        all_words = words(self.script)
        return all_words[min(number, len(all_words)) - 1]


class Track:
    """What a worker remembers of a plugin, and shows."""

    def __init__(self) -> None:
        self.shown: dict[str, tuple[float, dict[str, str]]] = {}
        self.failures = self.unknowns = self.changes = 0

    def take(self, word: str, at: float) -> None:
        name, *shape = word.split("+")
        outcome = OUTCOMES["success" if name == "ok" else name]
        self.shown["outcome"] = 1, {"outcome": outcome}
        self.unknowns = self.unknowns + 1 if outcome.unknown else 0
        self.changes += "reshaped" in shape
        if outcome not in SILENT:
            self.shown["last_probe_timestamp_seconds"] = at, {}
            self.shown["last_duration_seconds"] = CALL_S, {}
        if "fits" in shape or "unfit" in shape:
            self.shown["response_shape_match"] = "fits" in shape, {}
        if not outcome.unknown:
            self._conclude(outcome, at)

    def _conclude(self, outcome: Outcome, at: float) -> None:
        self.shown["success"] = outcome.up, {}
        self.shown["last_conclusive_timestamp_seconds"] = at + CALL_S, {}
        self.failures = 0 if outcome.up else self.failures + 1
        if outcome.up:
            self.shown.pop("failure_info", None)
            self.shown["last_success_timestamp_seconds"] = at + CALL_S, {}
        else:
            self.shown["failure_info"] = 1, {"outcome": outcome, "fault": outcome.fault}

    def series(self, plugin: Plugin, interval: float) -> Iterator[tuple[str, float]]:
        whose = {"mixpeek_namespace": plugin.namespace, "plugin": plugin.name}
        yield series("plugin_probe_target_info", **whose, **plugin.labels), 1
        yield series("plugin_probe_interval_seconds", **whose), interval
        yield series("plugin_probe_consecutive_failures", **whose), self.failures
        yield series("plugin_probe_consecutive_unknowns", **whose), self.unknowns
        yield series("plugin_probe_response_shape_changes_total", **whose), self.changes
        for name, (value, labels) in self.shown.items():
            yield series(f"plugin_probe_{name}", **whose, **labels), value
        slow = self.shown.get("outcome", (1, {}))[1].get("outcome") == Outcome.SLOW
        for slo, objective in plugin.objectives.items():
            yield series("plugin_probe_slo_objective", **whose, slo=slo), objective
            if "success" in self.shown:
                good = self.failures == 0 and not (slo == "latency" and slow)
                yield series("plugin_probe_slo_good", **whose, slo=slo), good


@dataclass(slots=True, kw_only=True)
class Worker:
    """A daemon, scraped itself, or the batches of one shard, which a Pushgateway shows until the next."""

    interval: float
    plugins: Sequence[Plugin] = ()
    batch: bool = False
    start: float = 0
    stop: float = math.inf  # a daemon's series are gone then; of a batch there is no further run
    instance: str = "pod-1:9464"
    shard: str | None = None
    shards: int | None = None
    remembered: int = 0  # so many results are older than it: it read back what they came to
    restarts: Sequence[float] = ()  # with nothing remembered
    unseen: Sequence[tuple[float, float]] = ()  # from, to: scrapes that fail
    own: Mapping[str, Own] = field(default_factory=dict)
    lacks: Sequence[str] = ()  # names of series that this version does not have
    failing: Sequence[int] = ()  # runs that were not complete, counted from 1

    def called_at(self, number: int) -> float:
        """When the n-th call goes out, counted from 1."""
        return self.start + FIRST_S + (number - 1 - self.remembered) * self.interval

    def known_at(self, number: int) -> float:
        """When its result can be scraped."""
        return self.called_at(number) + (RUN_S if self.batch else CALL_S)

    def scrapes(self, until: float, step: float) -> Iterator[Exposition]:
        """What each scrape gets, from the first at 0; nothing where there is nobody."""
        tracks = [Track() for _ in self.plugins]
        pushed: Exposition = {}
        number = 0
        for scrape in range(int(until / step) + 1):
            now = scrape * step
            if any(now - step < restart <= now for restart in self.restarts):
                tracks = [Track() for _ in self.plugins]
            while self.known_at(number + 1) <= now and not (self.batch and self.called_at(number + 1) >= self.stop):
                number += 1
                for plugin, track in zip(self.plugins, tracks, strict=True):
                    if plugin.word(number) != GONE:
                        track.take(plugin.word(number), self.called_at(number))
                pushed = self._exposition(tracks, number, self.known_at(number)) if self.batch else {}
            if self.batch:
                seen = pushed
            else:
                seen = self._exposition(tracks, number, now) if self.start <= now < self.stop else {}
            hidden = any(begin <= now < end for begin, end in self.unseen)
            yield {} if hidden else seen

    def _exposition(self, tracks: Sequence[Track], number: int, now: float) -> Exposition:
        shown = dict(self._self(number, now))
        for plugin, track in zip(self.plugins, tracks, strict=True):
            if number == 0 or plugin.word(number) != GONE:
                shown |= track.series(plugin, self.interval)
        return {name: value for name, value in shown.items() if name.partition("{")[0] not in self.lacks}

    def _self(self, number: int, now: float) -> Iterator[tuple[str, float]]:
        whose = {} if self.batch or self.shard is None else {"shard": self.shard}  # a batch's group says it of all
        yield series("plugin_probe_run_interval_seconds", **whose), self.interval
        yield series("plugin_probe_last_run_timestamp_seconds", **whose), now if self.batch else now - BEAT_S
        yield series("plugin_probe_shards", **whose), self.shards or 1
        for reason in SkipReason:
            yield series("plugin_probe_skipped_total", reason=reason), 0
        yield series("plugin_probe_stalls_total"), 0
        if self.batch:
            yield series("plugin_probe_last_run_duration_seconds"), RUN_S
            good = [run for run in range(1, number + 1) if run not in self.failing]
            if good:
                yield series("plugin_probe_last_run_success_timestamp_seconds"), self.known_at(good[-1])
        else:
            yield series("plugin_probe_config_last_reload_successful"), 1
        for name, value in self.own.items():
            if (said := value(now)) is not None:
                yield name if "{" in name else series(name), said

    def place(self) -> dict[str, str]:
        """The labels that scraping adds, or the Pushgateway's group has."""
        if self.batch:
            return {"job": "plugin_probe"} | ({"shard": self.shard} if self.shard else {})
        return {"job": "plugin_probe", "instance": self.instance, "pod": self.instance.partition(":")[0]}


def input_series(workers: Sequence[Worker], until: float, step: float) -> list[dict[str, str]]:
    """As promtool wants them: values by scrape; those that stop are stale at once, as a scrape makes them."""
    found = []
    for worker in workers:
        place = "".join(f',{label}="{value}"' for label, value in worker.place().items())
        samples: dict[str, dict[int, float]] = {}
        for scrape, exposition in enumerate(worker.scrapes(until, step)):
            for name, value in exposition.items():
                samples.setdefault(name, {})[scrape] = float(value)
        for name, values in samples.items():
            labelled = (name[:-1] + place + "}").replace("{,", "{")
            found.append({"series": labelled, "values": _values(values, int(until / step) + 1)})
    return found


def _values(values: Mapping[int, float], scrapes: int) -> str:
    """In promtool's shorthand: 1+0x4 are five ones, _x2 two scrapes without a sample."""
    runs: list[tuple[float | str, int]] = []
    for scrape in range(scrapes):
        value: float | str = values.get(scrape, "_")
        if value == "_" and scrape - 1 in values:
            value = "stale"
        if runs and runs[-1][0] == value:
            runs[-1] = value, runs[-1][1] + 1
        else:
            runs.append((value, 1))
    return " ".join(_run(value, times) for value, times in runs)


def _run(value: float | str, times: int) -> str:
    if isinstance(value, str):
        return value if times == 1 else f"{value}x{times}"
    return f"{value:.15g}" if times == 1 else f"{value:.15g}+0x{times - 1}"

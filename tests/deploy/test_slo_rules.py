"""Objectives: how fast the error budget burns, and what is left of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.fleet import Plugin, Worker, input_series
from tests.deploy.rule_files import PATHS
from tests.deploy.rule_tests import check, expectation, visible
from tests.programs import needs

RULES = [path for path in PATHS if path.stem in ("recording", "slo")]
STEP_S = 30.0  # what the rules count with
HOUR_S, DAY_S = 3600.0, 86400.0

FAST, SLOW, SPENT = "SloBurnFast", "SloBurnSlow", "SloBudgetSpent"
ALL = (FAST, SLOW, SPENT)
AVAILABLE = {"availability": 0.995}
BOTH = {"availability": 0.995, "latency": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`firing`: seconds since the first bad result was known → which alerts fire, for which objective."""

    name: str
    script: str
    interval: float
    firing: dict[float, dict[str, tuple[str, ...]]]
    objectives: dict[str, float]
    batch: bool = False
    nearest: tuple[str, ...] = ()
    label: str = ""
    unseen: float | None = None  # a scrape that fails, in seconds as above
    runs: int = 10**6  # a batch's, then there is none any more

    @property
    def worker(self) -> Worker:
        labels = dict([self.label.split("=")]) if self.label else {}
        plugin = Plugin(name=self.name, script=self.script, objectives=self.objectives, labels=labels)
        worker = Worker(interval=self.interval, batch=self.batch, plugins=[plugin], instance=f"{self.name}:9464")
        worker.stop = worker.called_at(self.runs) + 1 if self.batch else worker.stop
        if self.unseen is not None:
            missed = self.begins(worker) + self.unseen
            worker.unseen = [(missed, missed + STEP_S)]
        return worker

    def begins(self, worker: Worker | None = None) -> float:
        good = int(self.script.split()[0].partition("*")[2])
        return visible((worker or self.worker).known_at(good + 1), STEP_S)

    def expected(self, after: float) -> list[str]:
        burning = self.firing[after]
        return [
            " ".join(f"{alert} ns_one/{self.name} slo={slo} {self.label}".split())
            for alert, slos in burning.items()
            for slo in slos
        ]


def row(
    name: str, script: str, interval: float, firing: dict[float, dict[str, str]], *nearest: str, **more: object
) -> Row:
    split = {after: {alert: tuple(slos.split()) for alert, slos in alerts.items()} for after, alerts in firing.items()}
    fields = {"objectives": AVAILABLE} | more
    return Row(name=name, script=script, interval=interval, firing=split, nearest=nearest, **fields)  # type: ignore[arg-type]


A, L = "availability", "latency"
EVERYTHING = {FAST: A, SLOW: A, SPENT: A}

#: The first word of a script says for how long all was well.
ROWS = (
    # An outage pages once 2 % of a month's budget are gone, but not before the second bad probe.
    row("outage_30s", "ok*120 timeout", 30, {0: {}, 60: {SLOW: A, SPENT: A}, 150: EVERYTHING, 5400: EVERYTHING}),
    row("outage_after_hours", "ok*340 timeout", 30, {180: {SLOW: A, SPENT: A}, 270: EVERYTHING}),
    row("missed_scrape", "ok*120 timeout", 30, {150: EVERYTHING, 210: EVERYTHING, 240: EVERYTHING}, unseen=210.0),
    row("outage_5m", "ok*12 timeout", 300, {0: {}, 420: {}, 480: EVERYTHING, 5400: EVERYTHING}),
    row("outage_1h", "ok*1 timeout", 3600, {0: {}, 5370: {}, 5460: EVERYTHING}),
    row("outage_batch_5m", "ok*12 timeout", 300, {0: {}, 420: {}, 480: EVERYTHING}, batch=True),
    row("outage_batch_1h", "ok*1 timeout", 3600, {5370: {}, 5460: EVERYTHING}, batch=True),
    # Nobody is paged for an outage that is over: PluginDown ends two minutes after it, and inhibits until then.
    row("recovered", "ok*120 timeout*20 ok", 30, {570: EVERYTHING, 720: {SLOW: A, SPENT: A}}),
    # One bad probe never does.
    row("blip_30s", "ok*120 timeout ok", 30, {30: {}, 300: {}, 3600: {}}, *ALL),
    row("blip_5m", "ok*12 timeout ok", 300, {240: {}, 330: {}, 3600: {}}, *ALL),
    row("blip_1h", "ok*1 timeout ok", 3600, {3000: {}, 3660: {}}, *ALL),
    row("blip_batch_5m", "ok*12 timeout ok", 300, {240: {}, 330: {}, 3600: {}}, *ALL, batch=True),
    row("blip_batch_1h", "ok*1 timeout ok", 3600, {3000: {}, 3660: {}}, *ALL, batch=True),
    # A result that nothing follows counts until it is old.
    row("dead_batch", "ok*12 timeout", 300, {480: EVERYTHING, 4000: {SLOW: A, SPENT: A}}, batch=True, runs=13),
    # Little by little: a minute in an hour and a quarter.
    row("bit_by_bit", "ok*150 timeout*2 ok", 30, {0: {}, 60: {SLOW: A, SPENT: A}, 3000: {SLOW: A, SPENT: A}}, FAST),
    # Down and up in turns is half of the time, but an outage no longer after an hour without.
    row("in_turns", "ok*12 timeout ok timeout ok timeout ok", 300, {1350: EVERYTHING, 5400: {SLOW: A, SPENT: A}}),
    # Unknown proves nothing, so it burns nothing.
    row("unknown_since", "ok*12 timeout rate_limited", 300, {330: {}, 3600: {}}, *ALL),
    row("unknown_only", "ok*12 warming", 300, {3600: {}}, *ALL),
    # Each objective by itself, and two of a target at once; with the target's own labels.
    row("slow", "ok*12 slow", 300, {480: {FAST: L, SLOW: L, SPENT: L}}, objectives=BOTH),
    row(
        "both", "ok*12 timeout", 300,
        {480: {FAST: f"{A} {L}", SLOW: f"{A} {L}", SPENT: f"{A} {L}"}}, objectives=BOTH, label="team=search",
    ),
    row("without_objectives", "ok*12 timeout", 300, {3600: {}}, *ALL, objectives={}),
    row("removed", "ok*12 timeout*3 gone", 300, {480: EVERYTHING, 1350: {}}),
)  # fmt: skip


def group(rows: Sequence[Row]) -> dict[str, Any]:
    checks, end = list[dict[str, Any]](), 0.0
    for r in rows:
        for after in r.firing:
            checks.append(expectation(r.begins() + after, r.expected(after), f',plugin="{r.name}"'))
            end = max(end, r.begins() + after)
    series = input_series([r.worker for r in rows], end, STEP_S)
    return {"interval": f"{int(STEP_S)}s", "input_series": series, "promql_expr_test": checks}


@needs("promtool")
def test_a_burning_budget_pages_and_a_blip_does_not(tmp_path: Path) -> None:
    check(tmp_path, [(STEP_S, group(rows)) for rows in (ROWS[::2], ROWS[1::2])], RULES)


@needs("promtool")
def test_what_is_left_of_a_months_budget(tmp_path: Path) -> None:
    """Six probes a day; nine bad ones in 30 days are 5 % of the time, half of what 90 % leaves."""
    step = 4 * HOUR_S
    plugin = Plugin(name="embed", script="ok*60 timeout*9 ok", objectives={"availability": 0.9})
    spent = Plugin(name="spent", script="ok*60 timeout*27 ok", objectives={"availability": 0.9})
    worker = Worker(interval=step, plugins=[plugin, spent])
    left = 'round(plugin_probe:slo_budget_left:ratio_30d{{plugin="{}"}}, 0.01)'
    same = 'mixpeek_namespace="ns_one",slo="availability"'

    def is_left(name: str, day: int, value: float) -> dict[str, object]:
        samples = [{"labels": f'{{{same},plugin="{name}"}}', "value": value}]
        return {"expr": left.format(name), "eval_time": f"{day}d", "exp_samples": samples}

    checks = [
        is_left("embed", 9, 1),
        is_left("embed", 30, 0.5),
        is_left("embed", 43, 1),
        is_left("spent", 30, -0.5),
        is_left("spent", 46, 1),
    ]
    series = input_series([worker], 46 * DAY_S, step)
    month = {"interval": f"{int(step)}s", "input_series": series, "promql_expr_test": checks}
    check(tmp_path, [(step, month)], RULES)

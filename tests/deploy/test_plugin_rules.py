"""Alerts of plugins and of namespaces: what probes find, and from which result to which an alert fires.

They hold for every interval, for a daemon and for batches, since alerts count probes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fleet import Plugin, Worker, input_series
from tests.deploy.rule_tests import STEPS, check, expectation, visible
from tests.programs import needs

#: So long after it is over these alerts still fire, so that a missed scrape does not resolve them.
KEPT_S = {"ProbesThrottled": 300.0, "NamespaceDown": 180.0}
KEPT_USUALLY_S = 120.0
RESULTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`fires`: alert → (first result after which it fires, the one after which it is over; None: it goes on).

    A number of seconds instead of a result is counted from the first. `nearest`: see Case.
    """

    name: str
    script: str
    fires: dict[str, tuple[int, int | float | None]] = field(default_factory=dict)
    nearest: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    fault: str = "plugin"


def row(name: str, script: str, *nearest: str, **more: Any) -> Row:
    return Row(name=name, script=script, nearest=nearest, **more)


DOWN, BAD, DRIFT, SLOW = "PluginDown", "PluginBadValues", "PluginDrift", "PluginSlow"
SHAPE, UNKNOWN, THROTTLED = "PluginShapeChanged", "UnknownTooLong", "ProbesThrottled"
HOUR_S = 3600.0

ROWS = (
    row("healthy", "ok", DOWN, BAD, DRIFT, SLOW, SHAPE, UNKNOWN),
    # Down is two failures in a row.
    row("blip", "ok*3 timeout ok", DOWN),
    row("outage", "ok*3 timeout*3 ok", fires={DOWN: (5, 7)}),
    row("outage_from_the_start", "timeout", fires={DOWN: (2, None)}),
    row("kinds_alternate", "ok*2 timeout server_error timeout server_error", fires={DOWN: (4, None)}),
    row("up_and_down_alternate", "ok timeout " * 6, DOWN),
    row(
        "faults_change",
        "ok timeout*2 connect_failure*2 ok",
        fires={f"{DOWN} plugin": (3, 4), f"{DOWN} network": (4, 6)},
    ),
    row("of_the_platform", "ok contract_violation*2", fires={DOWN: (3, None)}, fault="platform"),
    row("of_the_configuration", "ok not_found*2", fires={DOWN: (3, None)}, fault="configuration"),
    row("of_the_network", "ok tls_failure*2", fires={DOWN: (3, None)}, fault="network"),
    row("shape_mismatch", "ok shape_mismatch*2", fires={DOWN: (3, None)}),
    row("has_labels", "ok timeout*2", fires={DOWN: (3, None)}, labels={"team": "search", "app_tier": "gold"}),
    row("removed_while_down", "ok timeout*2 gone", fires={DOWN: (3, 4)}),
    # An unknown neither counts as down nor ends an outage.
    row("unknown_between_failures", "ok timeout warming timeout ok", fires={DOWN: (4, 5)}),
    row("unknown_after_one_failure", "ok timeout warming*2 ok", DOWN, UNKNOWN),
    row("throttled_while_down", "ok timeout*2 rate_limited*3 ok", fires={DOWN: (3, 7), THROTTLED: (5, 7)}),
    row("warming_while_down", "ok timeout*2 warming*3 timeout ok", fires={DOWN: (3, 8)}),
    # What kind of down.
    row("bad_values", "ok bad_values*2 ok", fires={DOWN: (3, 4), BAD: (3, 4)}),
    row("bad_values_once", "ok bad_values ok", BAD),
    row("bad_values_then_errors", "ok bad_values server_error*2 ok", BAD, fires={DOWN: (3, 5)}),
    row("errors_then_bad_values", "ok server_error bad_values ok", fires={DOWN: (3, 4), BAD: (3, 4)}),
    row("bad_values_owned", "ok bad_values*2", fires={DOWN: (3, None), BAD: (3, None)}, labels={"team": "search"}),
    row("drift", "ok drift*2 ok", fires={DOWN: (3, 4), DRIFT: (3, 4)}),
    row("drift_once", "ok drift ok", DRIFT),
    row("drift_then_time_out", "ok drift timeout ok", DRIFT, fires={DOWN: (3, 4)}),
    row("drift_owned", "ok drift*2", fires={DOWN: (3, None), DRIFT: (3, None)}, labels={"team": "search"}),
    # Slow is twice in a row as well.
    row("slow", "ok slow*3 ok", fires={SLOW: (3, 5)}, labels={"team": "search"}),
    row("slow_once", "ok slow ok", SLOW),
    row("slow_now_and_then", "ok slow " * 6, SLOW),
    row("slow_around_an_unknown", "ok slow warming slow ok", fires={SLOW: (4, 5)}),
    row("slow_around_a_failure", "ok slow timeout slow ok", SLOW),
    row("slow_then_removed", "ok slow*2 gone", fires={SLOW: (3, 4)}),
    row("slow_then_down", "ok slow*2 timeout*2", fires={SLOW: (3, 4), DOWN: (5, None)}),
    # A shape that changes while replies are up.
    row("reshaped", "ok ok+reshaped ok", fires={SHAPE: (2, HOUR_S)}, labels={"team": "search"}),
    row("unfit_though_up", "ok+fits*2 ok+unfit+reshaped ok+unfit ok+fits+reshaped ok+fits", fires={SHAPE: (3, 5)}),
    row("fits_again", "ok+fits shape_mismatch+unfit ok+fits", SHAPE),
    row("misfit_is_down", "ok+fits shape_mismatch+unfit*2", SHAPE, fires={DOWN: (3, None)}),
    # Unknown for long; the seldom refused and throttled have alerts of their own.
    row("warming_long", "ok warming*5 ok", fires={UNKNOWN: (6, 7)}, labels={"team": "search"}),
    row("warming_a_while", "ok warming*4 ok", UNKNOWN),
    row("unknown_once", "ok warming ok", UNKNOWN),
    row(
        "kinds_of_unknown_alternate", "ok warming prober_stalled warming redirected warming", fires={UNKNOWN: (6, None)}
    ),
    row("never_asked", "ok skipped", UNKNOWN),
    *[row(f"ballast_{number}", "ok") for number in range(10)],  # so that no namespace and not the platform is down
)


#: Namespaces: how many plugins with which script, and when the one alert for them fires.
NAMESPACES: dict[str, tuple[dict[str, int], tuple[int, int | None] | None]] = {
    "half": ({"ok timeout*3 ok": 3, "ok": 3}, (3, 5)),
    "less_than_half": ({"ok timeout": 3, "ok": 4}, None),
    "only_two": ({"ok timeout": 2}, None),
    "blip_of_all": ({"ok timeout ok": 4}, None),
    "up_and_down_alternate": ({"ok timeout " * 6: 4}, None),
    "half_is_unknown": ({"ok timeout": 2, "ok warming": 4}, None),
    "never_judged_is_not_up": ({"ok timeout": 3, "ok": 3, "warming": 4}, (3, None)),
    "throttled_while_down": ({"ok timeout*2 rate_limited*3 ok": 3, "ok": 3}, (3, 7)),
    "removed_while_down": ({"ok timeout*2 gone": 3, "ok": 3}, (3, 4)),
}


def fleet(kind: str) -> list[Plugin]:
    """All rows, in a namespace that is called after who probes it."""
    found = [Plugin(name=r.name, namespace=kind, script=r.script, labels=r.labels) for r in ROWS]
    for namespace, (scripts, _) in NAMESPACES.items():
        every = [script for script, times in scripts.items() for _ in range(times)]
        found += [Plugin(name=f"p{i}", namespace=f"{kind}_{namespace}", script=one) for i, one in enumerate(every)]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """A daemon or batches, and what their results make fire."""

    kind: str
    worker: Worker
    step: float

    def known(self) -> list[float]:
        return [visible(self.worker.known_at(number), self.step) for number in range(1, RESULTS + 1)]

    def fires(self, alert: str, span: tuple[int, int | float | None], at: float) -> bool:
        first, last = span
        start = visible(self.worker.known_at(first), self.step)
        if last is None:
            return start <= at
        end = start + last if isinstance(last, float) else visible(self.worker.known_at(last), self.step)
        return start <= at < end + KEPT_S.get(alert, KEPT_USUALLY_S)

    def of_row(self, row: Row, at: float) -> list[str]:
        found = []
        for alert, span in row.fires.items():
            name, *fault = alert.split()
            if name != THROTTLED and self.fires(name, span, at):
                faults = [f"fault={(fault or [row.fault])[0]}"] if name in (DOWN, BAD, DRIFT) else []
                own = [f"{label}={value}" for label, value in row.labels.items()]
                found.append(" ".join([name, f"{self.kind}/{row.name}", *faults, *own]))
        return found

    def of_many(self, at: float) -> set[str]:
        found = {
            f"NamespaceDown mixpeek_namespace={self.kind}_{namespace}"
            for namespace, (_, span) in NAMESPACES.items()
            if span and self.fires("NamespaceDown", span, at)
        }
        throttled = any(self.fires(THROTTLED, row.fires[THROTTLED], at) for row in ROWS if THROTTLED in row.fires)
        return found | {THROTTLED} if throttled else found

    def group(self) -> dict[str, Any]:
        """Checked as soon as a result can be known, and just before that."""
        times = sorted({at - early for at in self.known() for early in (0, self.step)})
        checks = [
            expectation(at, self.of_row(r, at), f',mixpeek_namespace="{self.kind}",plugin="{r.name}"')
            for at in times
            for r in ROWS
        ]
        checks += [expectation(at, self.of_many(at), ',plugin=""') for at in times]
        # A target moves between shards and pods, so nothing that is recorded of it may tell where it was.
        checks += [
            {
                "expr": f'count({{__name__=~"plugin_probe:.+",plugin!="",{label}!=""}})',
                "eval_time": f"{int(times[-1])}s",
            }
            for label in ("job", "instance", "shard", "pod")
        ]
        series = input_series([self.worker], times[-1], self.step)
        return {"interval": f"{int(self.step)}s", "input_series": series, "promql_expr_test": checks}


@needs("promtool")
@pytest.mark.parametrize("interval", STEPS, ids=["30s", "5m", "1h"])
def test_alerts_count_probes(interval: float, tmp_path: Path) -> None:
    step, groups = STEPS[interval], []
    for kind in ("daemon", "batch"):
        worker = Worker(interval=interval, plugins=fleet(kind), batch=kind == "batch")
        groups.append((step, Prober(kind=kind, worker=worker, step=step).group()))
    check(tmp_path, groups)

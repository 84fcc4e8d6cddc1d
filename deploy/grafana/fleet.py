"""Fleet: how all plugins are, which are the worst, and what is left of their error budgets."""

from pathlib import Path

import yaml
from grafana_foundation_sdk.builders.dashboard import TextBoxVariable

from deploy.grafana.boards import FLEET, Annotation, Board, begins, choice, to_namespace, to_plugin, window
from deploy.grafana.panels import (
    AMBER,
    GREEN,
    GREY,
    OUTCOMES,
    PLAIN,
    RED,
    UNSURE_ABOVE_0,
    WORSE_ABOVE_0,
    Column,
    Query,
    bars,
    graph,
    one,
    rows,
)

_RULES = Path(__file__).parents[1] / "prometheus" / "rules"


def _alert_names() -> str:
    """Ours, in a Prometheus that has alerts of others, too."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(_RULES.glob("*.yaml"))]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    return "|".join(sorted({rule["alert"] for rule in rules if "alert" in rule}))


_THERE = 'mixpeek_namespace=~"$namespace"'
_ON = "on (mixpeek_namespace, plugin)"
_BY = "by (mixpeek_namespace, plugin)"
#: Of those plugins only whose own labels match what is asked for.
_MINE = f"and {_ON} plugin_probe:target_info{{{_THERE},${{labels:raw}}}}"
_ALL = f"(plugin_probe:interval_seconds{{{_THERE}}} {_MINE})"
_DOWN = f"(plugin_probe:down{{{_THERE}}} == 1 {_MINE})"
_UNSURE = f"(plugin_probe:consecutive_unknowns{{{_THERE}}} > 0 {_MINE})"
_UP = f"(plugin_probe:down{{{_THERE}}} == 0 {_MINE} unless {_ON} {_UNSURE})"
_FAILING = f"(plugin_probe:consecutive_failures{{{_THERE}}} > 0 {_MINE})"
_NAMED = "{{mixpeek_namespace}} / {{plugin}}"
_THIS = to_plugin("__field.labels.mixpeek_namespace", "__field.labels.plugin")


def _firing(severity: str = ".*") -> str:
    """Alerts about everything at once have no namespace."""
    ours = f'alertname=~"{_alert_names()}",severity=~"{severity}"'
    return f'ALERTS{{alertstate="firing",{ours},mixpeek_namespace=~"$namespace|"}}'


def _count(of: str) -> str:
    """How many; 0 where there are targets but none of these, nothing where there are no targets."""
    return f"count({of}) or 0 * count({_ALL})"


NOW = (
    one("Targets", "Plugins that are configured to be probed.", f"count({_ALL})", steps=PLAIN, empty="no targets"),
    one(
        "Up",
        "The last conclusive verdict is up and nothing is in doubt now. A first failure still counts as up: it takes "
        "two in a row, as for the alerts.",
        _count(_UP),
        steps=[(None, GREEN)],
        empty="no targets",
    ),
    one("Down", "Two failures in a row at least.", _count(_DOWN), steps=WORSE_ABOVE_0, empty="no targets"),
    one(
        "Unknown",
        "Neither up nor down: warming, throttled, refused, not probed lately or never. It never counts as down.",
        _count(f"{_ALL} unless {_ON} ({_UP} or {_DOWN})"),
        steps=UNSURE_ABOVE_0,
        empty="no targets",
    ),
    one(
        "Overdue",
        "Not probed for three intervals and a minute (part of Unknown). Where this is not 0, look at Prober.",
        _count(f"{_ALL} unless {_ON} plugin_probe:fresh"),
        steps=UNSURE_ABOVE_0,
        empty="no targets",
    ),
    one(
        "Critical alerts",
        "Alerts of plugin-probe with severity critical that fire now, in these namespaces or about all.",
        _count(_firing("critical")),
        steps=WORSE_ABOVE_0,
        empty="no targets",
    ),
)

WORST = (
    rows(
        "Plugins that fail",
        "Last conclusive verdict down, the longest row of failures first. What it failed with and who has to act are "
        "those of the newest failure; the outcome now may be another, such as rate_limited.",
        {
            "mixpeek_namespace": "Namespace",
            "plugin": "Plugin",
            "failure": "Failed with",
            "fault": "Fault",
            "outcome": "Now",
        },
        Column(_FAILING, "Failures in a row", steps=[(None, AMBER), (2, RED)]),
        Column(
            "max by (mixpeek_namespace, plugin, failure, fault) (label_replace("
            f'plugin_probe:failure_info{{{_THERE}}}, "failure", "$1", "outcome", "(.*)")) and {_ON} {_FAILING}'
        ),
        Column(f"max by (mixpeek_namespace, plugin, outcome) (plugin_probe:outcome{{{_THERE}}}) and {_ON} {_FAILING}"),
        Column(
            f"time() - max {_BY} (plugin_probe_last_success_timestamp_seconds{{{_THERE}}}) and {_ON} {_FAILING}",
            "Last success ago",
            unit="s",
            empty="never",
        ),
        most="Failures in a row",
        links={"Plugin": to_plugin("__data.fields.Namespace", "__data.fields.Plugin")},
        w=24,
        h=9,
        empty="nothing fails",
    ),
    rows(
        "Alerts firing",
        "Alerts of plugin-probe, those about everything included, with the labels that they are routed by.",
        {"severity": "Severity", "alertname": "Alert", "mixpeek_namespace": "Namespace", "plugin": "Plugin"},
        Column(
            f"(time() - ALERTS_FOR_STATE) and ignoring (alertstate) {_firing()}",
            "Since",
            unit="s",
        ),
        most="Since",
        links={"Plugin": to_plugin("__data.fields.Namespace", "__data.fields.Plugin")},
        coloured={"Severity": {"critical": ("critical", RED), "warning": ("warning", AMBER), "info": ("info", GREY)}},
        w=24,
        h=7,
        empty="no alert fires",
    ),
)

HEALTH = (
    rows(
        "Namespaces",
        "Targets, those that are down (two failures in a row at least), those that are unknown now, and latency.",
        {"mixpeek_namespace": "Namespace"},
        Column(f"count by (mixpeek_namespace) ({_ALL})", "Targets"),
        Column(f"count by (mixpeek_namespace) ({_DOWN})", "Down", steps=[(None, RED)], empty="0"),
        Column(f"count by (mixpeek_namespace) ({_UNSURE})", "Unknown", steps=[(None, GREY)], empty="0"),
        Column(
            "histogram_quantile(0.95, sum by (mixpeek_namespace, le) "
            f"(rate(plugin_probe_duration_seconds_bucket{{{_THERE}}}[$window])))",
            "Latency, 95th percentile",
            unit="s",
        ),
        most="Down",
        links={"Namespace": to_namespace("__data.fields.Namespace")},
    ),
    graph(
        "Down, by who has to act",
        "Plugins with two failures in a row at least, by the fault of the newest one.",
        Query(
            f"count by (fault) (plugin_probe:failure_info{{{_THERE}}} and {_ON} {_DOWN})",
            "{{fault}}",
        ),
        stacked=True,
        stepped=True,
        decimals=0,
        empty="nothing is down",
    ),
    graph(
        "Share that is down, by namespace",
        "Of the targets with a fresh and conclusive verdict. From a half on (and three targets) one alert, "
        "NamespaceDown, stands for those of the single plugins.",
        Query(f"plugin_probe:namespace_down:ratio{{{_THERE}}}", "{{mixpeek_namespace}}"),
        unit="percentunit",
        high=1,
        steps=[(None, GREEN), (0.5, RED)],
    ),
    graph(
        "Results by outcome",
        "Results a minute, skipped ones included. Red is down, grey unknown. They are counted by namespace: labels "
        "filter nothing here.",
        Query(f"60 * sum by (outcome) (rate(plugin_probe_results_total{{{_THERE}}}[$__rate_interval]))", "{{outcome}}"),
        stacked=True,
        unit="cpm",
        colours=OUTCOMES,
        every="1m",
    ),
)

OBJECTIVES = (
    bars(
        "Least error budget left",
        "Of 30 days: 100 % is untouched, 0 % spent, less is overspent. The 15 objectives that have least of it.",
        Query(f"bottomk(15, plugin_probe:slo_budget_left:ratio_30d{{{_THERE}}} {_MINE})", f"{_NAMED} · {{{{slo}}}}"),
        unit="percentunit",
        low=-1,
        high=1,
        steps=[(None, RED), (0, AMBER), (0.25, GREEN)],
        link=_THIS,
        empty="no objectives are configured",
    ),
    graph(
        "Fastest burn",
        "How many times faster than allowed the budget was spent in the last hour: at 1 it lasts 30 days, at 14.4 two. "
        "The ten fastest.",
        Query(
            f"topk(10, plugin_probe:slo_bad:ratio_1h{{{_THERE}}} "
            f"/ on (mixpeek_namespace, plugin, slo) (1 - plugin_probe:slo_objective) {_MINE})",
            f"{_NAMED} · {{{{slo}}}}",
        ),
        steps=[(None, GREEN), (1, AMBER), (14.4, RED)],
        link=_THIS,
        empty="no objectives are configured",
    ),
)

TRAFFIC = (
    graph(
        "Latency by namespace",
        "95th percentile of 2xx replies, and of time-outs at the time given. Waiting for our own limits is not in it.",
        Query(
            "histogram_quantile(0.95, sum by (mixpeek_namespace, le) "
            f"(rate(plugin_probe_duration_seconds_bucket{{{_THERE}}}[$window])))",
            "{{mixpeek_namespace}}",
        ),
        unit="s",
    ),
    graph(
        "Latency of all",
        "Quantiles over the plugins of these namespaces, from the histogram's buckets.",
        *(
            Query(
                f"histogram_quantile({share}, sum by (le) "
                f"(rate(plugin_probe_duration_seconds_bucket{{{_THERE}}}[$window])))",
                legend,
            )
            for share, legend in ((0.5, "median"), (0.95, "95th percentile"), (0.99, "99th percentile"))
        ),
        unit="s",
    ),
    graph(
        "Throttled by us",
        "How many calls waited on average, by the limit that held them up. Of all namespaces.",
        Query("sum by (limit) (rate(plugin_probe_throttle_seconds_total[$__rate_interval]))", "{{limit}}"),
        stacked=True,
        every="1m",
    ),
    graph(
        "Throttled by Mixpeek",
        "Replies a minute that were 429 or said that the quota is used up. They prove nothing about a plugin.",
        Query(
            "60 * sum by (mixpeek_namespace, outcome) (rate(plugin_probe_results_total"
            f'{{{_THERE},outcome=~"rate_limited|quota_exceeded"}}[$__rate_interval]))',
            "{{mixpeek_namespace}} · {{outcome}}",
        ),
        unit="cpm",
        every="1m",
        empty="nothing was throttled",
    ),
)

BOARD = Board(
    uid=FLEET,
    about="All plugins that are probed: which are down, whose fault it is, what is left of error budgets.",
    variables=(
        choice("namespace", "Namespace", "label_values(plugin_probe_target_info, mixpeek_namespace)"),
        TextBoxVariable("labels")
        .label('Own labels, as team="search"')
        .description("Matchers, as in PromQL, of the targets' own labels.")
        .default_value(""),
        window(),
    ),
    annotations=(
        Annotation(
            name="Critical alert fired",
            expr=begins(_firing("critical"), "alertname, mixpeek_namespace, plugin"),
            colour=RED,
            title="{{alertname}}",
            text="{{mixpeek_namespace}} {{plugin}}",
        ),
    ),
    sections=(
        ("Now", NOW),
        ("The worst", WORST),
        ("Health", HEALTH),
        ("Objectives", OBJECTIVES),
        ("Latency and throttling", TRAFFIC),
    ),
)

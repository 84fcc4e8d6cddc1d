"""Plugin: one plugin's verdicts, latency, shapes, vectors and objectives."""

from deploy.grafana.boards import FLEET, PLUGIN, Annotation, Board, begins, choice, window
from deploy.grafana.newest import IT, SHAPE_INFO, newest
from deploy.grafana.panels import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    OUTCOMES,
    RED,
    UNSURE_ABOVE_0,
    WORSE_ABOVE_0,
    YELLOW,
    Column,
    Query,
    bars,
    graph,
    one,
    rows,
    states,
)
from deploy.grafana.replies import LATENCY, SHAPE

_UNSURE = f"plugin_probe:consecutive_unknowns{IT} > 0"
_VERDICTS = {"0": ("down", RED), "1": ("up", GREEN), "2": ("unknown", GREY)}


def ago(metric: str) -> str:
    return f"time() - max({metric}{IT})"


def a_minute(counter: str) -> str:
    return f"60 * sum(rate({counter}{IT}[$__rate_interval]))"


#: Unknown while the newest result is; otherwise the last conclusive verdict.
_VERDICT = (
    f"({newest('plugin_probe_success')} unless on () ({_UNSURE}) "
    f"or 2 + 0 * max(plugin_probe:interval_seconds{IT})) and on () plugin_probe:fresh{IT}"
)

NOW = (
    one(
        "Verdict",
        "Of the newest result: unknown while it proves nothing about the plugin (warming, throttled, refused).",
        _VERDICT,
        words=_VERDICTS,
        empty="not probed lately",
        w=3,
    ),
    one(
        "Outcome",
        "Of the newest result.",
        Query(newest("plugin_probe_outcome", "outcome"), "{{outcome}}"),
        name=True,
        colours=OUTCOMES,
        empty="none yet",
        w=5,
    ),
    one(
        "Failures in a row",
        "Conclusive failures since the last success; an unknown neither adds to them nor ends them.",
        newest("plugin_probe_consecutive_failures"),
        steps=WORSE_ABOVE_0,
        w=3,
    ),
    one(
        "Unknowns in a row",
        "Results that proved nothing, since the last that did.",
        newest("plugin_probe_consecutive_unknowns"),
        steps=UNSURE_ABOVE_0,
        w=3,
    ),
    one(
        "Last success ago",
        "Since a probe last proved the plugin up.",
        ago("plugin_probe_last_success_timestamp_seconds"),
        unit="s",
        empty="never",
        w=3,
    ),
    one(
        "Last probe ago",
        "Since a call was last sent.",
        ago("plugin_probe_last_probe_timestamp_seconds"),
        unit="s",
        empty="never",
        w=3,
    ),
    one(
        "Calls",
        "Sent in the time shown, those asked again included: what is billed.",
        f"sum(increase(plugin_probe_calls_total{IT}[$__range]))",
        unit="short",
        decimals=0,
        w=4,
    ),
)

VERDICTS = (
    states(
        "Verdicts",
        "Of the newest result at each time; a gap is a time without probes.",
        Query(_VERDICT, "verdict"),
        words=_VERDICTS,
        w=24,
        h=4,
        empty="not probed in this time",
    ),
    states(
        "Outcomes",
        "A band for each outcome while it was the newest. Green is up, yellow slow, red down, grey unknown.",
        Query(newest("plugin_probe_outcome", "outcome"), "{{outcome}}"),
        colours=OUTCOMES,
        w=24,
        h=7,
        empty="not probed in this time",
    ),
    bars(
        "Down, by what it failed with",
        "The share of the time shown in which the last conclusive verdict was this failure.",
        Query(
            f"sum by (outcome, fault) (count_over_time(plugin_probe:failure_info{IT}[$__range])) / ignoring "
            f"(outcome, fault) group_left () sum(count_over_time(plugin_probe:interval_seconds{IT}[$__range]))",
            "{{outcome}} ({{fault}})",
        ),
        unit="percentunit",
        low=0,
        high=1,
        steps=[(None, RED)],
        w=8,
        empty="it was never down",
    ),
    graph(
        "In a row",
        "Failures and unknowns in a row. Two failures are an alert, five unknowns another.",
        Query(newest("plugin_probe_consecutive_failures"), "failures"),
        Query(newest("plugin_probe_consecutive_unknowns"), "unknowns"),
        stepped=True,
        decimals=0,
        colours={"/^failures$/": RED, "/^unknowns$/": GREY},
        w=8,
    ),
    graph(
        "Probes",
        "A minute: probes that were made, those of them that found it down or proved nothing, and calls, which are "
        "billed (a probe makes several where it asks again or compares inputs).",
        Query(a_minute("plugin_probe_calls_total"), "calls"),
        Query(a_minute("plugin_probe_probes_total"), "probes"),
        Query(a_minute("plugin_probe_failures_total"), "down"),
        Query(a_minute("plugin_probe_unknowns_total"), "unknown"),
        unit="cpm",
        every="5m",
        colours={"/^calls$/": BLUE, "/^probes$/": GREEN, "/^down$/": RED, "/^unknown$/": GREY},
        w=8,
    ),
    states(
        "HTTP status",
        "Of the newest call; no reply where none came.",
        Query(newest("plugin_probe_http_status_code"), "status"),
        words={"0": ("no reply", RED)},
        steps=[(None, RED), (200, GREEN), (300, AMBER), (400, RED)],
        w=24,
        h=4,
        empty="not called in this time",
    ),
)

OBJECTIVES = (
    states(
        "Objectives",
        "Whether each was met by the newest conclusive result.",
        Query(newest("plugin_probe_slo_good", "slo"), "{{slo}}"),
        words={"0": ("missed", RED), "1": ("met", GREEN)},
        w=8,
        empty="no objective is configured",
    ),
    graph(
        "Error budget left",
        "Of 30 days: 100 % is untouched, 0 % spent, less is overspent.",
        Query(f"plugin_probe:slo_budget_left:ratio_30d{IT}", "{{slo}}"),
        unit="percentunit",
        high=1,
        steps=[(None, RED), (0, GREEN)],
        w=8,
        empty="no objective is configured",
    ),
    graph(
        "Burn rate",
        "How many times faster than allowed the budget is spent, over an hour and over six: at 1 it lasts 30 days. "
        "14.4 over an hour and 6 over six are an alert.",
        *(
            Query(
                f"plugin_probe:slo_bad:ratio_{span}{IT} / (1 - plugin_probe:slo_objective{IT})",
                f"{{{{slo}}}} over {span}",
            )
            for span in ("1h", "6h")
        ),
        steps=[(None, GREEN), (6, AMBER), (14.4, RED)],
        w=8,
        empty="no objective is configured",
    ),
)

TARGET = (
    rows(
        "Target",
        "The target's own labels, by which its alerts are routed, and how often it is probed.",
        {"mixpeek_namespace": "Namespace", "plugin": "Plugin", "__name__": ""},
        Column(
            f"plugin_probe:interval_seconds{IT} "
            f"* on (mixpeek_namespace, plugin) group_right () plugin_probe:target_info{IT}",
            "Interval",
            unit="s",
        ),
        w=24,
        h=4,
        empty="no such target",
    ),
)

BOARD = Board(
    uid=PLUGIN,
    about="One plugin: what was found and when, how long it took, what its replies looked like.",
    variables=(
        choice("namespace", "Namespace", "label_values(plugin_probe_target_info, mixpeek_namespace)", several=False),
        choice(
            "plugin",
            "Plugin",
            'label_values(plugin_probe_target_info{mixpeek_namespace="$namespace"}, plugin)',
            several=False,
        ),
        window(),
    ),
    annotations=(
        Annotation(
            name="Shape changed",
            expr=f"{newest(*SHAPE_INFO)} unless {newest(*SHAPE_INFO, at=' offset $__interval')}",
            colour=YELLOW,
            title="Shape {{shape}}",
            text="Replies have this shape from here on ({{response_type}})",
        ),
        Annotation(
            name="Alert fired",
            expr=begins(f'ALERTS{{alertstate="firing",{IT[1:]}', "alertname, severity"),
            colour=RED,
            title="{{alertname}}",
            text="{{severity}}",
        ),
    ),
    sections=(
        ("Now", NOW),
        ("Verdicts", VERDICTS),
        ("Latency", LATENCY),
        ("Shape and vectors", SHAPE),
        ("Objectives", OBJECTIVES),
        ("Target", TARGET),
    ),
    passes_on=((FLEET, "namespace"),),
)

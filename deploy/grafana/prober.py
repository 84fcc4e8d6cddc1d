"""Prober: whether what we measure with is well: on time, not throttled, its outputs written."""

from deploy.grafana.boards import PROBER, Annotation, Board, choice
from deploy.grafana.panels import AMBER, BLUE, GREEN, RED, Query, graph, one, states

_W = '{job=~"$job",instance=~"$instance"}'
_RELOADED = {"0": ("rejected", RED), "1": ("accepted", GREEN)}
_DAY_S = 86_400
_WHO = "{{job}} {{shard}}"


def a_second(counter: str, *labels: str) -> str:
    return f"sum by ({', '.join(labels)}) (rate({counter}{_W}[$__rate_interval]))"


def quantiles(histogram: str) -> list[Query]:
    return [
        Query(
            f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{_W}[$__rate_interval])))",
            legend,
        )
        for share, legend in ((0.5, "median"), (0.99, "99th percentile"), (1, "most"))
    ]


def of_each(gauge: str) -> str:
    """By job and shard: another pod in its place is the same prober."""
    return f"max by (job, shard) ({gauge}{_W})"


def since(gauge: str) -> str:
    """Of one that is gone as well: it grows until it is seen again, a day at most."""
    return f"time() - max by (job, shard) (last_over_time({gauge}{_W}[1d]))"


NOW = (
    one("Targets", "Configured targets, of all probers that are selected.", f"sum(plugin_probe_targets{_W})", w=3),
    one(
        "Shards seen",
        "Shards of each job that have told of themselves; there are to be as many as expected.",
        Query(f"count(count by (job, shard) (plugin_probe_shards{_W}))", "seen"),
        Query('sum(plugin_probe:shards{job=~"$job"})', "expected"),
        w=4,
    ),
    one(
        "Last run ago",
        "Since the last batch ended, or the daemon's scheduler last turned. At two periods and a minute it is missing.",
        Query(since("plugin_probe_last_run_timestamp_seconds"), _WHO),
        unit="s",
        w=5,
        empty="no run yet",
    ),
    one(
        "Reload",
        "Whether the newest configuration was taken over; a rejected one leaves the old one in force.",
        f"min(plugin_probe_config_last_reload_successful{_W})",
        words=_RELOADED,
        w=3,
        empty="batches only",
    ),
    one(
        "Certificate runs out in",
        "The first to run out of the chain that the API's host shows.",
        f"min(plugin_probe_tls_earliest_cert_expiry_timestamp_seconds{_W}) - time()",
        unit="s",
        steps=[(None, RED), (3 * _DAY_S, AMBER), (14 * _DAY_S, GREEN)],
        w=4,
        empty="without TLS",
    ),
    one(
        "Version",
        "Of plugin-probe and of Python.",
        Query(f"count by (version, python) (plugin_probe_build_info{_W})", "{{version}} (Python {{python}})"),
        name=True,
        w=5,
    ),
)

SCHEDULE = (
    graph(
        "Lateness",
        "Start of a probe minus the moment it was due. What is over the interval is skipped as overload.",
        *quantiles("plugin_probe_lateness_seconds"),
        unit="s",
        every="1m",
    ),
    graph(
        "Lag of the event loop",
        "How much later than asked it woke up: beyond some 50 ms the machine is short of CPU, and latencies suffer.",
        *quantiles("plugin_probe_loop_lag_seconds"),
        unit="s",
        every="1m",
    ),
    graph(
        "Waiting under a limit",
        "How many calls that were due waited on average, by what held them up: the queue.",
        Query(a_second("plugin_probe_throttle_seconds_total", "limit"), "{{limit}}"),
        stacked=True,
        every="1m",
    ),
    graph(
        "Skipped",
        "Probes a minute that were due and not made: overload means the limits allow less than the targets need, "
        "overrun that the last probe of the target still goes on.",
        Query(f"60 * {a_second('plugin_probe_skipped_total', 'reason')}", "{{reason}}"),
        stacked=True,
        unit="cpm",
        every="1m",
    ),
)

CALLS = (
    graph(
        "Calls",
        "Sent a second: what is billed.",
        Query(a_second("plugin_probe_calls_total"), "calls"),
        unit="reqps",
        every="1m",
    ),
    graph(
        "In flight",
        "Calls under way when it was scraped.",
        Query(f"sum(plugin_probe_inflight{_W})", "calls"),
        decimals=0,
    ),
    graph(
        "Stale connections",
        "Calls a minute that were repeated because a reused connection had gone stale; they are billed as well.",
        Query(f"60 * {a_second('plugin_probe_stale_connection_retries_total')}", "repeated calls"),
        unit="cpm",
        every="1m",
    ),
    graph(
        "Stalls",
        "Times a minute that the worker was suspended or starved. What it measured meanwhile counts for nothing.",
        Query(f"60 * {a_second('plugin_probe_stalls_total')}", "stalls"),
        unit="cpm",
        every="1m",
        colours={"/^stalls$/": RED},
    ),
)

RUNS = (
    graph(
        "Since the last run",
        "Age of the last batch, or turn of the scheduler, beside the period expected.",
        Query(since("plugin_probe_last_run_timestamp_seconds"), f"{_WHO} ago"),
        Query(of_each("plugin_probe_run_interval_seconds"), f"{_WHO} expected every"),
        unit="s",
    ),
    graph(
        "Since the last complete run",
        "Of batches: since one last probed every target and wrote all its outputs.",
        Query(since("plugin_probe_last_run_success_timestamp_seconds"), _WHO),
        unit="s",
        empty="no batch was complete, or there are none",
    ),
    graph(
        "Duration of runs",
        "Of batches. Beyond the period they would overlap.",
        Query(of_each("plugin_probe_last_run_duration_seconds"), _WHO),
        unit="s",
        stepped=True,
        empty="no batches",
    ),
    graph(
        "Outputs that failed",
        "Results, files or pushes a minute that an output did not take.",
        Query(f"60 * {a_second('plugin_probe_sink_failures_total', 'sink')}", "{{sink}}"),
        stacked=True,
        unit="cpm",
        every="1m",
    ),
    states(
        "Configuration",
        "Whether the newest one was taken over.",
        Query(f"min by (job) (plugin_probe_config_last_reload_successful{_W})", "{{job}}"),
        words=_RELOADED,
        h=5,
        empty="batches only",
    ),
    graph(
        "Targets over time",
        "Configured targets; a step is a reload.",
        Query(f"sum by (job) (plugin_probe_targets{_W})", "{{job}}"),
        stepped=True,
        decimals=0,
        h=5,
    ),
)

BOARD = Board(
    uid=PROBER,
    about="The workers themselves: on time, within their limits, heard of, their outputs written.",
    variables=(
        choice("job", "Job", "label_values(plugin_probe_build_info, job)"),
        choice("instance", "Instance", 'label_values(plugin_probe_build_info{job=~"$job"}, instance)'),
    ),
    annotations=(
        Annotation(
            name="Reloaded",
            expr=f"1000 * max by (job) (plugin_probe_config_last_reload_success_timestamp_seconds{_W})",
            colour=BLUE,
            title="Configuration taken over",
            text="{{job}}",
            value_is_time=True,
        ),
    ),
    sections=(("Now", NOW), ("Schedule", SCHEDULE), ("Calls", CALLS), ("Runs and outputs", RUNS)),
)

"""The daemon over 100,000 targets at one probe a minute each: is what is due sent when it is due, and at what cost?

Measured when the first round, which is faster, and the turn to the targets' own instants are over.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.children import child
from tests.benchmarks.daemon_child import write_daemon
from tests.benchmarks.figure import Reading, Row
from tests.benchmarks.options import Options
from tests.benchmarks.startup import instant_server

TARGETS = 100_000
NAMESPACES = 200
INTERVAL_S = 60.0
LIMITS = {"rate": "5000/s", "concurrency": 200}
#: First calls within half an interval, then up to one and a half until a target's own instant.
WARM_S = 2 * INTERVAL_S


def scheduler(options: Options) -> list[Row]:
    window_s = 60 * options.minutes
    with instant_server() as port, TemporaryDirectory() as name:
        config = write_daemon(
            Path(name), port, targets=TARGETS, namespaces=NAMESPACES, interval_s=INTERVAL_S, limits=LIMITS
        )
        with child("daemon_child", config, WARM_S, window_s, 0.0) as daemon:
            daemon.hear()
            noted = daemon.hear(WARM_S + window_s + 60.0)
    outcomes, lateness_s = noted["outcomes"], noted["lateness_s"]
    called = sum(outcomes.values()) - outcomes.get("skipped", 0)
    told = f"{called / noted['seconds']:,.0f} probes/s for {noted['seconds'] / 60:.3g} min"
    named = f"{TARGETS:,} targets"
    late = [
        Reading(name=f"{named}: lateness, {words}", value=1e3 * lateness_s[q], unit="ms", spread=told, **goal)
        for q, words, goal in (("p50", "p50", {}), ("p99", "p99", {"goal": "≤ 50 ms"}), ("p100", "most", {}))
    ]
    return [
        *late,
        Reading(name=f"{named}: probes skipped", value=outcomes.get("skipped", 0), goal="≤ 0", spread=told),
        Reading(name=f"{named}: not a success", value=called - outcomes.get("success", 0), spread=str(outcomes)),
        Reading(name=f"{named}: stalls over 50 ms", value=noted["stalls"], spread=told),
        Reading(name=f"{named}: CPU", value=100 * noted["cpu_share"], unit="%", spread="of a core"),
        Reading(
            name=f"{named}: resident memory per target, all in all",
            value=noted["resident_bytes"] / noted["targets"] / 1e3,
            unit="kB",
            goal="≤ 12 kB",
            spread=f"{noted['resident_bytes'] / 1e6:,.0f} MB",
        ),
    ]

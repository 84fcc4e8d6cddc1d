"""How far a recorded latency is from the real one, which the server itself tells.

Ours is the daemon over 10,000 targets, scraped once a second as Prometheus does it. Beside it blackbox_exporter, whose
phases `processing` and `transfer` are the same span: it is given nothing else to do.
"""

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.children import child
from tests.benchmarks.daemon_child import ranked, write_daemon
from tests.benchmarks.exporter import MISSING, exporter, installed
from tests.benchmarks.figure import NO_GOAL, Missing, Reading, Row
from tests.benchmarks.options import Options

TARGETS = 10_000
RATES = (10, 100, 500, 1_000)
#: At the rate for which something was promised.
GOALS = {(500, "p50"): "≤ 1 ms", (500, "p99"): "≤ 5 ms"}
WARM_S = 3.0
SCRAPE = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    "Accept-Encoding": "gzip",
}


def accuracy(options: Options) -> list[Row]:
    return [row for rate in RATES for row in (*_ours(rate, options.seconds), *_theirs(rate, options.seconds))]


def _ours(rate: int, seconds: float) -> Iterator[Row]:
    with child("slow_server") as server, TemporaryDirectory() as name:
        interval_s = TARGETS / rate
        config = _config(Path(name), server.hear(), rate=rate, interval_s=interval_s)
        aligned_s = interval_s if interval_s < WARM_S + seconds else 0.0
        with child("daemon_child", config, WARM_S, seconds, aligned_s) as daemon, scraped(daemon.hear()) as scrapes:
            noted = daemon.hear()
    assert list(noted["outcomes"]) == ["success"], noted["outcomes"]
    told = f"of {noted['errors_s']['count']:,}; {noted['touched_by_a_stall']} touched by {noted['stalls']:.0f} stalls"
    yield from _rows(f"recorded less real latency at {rate:,}/s", rate, noted["errors_s"], told)
    yield Reading(
        name=f"CPU of the worker at {rate:,}/s",
        value=100 * noted["cpu_share"],
        unit="%",
        spread=f"of a core; {len(scrapes)} scrapes, {max(scrapes, default=0.0):.2g} s at most",
    )


def _theirs(rate: int, seconds: float) -> Iterator[Row]:
    named = f"the same by blackbox_exporter at {rate:,}/s"
    if not installed():
        yield Missing(name=named, why=MISSING)
        return
    with (
        child("slow_server") as server,
        exporter() as rival,
        child("exporter_driver", rival.port, server.hear()) as driver,
    ):
        errors_s = driver.ask("paced", rate, seconds)["errors_s"]
    yield from _rows(named, None, ranked(errors_s), f"of {len(errors_s):,}")


def _rows(named: str, rate: int | None, errors_s: dict[str, Any], told: str) -> Iterator[Row]:
    most = f"{told}; at most {1e3 * errors_s['p100']:.3g} ms"
    for q, spread in (("p50", told), ("p99", most)):
        goal = GOALS.get((rate or 0, q), NO_GOAL)
        yield Reading(name=f"{named}: {q}", value=1e3 * errors_s[q], unit="ms", goal=goal, spread=spread)


def _config(folder: Path, port: int, *, rate: int, interval_s: float) -> Path:
    """The rate limit is a tenth over what is needed: so the first round is spread over the whole interval."""
    limits = {"rate": f"{rate * 1.1:.0f}/s", "concurrency": 400}
    return write_daemon(folder, port, targets=TARGETS, namespaces=100, interval_s=interval_s, limits=limits)


@contextmanager
def scraped(url: str) -> Iterator[list[float]]:
    """Scrapes once a second while the block runs; the seconds that each took."""
    taken: list[float] = []
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            began = time.perf_counter()
            with urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", headers=SCRAPE)) as reply:
                reply.read()
            taken.append(time.perf_counter() - began)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield taken
    finally:
        over.set()
        scraper.join()

"""What a batch and a daemon need, of memory at most and of CPU: what requests and limits are set by.

Both are the command as it is installed. A batch is measured when there is an earlier one to go on from; a daemon at one
probe a minute of each target, scraped as Prometheus does it, when its first minute is over. Batches run in that minute.
Then every target becomes another one: such a reload takes most, since a process beside the daemon reads the files.
"""

import gzip
import json
import os
import re
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.accuracy import SCRAPE
from tests.benchmarks.children import KEY, KEY_NAME, PATIENCE_S, Child, child
from tests.benchmarks.daemon_child import write_daemon
from tests.benchmarks.figure import Missing, Reading, Row
from tests.benchmarks.options import Options
from tests.benchmarks.spent import cpu_of_s, peak_bytes
from tests.benchmarks.startup import instant_server
from tests.programs import free_port, pushgateway, serving

SIZES = (100, 1_000, 10_000)
#: Targets of a namespace.
TOGETHER = 50
INTERVAL_S = 60.0
SCRAPES = 4
LIMITS = {"rate": "1000/s", "concurrency": 50}
EXPECT = {"vector": {"path": "embedding", "dimensions": 384, "normalized": True}}
GATEWAY = "prometheus-pushgateway"


@dataclass(frozen=True, slots=True)
class Running:
    """A server, and the folder that it has to itself."""

    pid: int
    url: str
    folder: Path

    def scrape(self) -> bytes:
        """As Prometheus does it; what came."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/metrics", headers=SCRAPE)) as reply:
            page: bytes = reply.read()
            return page


def footprint(options: Options) -> list[Row]:
    """Nothing in it is repeated in blocks: it takes two minutes, whatever the options say."""
    with ExitStack() as stack:
        port, launcher = stack.enter_context(instant_server()), stack.enter_context(child("launcher"))
        began = time.monotonic()
        daemons = [stack.enter_context(_daemon(port, size)) for size in SIZES]
        rows = [row for size in SIZES for row in _batch(launcher, port, size)]
        rows += _by_namespace(launcher, port)
        time.sleep(max(began + INTERVAL_S - time.monotonic(), 0.0))
        return [*rows, *_watched(daemons)]


# Batches --------------------------------------------------------------------------------------------------------------


def _batch(launcher: Child, port: int, size: int) -> Iterator[Row]:
    """Into a gateway, as in a CronJob; into a textfile where there is none."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        gateway = stack.enter_context(_pushgateway(folder)) if _installed() else None
        outputs: dict[str, Any] = _pushing(gateway) if gateway else {"textfile": {"path": str(folder / "probe.prom")}}
        used = _second(launcher, _configured(folder, port, size, outputs))
        named, told = f"once over {size:,} targets", f"to and from a {'Pushgateway' if gateway else 'textfile'}"
        yield _memory(named, used["peak_bytes"], told)
        yield Reading(name=f"{named}: CPU", value=used["cpu_s"], unit="s", spread="of the whole process")
        yield from _of_gateway(gateway, size)


def _by_namespace(launcher: Child, port: int) -> Iterator[Row]:
    size = SIZES[-1]
    if not _installed():
        yield from _of_gateway(None, size, ", histograms by namespace")
        return
    with TemporaryDirectory() as name, _pushgateway(Path(name)) as gateway:
        outputs = {**_pushing(gateway), "histograms": "namespace"}
        used = _second(launcher, _configured(Path(name), port, size, outputs))
        named = f"once over {size:,} targets, histograms by namespace"
        yield _memory(named, used["peak_bytes"], "to and from a Pushgateway")
        yield from _of_gateway(gateway, size, ", histograms by namespace")


def _of_gateway(gateway: Running | None, size: int, by: str = "") -> Iterator[Row]:
    named = f"Pushgateway with {size:,} targets{by}"
    if gateway is None:
        yield Missing(name=f"{named}: peak resident memory", why=f"{GATEWAY} is not installed")
        return
    gateway.scrape()
    yield _memory(named, peak_bytes(gateway.pid), "2 pushes, 2 reads, 1 scrape")


def _second(launcher: Child, config: Path) -> dict[str, Any]:
    """What the second of two batches used."""
    command = [sys.executable, "-m", "worker", "once", "-c", str(config), "--format", "none", "--log-level", "error"]
    for _ in range(2):
        used: dict[str, Any] = launcher.ask(json.dumps(command))
        assert used["code"] == 0, f"{command} ended with {used['code']}"
    return used


@contextmanager
def _pushgateway(folder: Path) -> Iterator[Running]:
    with pushgateway(folder) as (url, pid):
        yield Running(pid, url, folder)


def _installed() -> bool:
    return shutil.which(GATEWAY) is not None


def _pushing(gateway: Running) -> dict[str, Any]:
    return {"pushgateway": {"url": gateway.url, "timeout": "60s"}}


# Daemons --------------------------------------------------------------------------------------------------------------


@contextmanager
def _daemon(port: int, size: int) -> Iterator[Running]:
    with TemporaryDirectory() as name:
        address = f"127.0.0.1:{free_port()}"
        config = _configured(Path(name), port, size, {"listen": address})
        command = (sys.executable, "-m", "worker", "run", "-c", str(config), "--log-level", "error")
        url = f"http://{address}"
        with serving(*command, ready=f"{url}/-/healthy", folder=Path(name), **{KEY_NAME: KEY}) as process:
            yield Running(process.pid, url, Path(name))


def _watched(daemons: Sequence[Running]) -> Iterator[Row]:
    """Over one interval, in which each target has its turn."""
    before_s = [cpu_of_s(daemon.pid) for daemon in daemons]
    began = time.monotonic()
    for number in range(1, SCRAPES + 1):
        time.sleep(max(began + number * INTERVAL_S / SCRAPES - time.monotonic(), 0.0))
        pages = [daemon.scrape() for daemon in daemons]
    seconds = time.monotonic() - began
    used_s = [cpu_of_s(daemon.pid) - before for daemon, before in zip(daemons, before_s, strict=True)]
    for daemon, size, cpu_s, page in zip(daemons, SIZES, used_s, pages, strict=True):
        outcomes = set(re.findall(rb'_results_total{.*outcome="(\w+)"}', gzip.decompress(page)))
        assert outcomes == {b"success"}, outcomes
        named = f"run over {size:,} targets at {INTERVAL_S:.0f} s"
        yield _memory(named, peak_bytes(daemon.pid), f"{SCRAPES} scrapes")
        yield Reading(name=f"{named}: CPU", value=100 * cpu_s / seconds, unit="%", spread="of a core")
        reader = _reload(daemon)
        yield _memory(
            f"{named}, reloading", peak_bytes(daemon.pid) + reader, f"{reader / 1e6:.0f} MB of them the reader's"
        )


def _reload(daemon: Running) -> int:
    """The most resident memory of the process that reads the files, bytes; done when the daemon has taken them over."""
    page = daemon.scrape()
    listed = daemon.folder / "t.json"
    listed.write_text(listed.read_text().replace('"hello"', '"hello again"'))
    os.kill(daemon.pid, signal.SIGHUP)
    reader = 0
    until = time.monotonic() + PATIENCE_S
    while not reader or _children(daemon.pid) or _reloaded_at(daemon.scrape()) == _reloaded_at(page):
        assert time.monotonic() < until, "no reload"
        for pid in _children(daemon.pid):
            with suppress(FileNotFoundError, ProcessLookupError, StopIteration):  # it has just ended
                reader = peak_bytes(pid)  # the last counts: until it has begun, its memory is the daemon's
        time.sleep(0.002)
    return reader


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def _reloaded_at(page: bytes) -> bytes:
    found = re.search(rb"^plugin_probe_config_last_reload_success_timestamp_seconds (.*)$", gzip.decompress(page), re.M)
    assert found
    return found[1]


# Both -----------------------------------------------------------------------------------------------------------------


def _configured(folder: Path, port: int, size: int, outputs: dict[str, Any]) -> Path:
    return write_daemon(
        folder,
        port,
        targets=size,
        namespaces=size // TOGETHER,
        interval_s=INTERVAL_S,
        limits=LIMITS,
        outputs=outputs,
        expect=EXPECT,
    )


def _memory(named: str, peak: int, told: str) -> Reading:
    return Reading(name=f"{named}: peak resident memory", value=peak / 1e6, unit="MB", spread=told)

"""Remote write to a real Prometheus: what was exposed is what its API answers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.programs import free_port, get, needs, serving
from tests.sinks.given import exchange, probed, target, timed_out
from worker.core.exchange import Phases
from worker.settings import ReceiverSettings
from worker.sinks.metrics import Metrics
from worker.sinks.reading import samples
from worker.sinks.receiver import ReceiverError
from worker.sinks.remote_write import send

pytestmark = [pytest.mark.e2e, needs("prometheus")]

TARGETS = 2000
LABELS = {"job": "probes", "shard": "0"}


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url
        self.receiver = ReceiverSettings(url=f"{url}/api/v1/write")

    def ask(self, query: str, at: float) -> dict[frozenset[tuple[str, str]], float]:
        """The labels and values that an instant query answers with."""
        answer: Any = get(f"{self._url}/api/v1/query?{urlencode({'query': query, 'time': at})}")
        return {frozenset(row["metric"].items()): float(row["value"][1]) for row in answer["data"]["result"]}

    def one(self, query: str, at: float) -> float:
        (value,) = self.ask(query, at).values()
        return value


@contextmanager
def prometheus(folder: Path, *flags: str) -> Iterator[Prometheus]:
    (folder / "prometheus.yml").write_text("global: {}\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = (
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        f"--web.listen-address={url.removeprefix('http://')}",
        *flags,
    )
    with serving(*command, ready=f"{url}/-/ready", folder=folder):
        yield Prometheus(url)


def exposition() -> list[bytes]:
    """Of healthy targets, each eighth of which has timed out at last."""
    metrics = Metrics(version="1.2.3")
    slow = exchange(phases=Phases(send=0.001, wait=0.699))
    for number in range(TARGETS):
        one = target(namespace=f"ns_{number % 7}", plugin=f"p_{number}", labels={"team": 'a "b"\\\nc é'})
        metrics.add(one)
        for recorded in probed(one, exchange(), slow, *([timed_out()] if number % 8 == 0 else [])):
            metrics.record(recorded)
    return list(metrics.exposition())


async def test_prometheus_knows_what_was_exposed(tmp_path: Path) -> None:
    chunks, now = exposition(), time.time()
    exposed = {
        frozenset({"__name__": name, **labels, **LABELS}.items()): value
        for name, labels, value in samples(b"".join(chunks).decode().split("\n"))
    }
    with prometheus(tmp_path, "--web.enable-remote-write-receiver") as server:
        await send(server.receiver, chunks, at=now, labels=LABELS)
        await send(server.receiver, chunks, at=now, labels=LABELS)  # as when an answer was lost: no harm

        assert len(exposed) > 30 * TARGETS
        assert server.ask('{job="probes"}', now) == exposed
        assert server.ask('{job="probes"}', now - 1) == {}
        assert server.one("sum(plugin_probe_success)", now) == TARGETS * 7 / 8
        buckets = "sum by (le) (plugin_probe_duration_seconds_bucket)"
        # of 17 durations in 8 targets 8 are in (0.025, 0.05], 8 in (0.5, 1] and one in (5, 10]
        assert server.one(f"histogram_quantile(0.25, {buckets})", now) == pytest.approx(0.025 + 0.025 * 4.25 / 8)
        assert server.one(f"histogram_quantile(0.75, {buckets})", now) == pytest.approx(0.5 + 0.5 * 4.75 / 8)
        (info,) = server.ask('plugin_probe_target_info{plugin="p_11"}', now)
        assert dict(info)["team"] == 'a "b"\\\nc é'


async def test_prometheus_refuses_what_is_older_than_it_has(tmp_path: Path) -> None:
    now = time.time()
    with prometheus(tmp_path, "--web.enable-remote-write-receiver") as server:
        await send(server.receiver, [b"m 1\n"], at=now, labels=LABELS)
        with pytest.raises(ReceiverError) as refused:
            await send(server.receiver, [b"m 2\n"], at=now - 60, labels=LABELS)
        await send(server.receiver, [b"m 3\n"], at=now + 1, labels=LABELS)
        assert server.one("m", now + 1) == 3
    assert str(refused.value) == "answered 400 Bad Request: out of order sample (1 of 1 series were refused)"


async def test_prometheus_that_is_no_receiver_says_so(tmp_path: Path) -> None:
    with (
        prometheus(tmp_path) as server,
        pytest.raises(ReceiverError, match=r"^answered 404 Not Found: remote write receiver needs to be enabled"),
    ):
        await send(server.receiver, [b"m 1\n"], at=time.time(), labels=LABELS)

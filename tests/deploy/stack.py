"""What dashboards are looked at with: a sandbox behind TLS, a daemon and a batch over it, a Pushgateway, Prometheus."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import trustme
import yaml

from tests.deploy import rule_files
from tests.e2e.commands import PATIENCE_S, eventually, run, started, target, write_config
from tests.programs import free_port
from worker.sandbox.catalogue import SAMPLES

#: The plugin that the Plugin dashboard shows: healthy, then with a key more, then with vectors of another size.
SHOWN = ("ns_sandbox", "text_embed_1_0_0")
KEY = "sk_sandbox_0123456789"
EVERY = "500ms"

FAULTS = {
    "text_embed_1_0_0": {"illness": [{"extra_key": {"after": 5}}, {"wrong_size": {"after": 9, "dimensions": 64}}]},
    "sick_not_deployed_1_0_0": {"illness": {"rate_limited": {}}},
    "sick_cold_1_0_0": {"illness": {"cold": {"period": "1h"}}},
}


class Prometheus:
    """Its API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, **parameters: Any) -> Any:
        """The answer's data; what it refuses is told with the reason."""
        async with self._session.get(f"/api/v1/{path}", params=parameters) as reply:
            answer = await reply.json()
            assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
            return answer["data"]

    async def scrapes(self) -> bool:
        """Which it does some 5 s after it is ready."""
        return bool((await self.get("query", query="up"))["result"])


@asynccontextmanager
async def prometheus(folder: Path, jobs: Mapping[str, int]) -> AsyncIterator[Prometheus]:
    """A server that scrapes these ports and evaluates the project's rules, twice a second each."""
    configuration = {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
        "rule_files": [str(quickened(rules, folder)) for rules in rule_files.PATHS],
        "scrape_configs": [
            {
                "job_name": job,
                "honor_labels": job == "pushgateway",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
            for job, port in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    arguments = (
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    url = f"http://127.0.0.1:{port}"
    async with (
        started(*arguments, cwd=folder, command=["prometheus"], stdout=asyncio.subprocess.DEVNULL),
        aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session,
    ):
        await eventually(lambda: answers(session, "/-/ready"))
        yield Prometheus(session)


def quickened(rules: Path, folder: Path) -> Path:
    """A rule file whose groups have no interval of their own: an hour would be too long to wait for."""
    content = yaml.safe_load(rules.read_text())
    for group in content["groups"]:
        group.pop("interval", None)
    made = folder / rules.name
    made.write_text(yaml.safe_dump(content))
    return made


async def answers(session: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with session.get(path) as reply:
            return reply.status == 200
    except aiohttp.ClientConnectionError:
        return False


@asynccontextmanager
async def sandbox(folder: Path) -> AsyncIterator[str]:
    """Over the samples, with FAULTS; behind TLS, whose authority is in ca.pem."""
    (folder / "faults.yaml").write_text(yaml.safe_dump({"plugins": FAULTS}))
    port = free_port()
    arguments = ("--port", str(port), "--api-key", KEY, "--namespace", SHOWN[0], "--faults", "faults.yaml")
    async with started("sandbox", *arguments, cwd=folder, stdout=asyncio.subprocess.DEVNULL):
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await eventually(lambda: listens(session))
        async with tls_front(folder, port) as url:
            yield url


async def listens(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/"):
            return True
    except aiohttp.ClientConnectionError:
        return False


@asynccontextmanager
async def tls_front(folder: Path, port: int) -> AsyncIterator[str]:
    """TLS before a server of this machine that speaks without."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    serving_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        within = asyncio.current_task()
        assert within is not None
        serving_now.add(within)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(copied(reader, inner_writer), copied(inner_reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass  # either side is gone, or all is over
        finally:
            inner_writer.close()
            writer.close()
            serving_now.discard(within)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for within in serving_now:
            within.cancel()
        await asyncio.gather(*serving_now)


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def configure(folder: Path, url: str, samples: Mapping[str, dict[str, Any]], **sections: Any) -> None:
    """The worker's files: these samples as targets, each with what is given for it."""
    folder.mkdir()
    targets = [
        target(sample.plugin_id, SHOWN[0], inputs=dict(sample.inputs), **samples[sample.plugin_id])
        for sample in SAMPLES
        if sample.plugin_id in samples
    ]
    write_config(
        folder,
        url,
        targets,
        api={"tls": {"ca_file": str(folder.parent / "ca.pem")}},
        defaults={"slo": {"availability": "99.5%", "latency": {"below": "800ms", "ratio": "99%"}}},
        **sections,
    )


def expected() -> dict[str, dict[str, Any]]:
    """What is expected of each sample, by its id; more of the one that is shown."""
    golden = {"file": "golden/{plugin}.json", "path": "embedding"}
    found: dict[str, dict[str, Any]] = {
        sample.plugin_id: {"expect": dict(sample.expect), "labels": {"team": "ranking"}} for sample in SAMPLES
    }
    found[SHOWN[1]]["expect"]["golden"] = golden
    found[SHOWN[1]]["labels"] = {"team": "search"}
    return found


@asynccontextmanager
async def daemon(folder: Path, url: str, port: int) -> AsyncIterator[None]:
    """Over all samples each second, with hardly more calls allowed than that takes; its textfile can't be written."""
    outputs = {
        "listen": f"127.0.0.1:{port}",
        "textfile": {"path": str(folder / "there-is-no-such-folder" / "probe.prom")},
    }
    limits = {"rate": "10/s", "concurrency": 2, "max_retry_after": "100ms"}
    schedule = {"interval": "1s", "timeout": "2s", "grace": "1s"}
    configure(folder, url, expected(), outputs=outputs, limits=limits, schedule=schedule)
    done = await run("shapes", "pin", "-c", "worker.yaml", "--golden", SHOWN[1], cwd=folder, env=environment())
    assert done.code == 0, done.err + done.out
    async with started("run", "-c", "worker.yaml", cwd=folder, env=environment()) as process:
        await process.url()
        yield


@asynccontextmanager
async def batch(folder: Path, url: str, port: int) -> AsyncIterator[None]:
    """Two shards over some of the daemon's targets, which now have two writers, as while they are moved."""
    gateway = f"http://127.0.0.1:{port}"
    few = ("language_id_1_0_0", "sick_raising_1_0_0", "sick_wrong_size_1_0_0", SHOWN[1])
    outputs, schedule = {"pushgateway": {"url": gateway}}, {"interval": "1s", "timeout": "2s"}
    configure(folder, url, {name: {"expect": {}} for name in few}, outputs=outputs, schedule=schedule)
    server = (f"--web.listen-address=127.0.0.1:{port}", "--persistence.file=")
    async with (
        started(*server, cwd=folder, command=["prometheus-pushgateway"], stdout=asyncio.subprocess.DEVNULL),
        aiohttp.ClientSession(gateway) as session,
    ):
        await eventually(lambda: answers(session, "/-/ready"))
        await asyncio.gather(*(shard(folder, index, of=2) for index in range(2)))
        yield


async def shard(folder: Path, index: int, *, of: int) -> None:
    numbers = ("--shard-index", str(index), "--shard-count", str(of))
    done = await run("once", "-c", "worker.yaml", "--fail-on", "never", *numbers, cwd=folder, env=environment())
    assert done.code == 0, done.err + done.out


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PROBE_TEST_KEY": KEY}


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[Prometheus]:
    """The daemon last, so that nothing of what becomes of its targets is missed."""
    jobs = {"daemon": free_port(), "pushgateway": free_port()}
    async with (
        prometheus(folder, jobs) as server,
        sandbox(folder) as url,
        batch(folder / "batch", url, jobs["pushgateway"]),
    ):
        await eventually(server.scrapes)
        async with daemon(folder / "daemon", url, jobs["daemon"]):
            yield server

"""From a probe to a page, with the real servers: Prometheus, Alertmanager, a Pushgateway, and who is paged."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from tests.deploy import alertmanager, rule_files
from tests.deploy.stack import Prometheus, answers
from tests.e2e.commands import PATIENCE_S, eventually, started
from tests.programs import free_port
from worker.sandbox.faults import Patient, make_faults
from worker.sandbox.sandbox import Sandbox

#: A test can't wait as long as a rule does: what holds an alert back or keeps it is a second or two here. The rules'
#: own tests have them as they are.
QUICKER = (
    (re.compile(r"keep_firing_for: \d+m"), "keep_firing_for: 2s"),
    (re.compile(r"\bfor: \d+m"), "for: 1s"),
    (re.compile(r"(run_interval_seconds[^\n]*|\)) \+ 60\b"), r"\1 + 2"),
    (re.compile(r"interval: \w+ *(#.*)?$", re.MULTILINE), "interval: 1s"),
)
EVERY = "1s"
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(slots=True)
class Pages:
    """Who was told: by receiver, each alert's status and labels, in order."""

    came: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def of(self, receiver: str, plugin: str) -> list[tuple[str, str]]:
        """Alert and status of what one receiver was told of a plugin, each once."""
        told = [
            (one["alertname"], status)
            for to, status, one in self.came
            if to == receiver and one.get("plugin") == plugin
        ]
        return list(dict.fromkeys(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where everything is. Jobs are scraped from the first moment on, be they there or not."""

    session: aiohttp.ClientSession
    prometheus: Prometheus
    alertmanager: str
    gateway: str
    daemon_port: int
    pages: Pages
    texts: dict[str, Path]

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series now."""
        found = await self.prometheus.get("query", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    async def value(self, expression: str) -> float | None:
        """The one series' value; None where there is none."""
        found = await self.query(expression)
        assert len(found) < 2, found
        return found[0][1] if found else None

    async def firing(self, alert: str, **labels: str) -> list[dict[str, str]]:
        """The labels of such alerts, as Alertmanager has them."""
        filters = [f'{name}="{value}"' for name, value in {"alertname": alert, **labels}.items()]
        parameters = [("filter", one) for one in filters]
        async with self.session.get(f"{self.alertmanager}/api/v2/alerts", params=parameters) as reply:
            return [one["labels"] for one in await reply.json()]

    async def fires(self, alert: str, within_s: float = 40.0, **labels: str) -> dict[str, str]:
        """Waits for it."""
        found = await eventually(lambda: self.firing(alert, **labels), within_s)
        assert len(found) == 1, found
        return found[0]

    async def ends(self, alert: str, within_s: float = 40.0, **labels: str) -> None:
        async def ended() -> bool:
            return not await self.firing(alert, **labels)

        await eventually(ended, within_s)

    async def reaches(self, expression: str, value: float, within_s: float = PATIENCE_S) -> None:
        """Waits until Prometheus has this value."""

        async def reached() -> bool:
            return await self.value(expression) == value

        await eventually(reached, within_s)


def make_sick(sandbox: Sandbox, plugin: str, fault: Mapping[str, Any] | None) -> None:
    """From now on; None heals."""
    faults = make_faults({"plugins": {plugin: dict(fault)}} if fault else {})
    patient = Patient(faults.of(plugin), random=Random(0))
    sandbox.plugins[plugin] = replace(sandbox.plugins[plugin], patient=patient)


@asynccontextmanager
async def stack(folder: Path, files: Sequence[str]) -> AsyncIterator[Stack]:
    """Prometheus scrapes a daemon twice, in OpenMetrics and as text, the Pushgateway, and these files as a
    node_exporter would show them.
    """
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "gateway", "daemon")}
    pages, texts = Pages(), {name: folder / name for name in files}
    at = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    async with AsyncExitStack() as running:
        session = await running.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)))
        asked = await running.enter_async_context(aiohttp.ClientSession(at["prometheus"]))
        side = await running.enter_async_context(_side(session, pages, texts, f"{at['daemon']}/metrics"))
        _write_rules(folder)
        (folder / "alertmanager.yml").write_text(_routes(side))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_scrapes(ports, side, files)))
        for name, command in _servers(ports):
            await running.enter_async_context(
                started(*command[1:], cwd=folder, command=command[:1], stdout=asyncio.subprocess.DEVNULL)
            )
            await eventually(partial(answers, session, f"{at[name]}/-/ready"))
        yield Stack(
            session=session,
            prometheus=Prometheus(asked),
            alertmanager=at["alertmanager"],
            gateway=at["gateway"],
            daemon_port=ports["daemon"],
            pages=pages,
            texts=texts,
        )


def _servers(ports: Mapping[str, int]) -> Iterator[tuple[str, list[str]]]:
    def listen(name: str) -> str:
        return f"--web.listen-address=127.0.0.1:{ports[name]}"

    yield "gateway", ["prometheus-pushgateway", listen("gateway"), "--persistence.file=", "--log.level=error"]
    yield (
        "alertmanager",
        [
            "prometheus-alertmanager",
            listen("alertmanager"),
            "--config.file=alertmanager.yml",
            "--storage.path=alerts",
            "--cluster.listen-address=",
            "--log.level=error",
        ],
    )
    yield (
        "prometheus",
        [
            "prometheus",
            listen("prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=tsdb",
            "--enable-feature=exemplar-storage",
            "--log.level=error",
        ],
    )


def _write_rules(folder: Path) -> None:
    (folder / "rules").mkdir()
    for path in rule_files.PATHS:
        text = path.read_text(encoding="utf-8")
        for slow, quick in QUICKER:
            text = slow.sub(quick, text)
        (folder / "rules" / path.name).write_text(text, encoding="utf-8")


def _routes(side: str) -> str:
    """The example's routing, with whom it tells on loopback and no waiting."""
    content = yaml.safe_load(alertmanager.CONFIG.read_text(encoding="utf-8"))
    content["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for receiver in content["receivers"]:
        if "webhook_configs" in receiver:
            receiver["webhook_configs"] = [{"url": f"{side}/pages/{receiver['name']}"}]
    return yaml.safe_dump(content)


def _scrapes(ports: Mapping[str, int], side: str, files: Sequence[str]) -> dict[str, Any]:
    def job(name: str, address: str, path: str = "/metrics", **more: Any) -> dict[str, Any]:
        return {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [address]}], **more}

    here = side.removeprefix("http://")
    return {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
        "rule_files": ["rules/*.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]},
        "scrape_configs": [
            job("daemon", f"127.0.0.1:{ports['daemon']}"),
            job("daemon_as_text", here, "/as-text"),
            job("pushgateway", f"127.0.0.1:{ports['gateway']}", honor_labels=True),
            *(job(name, here, f"/files/{name}") for name in files),
        ],
    }


@asynccontextmanager
async def _side(
    session: aiohttp.ClientSession, pages: Pages, texts: Mapping[str, Path], metrics: str
) -> AsyncIterator[str]:
    """What stands around the servers: who is paged, textfiles, and a scraper that knows no OpenMetrics."""

    async def page(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            pages.came.append((request.match_info["receiver"], alert["status"], alert["labels"]))
        return web.Response()

    async def file(request: web.Request) -> web.Response:
        path = texts[request.match_info["name"]]
        return web.Response(body=path.read_bytes() if path.exists() else b"", headers={"Content-Type": _PLAIN})

    async def as_text(_: web.Request) -> web.Response:
        headers = {"Accept": "text/plain", "Accept-Encoding": "gzip"}
        try:
            async with session.get(metrics, headers=headers) as reply:
                return web.Response(body=await reply.read(), headers={"Content-Type": reply.headers["Content-Type"]})
        except aiohttp.ClientConnectionError:
            return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/pages/{receiver}", page)
    app.router.add_get("/files/{name}", file)
    app.router.add_get("/as-text", as_text)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settled(condition: Callable[[], bool]) -> Callable[[], Any]:
    """A question for `eventually` that asks nobody else."""

    async def asked() -> bool:
        return condition()

    return asked

"""The daemon: its HTTP surface, reloads and its end."""

import asyncio
import gzip
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests import promtool
from tests.e2e.commands import (
    PATIENCE_S,
    Started,
    eventually,
    replace,
    run,
    started,
    target,
    write_config,
    write_targets,
)
from tests.programs import missing, needs
from tests.servers import Mixpeek, Reply, answer, in_turn, refuse, serving

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

HOSTILE = "</td><script>alert('x')</script>"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
SOON = {"interval": "500ms", "timeout": "400ms", "grace": "5s"}
HOURLY = {"interval": "1h", "timeout": "5s", "grace": "5s"}


class Surface:
    """What the daemon serves, and the daemon."""

    def __init__(self, session: aiohttp.ClientSession, process: Started, folder: Path) -> None:
        self.session, self.process, self.folder = session, process, folder

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, path, headers=named) as reply:
            return reply.status, await reply.text()

    async def text(self, path: str, **headers: str) -> str:
        status, text = await self.get(path, **headers)
        assert status == 200, text
        return text

    async def json(self, path: str) -> Any:
        return json.loads(await self.text(path))

    async def sample(self, series: str) -> str | None:
        """A series' value in /metrics."""
        lines = (await self.text("/metrics")).splitlines()
        return next((line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == series), None)

    async def until_probed(self, *plugins: str) -> None:
        async def probed() -> bool:
            targets = (await self.json("/api/v1/targets"))["targets"]
            seen = {shown["plugin"] for shown in targets if shown["result"]}
            return seen >= set(plugins)

        await eventually(probed)


@asynccontextmanager
async def daemon(folder: Path, *options: str) -> AsyncIterator[Surface]:
    async with started("run", "-c", "worker.yaml", *options, cwd=folder) as process:
        url = await process.url()
        async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
            yield Surface(session, process, folder)


def configure(
    folder: Path, server: Mixpeek, *plugins: str, schedule: dict[str, str] | None = None, **sections: Any
) -> None:
    outputs = {"listen": "127.0.0.1:0", "textfile": {"path": str(folder / "probe.prom")}}
    targets = [target(plugin) for plugin in plugins]
    write_config(folder, server.url, targets, schedule=schedule or SOON, outputs=outputs, **sections)


def families(text: str) -> list[str]:
    """Every family that begins, in order: one that is interleaved begins twice."""
    return [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE ")]


async def test_the_surface_shows_what_was_probed(tmp_path: Path) -> None:
    scripts = {
        "evil": answer({"embedding": [0.6, 0.8], HOSTILE: 1}, inference_name=HOSTILE, status="error", error=HOSTILE),
        "sick": refuse(500, "out of memory"),
        "cold": refuse(503, "loading", Retry_After="5"),
    }
    async with serving(scripts) as server:
        configure(tmp_path, server, "up", *scripts)
        async with daemon(tmp_path) as surface:
            await surface.until_probed("up", *scripts)
            await metrics_in_both_formats(surface)
            await status_page(surface)
            await json_api(surface)
            await what_is_not_there(surface)
            surface.process.send(signal.SIGTERM)
            done = await surface.process.finish()
        assert done.code == 0
        assert done.event("worker.stopping")["signal"] == "SIGTERM"
        assert done.event("run.finished")["outcomes"]["plugin_error"] == 1
        assert 'plugin_probe_success{mixpeek_namespace="ns_a",plugin="up"} 1' in (tmp_path / "probe.prom").read_text()
        assert done.out == ""


async def metrics_in_both_formats(surface: Surface) -> None:
    text = await surface.text("/metrics")
    openmetrics = await surface.text("/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    for exposition in (text, openmetrics):
        names = families(exposition)
        assert len(names) == len(set(names)), "a family is interleaved"
        assert "_created" not in exposition
    parsed = {family.name for family in text_string_to_metric_families(openmetrics)}  # type: ignore[no-untyped-call]
    assert {"plugin_probe_success", "plugin_probe_calls", "plugin_probe_duration_seconds"} <= parsed
    assert openmetrics.endswith("# EOF\n")
    assert "# EOF" not in text
    await content_coding(surface)
    if not missing("promtool"):
        assert promtool.check_metrics(text.encode()) == (0, b"")


async def content_coding(surface: Surface) -> None:
    async with aiohttp.ClientSession(surface.session._base_url, auto_decompress=False) as plain:
        async with plain.get("/metrics", headers={"Accept-Encoding": "gzip"}) as reply:
            assert reply.headers["Content-Encoding"] == "gzip"
            assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert b"plugin_probe_build_info" in gzip.decompress(await reply.read())
        async with plain.get("/metrics", headers={"Accept-Encoding": "identity"}) as reply:
            assert "Content-Encoding" not in reply.headers
        async with plain.head("/metrics") as reply:
            assert (reply.status, await reply.read()) == (200, b"")


async def status_page(surface: Surface) -> None:
    async with surface.session.get("/") as reply:
        page = await reply.text()
        assert reply.content_type == "text/html"
        assert "Server" not in reply.headers
        for name, beginning in SECURITY.items():
            assert reply.headers[name].startswith(beginning)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "out of memory" in page
    assert page.index(">sick") < page.index(">cold") < page.index(">up"), "sick ones stand first"


async def json_api(surface: Surface) -> None:
    targets = (await surface.json("/api/v1/targets"))["targets"]
    assert [shown["plugin"] for shown in targets] == ["up", "evil", "sick", "cold"]
    one = await surface.json("/api/v1/targets/ns_a/sick")
    assert (one["verdict"], one["outcome"]) == ("down", "server_error")
    assert one["consecutive_failures"] >= 1
    assert one["result"]["http_status"] == 500
    assert 0 <= one["next_due_in_s"] <= 1


async def what_is_not_there(surface: Surface) -> None:
    assert (await surface.get("/-/healthy"))[0] == 200
    assert (await surface.get("/-/ready"))[0] == 200
    for path in ("/api/v1/targets/ns_a/nobody", "/nowhere", "/probe?target=ns_a/up", "/-/reload"):
        assert (await surface.get(path))[0] == 404
    assert (await surface.get("/-/reload", method="POST"))[0] == 404
    assert (await surface.get("/metrics", method="POST"))[0] == 405


@needs("promtool")
async def test_promtool_accepts_the_textfile_of_a_batch(tmp_path: Path) -> None:
    scripts = {"sick": refuse(500), "cold": refuse(503, Retry_After="5")}
    async with serving(scripts) as server:
        configure(tmp_path, server, "up", *scripts)
        await run("once", "-c", "worker.yaml", cwd=tmp_path)
    assert promtool.check_metrics((tmp_path / "probe.prom").read_bytes()) == (0, b"")


async def test_it_is_ready_once_a_first_call_was_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(default=answer(after=gate)) as server:
        configure(tmp_path, server, "up", schedule={**SOON, "timeout": "30s"})
        async with daemon(tmp_path) as surface:
            await server.called(1)
            assert (await surface.get("/-/healthy"))[0] == 200
            assert (await surface.get("/-/ready"))[0] == 503
            gate.set()

            async def ready() -> bool:
                return (await surface.get("/-/ready"))[0] == 200

            await eventually(ready)


async def test_a_target_is_probed_at_its_interval_and_never_twice_at_a_time(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, "a", "b", schedule={"interval": "200ms", "timeout": "150ms"})
        async with daemon(tmp_path):
            await server.called(12)
    gaps = [after.at - before.at for before, after in zip(server.of("a")[1:], server.of("a")[2:], strict=False)]
    assert all(0.1 <= gap <= 0.35 for gap in gaps), gaps


async def test_reload_needs_its_flag_and_post(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, "old", "stays")
        async with daemon(tmp_path, "--enable-reload") as surface:
            await surface.until_probed("old", "stays")
            assert (await surface.get("/-/reload"))[0] == 405
            write_targets(tmp_path, [target("stays"), target("new")])
            assert await surface.get("/-/reload", method="POST") == (200, "reloaded\n")
            text = await surface.text("/metrics")
            assert 'plugin="old"' not in text
            assert 'plugin_probe_probes_total{mixpeek_namespace="ns_a",plugin="new"}' in text
            assert (await surface.get("/api/v1/targets/ns_a/old"))[0] == 404
            await surface.until_probed("new", "stays")
            replace(tmp_path / "targets.yaml", "targets: [{plugin: x}]")
            status, text = await surface.get("/-/reload", method="POST")
            assert status == 500
            assert "targets.yaml:1:" in text


async def test_a_changed_file_is_taken_over_and_a_bad_one_is_not(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, "old", "stays")
        async with daemon(tmp_path) as surface:
            await surface.until_probed("old", "stays")
            assert await surface.sample("plugin_probe_config_last_reload_successful") == "1.0"

            write_targets(tmp_path, [target("stays"), target("new")])
            event = await surface.process.event("config.reloaded")
            assert event["targets"] == 2
            assert 'plugin="old"' not in await surface.text("/metrics")
            await server.called(1, "new")

            replace(tmp_path / "targets.yaml", "targets: [{namespace: ns_a, plugn: stays}]")
            event = await surface.process.event("config.rejected")
            assert event["level"] == "error"
            assert any("did you mean plugin" in problem for problem in event["problems"])
            assert await surface.sample("plugin_probe_config_last_reload_successful") == "0.0"
            before = len(server.of("stays"))
            await server.called(before + 2, "stays")

            write_targets(tmp_path, [target("stays")])
            surface.process.send(signal.SIGHUP)
            await surface.process.event("config.reloaded")
            assert await surface.sample("plugin_probe_config_last_reload_successful") == "1.0"
            assert 'plugin="new"' not in await surface.text("/metrics")
            count = await surface.sample('plugin_probe_calls_total{mixpeek_namespace="ns_a",plugin="stays"}')
            assert count is not None
            assert float(count) > 2, "a reload keeps what was counted"

            surface.process.send(signal.SIGHUP)
            await surface.process.event("config.reloaded")  # though nothing has changed


async def test_a_new_file_of_a_glob_and_a_mended_one_are_taken_over(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, "old", targets_files=["lists/*.yaml"])
        (tmp_path / "lists").mkdir()
        replace(tmp_path / "lists" / "a.yaml", "targets: [{namespace: ns_a, plugin: old}]")
        async with daemon(tmp_path) as surface:
            replace(tmp_path / "lists" / "b.yaml", "targets: [{namespace: ns_a, plugn: new}]")
            await surface.process.event("config.rejected")
            replace(tmp_path / "lists" / "b.yaml", "targets: [{namespace: ns_a, plugin: new}]")
            assert (await surface.process.event("config.reloaded"))["targets"] == 2
            await server.called(1, "new")


async def test_another_host_and_another_key_of_a_reload_are_used_at_once(tmp_path: Path) -> None:
    async with serving() as server, serving() as other:
        configure(tmp_path, server, "up")
        async with daemon(tmp_path, "--enable-reload") as surface:
            await server.called(1)
            (tmp_path / "key").write_text("sk_of_the_other_host")
            configure(tmp_path, other, "up", key_file=tmp_path / "key")
            assert (await surface.get("/-/reload", method="POST"))[0] == 200
            await other.called(2)
            assert other.calls[0].headers["authorization"] == "Bearer sk_of_the_other_host"
            assert await surface.sample('plugin_probe_success{mixpeek_namespace="ns_a",plugin="up"}') == "1"


async def test_a_hangup_while_it_stops_does_not_kill_it(tmp_path: Path) -> None:
    async with serving(default=answer(delay_s=0.3)) as server:
        configure(tmp_path, server, "up")
        async with started("run", "-c", "worker.yaml", cwd=tmp_path) as process:
            await process.url()
            await server.called(1)
            process.send(signal.SIGHUP)
            process.send(signal.SIGTERM)
            await process.event("worker.stopping")
            process.send(signal.SIGHUP)
            assert (await process.finish()).code == 0


async def test_a_plugin_that_crashes_on_every_request_is_called_no_more_often_than_the_caps_allow(
    tmp_path: Path,
) -> None:
    """On a kept-alive connection a crash looks like a connection that was dead: both calls count."""
    async with serving({"bad": Reply(body=b"", hang_up=True)}) as server:
        schedule = {"interval": "1s", "timeout": "900ms", "grace": "1s"}
        configure(tmp_path, server, "good", "bad", schedule=schedule, limits={"rate": "2/s", "concurrency": 1})
        async with daemon(tmp_path) as surface:
            await server.called(6, "bad")
            instants = [call.at for call in server.calls]
            assert all(later - earlier >= 0.99 for earlier, later in zip(instants, instants[2:], strict=False))
            counted = 0.0
            for plugin in ("good", "bad"):
                series = f'plugin_probe_calls_total{{mixpeek_namespace="ns_a",plugin="{plugin}"}}'
                counted += float(await surface.sample(series) or 0)
            assert len(server.calls) - counted <= 2, "those of one probe may be under way"
            assert float(await surface.sample("plugin_probe_stale_connection_retries_total") or 0) >= 2


async def test_limits_of_a_reload_hold_at_once(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, *"abcdefgh", schedule={"interval": "100ms", "timeout": "90ms"})
        async with daemon(tmp_path, "--enable-reload") as surface:
            await server.called(20)
            configure(
                tmp_path,
                server,
                *"abcdefgh",
                schedule={"interval": "100ms", "timeout": "90ms"},
                limits={"rate": "2/s", "concurrency": 1},
            )
            await surface.text("/metrics")
            assert (await surface.get("/-/reload", method="POST"))[0] == 200
            before = len(server.calls)
            await server.called(before + 4)
            instants = [call.at for call in server.calls[before + 1 :]]
            assert instants[2] - instants[0] >= 1.0


async def test_probe_answers_under_the_names_of_blackbox_exporter(tmp_path: Path) -> None:
    scripts = {"sick": refuse(500), "who": refuse(403)}
    async with serving(scripts) as server:
        configure(tmp_path, server, "up", *scripts, schedule=HOURLY)
        async with daemon(tmp_path, "--enable-probe") as surface:
            text = await surface.text("/probe?target=ns_a/up")
            assert "probe_success 1\n" in text
            assert "probe_duration_seconds 0." in text
            assert "probe_http_status_code 200\n" in text
            for phase in ("resolve", "connect", "tls", "processing", "transfer"):
                assert f'probe_http_duration_seconds{{phase="{phase}"}}' in text
            if not missing("promtool"):
                assert promtool.check_metrics(text.encode())[0] == 0

            await surface.text("/probe?target=ns_a/up")
            assert len(server.of("up")) == 1, "a fresh result is used again"

            assert "probe_success 0\n" in await surface.text("/probe?target=ns_a/sick")
            assert "probe_success" not in (await surface.text("/probe?target=ns_a/who"))
            debug = await surface.text("/probe?target=ns_a/who&debug=true")
            assert '"outcome": "forbidden"' in debug
            for wrong in ("ns_a/nobody", "", "ns_a", "ns_a/up/", "http://example.com"):
                assert (await surface.get(f"/probe?target={wrong}"))[0] == 404


async def test_probes_asked_at_the_same_time_share_a_call(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(default=answer(after=gate)) as server:
        configure(tmp_path, server, "up", schedule=HOURLY)
        async with daemon(tmp_path, "--enable-probe") as surface:
            asked = [asyncio.create_task(surface.text("/probe?target=ns_a/up")) for _ in range(3)]
            await server.called(1)
            gate.set()
            assert all("probe_success 1\n" in text for text in await asyncio.gather(*asked))
            assert len(server.calls) == 1


async def test_probe_is_unavailable_when_the_limits_allow_no_call_in_time(tmp_path: Path) -> None:
    async with serving() as server:
        configure(tmp_path, server, "a", "b", schedule=HOURLY, limits={"rate": "1/m", "concurrency": 1})
        async with daemon(tmp_path, "--enable-probe") as surface:
            assert (await surface.get("/probe?target=ns_a/a"))[0] == 200
            status, text = await surface.get("/probe?target=ns_a/b", X_Prometheus_Scrape_Timeout_Seconds="0.8")
            assert status == 503
            assert "limits" in text
            assert len(server.calls) == 1


async def test_a_stop_lets_what_is_in_flight_finish(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(default=answer(after=gate)) as server:
        configure(tmp_path, server, "up", schedule={**SOON, "timeout": "30s"})
        async with daemon(tmp_path) as surface:
            await server.called(1)
            surface.process.send(signal.SIGTERM)
            await surface.process.event("worker.stopping")
            assert (await surface.get("/-/healthy"))[0] == 200, "it answers until the grace is over"
            gate.set()
            done = await surface.process.finish()
    assert done.code == 0
    assert 'plugin_probe_success{mixpeek_namespace="ns_a",plugin="up"} 1' in (tmp_path / "probe.prom").read_text()
    assert len(server.calls) == 1


async def test_the_grace_ends_and_so_does_a_second_signal(tmp_path: Path) -> None:
    async with serving(default=answer(delay_s=60)) as server:
        configure(tmp_path, server, "up", schedule={"interval": "500ms", "timeout": "50s", "grace": "300ms"})
        async with daemon(tmp_path) as surface:
            await server.called(1)
            surface.process.send(signal.SIGINT)
            assert (await surface.process.finish(5)).code == 0
        configure(tmp_path, server, "up", schedule={"interval": "500ms", "timeout": "50s", "grace": "40s"})
        async with daemon(tmp_path) as surface:
            await server.called(2)
            surface.process.send(signal.SIGTERM)
            await surface.process.event("worker.stopping")
            surface.process.send(signal.SIGTERM)
            assert (await surface.process.finish(5)).code == 143


async def test_a_port_that_is_taken_is_told_and_nothing_is_sent(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with serving() as server:
            write_config(tmp_path, server.url, outputs={"listen": f"127.0.0.1:{port}"})
            done = await run("run", "-c", "worker.yaml", cwd=tmp_path)
    assert done.code == 2
    assert f"outputs.listen: can't listen on 127.0.0.1:{port}: " in done.err
    assert "in use" in done.err
    assert "Traceback" not in done.err
    assert server.calls == []


async def test_a_recovery_is_told(tmp_path: Path) -> None:
    async with serving(default=in_turn(refuse(500), answer())) as server:
        configure(tmp_path, server, "up")
        async with daemon(tmp_path) as surface:
            failed = await surface.process.event("probe.failed")
            recovered = await surface.process.event("probe.recovered")
    assert failed["consecutive_failures"] == 1
    assert recovered["failures_before"] == 1

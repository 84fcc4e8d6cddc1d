"""The API key is in nothing that we write, show or serve, whatever a server does with it."""

import asyncio
import base64
import html
import json
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import cramjam
import pytest
from aiohttp import web

from tests.e2e.commands import KEY_NAME, Cases, Together, environment, eventually, run, started, target, together
from tests.e2e.commands import write_config as write_any_config
from tests.servers import Call, Reply, Script, answer, refuse, serving
from tests.sinks.gateway import group
from tests.sinks.receiving import Receiver, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

#: Made to look different in JSON, in HTML and in a URL.
SECRET = 'sk_live_/+"<&0123456789>abcdef'
#: Of whoever else is signed for: the proxy, and who takes the metrics.
PASSWORD = 'pw/+"<&9876543210>fedcba'
BASIC = base64.b64encode(f"worker:{PASSWORD}".encode()).decode()
ENV = environment(
    **{KEY_NAME: SECRET, "PROXY_PASSWORD": quote(PASSWORD, safe=""), "KEY_IN_URL": quote(SECRET, safe="")}
)


def spelt(secret: str) -> set[str]:
    quoted = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    return {secret, json.dumps(secret)[1:-1], html.escape(secret), *quoted, secret.replace("/", "\\/")}


SPELLINGS = {*spelt(SECRET), SECRET[:20], SECRET[12:], *spelt(PASSWORD), PASSWORD[5:], BASIC}


def echoed(call: Call) -> str:
    return call.headers["authorization"]


def escaped(text: str) -> str:
    """Every character as a JSON escape."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


SCRIPTS: dict[str, Script] = {
    "error_500": lambda call: refuse(500, f"bad credentials {echoed(call)}", kind=echoed(call)),
    "error_401": lambda call: refuse(401, f"{echoed(call)} is expired"),
    "error_422": lambda call: Reply(
        status=422, body=json.dumps({"detail": [{"loc": [echoed(call)], "msg": echoed(call), "type": "x"}]}).encode()
    ),
    "error_html": lambda call: Reply(
        status=502, body=f"<html><title>502</title><b>{html.escape(echoed(call))}</b></html>".encode()
    ),
    "no_json": lambda call: Reply(body=f"you sent {echoed(call)}".encode()),
    "half_of_it": lambda call: Reply(
        body=f"you sent {echoed(call)}"[:34].encode(), headers={"Content-Length": "5000", "Connection": "close"}
    ),
    "key_of_reply": lambda call: answer({echoed(call): 1}),
    "value_of_reply": lambda call: answer({"embedding": "x", "seen": echoed(call)}),
    "bare_value": lambda call: answer(SECRET),
    "status": lambda call: answer(status=echoed(call)),
    "plugin_error": lambda call: answer(status="error", error=f"KeyError: {echoed(call)}"),
    "error_beside_success": lambda call: answer(error=echoed(call), message=echoed(call)),
    "inference_name": lambda call: answer(inference_name=echoed(call)),
    "response_type": lambda call: answer(response_type=echoed(call), response_keys=[echoed(call)]),
    "header": lambda call: refuse(500, "no", **{"X_Request_ID": echoed(call), "X_Debug": quote(SECRET)}),
    "redirect": lambda call: refuse(
        307, "go", Location=f"http://127.0.0.1:1/{quote(SECRET)}?key={quote(SECRET, safe='')}"
    ),
    "escaped": lambda call: Reply(
        body=f'{{"status":"error","inference_name":"x","error":"{escaped(echoed(call))}"}}'.encode()
    ),
    "query": lambda call: refuse(400, f"bad request ?api_key={quote_plus(SECRET)}"),
    "retry_after": lambda call: refuse(503, "later", **{"Retry_After": echoed(call)}),
}
TARGETS = [
    target(
        plugin,
        inputs={"text": "hello"},
        expect={"keys": ["embedding"], "schema": {"type": "object", "required": ["x"]}},
    )
    for plugin in SCRIPTS
]
CASES = Cases()
case = CASES.add


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that was shown, by where."""

    texts: dict[str, str]

    def leaks(self) -> list[str]:
        return [place for place, text in self.texts.items() if any(spelling in text for spelling in SPELLINGS)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("secrets"))


def write_config(folder: Path, url: str, **sections: Any) -> None:
    write_any_config(
        folder, url, TARGETS, outputs={"textfile": {"path": "probe.prom"}, "listen": "127.0.0.1:0"}, **sections
    )


def written(folder: Path) -> dict[str, str]:
    """Every file that was not there for the worker to read."""
    given = ("worker.yaml", "targets.yaml", "key")
    return {file.name: file.read_text() for file in folder.iterdir() if file.name not in given}


async def batch(folder: Path, fmt: str, **sections: Any) -> Shown:
    async with serving(SCRIPTS) as server:
        write_config(folder, server.url, **sections)
        reports = [f"--report={kind}={kind}.out" for kind in ("json", "junit", "markdown")]
        options = ["--format", fmt, "--log-level", "debug", *reports]
        done = await run("once", "-c", "worker.yaml", *options, cwd=folder, env=ENV)
        assert {call.plugin for call in server.calls} == set(SCRIPTS)
    assert all(SECRET in call.headers["authorization"] for call in server.calls)
    assert done.code == 1
    return Shown({"stdout": done.out, "stderr": done.err, **written(folder)})


@case
async def table_from_env(folder: Path) -> Shown:
    return await batch(folder, "table")


@case
async def json_from_file(folder: Path) -> Shown:
    (folder / "key").write_text(SECRET)
    (folder / "key").chmod(0o644)
    return await batch(folder, "json", key_file=folder / "key")


@case
async def console_log(folder: Path) -> Shown:
    async with serving(SCRIPTS) as server:
        write_config(folder, server.url)
        options = ["--format", "none", "--log-level", "debug", "--log-format", "console"]
        done = await run("once", "-c", "worker.yaml", *options, cwd=folder, env=ENV)
    assert "probe.failed" in done.err
    return Shown({"stderr": done.err})


@case
async def traceback(folder: Path) -> Shown:
    """Calls that get no socket end in tracebacks."""

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    slow = {plugin: answer(delay_s=0.3) for plugin in SCRIPTS}
    async with serving(slow) as server:
        write_config(folder, server.url)
        options = ["--format", "json", "--log-level", "debug"]
        done = await run("once", "-c", "worker.yaml", *options, cwd=folder, env=ENV, preexec_fn=few_descriptors)
    assert "Traceback" in done.err
    return Shown({"stdout": done.out, "stderr": done.err})


@case
async def config_error(folder: Path) -> Shown:
    """The key written where its variable's name belongs, and one that is none."""
    texts = {}
    write_config(folder, "http://127.0.0.1:1", api={"api_key_env": SECRET})
    texts["in place of the name"] = (await run("validate", "-c", "worker.yaml", cwd=folder, env=ENV)).err
    bad_key = {**ENV, KEY_NAME: f"{SECRET} {SECRET}"}
    write_config(folder, "http://127.0.0.1:1")
    texts["unusable"] = (await run("once", "-c", "worker.yaml", cwd=folder, env=bad_key)).err
    assert all(texts.values())
    return Shown(texts)


@case
async def config_error_about_an_expanded_key(folder: Path) -> Shown:
    write_config(folder, "http://127.0.0.1:1", limits={"rate": f"${{{KEY_NAME}}}"})
    return Shown({"stderr": (await run("validate", "-c", "worker.yaml", cwd=folder, env=ENV)).err})


@case
async def resolved_with_an_expanded_key(folder: Path) -> Shown:
    write_config(folder, "http://127.0.0.1:1", defaults={"inputs": {"k": f"${{{KEY_NAME}}}"}})
    ended = await run("validate", "-c", "worker.yaml", "--resolved", cwd=folder, env=ENV)
    assert ended.code == 0
    return Shown({"stdout": ended.out, "stderr": ended.err})


@case
async def resolved(folder: Path) -> Shown:
    write_config(folder, "http://127.0.0.1:1")
    from_env = await run("validate", "-c", "worker.yaml", "--resolved", cwd=folder, env=ENV)
    (folder / "key").write_text(SECRET)
    (folder / "key").chmod(0o644)
    write_config(folder, "http://127.0.0.1:1", key_file=folder / "key")
    from_file = await run("validate", "-c", "worker.yaml", "--resolved", cwd=folder, env=ENV)
    assert (from_env.code, from_file.code) == (0, 0)
    return Shown({"env": from_env.out + from_env.err, "file": from_file.out + from_file.err})


@case
async def base_url_that_holds_the_key(folder: Path) -> Shown:
    texts = {}
    async with serving(SCRIPTS) as server:
        write_any_config(folder, server.url + "/${KEY_IN_URL}", TARGETS[:2])
        for command in (["once", "--format=json"], ["check", "ns_a", "error_500"], ["validate", "--resolved"]):
            done = await run(*command, "--log-level=debug", "-c", "worker.yaml", cwd=folder, env=ENV)
            assert done.code != 2
            texts[command[0]] = done.out + done.err
        assert len(server.calls) == 3
    write_any_config(folder, f"${{{KEY_NAME}}}")
    done = await run("validate", "-c", "worker.yaml", cwd=folder, env=ENV)
    assert done.code == 2
    return Shown({**texts, "no URL": done.err})


@case
async def proxy_password(folder: Path) -> Shown:
    async def proxy(request: web.Request) -> web.StreamResponse:
        sent = request.headers["Proxy-Authorization"]
        assert sent == f"Basic {BASIC}"
        return web.Response(status=502, text=f"{sent} is not {PASSWORD}", headers={"X-Debug": sent})

    texts = {}
    async with receiving(proxy) as receiver:
        address = receiver.url.removeprefix("http://").removesuffix("/write")
        through = {"proxy": f"http://worker:${{PROXY_PASSWORD}}@{address}", "allow_http": True}
        write_any_config(folder, "http://mixpeek.example", TARGETS[:2], api=through)
        for command in (["once", "--format=json"], ["check", "ns_a", "error_500"], ["validate", "--resolved"]):
            done = await run(*command, "--log-level=debug", "-c", "worker.yaml", cwd=folder, env=ENV)
            texts[command[0]] = done.out + done.err
        assert len(receiver.came) == 3
    return Shown(texts)


def planted(plugin: str) -> str:
    """A group that holds the key wherever one of ours has a label."""
    of = f'instance="",job="plugin_probe",mixpeek_namespace="ns_a",plugin="{plugin}"'
    key = json.dumps(SECRET)
    lines = [
        f"plugin_probe_response_shape_info{{{of},response_type={key},shape={key}}} 1",
        f"plugin_probe_vector_dimensions{{{of},path={key}}} 2",
        f"plugin_probe_vector_norm{{{of},path={key}}} 1",
        f"plugin_probe_outcome{{{of},outcome={key}}} 1",
        f"plugin_probe_failure_info{{{of},outcome={key}}} 1",
        f"plugin_probe_phase_duration_seconds{{{of},phase={key}}} 1",
        f"plugin_probe_inference_info{{{of},inference_name={key}}} 1",
        f"plugin_probe_labels{{{of},team={key}}} 1",
        f'plugin_probe_results_total{{instance="",job="plugin_probe",mixpeek_namespace="ns_a",outcome={key}}} 1',
        f'plugin_probe_results_total{{instance="",job="plugin_probe",mixpeek_namespace={key},outcome="success"}} 1',
        f'plugin_probe_sink_failures_total{{instance="",job="plugin_probe",sink={key}}} 1',
        f'plugin_probe_throttle_seconds_total{{instance="",job="plugin_probe",limit={key}}} 1',
    ]
    return group(plugin) + "".join(f"{line}\n" for line in lines)


async def echoing(request: web.Request) -> web.StreamResponse:
    if request.method == "GET":
        return web.Response(text=planted("error_500"))
    sent = request.headers["Authorization"]
    assert sent == f"Basic {BASIC}"
    return web.Response(status=400, text=f"{sent}: {PASSWORD} is wrong, {SECRET} too", headers={"X-Debug": sent})


def bodies(came: Receiver) -> dict[str, str]:
    texts = {}
    for number, request in enumerate(came.came):
        body = request.body
        if request.headers.get("Content-Encoding") == "snappy":
            body = bytes(cramjam.snappy.decompress_raw(body))
        texts[f"{request.method} {number}"] = request.path + body.decode(errors="replace")
    return texts


@case
async def receivers(folder: Path) -> Shown:
    """What they get, what comes of the key in what is read back from them, and of their answers."""
    texts = {}
    (folder / "password").write_text(PASSWORD)
    signed = {"username": "worker", "password_file": "password", "timeout": "5s"}
    async with serving(SCRIPTS) as server, receiving(echoing) as came:
        url = came.url.removesuffix("/write")
        outputs = {
            "textfile": {"path": "probe.prom"},
            "pushgateway": {"url": url, **signed},
            "remote_write": {"url": came.url, **signed},
        }
        write_any_config(folder, server.url, TARGETS[:2], outputs=outputs)
        command = ["once", "-c", "worker.yaml", "--format=none", "--log-level=debug", "--shard-index=0"]
        for turn in ("gateway", "textfile", "unreadable"):
            done = await run(*command, "--shard-count=1", f"--report=json={turn}.json", cwd=folder, env=ENV)
            assert "sink.failed" in done.err
            written_then = (folder / "probe.prom").read_text()
            assert 'probes_total{mixpeek_namespace="ns_a",plugin="error_500"} 2' in written_then, "it was remembered"
            texts[turn] = done.err
            texts[f"textfile after {turn}"] = written_then
            if turn == "gateway":
                (folder / "probe.prom").write_text(written_then + planted("error_500"))
            else:
                (folder / "probe.prom").write_text(f"plugin_probe_success{{plugin={json.dumps(SECRET)}}} -1\n")
        merge = ["report", "--merge", "-c", "worker.yaml", "--report=markdown=all.md", "gateway.json"]
        merged = await run(*merge, cwd=folder, env=ENV)
        assert (folder / "all.md").exists()
        (folder / "probe.prom").unlink()
        (folder / "password").unlink()
        assert {request.method for request in came.came} == {"GET", "PUT", "POST"}
        return Shown({**texts, **bodies(came), "merge": merged.out + merged.err, **written(folder)})


@case
async def pins(folder: Path) -> Shown:
    async with serving(SCRIPTS) as server:
        write_any_config(folder, server.url, TARGETS)
        done = await run("shapes", "pin", "--force", "-c", "worker.yaml", "--samples=1", cwd=folder, env=ENV)
    assert len(written(folder)) == 1
    return Shown({"stdout": done.out, "stderr": done.err, **written(folder)})


@case
async def checks(folder: Path) -> Shown:
    async with serving(SCRIPTS) as server:
        write_config(folder, server.url)
        gate = asyncio.Semaphore(2)

        async def check(plugin: str) -> str:
            async with gate:
                options = ["--log-level", "debug"]
                done = await run("check", "ns_a", plugin, "-c", "worker.yaml", *options, cwd=folder, env=ENV)
                assert "verdict" in done.out
                return done.out + done.err

        plugins = ["error_500", "header", "redirect", "key_of_reply", "escaped", "half_of_it"]
        return Shown(dict(zip(plugins, await asyncio.gather(*map(check, plugins)), strict=True)))


@case
async def daemon(folder: Path) -> Shown:
    texts = {}
    async with serving(SCRIPTS) as server:
        write_config(folder, server.url, schedule={"interval": "1s", "timeout": "5s"})
        options = ["--enable-probe", "--enable-reload", "--log-level", "debug"]
        async with started("run", "-c", "worker.yaml", *options, cwd=folder, env=ENV) as process:
            url = await process.url()
            async with aiohttp.ClientSession(url) as session:

                async def text(path: str, **headers: str) -> str:
                    async with session.get(path, headers=headers) as reply:
                        return await reply.text()

                async def all_probed() -> bool:
                    return '"result": null' not in await text("/api/v1/targets")

                await eventually(all_probed)
                for path in ("/", "/metrics", "/api/v1/targets"):
                    texts[path] = await text(path)
                texts["openmetrics"] = await text("/metrics", Accept="application/openmetrics-text")
                for plugin in SCRIPTS:
                    texts[f"probe {plugin}"] = await text(f"/probe?target=ns_a/{plugin}&debug=true")
                    texts[f"api {plugin}"] = await text(f"/api/v1/targets/ns_a/{plugin}")
                write_config(folder, f"${{{KEY_NAME}}}", limits={"rate": f"${{{KEY_NAME}}}"})
                async with session.post("/-/reload") as reply:
                    texts["reload"] = await reply.text()
                    assert "api.base_url" in texts["reload"]
            process.send(signal.SIGTERM)
            done = await process.finish()
    assert done.code == 0
    return Shown({**texts, "stdout": done.out, "stderr": done.err, **written(folder)})


@pytest.mark.parametrize("name", CASES)
def test_the_key_is_nowhere_in(seen: Together, name: str) -> None:
    shown: Shown = seen[name]
    assert shown.leaks() == []


def test_what_was_echoed_is_marked(seen: Together) -> None:
    shown: Shown = seen["json_from_file"]
    rows = {row["plugin"]: row for row in json.loads(shown.texts["stdout"])["results"]}
    assert "[REDACTED]" in rows["error_500"]["error"]
    assert "[REDACTED]" in rows["inference_name"]["inference_name"]
    assert rows["key_of_reply"]["response_keys"] == ["[REDACTED]"]


def test_a_key_file_that_everybody_can_read_is_told_once_a_run_and_by_validate(seen: Together) -> None:
    told = "key: everybody on this machine can read it (mode 0644); chmod 600 it, "
    assert seen["json_from_file"].texts["stderr"].count(told) == 1
    assert seen["resolved"].texts["file"].count(told) == 1
    assert "\nwarning: api.api_key_file: " in seen["resolved"].texts["file"]

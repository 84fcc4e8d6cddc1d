"""The API key is in nothing that we write, show or serve, whatever a server does with it."""

import asyncio
import html
import json
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import pytest

from tests.e2e.commands import KEY_NAME, Case, Together, environment, eventually, run, started, target, together
from tests.e2e.commands import write_config as write_any_config
from tests.servers import Call, Reply, Script, answer, refuse, serving

pytestmark = pytest.mark.e2e

#: Made to look different in JSON, in HTML and in a URL.
SECRET = 'sk_live_/+"<&0123456789>abcdef'
ENV = environment(**{KEY_NAME: SECRET})
SPELLINGS = {
    SECRET,
    json.dumps(SECRET)[1:-1],
    html.escape(SECRET),
    quote(SECRET),
    quote(SECRET, safe=""),
    quote_plus(SECRET),
    SECRET.replace("/", "\\/"),
    SECRET[:20],
    SECRET[12:],
}


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
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


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
    write_config(folder, "http://127.0.0.1:1", key_file=folder / "key")
    from_file = await run("validate", "-c", "worker.yaml", "--resolved", cwd=folder, env=ENV)
    assert (from_env.code, from_file.code) == (0, 0)
    return Shown({"env": from_env.out + from_env.err, "file": from_file.out + from_file.err})


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
        options = ["--enable-probe", "--log-level", "debug"]
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

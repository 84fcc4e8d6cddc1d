"""A worker is not born yesterday: what the command remembers from one process to the next, by way of its textfile."""

import re
import signal
from pathlib import Path

import pytest

from tests.e2e.commands import Cases, Together, run, started, target, together, write_config
from tests.servers import answer, in_turn, refuse, serving
from tests.sinks.gateway import Gateway, group
from tests.sinks.receiving import receiving

pytestmark = pytest.mark.e2e

CASES = Cases()
case = CASES.add
TEXTFILE = {"textfile": {"path": "probe.prom"}}
WARMING = refuse(503, "the model is loading", Retry_After="1")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("memory"))


def value(text: str, name: str) -> float | None:
    found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


@case
async def restarted(folder: Path) -> tuple[float, float | None]:
    """A daemon's failures in a row when it was stopped, and when its successor has just begun."""
    async with serving(default=refuse(500)) as server:
        outputs = TEXTFILE | {"listen": "127.0.0.1:0"}
        schedule = {"interval": "100ms", "timeout": "2s", "grace": "1s"}
        write_config(folder, server.url, [target("p_1")], outputs=outputs, schedule=schedule)
        async with started("run", "-c", "worker.yaml", cwd=folder) as process:
            await server.called(3)
            process.send(signal.SIGTERM)
            assert (await process.finish()).code == 0
        before = value((folder / "probe.prom").read_text(), "plugin_probe_consecutive_failures")
        server.default = refuse(429, Retry_After="60")
        async with started("run", "-c", "worker.yaml", cwd=folder) as process:
            await process.url()
            process.send(signal.SIGTERM)
            await process.finish()
        after = value((folder / "probe.prom").read_text(), "plugin_probe_consecutive_failures")
        assert before is not None
        return before, after


@case
async def warming(folder: Path) -> list[str]:
    """Outcomes of batches over a plugin that says for ever that it is warming, which it may for a second."""
    async with serving(default=WARMING) as server:
        write_config(folder, server.url, [target("p_1", expect={"max_warming": "1s"})], outputs=TEXTFILE)
        outcomes = []
        for _ in range(4):
            done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
            outcomes.append(done.json["results"][0]["outcome"])
        return outcomes


@case
async def recovery(folder: Path) -> list[str]:
    async with serving({"p_1": in_turn(refuse(500), answer())}) as server:
        write_config(folder, server.url, [target("p_1")], outputs=TEXTFILE)
        events = []
        for _ in range(2):
            done = await run("once", "-c", "worker.yaml", "--format", "none", cwd=folder)
            events += [event["event"] for event in done.events]
        return events


@case
async def damaged(folder: Path) -> tuple[int, list[str], float | None]:
    async with serving() as server:
        write_config(folder, server.url, [target("p_1")], outputs=TEXTFILE)
        (folder / "probe.prom").write_text("plugin_probe_success{mixpeek_names")
        done = await run("once", "-c", "worker.yaml", "--format", "none", cwd=folder)
        missing = done.event("memory.missing")
        text = (folder / "probe.prom").read_text()
        return done.code, [missing["level"], missing["source"]], value(text, "plugin_probe_probes_total")


@case
async def joined_late(folder: Path) -> tuple[int, str, str]:
    """A gateway that is not there before the run but after it; nothing is proved by the run."""
    page = group("a") + 'plugin_probe_last_run_success_timestamp_seconds{instance="",job="plugin_probe"} 123\n'
    async with (
        serving(default=refuse(403)) as server,
        receiving(Gateway(GET=[(503, "later"), (200, page)])) as gateway,
    ):
        url = gateway.url.removesuffix("/write")
        write_config(folder, server.url, [target("a", "ns_a")], outputs={"pushgateway": {"url": url}})
        done = await run("once", "-c", "worker.yaml", "--format", "none", cwd=folder)
        put = gateway.came[-1]
        return done.code, put.method, put.body.decode()


@case
async def no_outputs(folder: Path) -> tuple[str, str]:
    """The textfile before and after a batch that is to write nothing."""
    async with serving() as server:
        write_config(folder, server.url, [target("p_1")], outputs=TEXTFILE)
        await run("once", "-c", "worker.yaml", "--format", "none", cwd=folder)
        before = (folder / "probe.prom").read_text()
        await run("once", "-c", "worker.yaml", "--format", "none", "--no-outputs", cwd=folder)
        return before, (folder / "probe.prom").read_text()


def test_a_daemon_goes_on_from_its_textfile(seen: Together) -> None:
    before, after = seen["restarted"]
    assert before >= 2
    assert after == before


def test_a_plugin_may_warm_only_once_however_many_batches_look(seen: Together) -> None:
    outcomes = seen["warming"]
    assert outcomes[0] == "warming"
    assert outcomes[-1] == "server_error"


def test_a_recovery_is_told_by_the_next_run(seen: Together) -> None:
    events = seen["recovery"]
    assert events.count("probe.failed") == 1
    assert events.count("probe.recovered") == 1


def test_a_damaged_textfile_is_told_and_replaced(seen: Together) -> None:
    assert seen["damaged"] == (0, ["warning", "textfile"], 1)


def test_what_was_joined_late_survives_a_run_that_proves_nothing(seen: Together) -> None:
    code, method, text = seen["joined_late"]
    assert (code, method) == (4, "PUT")
    assert value(text, "plugin_probe_last_run_success_timestamp_seconds") == 123
    assert value(text, "plugin_probe_probes_total") == 2
    assert value(text, "plugin_probe_stalls_total") == 1


def test_no_outputs_touches_nothing(seen: Together) -> None:
    before, after = seen["no_outputs"]
    assert before == after

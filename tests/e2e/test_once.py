"""`once`: which targets, what is written where, keys that change, throttling, redirects and cold starts."""

import asyncio
import json
import os
import pty
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.commands import COMMAND, Cases, Finished, Together, replace, run, started, target, together, write_config
from tests.servers import Call, Reply, answer, in_turn, refuse, serving
from worker.sandbox.app import serve
from worker.sandbox.bucket import RateLimit
from worker.sandbox.catalogue import sample_sandbox

pytestmark = pytest.mark.e2e

CASES = Cases()
case = CASES.add


@dataclass(frozen=True, slots=True)
class Seen:
    """How the process ended, what the server saw, and where it ran."""

    done: Finished
    calls: list[Call]
    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("once"))


TEXTFILE = {"textfile": {"path": "probe.prom"}}
FLEET = [target("a_1", "ns_a"), target("b_1", "ns_a"), target("a_1", "ns_b"), target("c_1", "other")]


async def probed(folder: Path, *options: str, **outputs: str) -> Seen:
    async with serving({"b_1": refuse(500)}) as server:
        write_config(folder, server.url, FLEET, outputs=TEXTFILE | outputs)
        done = await run("once", "-c", "worker.yaml", *options, cwd=folder)
        return Seen(done, server.calls, folder)


# What is probed and written ------------------------------------------------------------------------------------------


@case
async def only(folder: Path) -> Seen:
    return await probed(folder, "--only", "ns_*/a*", "--only", "other", "--format", "json")


@case
async def no_outputs(folder: Path) -> Seen:
    return await probed(folder, "--no-outputs", "--format", "none")


@case
async def everything(folder: Path) -> Seen:
    reports = [f"--report={kind}" for kind in ("json=out.json", "junit=out.xml", "markdown=out.md", "json=again.json")]
    return await probed(folder, "--period", "7m", "--format", "table", *reports)


@case
async def histograms(folder: Path) -> Seen:
    return await probed(folder, histograms="namespace")


def test_only_takes_globs_and_writes_no_outputs(seen: Together) -> None:
    result = seen["only"]
    assert sorted((call.namespace, call.plugin) for call in result.calls) == [
        ("ns_a", "a_1"),
        ("ns_b", "a_1"),
        ("other", "c_1"),
    ]
    assert [row["namespace"] for row in result.done.json["results"]] == ["ns_a", "ns_b", "other"]
    assert not (result.folder / "probe.prom").exists()


def test_no_outputs_writes_nothing(seen: Together) -> None:
    result = seen["no_outputs"]
    assert len(result.calls) == 4
    assert not (result.folder / "probe.prom").exists()


def test_format_none_leaves_stdout_empty(seen: Together) -> None:
    assert seen["no_outputs"].done.out == ""


def test_the_table_has_a_line_a_target_and_the_totals(seen: Together) -> None:
    lines = seen["everything"].done.out.splitlines()
    assert lines[0].split() == ["NAMESPACE", "PLUGIN", "VERDICT", "OUTCOME", "LATENCY", "STATUS", "SHAPE"]
    assert [line.split()[:4] for line in lines if not line.startswith(("NAMESPACE", " ", "4 targets"))] == [
        ["ns_a", "a_1", "up", "success"],
        ["ns_a", "b_1", "down", "server_error"],
        ["ns_b", "a_1", "up", "success"],
        ["other", "c_1", "up", "success"],
    ]
    assert lines[-1].startswith("4 targets: 3 up, 1 down, 0 unknown in ")


def test_no_progress_and_no_colour_go_where_no_terminal_is(seen: Together) -> None:
    done = seen["everything"].done
    assert "\x1b" not in done.out + done.err
    assert all(line.startswith('{"timestamp"') for line in done.err.splitlines())


def test_every_report_that_was_asked_for_is_written(seen: Together) -> None:
    result = seen["everything"]
    report = json.loads(result.text("out.json"))
    assert report["summary"]["by_outcome"] == {"server_error": 1, "success": 3}
    assert json.loads(result.text("again.json")) == report
    suite = ElementTree.fromstring(result.text("out.xml"))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "0")
    assert [test.get("classname") for test in suite.iter("testcase")] == ["ns_a", "ns_a", "ns_b", "other"]
    assert "| targets | 4 |" in result.text("out.md")
    assert "### Down" in result.text("out.md")


def test_the_textfile_tells_of_the_period_and_the_run(seen: Together) -> None:
    text = seen["everything"].text("probe.prom")
    assert 'plugin_probe_interval_seconds{mixpeek_namespace="ns_a",plugin="a_1"} 420.0' in text
    assert "plugin_probe_run_interval_seconds 420.0" in text
    assert 'plugin_probe_success{mixpeek_namespace="ns_a",plugin="b_1"} 0' in text
    assert "plugin_probe_last_run_success_timestamp_seconds" in text
    assert "# EOF" not in text


def test_durations_are_told_by_namespace_where_that_is_configured(seen: Together) -> None:
    series = 'plugin_probe_duration_seconds_count{mixpeek_namespace="ns_a",plugin="a_1"} 1\n'
    assert series in seen["everything"].text("probe.prom")
    text = seen["histograms"].text("probe.prom")
    assert text.count("plugin_probe_duration_seconds_count{") == 3
    assert 'plugin_probe_duration_seconds_count{mixpeek_namespace="ns_a"} 1\n' in text  # its other target gave a 500


def test_every_log_line_has_the_four_keys(seen: Together) -> None:
    events = seen["everything"].done.events
    assert {event["event"] for event in events} == {"run.started", "memory.missing", "probe.failed", "run.finished"}
    assert all(list(event)[:4] == ["timestamp", "level", "event", "run_id"] for event in events)
    assert len({event["run_id"] for event in events}) == 1


# The request ---------------------------------------------------------------------------------------------------------


@case
async def request(folder: Path) -> Seen:
    async with serving() as server:
        odd = target("p/1 ü", "ns a", inputs={"text": "hello"}, parameters={"k": 1})
        write_config(folder, server.url + "/v1", [odd])
        return Seen(await run("once", "-c", "worker.yaml", cwd=folder), server.calls, folder)


def test_the_request_is_the_documented_one(seen: Together) -> None:
    (call,) = seen["request"].calls
    assert (call.method, call.path) == ("POST", "/v1/namespaces/ns%20a/plugins/p%2F1%20%C3%BC/realtime/test")
    assert call.json == {"inputs": {"text": "hello"}, "parameters": {"k": 1}}
    assert call.headers["authorization"].startswith("Bearer sk_live_")
    assert call.headers["user-agent"].startswith("plugin-probe/")
    assert call.headers["content-type"] == "application/json"


# Keys, throttling, redirects, cold starts ----------------------------------------------------------------------------


@case
async def rotation(folder: Path) -> Seen:
    """The server takes the new key only, which is in the file by the time that the 401 arrives."""
    key_file = folder / "key"
    key_file.write_text("sk_old_0123456789\n")

    def script(call: Call) -> Reply:
        if call.headers["authorization"] == "Bearer sk_new_9876543210":
            return answer()
        replace(key_file, "sk_new_9876543210\n")
        return refuse(401, "expired")

    async with serving(default=script) as server:
        write_config(folder, server.url, key_file=key_file)
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
        return Seen(done, server.calls, folder)


@case
async def wrong_key(folder: Path) -> Seen:
    key_file = folder / "key"
    key_file.write_text("sk_old_0123456789\n")
    async with serving(default=refuse(401, "expired")) as server:
        write_config(folder, server.url, key_file=key_file)
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
        return Seen(done, server.calls, folder)


@case
async def redirect(folder: Path) -> tuple[Seen, int]:
    async with serving() as elsewhere:
        location = f"{elsewhere.url}/v1/namespaces/ns_a/plugins/p_1_0_0/realtime/test"
        async with serving(default=refuse(307, Location=location)) as server:
            write_config(folder, server.url)
            done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
            return Seen(done, server.calls, folder), len(elsewhere.calls)


@case
async def cold(folder: Path) -> tuple[Finished, Finished]:
    """Two batches, the second one after the plugin has warmed up."""
    async with serving(default=in_turn(refuse(503, "Model is loading", Retry_After="20"), answer())) as server:
        write_config(folder, server.url)
        first = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
        return first, await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)


@case
async def bucket(folder: Path) -> tuple[Finished, int]:
    """The sandbox's own token bucket: four calls at once, then one every 500 ms."""
    sandbox = sample_sandbox(only_sick=True, rate_limit=RateLimit(requests=2, window_s=1, burst=4))
    async with serve(sandbox) as url:
        targets = [target(plugin, sandbox.namespace) for plugin in sandbox.plugins]
        write_config(folder, url, targets)
        worker = json.loads((folder / "worker.yaml").read_text())
        env = {"PATH": os.environ["PATH"], "PROBE_TEST_KEY": sandbox.api_key}
        worker["limits"]["max_retry_after"] = "2s"
        replace(folder / "worker.yaml", json.dumps(worker))
        return await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder, env=env), len(targets)


@case
async def always_throttled(folder: Path) -> Seen:
    scripts = {"never": refuse(429, "Too many", Retry_After="0")}
    async with serving(scripts) as server:
        write_config(folder, server.url, [target("never"), target("fine", "ns_b")])
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
        return Seen(done, server.calls, folder)


def test_a_401_with_a_changed_key_file_is_repeated_once(seen: Together) -> None:
    result = seen["rotation"]
    (row,) = result.done.json["results"]
    assert (row["outcome"], row["attempts"]) == ("success", 2)
    assert [call.headers["authorization"][:13] for call in result.calls] == ["Bearer sk_old", "Bearer sk_new"]


def test_a_401_with_the_same_key_is_not_repeated(seen: Together) -> None:
    result = seen["wrong_key"]
    (row,) = result.done.json["results"]
    assert (row["outcome"], row["verdict"], row["attempts"]) == ("unauthorized", "unknown", 1)
    assert result.done.code == 4


def test_a_redirect_is_never_followed(seen: Together) -> None:
    result, elsewhere = seen["redirect"]
    assert [row["outcome"] for row in result.done.json["results"]] == ["redirected"]
    assert (len(result.calls), elsewhere) == (1, 0)


def test_a_cold_start_is_warming_and_then_up(seen: Together) -> None:
    first, second = seen["cold"]
    assert (first.json["results"][0]["outcome"], first.code) == ("warming", 4)
    assert (second.json["results"][0]["outcome"], second.code) == ("success", 0)


def test_a_rate_limit_met_is_waited_out(seen: Together) -> None:
    done, targets = seen["bucket"]
    outcomes = [row["outcome"] for row in done.json["results"]]
    assert len(outcomes) == targets > 4
    assert "rate_limited" not in outcomes
    assert any(row["attempts"] > 1 for row in done.json["results"])
    assert "limits.throttled" in {event["event"] for event in done.events}


def test_a_plugin_that_is_always_throttled_is_asked_three_times_and_is_unknown(seen: Together) -> None:
    result = seen["always_throttled"]
    never, fine = result.done.json["results"]
    assert (never["outcome"], never["verdict"], never["attempts"]) == ("rate_limited", "unknown", 3)
    assert fine["outcome"] == "success"
    assert result.done.code == 0


# On a terminal -------------------------------------------------------------------------------------------------------


async def test_on_a_terminal_there_is_a_progress_bar_and_then_the_table(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(default=answer(after=gate)) as server:
        write_config(tmp_path, server.url, [target(f"p{number}") for number in range(5)])
        ours, theirs = pty.openpty()
        shown = bytearray()
        drawn, over = asyncio.Event(), asyncio.Event()

        def read() -> None:
            try:
                shown.extend(os.read(ours, 65_536))
            except OSError:  # the other end is closed
                over.set()
                asyncio.get_running_loop().remove_reader(ours)
            if b"0/5" in shown:
                drawn.set()

        asyncio.get_running_loop().add_reader(ours, read)
        environ = {"PATH": os.environ["PATH"], "PROBE_TEST_KEY": "sk_live_0123456789", "TERM": "xterm"}
        process = await asyncio.create_subprocess_exec(
            COMMAND, "once", "-c", "worker.yaml", cwd=tmp_path, env=environ, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        async with asyncio.timeout(15):
            await server.called(5)
            await drawn.wait()
            gate.set()
            assert await process.wait() == 0
            await over.wait()
        os.close(ours)
    text = shown.decode()
    assert "probing" in text
    assert "5 targets: 5 up, 0 down, 0 unknown" in text
    assert '{"timestamp"' not in text, "on a terminal the log is for people"


async def test_the_module_runs_too(tmp_path: Path) -> None:
    async with serving() as server:
        write_config(tmp_path, server.url)
        command = (sys.executable, "-m", "worker")
        async with started("once", "-c", "worker.yaml", cwd=tmp_path, command=command) as process:
            done = await process.finish()
    assert done.code == 0

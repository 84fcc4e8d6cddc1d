"""`sandbox` and `demo`, as somebody meets them who has no account."""

import asyncio
import os
import signal
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.commands import Finished, Started, environment, eventually, run, started

pytestmark = pytest.mark.e2e

PLUGIN = {
    "manifest.py": """
        feature_extractor_name = "greeter"
        version = "1.0.0"
        input_schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        output_schema = {"type": "object", "required": ["said"]}
    """,
    "realtime.py": """
        class RealtimeHandler:
            def predict(self, request):
                return {"said": "hello " + request["name"]}
    """,
}
STUCK = """
    import time

    class RealtimeHandler:
        def predict(self, request):
            while True:
                time.sleep(1)
"""


def write_plugin(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in {**PLUGIN, **files}.items():
        (folder / name).write_text(textwrap.dedent(text))
    return folder


@asynccontextmanager
async def sandbox(folder: Path, *arguments: str | Path) -> AsyncIterator[tuple[Started, dict[str, str]]]:
    """The sandbox as a process; its printed files are in `folder`, and the environment holds its printed key."""
    async with started("sandbox", "--port", "0", *arguments, cwd=folder) as process:
        stream = process.process.stdout
        assert stream is not None
        text = ""
        async with asyncio.timeout(20):
            while "\ntargets:\n" not in text or not text.endswith("\n"):
                text += (await stream.read(65_536)).decode()
        introduction, _, files = text.partition("- worker.yaml\n")
        worker, _, targets = files.partition("# -----")
        (folder / "worker.yaml").write_text(worker)
        (folder / "targets.yaml").write_text(targets.partition("\n")[2])
        key = introduction.partition("export MIXPEEK_API_KEY=")[2].split()[0]
        yield process, environment(MIXPEEK_API_KEY=key)


async def test_the_files_that_it_prints_work(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as (process, env):
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=tmp_path, env=env)
        outcomes = {row["plugin"]: row["outcome"] for row in done.json["results"]}
        assert outcomes["text_embed_1_0_0"] == "success"
        assert outcomes["sick_raising_1_0_0"] == "plugin_error"
        process.send(signal.SIGTERM)
        assert (await process.finish(5)).code == 0


async def test_a_plugin_of_ones_own_is_probed(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path / "my_plugin")
    async with sandbox(tmp_path, plugin, "--namespace", "ns_mine", "--api-key", "sk_chosen_123456") as (process, env):
        assert env["MIXPEEK_API_KEY"] == "sk_chosen_123456"
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=tmp_path, env=env)
        (row,) = done.json["results"]
        assert (done.code, row["namespace"], row["plugin"], row["outcome"]) == (
            0,
            "ns_mine",
            "greeter_1_0_0",
            "success",
        )
        process.send(signal.SIGINT)
        assert (await process.finish(5)).code == 0


async def test_a_plugin_that_hangs_holds_up_neither_the_probe_nor_the_stop(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path / "stuck", **{"realtime.py": STUCK})
    async with sandbox(tmp_path, plugin) as (process, env):
        worker = (tmp_path / "worker.yaml").read_text().replace("timeout: 10s", "timeout: 500ms")
        (tmp_path / "worker.yaml").write_text(worker)
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=tmp_path, env=env)
        assert [row["outcome"] for row in done.json["results"]] == ["timeout"]
        process.send(signal.SIGTERM)
        assert (await process.finish(5)).code == 0


async def test_faults_are_served_on_demand(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path / "my_plugin")
    (tmp_path / "faults.yaml").write_text("plugins: {greeter_1_0_0: {error_rate: 1.0}}")
    async with sandbox(tmp_path, plugin, "--faults", "faults.yaml") as (_, env):
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=tmp_path, env=env)
    assert [row["outcome"] for row in done.json["results"]] == ["server_error"]


async def refused(folder: Path, *arguments: str | Path) -> Finished:
    done = await run("sandbox", *arguments, cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    return done


async def test_bad_usage_is_told(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path / "my_plugin")
    (tmp_path / "faults.yaml").write_text("plugins: {greter_1_0_0: {error_rate: 1.0}}")
    (tmp_path / "empty").mkdir()
    assert "did you mean greeter_1_0_0" in (await refused(tmp_path, plugin, "--faults", "faults.yaml")).err
    assert "manifest.py" in (await refused(tmp_path, tmp_path / "empty")).err
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert f"can't listen on port {port}" in (await refused(tmp_path, plugin, "--port", str(port))).err
    listener.close()


async def test_the_demo_gives_every_sample_the_outcome_that_it_was_made_for(tmp_path: Path) -> None:
    done = await run("demo", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "8 targets: 3 up, 4 down, 1 unknown" in done.out
    for outcome in ("success", "plugin_error", "bad_values", "shape_mismatch", "slow", "warming"):
        assert f"  {outcome} " in done.out
    assert os.listdir(tmp_path) == []


async def test_the_demo_goes_on_with_its_status_page_until_it_is_stopped(tmp_path: Path) -> None:
    async with started("demo", "--serve", cwd=tmp_path) as process:
        url = await process.page()
        async with aiohttp.ClientSession(url) as session:

            async def page() -> str:
                async with session.get("/") as reply:
                    text = await reply.text()
                    return text if "sick_raising_1_0_0" in text else ""

            assert "<table>" in await eventually(page)
        process.send(signal.SIGTERM)
        done = await process.finish()
    assert done.code == 0
    assert "8 targets" in done.out


async def test_two_demos_stand_beside_each_other(tmp_path: Path) -> None:
    async with started("demo", "--serve", cwd=tmp_path) as one:
        first = await one.page()
        async with started("demo", "--serve", cwd=tmp_path) as other:
            assert await other.page() != first

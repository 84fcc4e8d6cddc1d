"""What SECURITY.md says: each test that it names is there, and what no other test shows is shown here."""

import asyncio
import re
import resource
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.commands import PATIENCE_S, started, write_config
from tests.servers import serving
from worker.version import VERSION

ROOT = Path(__file__).parent.parent
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"tests/[\w/.-]+", SECURITY)))


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_is_there(name: str) -> None:
    assert re.search(r"^(async )?def test_", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_names_a_test() -> None:
    _, _, *rows = (line for line in SECURITY.splitlines() if line.startswith("| "))
    assert len(rows) >= 8
    assert [row for row in rows if "tests/" not in row] == []


def test_the_version_that_is_supported_is_this_one() -> None:
    assert f"the newest minor version, which is {VERSION.rpartition('.')[0]}.\n" in SECURITY


@pytest.mark.e2e
async def test_more_connections_than_there_are_descriptors_take_nothing_from_probes(tmp_path: Path) -> None:
    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))

    schedule = {"interval": "200ms", "timeout": "5s", "grace": "5s"}
    idle: list[socket.socket] = []
    async with serving() as server:
        write_config(tmp_path, server.url, schedule=schedule, outputs={"listen": "127.0.0.1:0"})
        async with started("run", "-c", "worker.yaml", cwd=tmp_path, preexec_fn=few_descriptors) as process:
            url = await process.url()
            address = ("127.0.0.1", int(url.rpartition(":")[2]))
            try:
                for number in range(600):
                    idle.append(await asyncio.to_thread(socket.create_connection, address, PATIENCE_S))
                    if number % 2:
                        idle[-1].send(b"GET /metrics HTTP/1.1\r\nX: ")
                await server.called(len(server.calls) + 3)
                async with aiohttp.ClientSession(url) as session, session.get("/metrics") as reply:
                    assert reply.status == 200
                    results = [line for line in (await reply.text()).splitlines() if "results_total{" in line]
            finally:
                for connection in idle:
                    connection.close()
            process.send(signal.SIGTERM)
            done = await process.finish()
    assert done.code == 0
    assert len(results) == 1
    assert 'outcome="success"' in results[0]
    assert "probe.failed" not in done.err
    assert "Too many open files" not in done.err


@pytest.mark.e2e
async def test_the_sandbox_is_there_for_this_machine_alone_and_says_what_it_runs(tmp_path: Path) -> None:
    async with started("sandbox", "--port=0", cwd=tmp_path) as process:
        stream = process.process.stdout
        assert stream is not None
        async with asyncio.timeout(PATIENCE_S):
            told = (await stream.readuntil(b"export ")).decode()
        match = re.search(r"at http://127\.0\.0\.1:(\d+) \(this machine only\)", told)
        assert match
        assert "It runs the plugins' own code." in told
        port = int(match[1])
        (await asyncio.open_connection("127.0.0.1", port))[1].close()
        with pytest.raises(OSError, match="Connect call failed"):  # of all interfaces this would be one
            await asyncio.open_connection("127.0.0.2", port)
        process.send(signal.SIGTERM)
        assert (await process.finish()).code == 0

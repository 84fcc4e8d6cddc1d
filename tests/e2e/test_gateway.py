"""A Pushgateway that is not there, slow, or something else: what a batch makes of it, in which time and memory."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.commands import Case, Finished, Together, run, target, together, write_config
from tests.e2e.test_monstrous_files import at_most
from tests.servers import serving
from tests.sinks.gateway import group

pytestmark = pytest.mark.e2e

PUSH_S = 1.0
#: A batch takes a quarter of it.
MOST_MIB = 160
PAGE = group("p_1_0_0", probes=7)

Write = Callable[[bytes], Awaitable[None]]
Answer = Callable[[Write], Awaitable[None]]


def answer(body: bytes, *, status: str = "200 OK", **headers: str) -> Answer:
    named = {"Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in named.items())]

    async def send(write: Write) -> None:
        await write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return send


def endless(piece: bytes, beginning: bytes = b"HTTP/1.1 200 OK\r\n\r\n", pause_s: float = 0.0) -> Answer:
    async def send(write: Write) -> None:
        await write(beginning)
        while True:
            await write(piece)
            await asyncio.sleep(pause_s)

    return send


def bomb() -> bytes:
    """1 GiB in 1 MB, of a line that does not end."""
    packer, part = zlib.compressobj(wbits=31), b"#" * 2**24
    first, again = (packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 63


TAKEN = answer(b"", status="202 Accepted")
#: What GET and PUT are answered; the exit code, how the group was written last, and what is told of it.
FAULTS: dict[str, tuple[Answer, Answer, int, str, str]] = {
    "right_in_gzip": (answer(gzip.compress(PAGE.encode()), Content_Encoding="gzip"), TAKEN, 0, "PUT", ""),
    "html": (answer(b"<html>\n<p>sign in"), TAKEN, 0, "POST", "line 1 is no sample"),
    "openmetrics": (answer(b'a_total 1 # {id="7"} 1 2\n# EOF\n'), TAKEN, 0, "POST", "line 1 is no sample"),
    "line_without_end": (endless(b"x" * 65536), TAKEN, 0, "POST", "a line is longer than 1 MiB"),
    "bomb": (answer(bomb(), Content_Encoding="gzip"), TAKEN, 0, "POST", "a line is longer than 1 MiB"),
    "no_gzip": (answer(b"plain", Content_Encoding="gzip"), TAKEN, 3, "", "the connection ended before"),
    "no_http": (endless(b"", b"SSH-2.0-OpenSSH\r\n", 1.0), TAKEN, 3, "", "no HTTP"),
    "drip": (endless(b"# \n", pause_s=0.1), TAKEN, 3, "", "not done within 1 s"),
    "put_no_http": (answer(b""), endless(b"", b"220 smtp ready\r\n", 1.0), 3, "PUT", "no HTTP"),
    "put_drip": (answer(b""), endless(b"x", b"HTTP/1.1 202 Accepted\r\nX: ", 0.1), 3, "PUT", "not done within 1 s"),
    "put_refused": (answer(b""), answer(b"no\x1b[2J", status="400 Bad"), 3, "PUT", "answered 400 Bad Request: no"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How the batch ended, and by which methods the group was written, with what."""

    done: Finished
    written: list[tuple[str, bytes]]

    @property
    def told(self) -> str:
        events = (event for event in self.done.events if event["event"] in ("memory.missing", "sink.failed"))
        return " ".join(event["error"] for event in events if event["level"] != "info")


@asynccontextmanager
async def gateway(get: Answer, put: Answer, written: list[tuple[str, bytes]]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, lines = head.split(" ")[0], head.lower().split("\r\n")
            length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            if method != "GET":
                written.append((method, body))
            await (get if method == "GET" else put)(write)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def batch(folder: Path, url: str) -> Finished:
    async with serving() as mixpeek:
        outputs = {"pushgateway": {"url": url, "timeout": PUSH_S}}
        write_config(folder, mixpeek.url, [target()], outputs=outputs)
        words = ("once", "-c", "worker.yaml", "--format", "json")
        return await run(*words, cwd=folder, preexec_fn=at_most(MOST_MIB))


def faulty(name: str) -> Case:
    async def case(folder: Path) -> Seen:
        get, put, *_ = FAULTS[name]
        written: list[tuple[str, bytes]] = []
        async with gateway(get, put, written) as url:
            return Seen(done=await batch(folder, url), written=written)

    return case


async def down(folder: Path) -> Seen:
    async with gateway(TAKEN, TAKEN, []) as url:
        pass
    return Seen(done=await batch(folder, url), written=[])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    cases = {name: faulty(name) for name in FAULTS} | {"down": down}
    return together(cases, tmp_path_factory.mktemp("gateway"), at_once=8)


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_found_is_told_whatever_the_gateway_is(seen: Together, name: str) -> None:
    looked: Seen = seen[name]
    _, _, code, method, words = FAULTS[name]
    assert looked.done.code == code, looked.done.err
    assert looked.done.json["summary"]["up"] == 1
    assert [method for method, _ in looked.written][-1:] == ([method] if method else [])
    assert words in looked.told
    assert bool(looked.told) is bool(words)
    assert "Traceback" not in looked.done.err
    assert "\x1b" not in looked.told


@pytest.mark.parametrize(("name", "probes"), [("right_in_gzip", 8), ("html", 1), ("bomb", 1)])
def test_counts_go_on_from_what_could_be_read(seen: Together, name: str, probes: int) -> None:
    (_, body) = seen[name].written[-1]
    assert f'plugin_probe_probes_total{{mixpeek_namespace="ns_a",plugin="p_1_0_0"}} {probes}\n'.encode() in body


def test_a_gateway_that_is_down_exits_with_3(seen: Together) -> None:
    looked: Seen = seen["down"]
    assert looked.done.code == 3
    assert looked.done.json["summary"]["up"] == 1
    assert "connection refused" in looked.told

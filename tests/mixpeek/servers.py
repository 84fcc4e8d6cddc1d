"""Real servers on loopback that do to a client whatever their script says."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.core.exchange import Exchange, Reply
from worker.core.target import Target, TargetKey
from worker.mixpeek.client import Client
from worker.mixpeek.credentials import Credentials
from worker.settings import ApiSettings

KEY = "sk_live_0123456789abcdef"
GOOD = {
    "status": "success",
    "inference_name": "custom_plugin_x_1_0_0",
    "raw_response": {"embedding": [0.1, 0.2]},
    "response_type": "dict",
    "response_keys": ["embedding"],
}
GOOD_BODY = json.dumps(GOOD).encode()
GOOD_REPLY = Reply(
    status="success",
    inference_name="custom_plugin_x_1_0_0",
    raw_response={"embedding": [0.1, 0.2]},
    response_type="dict",
    response_keys=("embedding",),
)


def reset_on_close(sock: socket.socket) -> None:
    """It then ends with RST rather than FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Peer:
    """One connection, as the script of a server sees it."""

    def __init__(
        self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.number = number  # 0 for the first connection

    async def request(self) -> bytes:
        """The next request, head and body; ends the script when the client has left."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b":0")
        body = await self.reader.readexactly(int(length.split(b":")[1]))
        self.server.requests.append(head + body)
        return head + body

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    def reset(self) -> None:
        """Ends the connection with RST rather than FIN."""
        reset_on_close(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()

    async def until_left(self) -> None:
        """Waits until the client has closed the connection."""
        while await self.reader.read(65_536):
            pass


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Listens on loopback; `requests` are what came, in order."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._script(Peer(self, reader, writer, self.connections - 1))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(script)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await asyncio.sleep(0)


@contextlib.contextmanager
def threaded(serve: Callable[[socket.socket], None], connections: int) -> Iterator[int]:
    """The port of a server for so many connections, in a thread of its own: it is as quick as another process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for _ in range(connections):
                accepted, _ = listener.accept()
                with accepted, contextlib.suppress(OSError):
                    serve(accepted)

        thread = threading.Thread(target=run)
        thread.start()
        port: int = listener.getsockname()[1]
        yield port
        thread.join()


def reply(body: bytes = GOOD_BODY, *, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """A whole HTTP reply. `length` is what Content-Length says instead of the truth."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def replying(*replies: bytes) -> Script:
    """Answers the requests of each connection with these in turn, the last one over and over."""

    async def script(peer: Peer) -> None:
        turn = 0
        while True:
            await peer.request()
            await peer.send(replies[min(turn, len(replies) - 1)])
            turn += 1

    return script


def target(namespace: str = "ns_1", plugin: str = "p_1_0_0", **changes: Any) -> Target:
    return Target(**{"key": TargetKey(namespace, plugin), "interval_s": 60.0, "timeout_s": 5.0, **changes})


def client_of(
    server: Server | int, *, scheme: str = "http", host: str = "127.0.0.1", key: str = KEY, **options: Any
) -> Client:
    """A client of that server. Options of Client go there, all others are API settings."""
    port = server if isinstance(server, int) else server.port
    for_client = {name: options.pop(name) for name in ("lost", "clock", "evidence", "resolver") if name in options}
    api = ApiSettings(base_url=f"{scheme}://{host}:{port}", api_key_env="KEY", **options)
    return Client(api, Credentials(api, {"KEY": key}), **for_client)


class Resolver(AbstractResolver):
    """DNS that knows every name as loopback, or fails, or takes its time (for ever when `delay_s` is None)."""

    def __init__(self, *, delay_s: float | None = 0.0, error: Exception | None = None) -> None:
        self._delay_s = delay_s
        self._error = error
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.asked.append(host)
        if self._delay_s is None:
            await asyncio.Event().wait()
        await asyncio.sleep(self._delay_s or 0.0)
        if self._error is not None:
            raise self._error
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None: ...


async def pipe_to(peer: Peer, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)

    try:
        await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))
    finally:
        writer.close()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def call_for(answer: bytes, **options: Any) -> Exchange:
    async with serving(replying(answer)) as server, client_of(server, **options) as client:
        return await client.call(target())

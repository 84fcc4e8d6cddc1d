"""A server that stands for Mixpeek on loopback: scripted by plugin id, and a witness of what came when.

`python tests/servers.py SECONDS` serves from a process of its own, so that a load on it does not share a loop with
what is measured: it prints its port, answers after so many seconds, and tells on GET / what it has seen. Plugins whose
ids begin with `hangs` get no answer.
"""

import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

REASONS = {200: "OK", 307: "Temporary Redirect", 401: "Unauthorized", 429: "Too Many Requests", 500: "Server Error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as it came; `at` is the server's clock, `number` counts this plugin's calls from 0."""

    method: str
    path: str
    namespace: str
    plugin: str
    number: int
    at: float
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP reply, sent `delay_s` after its request and not before `after` is set; or a `hang_up` without a word."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    after: asyncio.Event | None = None
    hang_up: bool = False

    def encoded(self) -> bytes:
        named = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


Script = Callable[[Call], Reply]


def answer(
    raw_response: Any = None, *, delay_s: float = 0.0, after: asyncio.Event | None = None, **fields: Any
) -> Reply:
    """A healthy documented reply, but for what `fields` say."""
    raw = {"embedding": [0.6, 0.8]} if raw_response is None else raw_response
    document = {
        "status": "success",
        "inference_name": "custom_plugin_x_1_0_0",
        "raw_response": raw,
        "response_type": None,
        "response_keys": None,
        **fields,
    }
    return Reply(body=json.dumps(document).encode(), delay_s=delay_s, after=after)


def refuse(status: int, message: str = "refused", *, kind: str = "Error", **headers: str) -> Reply:
    """Mixpeek's error envelope. Headers are written with _ for -."""
    document = {"success": False, "status": status, "error": {"message": message, "type": kind}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body=json.dumps(document).encode(), status=status, headers=named)


def in_turn(*replies: Reply) -> Script:
    """These replies one after the other, the last one over and over."""
    return lambda call: replies[min(call.number, len(replies) - 1)]


class Mixpeek:
    """The server's memory. A plugin without a script of its own gets the default reply."""

    def __init__(
        self, scripts: Mapping[str, Script | Reply] | None = None, default: Script | Reply | None = None
    ) -> None:
        self.scripts = dict(scripts or {})
        self.default = default or answer()
        self.calls: list[Call] = []
        self.inflight = 0
        self.peak = 0
        self.url = ""
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._came = asyncio.Event()

    def take(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Notes a request and decides its reply."""
        parts = [unquote(part) for part in path.split("?")[0].split("/")]
        namespace, plugin = (parts[3], parts[5]) if len(parts) > 5 else ("", "")
        number = self._numbers[namespace, plugin]
        self._numbers[namespace, plugin] += 1
        call = Call(
            method=method,
            path=path,
            namespace=namespace,
            plugin=plugin,
            number=number,
            at=asyncio.get_running_loop().time(),
            headers=headers,
            body=body,
        )
        self.calls.append(call)
        self._came.set()
        script = self.scripts.get(plugin, self.default)
        return script if isinstance(script, Reply) else script(call)

    def of(self, plugin: str) -> list[Call]:
        return [call for call in self.calls if call.plugin == plugin]

    async def called(self, count: int = 1, plugin: str | None = None, within_s: float = 15.0) -> None:
        """Waits until so many calls came (to this plugin)."""
        async with asyncio.timeout(within_s):
            while len(self.of(plugin) if plugin else self.calls) < count:
                self._came.clear()
                await self._came.wait()


class _Connection(asyncio.Protocol):
    """HTTP/1.1, kept alive, one request at a time."""

    def __init__(self, server: Mixpeek, connections: "set[_Connection]") -> None:
        self._server = server
        self._connections = connections
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = first.split(" ")
        self._answer(self._server.take(method, path, headers, rest[:length]))

    def _answer(self, reply: Reply) -> None:
        server = self._server
        server.inflight += 1
        server.peak = max(server.peak, server.inflight)
        if reply.after is None:
            asyncio.get_running_loop().call_later(reply.delay_s, self._send, reply)
        else:
            task = asyncio.get_running_loop().create_task(self._send_after(reply, reply.after))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_after(self, reply: Reply, event: asyncio.Event) -> None:
        await event.wait()
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        self._server.inflight -= 1
        if reply.hang_up:
            self.close()
        elif not self._transport.is_closing():
            self._transport.write(reply.encoded())


@asynccontextmanager
async def serving(
    scripts: Mapping[str, Script | Reply] | None = None, default: Script | Reply | None = None
) -> AsyncIterator[Mixpeek]:
    """A scripted server in this process; its `url` is where."""
    server = Mixpeek(scripts, default)
    connections: set[_Connection] = set()
    listener = await asyncio.get_running_loop().create_server(lambda: _Connection(server, connections), "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for connection in list(connections):
            connection.close()
        await asyncio.sleep(0)  # aborted transports close in the loop's next turn


#: A call may be heard so much later where others compute beside the server.
CROWD_S = 0.1


def most_in_any_window(instants: Iterable[float], window_s: float) -> int:
    """The most instants that lie within any half-open window of so many seconds."""
    ordered = sorted(instants)
    first = most = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _serve_alone(delay_s: float) -> None:
    """Until stdin ends."""
    server = Mixpeek()
    healthy, never = answer(delay_s=delay_s), answer(after=asyncio.Event())

    def script(call: Call) -> Reply:
        if call.method != "GET":
            return never if call.plugin.startswith("hangs") else healthy
        probes = [(seen.namespace, seen.plugin, seen.at) for seen in server.calls if seen.method == "POST"]
        return Reply(body=json.dumps({"peak": server.peak, "probes": probes}).encode())

    server.default = script
    loop = asyncio.get_running_loop()
    gc.disable()  # it keeps every call, and while it looked through them others would seem to come together
    listener = await loop.create_server(lambda: _Connection(server, set()), "127.0.0.1", 0, backlog=1024)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    listener.close()


if __name__ == "__main__":
    asyncio.run(_serve_alone(float(sys.argv[1])))

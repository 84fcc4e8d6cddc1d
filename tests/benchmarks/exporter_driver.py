"""Asks a blackbox_exporter for probes, as cheaply as can be: a plain asyncio.Protocol over kept-alive connections.

Arguments: the exporter's port, the server's port. Orders: `all COUNT CONCURRENCY` as fast as it goes, answered with
the seconds that it took; `paced RATE SECONDS` at a steady rate, answered with the errors of the times that it measured:
its phases `processing` and `transfer` (from the connection to the last byte) less what the server says that passed.
"""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.benchmarks.children import orders, say

PHASES = (b'probe_http_duration_seconds{phase="processing"} ', b'probe_http_duration_seconds{phase="transfer"} ')


class Connection(asyncio.Protocol):
    """One probe at a time; `heard` gets what the exporter said of it."""

    def __init__(self) -> None:
        self._got = b""
        self._heard: Callable[[Connection, bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get(self, path: str, heard: "Callable[[Connection, bytes], None]") -> None:
        self._heard = heard
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: exporter\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._got.endswith(b"\r\n0\r\n\r\n"):  # the exporter's answers are chunked
            return
        text, self._got = _whole(self._got), b""
        assert self._heard is not None
        assert b"\nprobe_success 1\n" in text, text.decode()
        self._heard(self, text)

    def close(self) -> None:
        self._transport.abort()


def _whole(answer: bytes) -> bytes:
    """The text of a chunked answer."""
    rest = answer.partition(b"\r\n\r\n")[2]
    pieces = []
    while size := int(rest[: (start := rest.index(b"\r\n"))], 16):
        pieces.append(rest[start + 2 : start + 2 + size])
        rest = rest[start + size + 4 :]
    return b"".join(pieces)


class Driver:
    """Keeps connections from order to order."""

    def __init__(self, exporter_port: int, server_port: int) -> None:
        self._port = exporter_port
        self._server = f"http://127.0.0.1:{server_port}"
        self._free: list[Connection] = []

    async def all(self, count: int, concurrency: int) -> float:
        """Seconds by the clock for so many probes."""
        left = iter([self._path("judged", f"p_{number}") for number in range(count)])
        done = asyncio.Event()
        unheard = count

        def heard(connection: Connection, _: bytes) -> None:
            nonlocal unheard
            unheard -= 1
            path = next(left, None)
            if path is not None:
                connection.get(path, heard)
                return
            self._free.append(connection)
            if not unheard:
                done.set()

        connections = [await self._connection() for _ in range(concurrency)]
        began = time.perf_counter()
        for connection in connections:
            connection.get(next(left), heard)
        await done.wait()
        return time.perf_counter() - began

    async def paced(self, rate: float, seconds: float) -> dict[str, list[float]]:
        """`errors_s`: what was measured less what passed, of every probe."""
        measured: dict[str, float] = {}
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0
        while loop.time() < began + seconds:
            await asyncio.sleep(began + sent / rate - loop.time())
            plugin = f"r{rate:g}_{sent}"
            connection = await self._connection()

            def heard(connection: Connection, text: bytes, plugin: str = plugin) -> None:
                measured[plugin] = sum(float(text.partition(phase)[2].split(b"\n", 1)[0]) for phase in PHASES)
                self._free.append(connection)

            connection.get(self._path("timed", plugin), heard)
            sent += 1
        await asyncio.sleep(1.0)
        passed = await asyncio.to_thread(self._passed)
        return {"errors_s": [seconds - passed[plugin] for plugin, seconds in measured.items()]}

    def _passed(self) -> dict[str, float]:
        with urllib.request.urlopen(self._server) as reply:
            passed: dict[str, float] = json.load(reply)
            return passed

    def _path(self, module: str, plugin: str) -> str:
        target = f"{self._server}/v1/namespaces/ns_0/plugins/{plugin}/realtime/test"
        return f"/probe?module={module}&target={quote(target, safe='')}"

    async def _connection(self) -> Connection:
        if self._free:
            return self._free.pop()
        _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self._port)
        return made

    def close(self) -> None:
        for connection in self._free:
            connection.close()


def _break_off(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What goes wrong in a callback would leave whoever asked waiting."""
    loop.default_exception_handler(context)
    os._exit(1)


async def main(exporter_port: int, server_port: int) -> None:
    asyncio.get_running_loop().set_exception_handler(_break_off)
    driver = Driver(exporter_port, server_port)
    async for order in orders():
        if order[0] == "all":
            say(await driver.all(int(order[1]), int(order[2])))
        else:
            say(await driver.paced(float(order[1]), float(order[2])))
    driver.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

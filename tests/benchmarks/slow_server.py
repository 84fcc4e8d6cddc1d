"""A server that answers after 50 ms and says how long that really was: in the reply, and for all calls on GET.

What it says is from a request's last byte to its reply being written, so the error of its own timer is no error of
whoever measures it. Prints its port, and serves until its stdin closes.
"""

import asyncio
import json
import sys
import time

from tests.benchmarks.instant_server import VECTOR

DELAY_S = 0.05
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
_BODY = json.dumps(
    {"status": "success", "inference_name": "p", "raw_response": {"embedding": VECTOR, "passed_s": 0}}
).encode()
_BEGIN, _, _END = _BODY.rpartition(b"0")

#: Seconds that passed, by plugin.
PASSED_S: dict[str, float] = {}


class Slow(asyncio.Protocol):
    """One request at a time on each connection."""

    def __init__(self) -> None:
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        came = time.perf_counter()
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if not found or len(body) < length:
            return
        self._got = b""
        if head.startswith(b"GET"):
            text = json.dumps(PASSED_S).encode()
            self._transport.write(_HEAD % (len(text), text))
        else:
            plugin = head.split(b"/", 6)[5].decode()
            asyncio.get_running_loop().call_later(DELAY_S, self._answer, plugin, came)

    def _answer(self, plugin: str, came: float) -> None:
        passed_s = PASSED_S[plugin] = time.perf_counter() - came
        text = b"%s%.9f%s" % (_BEGIN, passed_s, _END)
        if not self._transport.is_closing():
            self._transport.write(_HEAD % (len(text), text))


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

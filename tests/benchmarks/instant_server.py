"""A server cheaper than any client: a plain asyncio.Protocol that answers every request with the same bytes.

Prints its port, and serves until its stdin closes.
"""

import asyncio
import json
import math
import sys

VECTOR = [math.sin(index) / math.sqrt(192) for index in range(384)]
BODY = json.dumps(
    {
        "status": "success",
        "inference_name": "custom_plugin_p_1_0_0",
        "raw_response": {"embedding": VECTOR},
        "response_type": "dict",
        "response_keys": ["embedding"],
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Instant(asyncio.Protocol):
    """Counts heads and bodies only as far as telling one request from the next needs. `answer` is told of each head, in
    small letters.
    """

    def __init__(self) -> None:
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            self.answer(head)

    def answer(self, head: bytes) -> None:
        self._transport.write(ANSWER)
        if b"connection: close" in head:
            self._transport.close()


async def serve(protocol: type[Instant]) -> None:
    """Tells the port, and serves until stdin closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Instant))

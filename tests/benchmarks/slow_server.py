"""A server that answers after 50 ms and says how long that really was: in the reply, and for all calls on GET.

What it says is from a request's last byte to its reply being written, so the error of its own timer is no error of
whoever measures it. Prints its port, and serves until its stdin closes.
"""

import asyncio
import json
import time

from tests.benchmarks.instant_server import VECTOR, Instant, serve

DELAY_S = 0.05
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
_BODY = json.dumps(
    {"status": "success", "inference_name": "p", "raw_response": {"embedding": VECTOR, "passed_s": 0}}
).encode()
_BEGIN, _, _END = _BODY.rpartition(b"0")

#: Seconds that passed, by plugin.
PASSED_S: dict[str, float] = {}


class Slow(Instant):
    """One request at a time on each connection."""

    def data_received(self, data: bytes) -> None:
        self._came = time.perf_counter()
        super().data_received(data)

    def answer(self, head: bytes) -> None:
        if head.startswith(b"get"):
            text = json.dumps(PASSED_S).encode()
            self._transport.write(_HEAD % (len(text), text))
        else:
            plugin = head.split(b"/", 6)[5].decode()
            asyncio.get_running_loop().call_later(DELAY_S, self._reply, plugin, self._came)

    def _reply(self, plugin: str, came: float) -> None:
        passed_s = PASSED_S[plugin] = time.perf_counter() - came
        text = b"%s%.9f%s" % (_BEGIN, passed_s, _END)
        if not self._transport.is_closing():
            self._transport.write(_HEAD % (len(text), text))


if __name__ == "__main__":
    asyncio.run(serve(Slow))

"""A healthy server with a mind of its own about connections: told or untold, at once or later, it closes them.

Every request that it hears is answered. Prints its port, serves until its stdin closes, then tells what it did.
"""

import asyncio
import json
import random
from collections import Counter

from tests.benchmarks.instant_server import Instant, serve

BODY = json.dumps(
    {
        "status": "success",
        "inference_name": "custom_plugin_p_1_0_0",
        "raw_response": {"embedding": [0.6, 0.8]},
        "response_type": "dict",
        "response_keys": ["embedding"],
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY)
ANSWER = HEAD + b"\r\n" + BODY
LAST_ANSWER = HEAD + b"Connection: close\r\n\r\n" + BODY
#: Of so many answers each way to close comes once.
RARITY = 100
#: What a connection is idle for before it is closed: about as long as until its next call, so that both meet.
MOST_IDLE_S = 0.02

done: Counter[str] = Counter()


class Racing(Instant):
    """One connection."""

    def answer(self, head: bytes) -> None:
        done["answered"] += 1
        way = random.randrange(RARITY)
        if b"connection: close" in head or way == 0:
            self._close("told", LAST_ANSWER)
        elif way == 1:
            self._close("untold", ANSWER)
        else:
            self._transport.write(ANSWER)
            if way in (2, 3):
                asyncio.get_running_loop().call_later(random.uniform(0, MOST_IDLE_S), self._go, way == 2)

    def _close(self, how: str, answer: bytes) -> None:
        done[how] += 1
        self._transport.write(answer)
        self._transport.close()

    def _go(self, gently: bool) -> None:
        if not self._transport.is_closing():
            done["closed idle" if gently else "aborted idle"] += 1
            if gently:
                self._transport.close()
            else:
                self._transport.abort()


if __name__ == "__main__":
    random.seed(7)
    asyncio.run(serve(Racing))
    print(json.dumps(done), flush=True)

"""`python -m tests.faults.server BOMB_BYTES TIMEOUT_S`: plays the fault that a plugin's id names, until stdin ends.

It prints where in one line of JSON: `urls` by fault (`server` is where all others are), `etc` by fault, `ca` in PEM.
GET /heard tells how many requests came for each plugin, and for `elsewhere`, where no call must ever go.
"""

import asyncio
import contextlib
import json
import sys
import warnings
from collections import Counter

from tests.faults.fault import GOOD_REPLY, Stage
from tests.faults.listeners import House
from tests.faults.table import FAULTS
from tests.mixpeek.servers import Peer, reply


class Theatre:
    """Plays on every connection what each request in turn asks for; `heard` counts them by plugin."""

    def __init__(self, bomb_bytes: int) -> None:
        self.heard: Counter[str] = Counter()
        self.elsewhere = ""
        self._bomb_bytes = bomb_bytes

    async def play(self, peer: Peer) -> None:
        turn = 0
        while not peer.writer.is_closing():
            path = (await peer.request()).split(b" ", 2)[1].decode()
            peer.server.requests.clear()
            if path == "/heard":
                await peer.send(reply(json.dumps(self.heard).encode()))
                continue
            plugin = path.split("/")[5]
            self.heard[plugin] += 1
            fault = FAULTS.get(plugin)
            if fault is None or fault.play is None:
                await peer.send(GOOD_REPLY)
            else:
                stage = Stage(peer=peer, turn=turn, bomb_bytes=self._bomb_bytes, elsewhere=self.elsewhere)
                await fault.play(stage)
            turn += 1

    async def betray(self, peer: Peer) -> None:
        """Anybody who comes here has followed what a reply said."""
        self.heard["elsewhere"] += 1


async def main(bomb_bytes: int, timeout_s: float) -> None:
    theatre, house = Theatre(bomb_bytes), House()
    port = await house.open(theatre.play)
    theatre.elsewhere = f"127.0.0.1:{await house.open(theatre.betray)}"
    house.urls["server"] = f"http://127.0.0.1:{port}"
    await house.open_all(theatre.play, port, timeout_s)
    ca = house.authority.cert_pem.bytes().decode()
    print(json.dumps({"urls": house.urls, "etc": house.etc, "ca": ca}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # TLS 1.1 is deprecated, and that is the point
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))

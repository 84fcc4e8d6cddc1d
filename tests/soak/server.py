"""A server whose plugins behave as `behaviours` says, and a witness of when each was called.

Prints its port, serves until its stdin closes, then tells the instants (seconds of the monotonic clock) by plugin.
"""

import asyncio
import json
import sys
from collections import defaultdict

from tests.faults.fault import GOOD_REPLY, Stage
from tests.mixpeek.servers import Peer, serving
from tests.soak.behaviours import BEHAVIOURS, BOMB_BYTES

#: Where a redirect leads.
NOWHERE = "127.0.0.1:9"

called_at: defaultdict[str, list[float]] = defaultdict(list)


async def play(peer: Peer) -> None:
    turn = 0
    while not peer.writer.is_closing():
        plugin = (await peer.request()).split(b"/", 6)[5].decode()
        peer.server.requests.clear()
        called_at[plugin].append(round(asyncio.get_running_loop().time(), 4))
        behaviour = BEHAVIOURS.get(plugin.rpartition("_")[0])
        if behaviour:
            await behaviour.play(Stage(peer=peer, turn=turn, bomb_bytes=BOMB_BYTES, elsewhere=NOWHERE))
        else:
            await peer.send(GOOD_REPLY)
        turn += 1


async def main() -> None:
    async with serving(play) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    json.dump(called_at, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())

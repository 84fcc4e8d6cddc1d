"""The road's batches in a process of their own. Arguments: the server's port, `reuse` or `fresh`. Each line asks for
another batch, answered with the CPU and wall seconds that it took.
"""

import asyncio
import sys
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.children import orders, say
from tests.benchmarks.road import batch, road_settings


async def main(port: int, *, fresh: bool) -> None:
    with TemporaryDirectory() as name:
        settings = road_settings(Path(name), port, fresh=fresh)
        async for _ in orders():
            say(astuple(await batch(settings)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), fresh=sys.argv[2] == "fresh"))

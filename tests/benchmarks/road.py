"""The whole road (call, judge, track, metrics, log, report row) against a bare aiohttp loop over the same bytes.

Both run in this process, one after the other in every block: as many tasks, the same URLs, headers and bodies, and a
server in a process of its own that is cheaper than either. The road writes its textfile as well.
"""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from yarl import URL

from tests.benchmarks.children import KEY, KEY_NAME
from tests.benchmarks.figure import NO_GOAL, Figure
from tests.benchmarks.options import Options
from tests.benchmarks.spent import Spent, spent
from tests.benchmarks.startup import instant_server
from worker.app import Launch, assemble
from worker.batch import Results
from worker.config.load import load
from worker.settings import Settings

PROBES = 1_000
CONCURRENCY = 32
BODY = b'{"inputs":{"text":"hello"},"parameters":{}}'

TARGET = {
    "plugins": [f"p_{number}" for number in range(PROBES)],
    "inputs": {"text": "hello"},
    "expect": {"keys": ["embedding"], "vector": {"path": "embedding", "dimensions": 384, "normalized": False}},
}
LAUNCH = Launch(environ={KEY_NAME: KEY}, log_level="warning")


def road(options: Options) -> list[Figure]:
    """On reused connections, and on fresh ones: CPU, which has the goals, and time by the clock."""
    return [figure for fresh in (False, True) for figure in asyncio.run(_compare(options.blocks, fresh=fresh))]


async def _compare(blocks: int, *, fresh: bool) -> list[Figure]:
    bare: list[Spent] = []
    ours: list[Spent] = []
    with instant_server() as port, TemporaryDirectory() as name:
        settings = road_settings(Path(name), port, fresh=fresh)
        for number in range(blocks + 1):
            took = await _bare(settings, fresh=fresh), await batch(settings)
            if number:  # the first block warms both
                bare.append(took[0])
                ours.append(took[1])
    kind, goal = ("fresh", "≤ 1.33") if fresh else ("reused", "≤ 1.67")
    named = f"the whole road, {kind} connections, against a bare loop"
    return [
        Figure(
            name=f"{named}: CPU per probe",
            goal=goal,
            each=PROBES,
            ours=[took.cpu_s for took in ours],
            theirs=[took.cpu_s for took in bare],
        ),
        Figure(
            name=f"{named}: time per probe",
            goal=NO_GOAL,
            each=PROBES,
            clock=f"wall, {CONCURRENCY} at once",
            ours=[took.wall_s for took in ours],
            theirs=[took.wall_s for took in bare],
        ),
    ]


def road_settings(folder: Path, port: int, *, fresh: bool) -> Settings:
    document = {
        "api": {
            "base_url": f"http://127.0.0.1:{port}",
            "api_key_env": KEY_NAME,
            "connections": "fresh" if fresh else "reuse",
        },
        "limits": {"rate": "1000000/s", "concurrency": CONCURRENCY},
        "outputs": {"textfile": {"path": "probe.prom"}},
        "targets_files": ["t.json"],
    }
    (folder / "worker.yaml").write_text(json.dumps(document))
    (folder / "t.json").write_text(json.dumps({"targets": [{"namespace": "ns_0", **TARGET}]}))
    return load(folder / "worker.yaml", environ=LAUNCH.environ)


async def batch(settings: Settings) -> Spent:
    """A batch and its textfile; start-up and end are left out."""
    results = Results()
    async with assemble(settings, LAUNCH, targets=settings.targets, extra={"report": results}) as worker:

        async def run() -> None:
            await worker.engine.run_batch(settings.targets, period_s=300.0, deadline_s=None)
            await worker.outputs.write_textfile()

        took = await spent(run)
    assert results.summary.words() == {"success": PROBES}, "every probe is to be judged, and well"
    return took


async def _bare(settings: Settings, *, fresh: bool) -> Spent:
    """Posting and reading, and nothing else, from as many tasks as we have workers."""
    base = f"{settings.api.base_url}/v1/namespaces/ns_0/plugins"
    left = iter([URL(f"{base}/{plugin}/realtime/test") for plugin in TARGET["plugins"]])
    headers = {
        "User-Agent": settings.api.user_agent,
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {KEY}",
    }
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=fresh)) as session:

        async def post() -> None:
            for url in left:
                async with session.post(url, data=BODY, headers=headers) as reply:
                    await reply.read()

        async def posts() -> None:
            await asyncio.gather(*(post() for _ in range(CONCURRENCY)))

        return await spent(posts)

"""The whole road (call, judge, track, metrics, log, report row) against a bare aiohttp loop over the same bytes."""

import asyncio
import json
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from tests.benchmarks.figure import Figure
from tests.benchmarks.startup import instant_server
from worker.app import Launch, assemble
from worker.batch import Results
from worker.config.load import load
from worker.settings import Settings

BLOCKS = 40
PROBES = 1_000
CONCURRENCY = 32

TARGET = {
    "plugins": [f"p_{number}" for number in range(PROBES)],
    "inputs": {"text": "hello"},
    "expect": {"keys": ["embedding"], "vector": {"path": "embedding", "dimensions": 384, "normalized": False}},
}


def road() -> list[Figure]:
    """On reused connections, and on fresh ones. Textfile output included."""
    return [asyncio.run(_compare(fresh=fresh)) for fresh in (False, True)]


async def _compare(*, fresh: bool) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    with instant_server() as port, TemporaryDirectory() as name:
        settings = _settings(Path(name), port, fresh=fresh)
        for number in range(BLOCKS + 1):
            bare_s, road_s = await _bare(settings, fresh=fresh), await _road(settings)
            if number:  # the first block warms both
                theirs.append(bare_s)
                ours.append(road_s)
    kind, goal = ("fresh", "≤ 1.33") if fresh else ("reused", "≤ 1.67")
    return Figure(name=f"the whole road, {kind} connections, against a bare loop", goal=goal, ours=ours, theirs=theirs)


LAUNCH = Launch(environ={"BENCH_KEY": "sk_bench_0123456789"}, log_level="warning")


def _settings(folder: Path, port: int, *, fresh: bool) -> Settings:
    document = {
        "api": {
            "base_url": f"http://127.0.0.1:{port}",
            "api_key_env": "BENCH_KEY",
            "connections": "fresh" if fresh else "reuse",
        },
        "limits": {"rate": "1000000/s", "concurrency": CONCURRENCY},
        "outputs": {"textfile": {"path": "probe.prom"}},
        "targets_files": ["t.json"],
    }
    (folder / "worker.yaml").write_text(json.dumps(document))
    (folder / "t.json").write_text(json.dumps({"targets": [{"namespace": "ns_0", **TARGET}]}))
    return load(folder / "worker.yaml", environ=LAUNCH.environ)


async def _road(settings: Settings) -> float:
    """CPU seconds of a batch and its textfile; start-up and end are left out."""
    results = Results()
    async with assemble(settings, LAUNCH, targets=settings.targets, extra={"report": results}) as worker:

        async def batch() -> None:
            await worker.engine.run_batch(settings.targets, period_s=300.0, deadline_s=None)
            worker.write_textfile()

        spent_s = await _cpu_s(batch)
    assert results.summary.words() == {"success": PROBES}, "every probe is to be judged, and well"
    return spent_s


async def _bare(settings: Settings, *, fresh: bool) -> float:
    """CPU seconds of posting and reading, and nothing else, from as many tasks as we have workers."""
    left = iter(range(PROBES))
    url = f"{settings.api.base_url}/v1/namespaces/ns_0/plugins/p_0/realtime/test"
    headers = {"Authorization": "Bearer sk_bench", "Content-Type": "application/json"}
    body = b'{"inputs":{"text":"hello"},"parameters":{}}'
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=fresh)) as session:

        async def post() -> None:
            for _ in left:
                async with session.post(url, data=body, headers=headers) as reply:
                    await reply.read()

        async def posts() -> None:
            await asyncio.gather(*(post() for _ in range(CONCURRENCY)))

        return await _cpu_s(posts)


async def _cpu_s(run: Callable[[], Awaitable[None]]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    await run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

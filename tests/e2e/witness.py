"""A server in a process of its own, so that it answers whatever happens to this one or to the worker."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests import servers
from tests.e2e.commands import PATIENCE_S


@asynccontextmanager
async def witness(delay_s: float) -> AsyncIterator[str]:
    """Its URL. It answers after so many seconds, but never a plugin that is named `hangs…`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(servers.__file__)),
        str(delay_s),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


def heard(url: str) -> Any:
    """What it has seen: `peak`, the most calls in flight, and `probes`, each with namespace, plugin and instant."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
        return json.load(reply)

"""What a call leaves for the garbage collector: nothing of ours, or failing plugins would fill the memory in time."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.mixpeek.faults import HEAD, after_request, hang
from tests.mixpeek.servers import Script, client_of, reply, replying, serving, target


@pytest.fixture
def by_hand() -> Iterator[None]:
    """No collection begins by itself, and what one finds is kept."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def circles() -> Counter[str]:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(type(one).__name__ for one in gc.garbage)
    gc.garbage.clear()
    return found


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(replying(reply()), id="well"),
        pytest.param(replying(reply(b"{}", status="500 E")), id="refused"),
        pytest.param(hang, id="time-out"),
        pytest.param(after_request(), id="closed"),
        pytest.param(after_request(then="reset"), id="reset"),
        pytest.param(after_request(HEAD + b"Content-Length: 10\r\n\r\nabc"), id="cut"),
        pytest.param(after_request(b"rubbish\r\n\r\n"), id="no HTTP"),
    ],
)
async def test_a_call_leaves_no_circle_with_its_reply_in_it(script: Script) -> None:
    async with serving(script) as server, client_of(server) as client:
        await client.call(target(timeout_s=0.02))
        await asyncio.sleep(0.02)
        circles()
        for _ in range(10):
            await client.call(target(timeout_s=0.02))
        await asyncio.sleep(0.02)
        found = circles()
    # a transport that was closed is a circle of asyncio's own
    assert not {"Flight", "Channel", "frame", "traceback", "Exchange", "Context"} & found.keys(), found


@pytest.mark.usefixtures("by_hand")
async def test_nor_does_a_connection_that_was_not_made() -> None:
    async with client_of(1) as client:
        await client.call(target())
        circles()
        for _ in range(10):
            await client.call(target())
        assert not circles()

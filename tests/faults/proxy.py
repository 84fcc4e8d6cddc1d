"""A TCP proxy that does to the bytes of a reply what networks do: delays, drops, resets, cuts, drips, swallows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.mixpeek.servers import GOOD_BODY, Peer, Script, reply

#: Of the healthy reply; all but its last ten bytes.
NEARLY_ALL = len(reply(GOOD_BODY)) - 10

#: Passes on what comes from the server, in its own way; returning closes.
Passing = Callable[[asyncio.StreamReader, Peer], Awaitable[None]]


def proxy_to(port: int, passing: Passing) -> Script:
    """The request goes on untouched; the reply as `passing` has it."""

    async def script(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        upward = asyncio.create_task(_copy(peer.reader, writer))
        try:
            await passing(reader, peer)
            await peer.writer.drain()
            peer.writer.close()
            await peer.writer.wait_closed()
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)
            writer.close()

    return script


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()


async def _pieces(source: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await source.read(65_536):
        yield data


def delayed(by_s: float) -> Passing:
    async def passing(source: asyncio.StreamReader, peer: Peer) -> None:
        async for data in _pieces(source):
            await asyncio.sleep(by_s)
            await peer.send(data)

    return passing


async def dropped(source: asyncio.StreamReader, peer: Peer) -> None:
    async for _ in _pieces(source):
        pass


async def reset(source: asyncio.StreamReader, peer: Peer) -> None:
    await source.read(1)
    peer.reset()


def after(count: int, then: str) -> Passing:
    """Passes so many bytes on, and then closes, resets or swallows the rest."""

    async def passing(source: asyncio.StreamReader, peer: Peer) -> None:
        await peer.send(await source.readexactly(count))
        if then == "reset":
            await asyncio.sleep(0.1)  # what was sent is to come before the RST, which overtakes it
            peer.reset()
        elif then == "swallow":
            await dropped(source, peer)

    return passing


async def starting_slowly(source: asyncio.StreamReader, peer: Peer) -> None:
    size = 1
    while data := await source.read(size):
        await peer.send(data)
        await asyncio.sleep(0.02)
        size *= 2


async def dripping(source: asyncio.StreamReader, peer: Peer) -> None:
    while data := await source.read(1):
        await peer.send(data)
        await asyncio.sleep(0.1)


def passings(timeout_s: float) -> dict[str, Passing]:
    """By fault."""
    return {
        "proxy_delays": delayed(0.2),
        "proxy_delays_more": delayed(timeout_s * 2),
        "proxy_drops": dropped,
        "proxy_resets": reset,
        "proxy_cuts_head": after(20, "close"),
        "proxy_cuts_body": after(NEARLY_ALL, "close"),
        "proxy_resets_body": after(NEARLY_ALL, "reset"),
        "proxy_swallows_end": after(NEARLY_ALL, "swallow"),
        "proxy_starts_slowly": starting_slowly,
        "proxy_drips": dripping,
    }

"""What a row of the table of faults is, and what the server's scripts are made of."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.mixpeek.servers import GOOD, GOOD_BODY, Peer, reply
from worker.core.exchange import Phase
from worker.core.outcome import Outcome

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A request that has come: `turn` counts those of its connection from 0. `bomb_bytes` is how large a body is that
    is made to be large, `elsewhere` (host and port) a server that nobody must call.
    """

    peer: Peer
    turn: int
    bomb_bytes: int
    elsewhere: str


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`does` is what the server does, in one phrase; `play` is None where that happens at an address of its own.

    `died_in` is the one phase that it may die in, `words` stand in the error or in what was found; None: not looked at.
    `takes` is the bound in time: at once, one time-out, or `waits`: two waits of a 429 for itself and for each like it
    in its namespace. `holds` is the bound in memory: no more than its reply, the cap once decoded (`cap`), or what
    parsing as much as that takes (`parsed`). `expect` is what its target asks.
    """

    name: str
    does: str
    outcome: Outcome
    play: Play | None = None
    died_in: Phase | None = None
    words: str = ""
    takes: Literal["at once", "time-out", "waits"] = "at once"
    holds: Literal["", "cap", "parsed"] = ""
    expect: Mapping[str, Any] = field(default_factory=dict)


def sends(*parts: bytes, pause_s: float = 0.0, then: Literal["stay", "close", "reset", "hang"] = "stay") -> Play:
    """Sends the parts, and then serves on, closes, resets, or says no more."""

    async def play(stage: Stage) -> None:
        for part in parts:
            await stage.peer.send(part)
            await asyncio.sleep(pause_s)
        await end(stage, then)

    return play


async def end(stage: Stage, how: str) -> None:
    if how == "close":
        stage.peer.writer.close()
        await stage.peer.writer.wait_closed()
    elif how == "reset":
        stage.peer.reset()
    elif how == "hang":
        await stage.peer.until_left()


def endless(*before: bytes, part: bytes, pause_s: float = 0.0) -> Play:
    """Sends one part over and over until the client leaves."""

    async def play(stage: Stage) -> None:
        await stage.peer.send(*before)
        while True:
            await stage.peer.send(part)
            await asyncio.sleep(pause_s)

    return play


def filled(before: bytes, filler: bytes, after: bytes) -> Play:
    """200 and a large body: `filler` again and again, without its last comma."""

    async def play(stage: Stage) -> None:
        times = (stage.bomb_bytes - len(before) - len(after)) // len(filler)
        await stage.peer.send(reply(before + (filler * times).rstrip(b",") + after))

    return play


def ok(raw_response: Any = GOOD["raw_response"], /, **fields: Any) -> Play:
    """A documented reply but for what is said; a field that is Ellipsis is left out."""
    document: dict[str, Any] = dict(GOOD)
    if raw_response is not GOOD["raw_response"]:
        document |= {"raw_response": raw_response, "response_type": None, "response_keys": None}
    said = {name: value for name, value in (document | fields).items() if value is not ...}
    return sends(reply(json.dumps(said).encode()))


def raw(text: bytes) -> Play:
    """A documented reply whose raw_response is this text."""
    return sends(reply(b'{"status":"success","inference_name":"x","raw_response":%b}' % text))


def body(text: bytes, **headers: str) -> Play:
    """200 with this body."""
    return sends(reply(text, length=None, **headers))


def status(line: str, text: bytes = b"{}", **headers: str) -> Play:
    return sends(reply(text, status=line, length=None, **headers))


def envelope(kind: str = "Error", **error: Any) -> bytes:
    """Mixpeek's own."""
    return json.dumps({"success": False, "error": {"message": "no", "type": kind, **error}}).encode()


GOOD_REPLY = reply(GOOD_BODY)

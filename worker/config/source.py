"""A configuration file as read: its text, the name to call it by, and what is wrong with it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from worker.stamp import Stamp

#: Where in a file's values something stands: `("targets", 3, "expect", "max_latency")`.
Place = tuple[str | int, ...]


class Position(NamedTuple):
    """Where in a file's text something stands, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file's text; `name` is the shortest way to say which file, `stamp` is of just before it was read."""

    name: str
    path: Path
    text: str
    stamp: Stamp = field(default=None, compare=False)

    @property
    def is_json(self) -> bool:
        return self.path.suffix == ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong at one place. `position` is known early only where parsing itself found it.

    `on_key` points at the key instead of its value. `first` is an earlier place to name after the message.
    """

    source: Source
    place: Place
    message: str
    on_key: bool = False
    position: Position | None = None
    first: tuple[Source, Place] | None = None


class UnreadableError(Exception):
    """The file gives no values at all, for one reason at one place."""

    def __init__(self, message: str, position: Position, place: Place = ()) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.place = place


def shown_path(path: Path) -> str:
    """The path as given, or relative to the working directory where it is below that and so gets shorter."""
    given = str(path)
    relative = os.path.relpath(path)
    shown = relative if len(relative) < len(given) and not relative.startswith(os.pardir) else given
    return shown if shown.isprintable() else ascii(shown)[1:-1]


def place_text(place: Place) -> str:
    """`targets[3].expect.max_latency`; a key that is no plain word stands quoted in brackets."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "a").replace("-", "a").isalnum() and part.isascii() and len(part) <= 60:
            text += f".{part}" if text else part
        else:
            text += f"[{part[:60]!a}]"
    return text


def decoded(data: bytes) -> str:
    """Text of a file that must be UTF-8; a byte order mark at its start is dropped. Raises UnreadableError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        byte = data[error.start]
        raise UnreadableError(f"not UTF-8: byte 0x{byte:02x}; save the file as UTF-8", position_after(before)) from None


def position_after(text: str) -> Position:
    """The position of whatever follows this beginning of a file."""
    return Position(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)

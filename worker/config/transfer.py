"""Settings on their way from one process to another, in frames so small that taking one in holds up no probe."""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain
from operator import is_
from pathlib import Path
from struct import Struct
from typing import Any

from worker.core.pin import Pin
from worker.core.target import Target, TargetKey
from worker.settings import ConfigError, Settings
from worker.stamp import Stamp
from worker.version import VERSION

#: What the stream begins with: after an upgrade under a running worker, old and new do not mean the same by a frame.
MARK = f"plugin-probe {VERSION}\n".encode()
#: Stands before each frame: how many bytes it has.
LENGTH = Struct(">I")
#: A frame holds at most so many items, and at most so many bytes, unless a single item has more.
MOST_ITEMS = 40
MOST_BYTES = 32_768

#: The parts of a target that others are likely to have as well: they are shared, whatever frames they came in.
_PARTS = ("inputs", "parameters", "labels", "expect", "pin")
_OTHERS = tuple(field.name for field in fields(Target) if field.name not in _PARTS)


def stream(outcome: Settings | ConfigError) -> Iterator[bytes]:
    """What loading came to, as bytes; an `Intake` makes the same of its frames."""
    settings = outcome if isinstance(outcome, Settings) else None
    frames: Iterable[bytes] = (
        chain(
            _frames("watched_files", list(settings.watched_files.items())),
            _frames("pins", list(settings.pins.items())),
            _frames("targets", settings.targets),
            [_frame("settings", replace(settings, targets=(), pins={}, watched_files={}))],
        )
        if settings
        else chain(_frames("watched_files", list(outcome.files.items())), [_frame("problems", outcome.problems)])
    )
    yield MARK
    for frame in frames:
        yield LENGTH.pack(len(frame)) + frame


def _frame(kind: str, content: Any) -> bytes:
    return pickle.dumps((kind, content), pickle.HIGHEST_PROTOCOL)


def _frames(kind: str, items: Sequence[Any]) -> Iterator[bytes]:
    for start in range(0, len(items), MOST_ITEMS):
        yield from _halved(kind, items[start : start + MOST_ITEMS])


def _halved(kind: str, items: Sequence[Any]) -> Iterator[bytes]:
    frame = _frame(kind, items)
    if len(frame) <= MOST_BYTES or len(items) == 1:
        yield frame
        return
    half = len(items) // 2
    yield from _halved(kind, items[:half])
    yield from _halved(kind, items[half:])


class TransferError(Exception):
    """Not what was sent has come; says why, to end a sentence with."""


class Intake:
    """Makes settings of frames. A target that says the same as one of `before` is that very object, so that whoever
    knows it has nothing to do; `news` counts the others. `settings` is None until the last frame was taken in.
    """

    def __init__(self, before: Mapping[TargetKey, Target]) -> None:
        self.settings: Settings | None = None
        self.news = 0
        self._before = before
        self._targets: list[Target] = []
        self._pins: dict[TargetKey, Pin] = {}
        self._files: dict[Path, Stamp] = {}
        #: The first part that said something, by the hash of what it said.
        self._firsts: dict[int, Any] = {}
        #: The same by the identity of the parts of `before`, which outlive the intake.
        self._old: dict[int, Any] = {}

    def take(self, frame: bytes) -> Iterator[None]:
        """Takes a frame in, step by step.

        Raises ConfigError where that is what came, and TransferError where it is no frame.
        """
        try:
            kind, content = pickle.loads(frame)  # noqa: S301 (nobody but our own child writes to the pipe)
        except Exception as error:  # of what is no pickle, or one of other classes, pickle makes anything
            raise TransferError(f"its reader wrote no settings ({type(error).__name__})") from None
        yield
        new: dict[int, Any] = {}  # its parts by identity; those that nobody keeps go with the frame
        match kind:
            case "targets":
                for target in content:
                    self._targets.append(self._same_or_new(target, new))
                    yield
            case "pins":
                for key, pin in content:
                    self._pins[key] = self._first(pin, new)
                    yield
            case "watched_files":
                self._files.update(content)
            case "problems":
                raise ConfigError(content, self._files)
            case "settings":
                whole = {"targets": tuple(self._targets), "pins": self._pins, "watched_files": self._files}
                self.settings = replace(content, **whole)
                for done in (self._firsts, self._old):
                    while done:  # to free it all at once takes its time as well
                        done.popitem()
                        yield

    def _same_or_new(self, target: Target, new: dict[int, Any]) -> Target:
        before = self._before.get(target.key)
        olds = [self._first(getattr(before, name), self._old) for name in _PARTS] if before else []
        parts = [self._first(getattr(target, name), new) for name in _PARTS]
        if before and all(map(is_, olds, parts)) and all(getattr(before, n) == getattr(target, n) for n in _OTHERS):
            return before
        self.news += 1
        return replace(target, **dict(zip(_PARTS, parts, strict=True)))

    def _first(self, part: Any, known: dict[int, Any]) -> Any:
        """The first part that said the same: it is equal, and written the same, since 1 == True, but not in JSON.

        `known` has what was found before, by the identity of parts that are alive.
        """
        found = known.get(id(part))
        if found is None:
            said = hash(repr(part))
            found = self._firsts.get(said)
            if found is None or found != part:
                found = self._firsts[said] = part
            known[id(part)] = found
        return found

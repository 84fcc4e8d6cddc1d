"""Settings on their way from one process to another, in frames so small that taking one in holds up no probe."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from operator import is_
from pathlib import Path
from struct import Struct
from typing import Any

from worker.core.pin import Pin
from worker.core.shard import Shard
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
_PARTS = ("inputs", "parameters", "labels", "expect", "slo", "pin")
_OTHERS = tuple(field.name for field in fields(Target) if field.name not in _PARTS)


def as_word(shard: Shard | None) -> str:
    """For a command line; `of_word` makes a shard of it again."""
    return f"{shard.index}/{shard.count}" if shard else ""


def of_word(word: str) -> Shard | None:
    index, _, count = word.partition("/")
    return Shard(index=int(index), count=int(count)) if word else None


def stream(outcome: Settings | ConfigError) -> Iterator[bytes]:
    """What loading came to, as bytes; an `Intake` makes the same of its frames."""
    yield MARK
    for frame in _all_frames(outcome):
        yield LENGTH.pack(len(frame)) + frame


def _all_frames(outcome: Settings | ConfigError) -> Iterator[bytes]:
    if isinstance(outcome, ConfigError):
        yield from _frames("watched_files", list(outcome.files.items()))
        yield _frame("problems", outcome.problems)
        return
    yield from _frames("watched_files", list(outcome.watched_files.items()))
    yield from _frames("pins", list(outcome.pins.items()))
    yield from _frames("targets", outcome.targets)
    yield _frame("settings", replace(outcome, targets=(), pins={}, watched_files={}))


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
        if kind == "settings":
            yield from self._complete(content)
        elif kind == "problems":
            raise ConfigError(content, self._files)
        else:
            new: dict[int, Any] = {}  # parts by identity; those that nobody keeps go with the frame
            for item in content:
                self._add(kind, item, new)
                yield

    def _add(self, kind: str, item: Any, new: dict[int, Any]) -> None:
        if kind == "targets":
            self._targets.append(self._same_or_new(item, new))
        elif kind == "pins":
            self._pins[item[0]] = self._first(item[1], new)
        else:
            self._files[item[0]] = item[1]

    def _complete(self, settings: Settings) -> Iterator[None]:
        targets = tuple(self._targets)
        self.settings = replace(settings, targets=targets, pins=self._pins, watched_files=self._files)
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
            # the keys that a pin lets go missing are written in any order
            said = hash(part) if isinstance(part, Pin) else hash(repr(part))
            found = self._firsts.get(said)
            if found is None or found != part:
                found = self._firsts[said] = part
            known[id(part)] = found
        return found

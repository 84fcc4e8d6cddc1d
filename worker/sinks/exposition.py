"""Exposition: the bytes of every family of every target, kept ready so that a scrape only joins them.

`generate_latest` builds everything anew at each scrape and holds the loop meanwhile. Here a result only marks its
target; changed families are rendered in short slices, and a scrape streams family by family.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track
from worker.sinks.families import FAMILIES, head, reader, target_labels, writer

#: No piece of a stream is larger than this.
PIECE_BYTES = 65_536
#: So many targets' lines are joined at a time: about a piece of a plain family.
_BATCH = 512

_STEADY = [family for family in FAMILIES if not family.moves]
_MOVING = [family for family in FAMILIES if family.moves]
_read_steady, _write_steady, _write_moving = reader(_STEADY), writer(_STEADY), writer(_MOVING)

#: Where the lines of a family are in a page.
_PLACES = {family.name: place for place, family in enumerate([*_STEADY, *_MOVING])}


@dataclass(slots=True, kw_only=True)
class _Page:
    """One target: the lines of its families, first the steady ones, which are made of what `read` is.

    `lines` is replaced, never changed, so that a stream under way keeps the lines that it began with.
    """

    target: Target
    track: Track
    labels: str
    read: tuple[Any, ...] = ()
    lines: tuple[bytes, ...] = ()

    def refresh(self) -> None:
        labels, target, track = self.labels, self.target, self.track
        read = _read_steady(target, track)
        steady = self.lines[: len(_STEADY)] if read == self.read else _write_steady(labels, target, track)
        self.read, self.lines = read, steady + _write_moving(labels, target, track)


class Exposition:
    """The per-target part of /metrics. Results of targets that were never added, or have left, are ignored."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._pages: dict[TargetKey, _Page] = {}
        self._dirty: dict[TargetKey, _Page] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, key: TargetKey) -> bool:
        return key in self._pages

    def add(self, target: Target, track: Track = Track()) -> None:  # noqa: B008 (frozen)
        """A configured target: its series exist from now on, at 0 unless `track` remembers more."""
        page = _Page(target=target, track=track, labels=target_labels(target.key))
        self._pages[target.key] = self._dirty[target.key] = page

    def replace(self, target: Target) -> None:
        """The same target with other settings (interval, labels); what is remembered of it stays."""
        page = self._dirty[target.key] = self._pages[target.key]
        page.target = target

    def record(self, recorded: Recorded) -> bool:
        """False for a target that was never added, or has left."""
        key = recorded.result.target.key
        page = self._pages.get(key)
        if page is None:
            return False
        page.track = recorded.track
        self._dirty[key] = page
        return True

    def forget(self, key: TargetKey) -> None:
        self._pages.pop(key, None)
        self._dirty.pop(key, None)

    def render(self, budget_s: float = 0.002) -> bool:
        """Renders marked targets for at most `budget_s` (and one target more); True when none is left."""
        dirty, clock = self._dirty, self._clock
        until = clock() + budget_s
        while dirty:
            # The last in goes first: every scrape waits for all of them, so none can be left behind.
            dirty.popitem()[1].refresh()
            if clock() >= until:
                break
        return not dirty

    def stream(self, *, openmetrics: bool) -> Iterator[bytes]:
        """Every family in turn, as it was when the last marked target had been rendered; no `# EOF`.

        An empty piece only gives the caller a chance to let the event loop go on.
        """
        while not self.render():
            yield b""
        pages = [page.lines for page in self._pages.values()]
        yield from in_pieces(_lines(pages, openmetrics=openmetrics))


def _lines(pages: list[tuple[bytes, ...]], *, openmetrics: bool) -> Iterator[bytes]:
    """A family of which no target has a sample is left out, HELP and TYPE included."""
    for family in FAMILIES:
        opening = head(family.name, family.kind, family.help, openmetrics=openmetrics)
        place = _PLACES[family.name]
        for start in range(0, len(pages), _BATCH):
            block = b"".join([lines[place] for lines in pages[start : start + _BATCH]])
            if block:
                yield opening + block
                opening = b""


def in_pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Gathers small blocks and cuts large ones, so that nothing is larger than PIECE_BYTES."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        if held and size + len(block) > PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
        if len(block) <= PIECE_BYTES:
            held.append(block)
            size += len(block)
        else:
            yield from (block[start : start + PIECE_BYTES] for start in range(0, len(block), PIECE_BYTES))
    if held:
        yield b"".join(held)

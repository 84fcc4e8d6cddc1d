"""Finds where in a file's text given places stand: a second parse, so only when there is something to point at."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from worker.config.events import NextEvent, events, position
from worker.config.source import Place, Position, Source, UnreadableError

_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


@dataclass(slots=True)
class _Wanted:
    """A tree of the places to find; positions are filled in on the way, the first of a key written twice."""

    inside: dict[str | int, "_Wanted"] = field(default_factory=dict)
    key: Position | None = None
    value: Position | None = None


class Places:
    """Positions of some places in one file."""

    def __init__(self, source: Source, places: Iterable[Place]) -> None:
        self._root = _Wanted()
        for place in places:
            node = self._root
            for part in place:
                node = node.inside.setdefault(part, _Wanted())
        # A file that breaks off still tells of what stands before the break.
        with suppress(yaml.YAMLError, UnreadableError, StopIteration):
            _Search(events(source), _leaves(self._root)).document(self._root)

    def position(self, place: Place, *, on_key: bool) -> Position:
        """Of the value or its key; of the nearest thing around it where it stands nowhere (a missing key, an alias)."""
        node, best = self._root, self._root.value or Position(1, 1)
        for depth, part in enumerate(place, start=1):
            node = node.inside[part]
            last = depth == len(place)
            best = (node.key if last and on_key else None) or node.value or best
        return best


def _leaves(wanted: _Wanted) -> int:
    return sum(map(_leaves, wanted.inside.values())) if wanted.inside else 1


@dataclass(slots=True)
class _Search:
    """One pass over a file's events, which ends (with StopIteration) when the last of `left` places is found."""

    next_event: NextEvent
    left: int

    def document(self, wanted: _Wanted) -> None:
        while type(event := self.next_event()) is not yaml.DocumentStartEvent:
            if type(event) is yaml.StreamEndEvent:
                return
        self._find(self.next_event(), wanted)

    def _find(self, event: Any, wanted: _Wanted) -> None:
        first = wanted.value is None
        wanted.value = wanted.value or position(event)
        if not wanted.inside:
            self.left -= first
            if not self.left:
                raise StopIteration
            self._skip(event)
        elif type(event) is yaml.MappingStartEvent:
            self._find_in_mapping(wanted)
        elif type(event) is yaml.SequenceStartEvent:
            self._find_in_sequence(wanted)

    def _find_in_mapping(self, wanted: _Wanted) -> None:
        while type(event := self.next_event()) is not yaml.MappingEndEvent:
            inside = wanted.inside.get(event.value) if type(event) is yaml.ScalarEvent else None
            if inside is None:
                self._skip(event)
                self._skip(self.next_event())
            else:
                inside.key = inside.key or position(event)
                self._find(self.next_event(), inside)

    def _find_in_sequence(self, wanted: _Wanted) -> None:
        index = 0
        while type(event := self.next_event()) is not yaml.SequenceEndEvent:
            inside = wanted.inside.get(index)
            if inside is None:
                self._skip(event)
            else:
                self._find(event, inside)
            index += 1

    def _skip(self, event: Any) -> None:
        depth = 0
        while True:
            if isinstance(event, _STARTS):
                depth += 1
            elif isinstance(event, _ENDS):
                depth -= 1
            if depth == 0:
                return
            event = self.next_event()

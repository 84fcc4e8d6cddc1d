"""Text to JSON values: YAML 1.2's core types, duplicate keys and all that JSON cannot hold refused with their place."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import yaml

from worker.config.events import NextEvent, events, position, unreadable_yaml
from worker.config.scalars import NotJsonError, plain_value
from worker.config.source import Place, Position, Problem, Source, UnreadableError
from worker.config.units import shown

MAX_DEPTH = 100
# Aliases may repeat what stands in the file, but not blow it up: a few lines can stand for billions of values.
_FREE_NODES = 100_000
_NODES_PER_CHARACTER = 2

_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTION_TAGS = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


def values(source: Source, problems: list[Problem]) -> Any:
    """What the file says; what is wrong with it goes to `problems`. Raises UnreadableError."""
    if source.is_json:
        value, clean = _fast_json(source.text)
        if clean:
            return value
    try:
        return _Builder(source, problems).document()
    except yaml.YAMLError as error:
        raise unreadable_yaml(error, source.text) from None


def deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and mappings stand in one another more than `depth` times."""
    if not isinstance(value, (dict, list)):
        return False
    if depth == 0:
        return True
    return any(deeper_than(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value))


@dataclass(slots=True)
class _JsonCheck:
    """Hooks for json.loads that notice what it would let pass."""

    clean: bool = True

    def mapping(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        self.clean = self.clean and len(result) == len(pairs)
        return result

    def number(self, text: str) -> float:
        result = float(text)
        self.clean = self.clean and math.isfinite(result)
        return result

    def whole_number(self, text: str) -> int:
        try:
            return int(text)
        except ValueError:  # Python refuses to read integers of more than 4300 digits.
            return self.constant(text)

    def constant(self, _text: str) -> int:
        self.clean = False
        return 0


def _fast_json(text: str) -> tuple[Any, bool]:
    """The values, and whether they may be used as they are; if not, the slow way finds what is wrong and where."""
    check = _JsonCheck()
    try:
        value = json.loads(
            text,
            object_pairs_hook=check.mapping,
            parse_float=check.number,
            parse_int=check.whole_number,
            parse_constant=check.constant,
        )
    except json.JSONDecodeError as error:
        raise UnreadableError(f"not JSON: {error.msg}", Position(error.lineno, error.colno)) from None
    except RecursionError:
        return None, False
    # Only an escape can make half a surrogate pair, which no request could be encoded with.
    return value, check.clean and "\\ud" not in text and "\\uD" not in text


@dataclass(slots=True)
class _Builder:
    """Builds values straight from the parser's events: composing nodes first costs five times as much."""

    source: Source
    problems: list[Problem]
    next: NextEvent = field(init=False)
    place: list[str | int] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    nodes: int = 0

    def __post_init__(self) -> None:
        self.next = events(self.source)

    def document(self) -> Any:
        self.next()
        if type(self.next()) is yaml.StreamEndEvent:
            return None
        value = self._node(self.next())
        self.next()
        event = self.next()
        if type(event) is not yaml.StreamEndEvent:
            raise UnreadableError("a second document starts here; a file holds one", position(event))
        return value

    def _node(self, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event)
        before = self.nodes
        self.nodes = before + 1
        value = self._scalar(event) if kind is yaml.ScalarEvent else self._collection(event, kind)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.nodes - before)
        return value

    def _collection(self, event: Any, kind: type) -> Any:
        if len(self.place) >= MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep", position(event), tuple(self.place[:8]))
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            self._refuse(event, f"the tag {shown(event.tag)} is not supported; leave it out")
        return self._mapping() if kind is yaml.MappingStartEvent else self._sequence()

    def _sequence(self) -> list[Any]:
        items: list[Any] = []
        place = self.place
        place.append(0)
        while type(event := self.next()) is not yaml.SequenceEndEvent:
            items.append(self._node(event))
            place[-1] = len(items)
        place.pop()
        return items

    def _mapping(self) -> dict[str, Any]:
        items: dict[str, Any] = {}
        merged: list[Any] = []
        place = self.place
        while type(event := self.next()) is not yaml.MappingEndEvent:
            key = self._key(event)
            place.append("?" if key is None else key)
            if key is not None and key in items:
                self._refuse_duplicate(event, key)
            value = self._node(self.next())
            place.pop()
            if key == "<<" and type(event) is yaml.ScalarEvent and event.implicit[0]:
                merged += self._merge(event, value)
            elif key is not None:
                items[key] = value
        for mapping in merged:
            items = {**mapping, **items}
        return items

    def _key(self, event: Any) -> str | None:
        if type(event) is yaml.ScalarEvent and event.tag is None:
            text: str = event.value
            known = self.keys.get(text)
            if known is not None:
                return known
        self.place.append("?")  # keys may stand in keys as deep as anything else
        key = self._node(event)
        self.place.pop()
        if isinstance(key, str):
            return self.keys.setdefault(key, key)
        scalar = type(event) is yaml.ScalarEvent
        quoting = f"; quote it: '{event.value[:60]}'" if scalar else "; quote a value that begins with { or ["
        self._refuse(event, f"a key is text, not {shown(key)}{quoting}")
        return None

    def _merge(self, event: Any, value: Any) -> list[dict[str, Any]]:
        mappings = value if isinstance(value, list) else [value]
        if all(isinstance(mapping, dict) for mapping in mappings):
            return mappings
        self._refuse(event, "<< takes a mapping or a list of mappings")
        return []

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is not None:
            if event.tag not in _TEXT_TAGS:
                self._refuse(event, f"the tag {shown(event.tag)} is not supported; leave it out")
            return text
        if not event.implicit[0]:
            if not text.isascii():
                self._refuse_surrogates(event)
            return text
        try:
            return plain_value(text)
        except NotJsonError as error:
            self._refuse(event, str(error))
            return None

    def _refuse_surrogates(self, event: Any) -> None:
        try:
            event.value.encode()
        except UnicodeEncodeError:
            self._refuse(event, "half of a surrogate pair, which is no character; write both halves")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            raise UnreadableError(
                f"*{event.anchor[:60]} refers to nothing that is complete before it", position(event), self._here()
            )
        value, size = self.anchors[event.anchor]
        self.nodes += size
        if self.nodes > _FREE_NODES + _NODES_PER_CHARACTER * len(self.source.text):
            raise UnreadableError(
                "aliases blow this file up beyond all measure; write it out", position(event), self._here()
            )
        return value

    def _here(self) -> Place:
        return tuple(self.place)

    def _refuse(self, event: Any, message: str) -> None:
        self.problems.append(Problem(source=self.source, place=self._here(), message=message, position=position(event)))

    def _refuse_duplicate(self, event: Any, key: str) -> None:
        self.problems.append(
            Problem(
                source=self.source,
                place=self._here(),
                message=f"the key {shown(key)} is written twice",
                position=position(event),
                first=(self.source, self._here()),
            )
        )

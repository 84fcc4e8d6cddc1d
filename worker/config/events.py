"""A file's text as a stream of YAML events with their positions, for YAML and for JSON alike."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from worker.config.source import Position, Source, UnreadableError, position_after

#: Gives the next event each time it is called.
NextEvent = Callable[[], Any]

# The C parser is ten times as fast; it is missing only where PyYAML was built without libyaml.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def events(source: Source) -> NextEvent:
    """The events of one file. Calls raise UnreadableError at a syntax error."""
    if source.is_json:
        return _JsonEvents(source.text).__next__
    try:
        next_event: NextEvent = _Loader(source.text).get_event
    except yaml.YAMLError as error:
        raise unreadable_yaml(error, source.text) from None
    return next_event


def position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def unreadable_yaml(error: yaml.YAMLError, text: str) -> UnreadableError:
    """A parser's error in our words, at its place."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text.encode("utf-8", errors="replace")[: error.position].decode("utf-8", errors="replace")
        return UnreadableError(
            f"not YAML: character U+{_code_point(error.character):04X} may not stand in a file", position_after(before)
        )
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return UnreadableError(f"not YAML: {error}", Position(1, 1))
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    return UnreadableError(
        f"not YAML: {_yaml_reason(error, line[mark.column :])}", Position(mark.line + 1, mark.column + 1)
    )


def _yaml_reason(error: Any, rest_of_line: str) -> str:
    if rest_of_line.startswith("\t"):
        return "a tab where only spaces may stand; indent with spaces"
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    if rest_of_line[:1] in ("@", "`", "%"):
        return f"{reason}; quote a value that begins with {rest_of_line[0]}"
    if error.context and "flow" in error.context:
        return f"{reason}; close what is open, or quote a value that holds [ ] {{ }} or a comma"
    return reason


def _code_point(character: Any) -> int:
    return character if isinstance(character, int) else ord(str(character)[:1] or "\0")


# Possessive: a scalar of ten megabytes would otherwise take a gigabyte for ways back that nobody goes.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|[^\s\[\]{}:,"]+', re.DOTALL)
_OPENING: dict[str, Callable[[yaml.Mark], Any]] = {
    "{": lambda mark: yaml.MappingStartEvent(None, None, True, mark),
    "[": lambda mark: yaml.SequenceStartEvent(None, None, True, mark),
    "}": lambda mark: yaml.MappingEndEvent(mark),
    "]": lambda mark: yaml.SequenceEndEvent(mark),
}


class _JsonEvents:
    """Events of JSON whose syntax json.loads has accepted: YAML readers refuse some JSON, such as surrogate pairs."""

    def __init__(self, text: str) -> None:
        self._events = self._all(text)

    def __next__(self) -> Any:
        return next(self._events)

    def _all(self, text: str) -> Iterator[Any]:
        yield yaml.StreamStartEvent()
        yield yaml.DocumentStartEvent()
        line, line_start, scanned = 0, 0, 0
        for token in _TOKEN.finditer(text):
            line += text.count("\n", scanned, token.start())
            line_start = max(line_start, text.rfind("\n", scanned, token.start()) + 1)
            scanned = token.start()
            yield _json_event(token[0], yaml.Mark("", scanned, line, scanned - line_start, None, 0))
        yield yaml.DocumentEndEvent()
        yield yaml.StreamEndEvent()


def _json_event(token: str, mark: yaml.Mark) -> Any:
    if opening := _OPENING.get(token):
        return opening(mark)
    quoted = token.startswith('"')
    value = json.loads(token) if "\\" in token else token.strip('"')
    return yaml.ScalarEvent(None, None, (not quoted, quoted), value, mark, style='"' if quoted else None)

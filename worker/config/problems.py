"""From what pydantic found to messages that name the remedy, and from problems to the lines that are printed."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from worker.config.fields import Keys
from worker.config.places import Places
from worker.config.source import Place, Position, Problem, Source, place_text
from worker.config.units import MOST_SHOWN, shown
from worker.settings import ConfigError
from worker.stamp import Stamp

MAX_LINES = 100
#: When so much is wrong the rest is not looked at: ten megabytes of mistakes would take a gigabyte.
MAX_PROBLEMS = 100_000
#: A shorter one is likely to be part of other words.
SHORTEST_SECRET = 4

_SECRET_KEYS = frozenset({
    "api_key", "apikey", "api-key", "key", "token", "api_token", "access_token", "bearer", "authorization",
    "password", "secret",
})  # fmt: skip
_MISSING = {
    "api": "it holds base_url, the address of the API",
    "file": "write the path of the file",
    "base_url": "write the address of the API, like https://mixpeek.example.com",
    "inputs": "list two different inputs at least",
    "namespace": "write the namespace's id",
    "path": "write the path",
    "shape": "write the shape, like '{embedding: number[384]}'",
    "targets": "write a list of targets",
    "vector": "write the list of numbers",
}
_ELSEWHERE = {
    "targets": "targets stand in a file of their own, which targets_files names",
    "defaults": "defaults stand in worker.yaml",
}


def validation_problems(
    error: ValidationError, model: type[Keys], source: Source, place: Place, value: Any
) -> Iterator[Problem]:
    """The problems of the value at `place`, which `model` refused."""
    for detail in error.errors(include_url=False):
        inside, on_key = _place_in_file(detail["loc"], value)
        unknown = detail["type"] == "extra_forbidden"
        message = _unknown(model, inside) if unknown else _message(detail, inside)
        yield Problem(source=source, place=place + inside, message=message, on_key=on_key or unknown)


def _place_in_file(loc: tuple[int | str, ...], value: Any) -> tuple[Place, bool]:
    """pydantic's path in terms of the file, where a lone vector stands in no list."""
    place: Place = ()
    on_key = False
    for part in loc:
        if part == "[key]":
            on_key = True
        elif not (isinstance(part, int) and isinstance(value, dict)):
            place += (part,)
            value = _item(value, part)
    return place, on_key


def _item(value: Any, part: int | str) -> Any:
    if isinstance(value, list) and isinstance(part, int):
        return value[part] if part < len(value) else None
    return value.get(part) if isinstance(value, dict) else None


def _message(detail: Mapping[str, Any], place: Place) -> str:
    context = detail.get("ctx", {})
    found = shown(detail["input"])
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return f"missing; {_MISSING.get(str(place[-1]), 'it is required')}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {found}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {found}"
        case "literal_error":
            return f"must be {context['expected']}, not {found}"
        case "too_short":
            return "is empty; list at least one"
    return _wrong_kind(str(detail["type"]), detail["input"]) or f"{detail['msg']}, not {found}"


def _wrong_kind(error_type: str, value: Any) -> str | None:
    match error_type.partition("_")[0]:
        case "string":
            quoting = "; put it in quotes as it is written" if isinstance(value, (bool, int, float)) else ""
            return f"must be text, not {shown(value)}{quoting}"
        case "int":
            return f"must be a whole number, not {shown(value)}"
        case "float" | "finite":
            return f"must be a number, not {shown(value)}"
        case "bool":
            return f"must be true or false, not {shown(value)}"
        case "list":
            listing = f"; write [{value}]" if isinstance(value, str) and value.isalnum() and len(value) < 40 else ""
            return f"must be a list, not {shown(value)}{listing}"
        case "dict" | "model":
            return f"must be a mapping, not {shown(value)}"
    return None


def _unknown(model: type[Keys], place: Place) -> str:
    """Of a key that may not stand at `place`, in what `model` describes."""
    *above, key = place
    around = next((str(part) for part in above if isinstance(part, str)), "")
    return _unknown_key(str(key), _keys_at(model, tuple(above)), _homes(model, str(key), around))


def _homes(model: type[Keys], key: str, around: str) -> tuple[str, ...]:
    """Where in the file a key of that name may stand; `around` is what holds the place where it does."""
    found = [f"beside {around}"] if around and key in _keys_at(model, ()) else []
    left = [(model, "")]
    while left:
        outer, path = left.pop(0)
        for name in _keys_at(outer, ()):
            inner = _keys_in(outer, name)
            if inner:
                left.append((inner, f"{path}{name}."))
                found += [f"in {path}{name}"] * (key in _keys_at(inner, ()))
    return tuple(found)


# Cached: the same slip often stands in every target, and looking for what was meant takes a while.
@lru_cache(maxsize=1024)
def _unknown_key(key: str, known: tuple[str, ...], homes: tuple[str, ...]) -> str:
    if key in _ELSEWHERE:
        return f"unknown key here; {_ELSEWHERE[key]}"
    nearest = get_close_matches(key[:60], known, n=1)
    if key.lower() in _SECRET_KEYS and not (nearest and "_" not in key):
        return (
            "secrets never stand in these files; in worker.yaml, api.api_key_env names an environment variable"
            " and api.api_key_file a file"
        )
    if homes:
        return f"unknown key here; it belongs {' or '.join(homes)}"
    if nearest:
        return f"unknown key; did you mean {nearest[0]}?"
    return f"unknown key; known here: {', '.join(known)}"


def _keys_at(model: type[Keys], place: Place) -> tuple[str, ...]:
    """The keys that may stand in the mapping at `place`."""
    for part in place:
        if isinstance(part, str):
            model = _keys_in(model, part) or model
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _keys_in(model: type[Keys], key: str) -> type[Keys] | None:
    """The model of what stands below one of a model's keys, if that is a mapping, or a list of some."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    return _model_in(fields[key].annotation)


def _model_in(annotation: Any) -> type[Keys] | None:
    if isinstance(annotation, type) and issubclass(annotation, Keys):
        return annotation
    return next((model for model in map(_model_in, get_args(annotation)) if model), None)


class TooManyError(Exception):
    """So much is wrong that it makes no sense to go on."""


class Problems(list[Problem]):
    """Those of all files, in the order in which they were found."""

    def append(self, problem: Problem) -> None:
        """Raises TooManyError when there are too many, this one included."""
        super().append(problem)
        if len(self) >= MAX_PROBLEMS:
            raise TooManyError

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.append(problem)


def raise_all(problems: list[Problem], *, files: Mapping[Path, Stamp] | None = None, secret: str = "") -> None:
    """Raises ConfigError if there are any: file by file, from top to bottom.

    `secret` appears in none of them, though a ${VAR} in the wrong place may have put it there.
    """
    if not problems:
        return
    told = problems[:MAX_LINES]
    positions = _Positions(told)
    order = {source: number for number, source in enumerate(dict.fromkeys(p.source.path for p in problems))}
    rows = []
    for problem in told:
        position = problem.position or positions(problem.source, problem.place, problem.on_key)
        first = problem.first and (problem.first[0].name, positions(*problem.first, True))
        rows.append((order[problem.source.path], position, _line(problem, position, first)))
    # Stable, so problems at one position stay in the order in which they were found.
    lines = [line for _, _, line in sorted(rows, key=lambda row: row[:2])]
    if len(problems) > MAX_LINES:
        rest = ", and the rest was not looked at" if len(problems) >= MAX_PROBLEMS else ""
        lines.append(f"… and {len(problems) - MAX_LINES} more{rest}")
    if len(secret) >= SHORTEST_SECRET:
        lines = [_redacted(line, secret) for line in lines]
    raise ConfigError(lines, files)


def _redacted(line: str, secret: str) -> str:
    """Also where a value that holds it was cut off within it."""
    line = line.replace(secret, "[REDACTED]")
    for length in range(min(len(secret) - 1, MOST_SHOWN), SHORTEST_SECRET - 1, -1):
        line = line.replace(f"{secret[:length]}…", "[REDACTED]…")
    return line


def _line(problem: Problem, position: Position, first: tuple[str, Position] | None) -> str:
    place = f"{place_text(problem.place)}: " if problem.place else ""
    text = f"{problem.source.name}:{position.line}:{position.column}: {place}{problem.message}"
    if first:
        text += f"; the first is at {first[0]}:{first[1].line}:{first[1].column}"
    # Half a surrogate pair or a line break would spoil the output of all the others.
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _Positions:
    """Positions in any of the files, each parsed again at most once."""

    def __init__(self, problems: list[Problem]) -> None:
        wanted: dict[str, tuple[Source, list[Place]]] = {}
        for problem in problems:
            here = [] if problem.position else [(problem.source, problem.place)]
            for source, place in [*here, *([problem.first] if problem.first else [])]:
                wanted.setdefault(str(source.path), (source, []))[1].append(place)
        self._files = {path: Places(source, places) for path, (source, places) in wanted.items()}

    def __call__(self, source: Source, place: Place, on_key: bool) -> Position:
        return self._files[str(source.path)].position(place, on_key=on_key)

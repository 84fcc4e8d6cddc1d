"""expect.schema: JSON Schemas compiled once each, without ever asking the network."""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from worker.core.target import SchemaProblem

_TEXT_LIMIT = 200
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# What stands under these is data, not schema.
_DATA_KEYWORDS = frozenset({"const", "enum", "default", "examples"})
_DIALECTS = tuple(
    f"{scheme}://json-schema.org/{draft}/schema"
    for scheme in ("http", "https")
    for draft in ("draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
)


class CompiledSchema:
    """Callable as worker.core.target.SchemaCheck.

    What was compiled can't be handed to another process: that gets the text, and compiles it when it is first needed.
    """

    __slots__ = ("_text", "_validator")

    def __init__(self, text: str, validator: Any = None) -> None:
        self._text = text
        self._validator = validator

    @property
    def schema(self) -> dict[str, Any]:
        """What it was compiled from."""
        schema: dict[str, Any] = json.loads(self._text)
        return schema

    def __call__(self, value: Any) -> SchemaProblem | None:
        if self._validator is None:
            self._validator = _validator(self.schema)
        try:
            if self._validator.is_valid(value):
                return None
            return _problem(next(self._validator.iter_errors(value)))
        # A reply may hold what the library cannot take (half a surrogate pair, say); that fits no schema either.
        except (ValueError, StopIteration) as error:
            return SchemaProblem(path="", expected="a value that can be checked", found=_clipped(str(error)))

    def __repr__(self) -> str:
        return f"CompiledSchema({self._text})"

    def __reduce__(self) -> tuple[Callable[[str], "CompiledSchema"], tuple[str]]:
        return _uncompiled, (self._text,)


def compiled(schema: dict[str, Any]) -> CompiledSchema:
    """One check for all schemas that are the same. Raises ValueError."""
    result = _compile(json.dumps(schema, sort_keys=True))
    if isinstance(result, str):
        raise ValueError(result)
    return result


# Failures are kept as values, so that a mistake in 100,000 targets is looked at once.
@lru_cache(maxsize=4096)
def _compile(schema_text: str) -> CompiledSchema | str:
    schema: dict[str, Any] = json.loads(schema_text)
    for keyword, reference in _references(schema):
        if keyword == "$schema" and reference.rstrip("#") not in _DIALECTS:
            return f"unknown $schema {_clipped(repr(reference), 80)}; leave it out or name a published draft"
        if keyword != "$schema" and not reference.startswith("#"):
            return f"remote reference {_clipped(repr(reference), 80)} is refused; copy it into $defs"
    # Imported late: most configurations have no schema, and start-up is to stay lean.
    import jsonschema_rs

    try:
        return CompiledSchema(schema_text, _validator(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return _clipped(f"no JSON Schema: {_reason(error)}")


# One for all that are the same, here too: each compiled one takes memory.
@lru_cache(maxsize=4096)
def _uncompiled(schema_text: str) -> CompiledSchema:
    return CompiledSchema(schema_text)


def _validator(schema: dict[str, Any]) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(schema, retriever=_refuse_to_retrieve)


def _refuse_to_retrieve(uri: str) -> Any:
    raise ValueError(f"{uri} is not here")


def _reason(error: Exception) -> str:
    message = str(getattr(error, "message", error)).split("\n", 1)[0]
    place = _path_text(getattr(error, "instance_path", []))
    return f"at {place}: {message}" if place else message


def _references(schema: Any) -> Iterator[tuple[str, str]]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for keyword, value in schema.items():
            if keyword in ("$schema", *_REFERENCES) and isinstance(value, str):
                yield keyword, value
            elif keyword not in _DATA_KEYWORDS:
                yield from _references(value)


def _problem(error: Any) -> SchemaProblem:
    return SchemaProblem(
        path=_clipped(_path_text(error.instance_path)),
        expected=_clipped(_expected(error.kind)),
        found=_clipped(_json(error.instance), 120),
    )


def _expected(kind: Any) -> str:
    """`type: "number"`; of alternatives only the keyword, since what is wrong with each would fill a page."""
    wanted = getattr(kind, "value", None)
    if wanted is None or kind.name in ("anyOf", "oneOf"):
        return str(kind.name)
    return f"{kind.name}: {_json(wanted[0] if kind.name == 'type' and len(wanted) == 1 else wanted)}"


def _json(value: Any) -> str:
    # Only the beginning is shown, so a vector of thousands of numbers need not be written out first.
    if isinstance(value, list) and len(value) > 8:
        return f"{_json(value[:8])[:-1]}, … {len(value)} items]"
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return type(value).__name__


def _path_text(path: list[Any]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _clipped(text: str, limit: int = _TEXT_LIMIT) -> str:
    line = text if text.isprintable() else text[:limit].encode("unicode_escape").decode("ascii")
    return line if len(line) <= limit else line[: limit - 1] + "…"

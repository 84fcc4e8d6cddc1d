"""How an entry of the shapes file is written: the lines of a namespace, a plugin and its keys."""

import re
from collections.abc import Iterator, Mapping, Sequence

from worker.config.scalars import NotJsonError, plain_value

Fields = Mapping[str, str | int | Sequence[str]]

HEADER = "# Shapes of replies, pinned by `plugin-probe shapes pin`: review a change here as you would review code."
#: The keys of an entry that are ours, in their order.
OURS = ("shape", "vectors", "samples")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?:\[[0-9.]*\])*")
#: What readers of older YAML take for something else than text.
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null"})


def namespace_lines(name: str, plugins: Mapping[str, Fields], column: int, step: int) -> Iterator[str]:
    """A namespace with its entries, `step` deeper than it."""
    yield f"{' ' * column}{_word(name)}:"
    for plugin, fields in plugins.items():
        yield from entry_lines(plugin, fields, column + step, step)


def entry_lines(name: str, fields: Fields, column: int, step: int) -> Iterator[str]:
    yield f"{' ' * column}{_word(name)}:"
    for field_name in OURS:
        if field_name in fields:
            yield from field_lines(field_name, fields[field_name], column + step)


def field_lines(name: str, value: str | int | Sequence[str], column: int) -> Iterator[str]:
    margin = " " * column
    if isinstance(value, int):
        yield f"{margin}{name}: {value}"
    elif not isinstance(value, str):
        yield f"{margin}{name}: [{', '.join(_word(item, flow=True) for item in value)}]"
    elif "\n" in value:
        yield f"{margin}{name}: |-"
        yield from (f"{margin}  {line}" for line in value.split("\n"))
    else:
        yield f"{margin}{name}: {_word(value)}"


def _word(text: str, *, flow: bool = False) -> str:
    """As it is where every YAML reader takes it for this text, else in double quotes."""
    try:
        plain = plain_value(text) == text and text.lower() not in _WORDS
    except NotJsonError:
        plain = False
    if plain and _PLAIN.fullmatch(text) and not (flow and "[" in text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""How a shape is written: on one line, over several lines for a diff, and read back again; and its short hash.

null bool integer number string    scalars; `any` stands for anything
number[384]  number[3][384]        arrays, outermost length first; [] any length, [1..5] and [1..] ranges
{embedding: number[384], id?: string}    objects; a key with ? may be missing
{*: number}                        an object of many keys
(null | string)                    one of several
"""

import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from hashlib import blake2b
from typing import NoReturn

from worker.core.shape import LEAVES, Shape, array, map_of, object_of, union

#: Larger shapes are written anew each time: 4,096 of them would be hundreds of megabytes.
_SMALL_NODES = 24
#: What is written may be nested so deep; far deeper than what is inferred.
MAX_NESTING = 64

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"(?P<skip>\s+|\#[^\n]*)|(?P<quoted>\"(?:[^\"\\\n]|\\.)*\")|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>\d{1,12})"
    r"|(?P<mark>\.\.|[{}\[\]():,?|*])"
)


def text(shape: Shape, *, widened: bool = False) -> str:
    """On one line: `{embedding: number[384], model: string}`. `widened` writes integers as numbers."""
    return _written(shape, widened, None)


def text_and_digest(shape: Shape) -> tuple[str, str]:
    """Both, remembered for small shapes: what answers in one shape today most likely does so tomorrow."""
    return _remembered(shape) if shape.size <= _SMALL_NODES else (text(shape), digest(shape))


def pretty(shape: Shape) -> str:
    """A key a line, so that a diff shows which one has changed."""
    return _written(shape, False, 0)


def digest(shape: Shape) -> str:
    """Eight hexadecimal digits, the same for the same shape. An integer counts as a number: 1 and 1.0 are one shape."""
    return blake2b(text(shape, widened=True).encode(errors="surrogatepass"), digest_size=4).hexdigest()


@lru_cache(maxsize=4096)
def _remembered(shape: Shape) -> tuple[str, str]:
    return text(shape), digest(shape)


def _written(shape: Shape, widened: bool, indent: int | None) -> str:
    """`indent` None puts all of it on one line."""
    match shape.kind:
        case "integer" if widened:
            return "number"
        case "object":
            return _object_text(shape, widened, indent)
        case "map":
            return "{*: " + _written(shape.parts[0][1], widened, indent) + "}"
        case "mixed":
            return "(" + " | ".join(_written(part, widened, indent) for _, part in shape.parts) + ")"
        case "array":
            return _array_text(shape, widened, indent)
    return shape.kind


def _object_text(shape: Shape, widened: bool, indent: int | None) -> str:
    inside = None if indent is None else indent + 1
    parts = [
        f"{key_text(name)}{'?' if name in shape.optional else ''}: {_written(part, widened, inside)}"
        for name, part in shape.parts
    ]
    if inside is None or not parts:
        return "{" + ", ".join(parts) + "}"
    return "{\n" + "".join(f"{'  ' * inside}{part},\n" for part in parts) + "  " * (inside - 1) + "}"


def _array_text(shape: Shape, widened: bool, indent: int | None) -> str:
    """A matrix reads outermost first: `number[3][384]`. An array that is always empty is `any[0]`."""
    lengths, node = "", shape
    while node.kind == "array":
        lengths += f"[{_length(node.least, node.most)}]"
        if node.inner is None:
            return "any" + lengths
        node = node.inner
    return _written(node, widened, indent) + lengths


def _length(least: int, most: int | None) -> str:
    if most is None:
        return f"{least}.." if least else ""
    return str(least) if least == most else f"{least}..{most}"


def key_text(name: str) -> str:
    """As it is where it is a plain word, else quoted as in JSON; nothing in it is unprintable."""
    if _PLAIN_KEY.fullmatch(name):
        return name
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else json.dumps(c)[1:-1] for c in name) + '"'


# Reading --------------------------------------------------------------------------------------------------------------


class NotationError(ValueError):
    """What is written is no shape; the message names line and column where it has several lines."""


def parse(written: str) -> Shape:
    """The shape of a text in this notation, in its canonical form. Raises NotationError."""
    return _Reader(written).shape()


@dataclass(slots=True)
class _Reader:
    written: str
    _at: int = 0
    _sort: str = ""
    _word: str = ""
    _nesting: int = 0
    _next: int = field(default=0)

    def __post_init__(self) -> None:
        self._advance()

    def shape(self) -> Shape:
        shape = self._term()
        if self._sort:
            self._refuse(f"nothing more is expected here, but {self._word!r} follows")
        return shape

    def _term(self) -> Shape:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._refuse(f"nested more than {MAX_NESTING} deep")
        shape = self._lengths(self._base())
        self._nesting -= 1
        return shape

    def _base(self) -> Shape:
        if self._take("{"):
            return self._object()
        if self._take("("):
            alternatives = [self._term()]
            while self._take("|"):
                alternatives.append(self._term())
            self._expect(")", "| or )")
            return union(alternatives)
        word = self._word
        if self._sort != "word" or word not in LEAVES:
            near = get_close_matches(word[:20], LEAVES, n=1) if self._sort == "word" else []
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(LEAVES)}, {{…}} or (… | …)"
            self._refuse(f"{self._shown()} is no kind of value; {hint}")
        self._advance()
        return LEAVES[word]

    def _object(self) -> Shape:
        if self._take("*"):
            self._expect(":", ":")
            shape = map_of(self._term())
            self._expect("}", "}")
            return shape
        parts: dict[str, Shape] = {}
        optional: set[str] = set()
        while not self._take("}"):
            name = self._key()
            if name in parts:
                self._refuse(f"the key {key_text(name)} is written twice")
            self._advance()
            if self._take("?"):
                optional.add(name)
            self._expect(":", ":")
            parts[name] = self._term()
            if self._word != "}" or self._sort != "mark":
                self._expect(",", ", or }")
        return object_of(parts, frozenset(optional))

    def _key(self) -> str:
        if self._sort == "word":
            return self._word
        if self._sort != "quoted":
            self._refuse(f"a key is expected here, not {self._shown()}")
        try:
            return str(json.loads(self._word))
        except ValueError:
            self._refuse(f"{self._word[:40]} is no JSON string")

    def _lengths(self, base: Shape) -> Shape:
        lengths = []
        while self._take("["):
            lengths.append(self._range())
            self._expect("]", "]")
        for least, most in reversed(lengths):
            base = array(base, least, most)
        return base

    def _range(self) -> tuple[int, int | None]:
        least = self._whole_number()
        if not self._take(".."):
            return (0, None) if least is None else (least, least)
        most = self._whole_number()
        if most is not None and most < (least or 0):
            self._refuse(f"the range {least}..{most} is empty")
        return least or 0, most

    def _whole_number(self) -> int | None:
        if self._sort != "number":
            return None
        value = int(self._word)
        self._advance()
        return value

    def _take(self, mark: str) -> bool:
        if self._sort != "mark" or self._word != mark:
            return False
        self._advance()
        return True

    def _expect(self, mark: str, told: str) -> None:
        if not self._take(mark):
            self._refuse(f"{told} is expected here, not {self._shown()}")

    def _advance(self) -> None:
        self._sort = "skip"
        while self._sort == "skip":
            self._at = self._next
            token = _TOKEN.match(self.written, self._at)
            if token is None:
                self._sort, self._word = "", ""
                if self._at < len(self.written):
                    self._refuse(f"{self.written[self._at]!a} is not expected here")
                return
            self._sort, self._word, self._next = token.lastgroup or "", token[0], token.end()

    def _shown(self) -> str:
        return repr(self._word[:40]) if self._sort else "the end"

    def _refuse(self, message: str) -> NoReturn:
        before = self.written[: self._at]
        line, column = before.count("\n") + 1, self._at - before.rfind("\n")
        where = f"line {line}, column {column}" if "\n" in self.written else f"column {column}"
        raise NotationError(f"{where}: {message}")

"""The shape of a JSON value: a small tree, its canonical text and a short hash of that."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

#: Objects with more keys and arrays with more kinds of element than this are summarised, so that a shape stays small.
MAX_KEYS = 64
MAX_KINDS = 8
#: Deeper than this is `...`: nobody reads it, and the parser allows 200 levels.
MAX_DEPTH = 16
#: A key longer than this is cut in the text.
MAX_KEY_LENGTH = 64

_SCALARS: dict[type, str] = {type(None): "null", bool: "bool", int: "integer", float: "number", str: "string"}
_NUMBERS = {int, float}


@dataclass(frozen=True, slots=True)
class Shape:
    """A node of the tree.

    `kind` is null, bool, integer, number, string, array, object, map (an object of too many keys), mixed (an array's
    elements of several kinds) or deep. `length` is an array's; `parts` are an object's values by key, sorted, or the
    one element shape of an array or a map, or the kinds that a mixed one holds.
    """

    kind: str
    length: int | None = None
    parts: tuple[tuple[str, "Shape"], ...] = ()

    def text(self) -> str:
        """The canonical form: `{embedding: number[384], model: string}`."""
        if self.kind == "object":
            return "{" + ", ".join(f"{_key(name)}: {shape.text()}" for name, shape in self.parts) + "}"
        if self.kind == "array":
            return _array_text(self)
        if self.kind == "map":
            return "{*: " + self.parts[0][1].text() + "}"
        if self.kind == "mixed":
            return "(" + " | ".join(shape.text() for _, shape in self.parts) + ")"
        return "..." if self.kind == "deep" else self.kind

    def digest(self) -> str:
        """Eight hexadecimal digits, the same for equal text. An integer counts as a number: 1 and 1.0 are one shape."""
        return blake2b(self.text().replace("integer", "number").encode(), digest_size=4).hexdigest()


_LEAVES = {name: Shape(kind=name) for name in (*_SCALARS.values(), "deep")}
_NUMBER = _LEAVES["number"]


def infer(value: Any, depth: int = 0) -> Shape:
    """The shape of a parsed JSON value. Never raises; never larger than the caps above allow."""
    kind = _SCALARS.get(type(value))
    if kind is not None:
        return _LEAVES[kind]
    if depth >= MAX_DEPTH:
        return _LEAVES["deep"]
    if isinstance(value, dict):
        return _infer_object(value, depth)
    if isinstance(value, list):
        return Shape(kind="array", length=len(value), parts=(("", _infer_elements(value, depth)),) if value else ())
    return _LEAVES["deep"]


def _infer_object(value: dict[str, Any], depth: int) -> Shape:
    if len(value) > MAX_KEYS:
        return Shape(kind="map", parts=(("", _combine({infer(item, depth + 1) for item in _sample(value.values())})),))
    return Shape(kind="object", parts=tuple((key, infer(value[key], depth + 1)) for key in sorted(value)))


def _infer_elements(values: list[Any], depth: int) -> Shape:
    kinds = set(map(type, values))
    if kinds == {float}:  # what an embedding is
        return _NUMBER
    if all(kind in _SCALARS for kind in kinds):
        return _combine({_LEAVES[_SCALARS[kind]] for kind in kinds})
    return _combine({infer(item, depth + 1) for item in _sample(values)})


def _sample(values: Any) -> list[Any]:
    """The first thousand: enough to see what an array of objects is made of, whatever its length."""
    found = []
    for value in values:
        found.append(value)
        if len(found) >= 1000:
            break
    return found


def _combine(shapes: set[Shape]) -> Shape:
    """One shape for all: integers beside numbers are numbers, anything else beside each other is mixed."""
    if len(shapes) > 1 and _NUMBER in shapes:
        shapes = shapes - {_LEAVES["integer"]}
    if len(shapes) == 1:
        return next(iter(shapes))
    ordered = sorted(shapes, key=Shape.text)
    if len(ordered) > MAX_KINDS:
        ordered = [_LEAVES.get(kind, Shape(kind=kind)) for kind in sorted({shape.kind for shape in ordered})]
    return Shape(kind="mixed", parts=tuple(("", shape) for shape in ordered))


def _array_text(shape: Shape) -> str:
    """`number[384]`; a matrix reads outermost first: `number[3][384]`."""
    lengths, node = "", shape
    while node.kind == "array":
        lengths += f"[{node.length}]"
        if not node.parts:
            return "any" + lengths
        node = node.parts[0][1]
    return node.text() + lengths


def _key(name: str) -> str:
    if name.isidentifier() and len(name) <= MAX_KEY_LENGTH:
        return name
    cut = name[:MAX_KEY_LENGTH] + ("…" if len(name) > MAX_KEY_LENGTH else "")
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in cut) + '"'

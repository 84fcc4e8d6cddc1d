"""The shape of a JSON value: a small tree, its canonical text and a short hash of that."""

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from heapq import nsmallest
from typing import Any

#: Objects with more keys and arrays with more kinds of element than this are summarised, so that a shape stays small.
MAX_KEYS = 64
MAX_KINDS = 8
#: Deeper than this is `...`: nobody reads it, and the parser allows 200 levels.
MAX_DEPTH = 16
#: A node whose tree would be larger than this shows its parts in outline only.
MAX_NODES = 512
#: So many values of a longer array or map are looked at: enough to see what it is made of, whatever its length.
MAX_SAMPLE = 1000
#: A key longer than this is cut in the text.
MAX_KEY_LENGTH = 64

_SCALARS: dict[type, str] = {type(None): "null", bool: "bool", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Shape:
    """A node of the tree.

    `kind` is null, bool, integer, number, string, array, object, map (an object of too many keys), mixed (an array's
    elements of several kinds) or deep. `length` is an array's; `parts` are an object's values by key, sorted, or the
    one element shape of an array or a map, or the kinds that a mixed one holds. `size` counts the nodes.
    """

    kind: str
    length: int | None = None
    parts: tuple[tuple[str, "Shape"], ...] = ()
    size: int = field(default=1, compare=False, repr=False)

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
        return blake2b(_widened(self).text().encode(), digest_size=4).hexdigest()


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
        return _node("array", [("", _infer_elements(value, depth))] if value else [], len(value))
    return _LEAVES["deep"]


def _infer_object(value: dict[str, Any], depth: int) -> Shape:
    if len(value) > MAX_KEYS:
        sample = nsmallest(MAX_SAMPLE, value)  # by key: the order of keys is free
        return _node("map", [("", _combine({infer(value[key], depth + 1) for key in sample}))])
    return _node("object", [(key, infer(value[key], depth + 1)) for key in sorted(value)])


def _infer_elements(values: list[Any], depth: int) -> Shape:
    kinds = set(map(type, values))
    if kinds == {float}:  # what an embedding is
        return _NUMBER
    if all(kind in _SCALARS for kind in kinds):
        return _combine({_LEAVES[_SCALARS[kind]] for kind in kinds})
    return _combine({infer(item, depth + 1) for item in values[:MAX_SAMPLE]})


def _node(kind: str, parts: list[tuple[str, Shape]], length: int | None = None) -> Shape:
    """Parts that are too large together are outlined, so that no tree is larger than the caps allow."""
    size = 1 + sum(shape.size for _, shape in parts)
    if size > MAX_NODES:
        parts = [(name, _outline(shape)) for name, shape in parts]
        size = 1 + sum(shape.size for _, shape in parts)
    return Shape(kind=kind, length=length, parts=tuple(parts), size=size)


def _outline(shape: Shape) -> Shape:
    """`{*: ...}` for any object, `...[]` for any array."""
    kind = {"object": "map"}.get(shape.kind, shape.kind)
    return Shape(kind=kind, parts=(("", _LEAVES["deep"]),), size=2) if shape.parts else shape


def _combine(shapes: set[Shape]) -> Shape:
    """One shape for all: integers beside numbers are numbers, anything else beside each other is mixed."""
    if len(shapes) > 1:
        shapes = _without_integer_twins(shapes)
    if len(shapes) > MAX_KINDS:
        shapes = {_outline(shape) for shape in shapes}
    if len(shapes) == 1:
        return next(iter(shapes))
    return _node("mixed", [("", shape) for shape in sorted(shapes, key=Shape.text)])


def _without_integer_twins(shapes: set[Shape]) -> set[Shape]:
    """Shapes that are told apart by integer and number alone become one: `[[1, 0], [0.5, 2]]` holds number[2]."""
    twins: dict[Shape, set[Shape]] = {}
    for shape in shapes:
        twins.setdefault(_widened(shape), set()).add(shape)
    return {next(iter(found)) if len(found) == 1 else widened for widened, found in twins.items()}


def _widened(shape: Shape) -> Shape:
    """The same with every integer a number."""
    if not shape.parts:
        return _NUMBER if shape.kind == "integer" else shape
    parts = [(name, _widened(part)) for name, part in shape.parts]
    if shape.kind == "mixed":
        parts.sort(key=lambda part: part[1].text())
    return replace(shape, parts=tuple(parts))


def _array_text(shape: Shape) -> str:
    """`number[384]`; a matrix reads outermost first: `number[3][384]`."""
    lengths, node = "", shape
    while node.kind == "array":
        lengths += "[]" if node.length is None else f"[{node.length}]"
        if not node.parts:
            return "any" + lengths
        node = node.parts[0][1]
    return node.text() + lengths


def _key(name: str) -> str:
    if name.isidentifier() and len(name) <= MAX_KEY_LENGTH:
        return name
    cut = name[:MAX_KEY_LENGTH] + ("…" if len(name) > MAX_KEY_LENGTH else "")
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in cut) + '"'

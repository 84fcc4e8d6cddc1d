"""What differs between a pinned shape and a found one, path by path."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from worker.core.finding import cut
from worker.core.notation import key_text, text
from worker.core.shape import Shape

#: More than this nobody reads: the plugin has become another one.
MOST_DIFFERENCES = 50
_MOST_TEXT = 160
#: Of a longer text the end is shown as well: there an array says how long it is.
_END = 24


class Severity(StrEnum):
    """Whether callers of the plugin have to care."""

    BREAKING = "breaking"
    COMPATIBLE = "compatible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """At `path` (dotted, `[]` for an array's elements, `*` for a map's values; empty for the reply itself) `expected`
    was pinned and `found` came; None where there is nothing.
    """

    path: str
    expected: str | None
    found: str | None
    severity: Severity

    @property
    def expected_there(self) -> str:
        """With its path, for people."""
        return f"{self.expected or 'nothing'} at {self.path or 'raw_response'}"

    def __str__(self) -> str:
        mark = "" if self.severity is Severity.BREAKING else " (compatible)"
        where = self.path or "raw_response"
        return f"{where}: expected {self.expected or 'nothing'}, found {self.found or 'nothing'}{mark}"


def differences(pinned: Shape, found: Shape) -> tuple[Difference, ...]:
    """Empty when everything that is found was pinned; breaking ones first, then by path; not more than anybody reads.

    An integer is a number. A key that is not pinned is compatible; all else is breaking.
    """
    if pinned == found:
        return ()
    told = dict.fromkeys(_compare(pinned, found, ""))
    return tuple(sorted(told, key=lambda one: (one.severity is Severity.COMPATIBLE, one.path))[:MOST_DIFFERENCES])


def _compare(pinned: Shape, found: Shape, path: str) -> Iterator[Difference]:
    if pinned.kind == "any" or pinned == found:
        return
    if found.kind == "mixed":
        for alternative in found.alternatives:
            yield from _compare(pinned, alternative, path)
        return
    alike = next((shape for shape in pinned.alternatives if shape.family == found.family), None)
    if alike is None:
        yield _breaking(path, pinned, found)
    elif alike.kind == "array":
        yield from _compare_arrays(alike, found, path)
    elif alike.kind in ("object", "map"):
        yield from _compare_objects(alike, found, path)


def _compare_arrays(pinned: Shape, found: Shape, path: str) -> Iterator[Difference]:
    beyond = pinned.most is not None and (found.most is None or found.most > pinned.most)
    if beyond or found.least < pinned.least:
        yield _breaking(path, pinned, found)
    if pinned.inner and found.inner:
        yield from _compare(pinned.inner, found.inner, f"{path}[]")


def _compare_objects(pinned: Shape, found: Shape, path: str) -> Iterator[Difference]:
    if pinned.kind == "map":
        for name, part in found.parts:
            yield from _compare(pinned.parts[0][1], part, _below(path, name, found))
    elif found.kind == "map":
        yield _breaking(path, pinned, found)  # whether the pinned keys are among so many was not kept
    else:
        yield from _compare_keys(pinned, found, path)


def _compare_keys(pinned: Shape, found: Shape, path: str) -> Iterator[Difference]:
    parts, others = dict(pinned.parts), dict(found.parts)
    for name, part in parts.items():
        below = _below(path, name, found)
        if name in others:
            yield from _compare(part, others[name], below)
        if name not in pinned.optional and (name not in others or name in found.optional):
            missing = "nothing in some of them" if name in others else None
            yield Difference(path=below, expected=_brief(part), found=missing, severity=Severity.BREAKING)
    for name, part in others.items():
        if name not in parts:
            below = _below(path, name, found)
            yield Difference(path=below, expected=None, found=_brief(part), severity=Severity.COMPATIBLE)


def _breaking(path: str, pinned: Shape, found: Shape) -> Difference:
    told = _brief(found) + (" (too deep or too large to tell)" if found.kind == "any" else "")
    return Difference(path=path, expected=_brief(pinned), found=told, severity=Severity.BREAKING)


def _below(path: str, name: str, found: Shape) -> str:
    if found.kind == "map":
        return f"{path}.*" if path else "*"
    key = key_text(name)
    if key.startswith('"'):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _brief(shape: Shape) -> str:
    told = text(shape)
    return told if len(told) <= _MOST_TEXT else cut(told, _MOST_TEXT - _END) + told[-_END:]

"""Documents broken in ways that a parser, a contract and a judge each have to notice, written as JSON or nearly so."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.fuzz.memory_wire import KEY
from tests.sinks.given import hostile_texts


class Raw(NamedTuple):
    """A value as it is to stand in the text, whether JSON knows it or not."""

    text: str


class Twice(NamedTuple):
    """Two values of one key."""

    first: Any
    second: Any


_NUMBERS = ["1e400", "-1e400", "-0", "1e-400", "9" * 4301, "9" * 4000, "0." + "3" * 900, "1e99999999", "01", "1.", ".5"]
_LITERALS = ["NaN", "Infinity", "-Infinity", "nan", "undefined", "True", "'x'", "", "[1,]", '{"a":1,}']
_STRINGS = [r'"\ud800"', r'"\ud800\ud800"', r'"\u0000"', r'"\x00"', '"\x00"', '"\x1b[31m"', r'"\u202e"', '"a\nb"']
_SPELT_KEY = "".join(f"\\u{ord(char):04x}" for char in KEY)
#: What a server says of the request that it got, the key included.
_ECHOES = [f"Bearer {KEY}", KEY, f"x{KEY}y", f"Authorization: Bearer {KEY} " + "x" * 600, "x" * 485 + KEY]

raws = st.sampled_from(
    [*_NUMBERS, *_LITERALS, *_STRINGS, f'"{_SPELT_KEY}"', f'{{"{_SPELT_KEY}": 1}}', "[" * 300 + "]" * 300]
).map(Raw)
texts = hostile_texts | st.sampled_from(
    [*_ECHOES, "", "success", "error", "\ufeff", "\u2028", "{}", "x" * 5000, "</script>", '"\\\n', "\u0130", "é" * 300]
)
_names = st.sampled_from(
    [
        "status",
        "inference_name",
        "raw_response",
        "response_type",
        "response_keys",
        "error",
        "message",
        "embedding",
        "detail",
        "type",
        "code",
        "details",
        "retry_after",
        "retry_after_seconds",
        "loc",
        "msg",
        "success",
        "__proto__",
    ]
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    raws,
    st.sampled_from([10**400, -(10**400), 2**63, 2**64, 0, -0.0]),
)
values: st.SearchStrategy[Any] = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names | texts, inner, max_size=4),
    max_leaves=8,
)


def written(value: Any) -> str:
    """As JSON, but for what is `Raw` or `Twice` in it."""
    match value:
        case Raw():
            return value.text
        case dict():
            return "{" + ", ".join(_member(key, inner) for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case int() if not isinstance(value, bool):
            return f"{'-' if value < 0 else ''}{hex(abs(value))}" if abs(value) > 10**4000 else str(value)
        case _:
            return json.dumps(value)


def _member(key: str, value: Any) -> str:
    if isinstance(value, Twice):
        return f"{_member(key, value.first)}, {_member(key, value.second)}"
    return f"{json.dumps(key)}: {written(value)}"


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in it, itself first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, one in inner for found in _places(one, (*path, step)))]


def _changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy in which `change` was let at what holds the place that `path` names."""
    if not path:
        return value
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        change(copy, path[0])
    else:
        copy[path[0]] = _changed(copy[path[0]], path[1:], change)
    return copy


@st.composite
def broken(draw: st.DrawFn, document: Any, most: int = 4) -> Any:
    """The document with up to so many things changed in it."""
    for _ in range(draw(st.integers(0, most))):
        places = _places(document)
        path = draw(st.sampled_from(places))
        if not path:
            document = draw(st.sampled_from([document, [document], {"data": document}, None, "", 0])) or document
            continue
        document = _changed(document, path, draw(_changes))
    return document


def _drop(holder: Any, at: Any) -> None:
    del holder[at]


def _set(value: Any) -> Callable[[Any, Any], None]:
    return lambda holder, at: holder.__setitem__(at, value)


def _rename(name: str) -> Callable[[Any, Any], None]:
    def rename(holder: Any, at: Any) -> None:
        if isinstance(holder, dict):
            holder[name] = holder.pop(at)

    return rename


def _repeat(value: Any) -> Callable[[Any, Any], None]:
    def repeat(holder: Any, at: Any) -> None:
        if isinstance(holder, dict) and not isinstance(holder[at], Twice):
            holder[at] = Twice(holder[at], value)
        elif isinstance(holder, list):
            holder.insert(at, value)

    return repeat


def _nest(depth: int) -> Callable[[Any, Any], None]:
    def nest(holder: Any, at: Any) -> None:
        for _ in range(depth):
            holder[at] = [holder[at]]

    return nest


def _many(count: int) -> Callable[[Any, Any], None]:
    return lambda holder, at: holder.__setitem__(at, [holder[at]] * count)


_EXTREMES: list[Any] = [10**400, -(10**400), -1, 0, 2**63, 1e308, True, None, "", [], {}, Raw("1e400"), Raw("NaN"), KEY]
_changes: st.SearchStrategy[Callable[[Any, Any], None]] = st.one_of(
    values.map(_set),
    st.sampled_from(_EXTREMES).map(_set),
    st.just(_drop),
    (_names | texts).map(_rename),
    values.map(_repeat),
    st.sampled_from([1, 3, 50]).map(_nest),
    st.sampled_from([2, 100]).map(_many),
)

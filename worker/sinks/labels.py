"""Labels and numbers as both text formats write them."""

import re
from collections.abc import Mapping
from functools import lru_cache

from worker.core.target import TargetKey

#: What `response_type` may say as a label; a reply chooses the word, so anything else is `other`.
RESPONSE_TYPES = frozenset({"dict", "list", "str", "int", "float", "bool", "NoneType"})

#: Names that a target's own labels can't take: ours, and what Prometheus and promtool keep for themselves.
_TAKEN = frozenset({"mixpeek_namespace", "plugin", "le", "quantile"})

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_UNFIT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN", "True": "1", "False": "0"}


def escape(value: str) -> str:
    r"""A label value as both formats want it; what they can't carry (NUL, lone surrogates) is spelt out: \\u0000."""
    if _UNFIT.search(value):
        value = _UNFIT.sub(lambda match: f"\\u{ord(match[0]):04x}", value)
    return value.translate(_ESCAPES)


def number(value: float) -> str:
    text = repr(value)
    return _SPECIAL.get(text, text)


def target_labels(key: TargetKey) -> str:
    return f'mixpeek_namespace="{escape(key.namespace)}",plugin="{escape(key.plugin)}"'


def info_labels(labels: Mapping[str, str]) -> str:
    """A target's own labels, each name made valid and unique: `app/tier` is app_tier, `plugin` is label_plugin."""
    if not labels:
        return ""
    named: dict[str, str] = {}
    for label, value in labels.items():
        name = re.sub(r"[^a-zA-Z0-9_]", "_", label)
        if not name or name[0].isdigit() or name.startswith("__"):
            name = f"label_{name}"
        while name in _TAKEN or name in named:
            name = f"label_{name}"
        named[name] = value
    return "".join(f',{name}="{escape(value)}"' for name, value in named.items())


#: Paths and shapes are few, and escaping one takes longer than writing the rest of its line.
word = lru_cache(maxsize=4096)(escape)


def shape_labels(shape: str | None, kind: str | None) -> str | None:
    if shape is None:
        return None
    return f',response_type="{kind if kind in RESPONSE_TYPES else "other"}",shape="{word(shape)}"'

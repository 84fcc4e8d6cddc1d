"""Whether an edited shapes file says what the old one said, with nothing but the asked-for entries changed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from worker.config.lock_lines import OURS, Fields

_Texts: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def says(text: str, before: str, entries: Mapping[tuple[str, str], Fields], gone: Collection[tuple[str, str]]) -> bool:
    """Whether `text` says what `before` says, with `entries` set and `gone` gone."""
    try:
        return _content(text) == _expected(_content(before), entries, gone)
    except (yaml.YAMLError, RecursionError):
        return False


def holds(node: Any, value: str | int | Sequence[str]) -> bool:
    """Whether a composed node is this value, and of its type: null and '3' are not what "null" and 3 are."""
    kind = "tag:yaml.org,2002:int" if isinstance(value, int) else "tag:yaml.org,2002:str"
    listed = isinstance(node, yaml.SequenceNode)
    items = node.value if listed else [node]
    said = [item.value for item in items]
    return bool((said if listed else said[0]) == read_back(value)) and all(item.tag == kind for item in items)


def read_back(value: str | int | Sequence[str]) -> Any:
    """As a reader that takes all scalars for text sees it."""
    return str(value) if isinstance(value, str | int) else list(value)


def _content(text: str) -> dict[str, Any]:
    """All that the file says, scalars as text."""
    content = yaml.load(text, _Texts) or {}  # noqa: S506 (makes text alone)
    return {**content, "shapes": content.get("shapes") or {}}


def _expected(
    content: dict[str, Any], entries: Mapping[tuple[str, str], Fields], gone: Collection[tuple[str, str]]
) -> dict[str, Any]:
    # What is changed is copied: an alias elsewhere must go on saying what it said.
    namespaces = dict(content["shapes"])
    for name in {name for name, _ in (*entries, *gone)}:
        namespaces[name] = dict(namespaces.get(name) or {})
    for (name, plugin), fields in entries.items():
        entry = namespaces[name].get(plugin) or {}
        kept = {key: value for key, value in entry.items() if key not in OURS}
        namespaces[name][plugin] = kept | {key: read_back(value) for key, value in fields.items()}
    for name, plugin in gone:
        del namespaces[name][plugin]
    emptied = {name for name, _ in gone if not namespaces[name]}
    return {**content, "shapes": {name: plugins for name, plugins in namespaces.items() if name not in emptied}}

"""Says where in the targets files something of a target stands, for messages that come after everything was read."""

from collections.abc import Iterator
from typing import Any

from worker.config.files import read_source
from worker.config.places import Places
from worker.config.source import Place, Problem, Source, UnreadableError, place_text
from worker.config.values import values
from worker.core.target import TargetKey
from worker.settings import Settings


def locate(settings: Settings, key: TargetKey, inside: Place) -> str:
    """`targets.yaml:12:9: targets[3].expect.golden.path`; the target's name where the files have changed since."""
    for source, entries in _targets_files(settings):
        for index, entry in enumerate(entries):
            if _is_of(entry, key):
                place = ("targets", index, *inside)
                found = Places(source, [place]).position(place, on_key=False)
                return f"{source.name}:{found.line}:{found.column}: {place_text(place)}"
    return str(key)


def _targets_files(settings: Settings) -> Iterator[tuple[Source, list[Any]]]:
    for path in settings.watched_files:
        try:
            source = read_source(path)
            problems: list[Problem] = []
            content = values(source, problems)
        except (OSError, UnreadableError):
            continue
        if isinstance(content, dict) and isinstance(content.get("targets"), list):
            yield source, content["targets"]


def _is_of(entry: Any, key: TargetKey) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("namespace") == key.namespace
        and key.plugin in (entry.get("plugin"), *(entry.get("plugins") or ()))
    )

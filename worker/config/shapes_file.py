"""The shapes file: what is pinned of each plugin. That there is none is no problem."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from worker.config.fields import checked_id
from worker.config.files import read_source
from worker.config.model import PinEntry
from worker.config.problems import validation_problems
from worker.config.source import Place, Problem, Source, UnreadableError, shown_path
from worker.config.units import shown
from worker.config.values import values
from worker.core.notation import text
from worker.core.pin import Pin, at, vector_size
from worker.core.shard import Shard
from worker.core.target import ShapePolicy, TargetKey
from worker.settings import Settings
from worker.stamp import Stamp, stamp


class ShapesFile:
    """Reads the file at `path`; what is wrong with it goes to `problems`. `stamp` is of just before it was read."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path = path
        self.stamp: Stamp = stamp(path)
        self.pins: dict[TargetKey, Pin] = {}
        self._problems = problems
        self._source = Source(name=shown_path(path), path=path, text="")
        try:
            self._source = read_source(path)
            self._add_all(values(self._source, problems))
        except FileNotFoundError:
            return
        except OSError as error:
            self._refuse((), f"cannot be read: {error.strerror}")
        except UnreadableError as error:
            self._refuse(error.place, error.message, position=error.position)

    def _add_all(self, content: Any) -> None:
        known = content is None or (isinstance(content, dict) and content.keys() <= {"shapes"})
        if not known:
            self._refuse((), "holds one key, shapes: a mapping of namespaces, in each a mapping of plugins")
            return
        namespaces = self._mapping((content or {}).get("shapes"), ("shapes",))
        for namespace, plugins in namespaces.items():
            for plugin, entry in self._mapping(plugins, ("shapes", namespace)).items():
                self._add(("shapes", namespace, plugin), TargetKey(namespace, plugin), entry)

    def _mapping(self, value: Any, place: Place) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._refuse(place, f"must be a mapping, not {shown(value)}")
        return {}

    def _add(self, place: Place, key: TargetKey, entry: Any) -> None:
        try:
            checked_id(key.namespace)
            checked_id(key.plugin)
            found = PinEntry.model_validate(entry)
        except ValidationError as error:
            self._problems.extend(validation_problems(error, PinEntry, self._source, place, entry))
            return
        except ValueError as error:
            self._refuse(place, str(error), on_key=True)
            return
        for index, path in enumerate(found.vectors or ()):
            inside = at(found.shape, path)
            if inside is None or (inside.kind != "any" and vector_size(inside) is None):
                told = "nothing" if inside is None else text(inside)[:200]
                self._refuse((*place, "vectors", index), f"no vector: the shape has {told} at {path}")
        self.pins[key] = Pin(shape=found.shape, vectors=tuple(found.vectors or ()), samples=found.samples)

    def _refuse(self, place: Place, message: str, **more: Any) -> None:
        self._problems.append(Problem(source=self._source, place=place, message=message, **more))


def pin_warnings(settings: Settings, shard: Shard | None = None) -> list[str]:
    """Pins without a target, and, once anything is pinned, targets without a pin.

    A `shard` does not know of others' targets, so that each tells of those pins whose targets would be its own.
    """
    listed = {target.key for target in settings.targets}
    stray = sorted(str(key) for key in settings.pins.keys() - listed if shard is None or shard.holds(key))
    bare = sorted(
        str(target.key)
        for target in settings.targets
        if settings.pins and target.key not in settings.pins and target.shape is not ShapePolicy.OFF
    )
    name = shown_path(settings.shapes_file)
    warnings = []
    if stray:
        warnings.append(f"{name}: pinned, but no target: {_few(stray)}; `plugin-probe shapes prune` clears that")
    if bare:
        warnings.append(f"{name}: not pinned: {_few(bare)}; `plugin-probe shapes pin` does it")
    return warnings


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

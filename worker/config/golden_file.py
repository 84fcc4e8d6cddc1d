"""Golden vectors: each file read once, whatever number of targets name it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from worker.config.files import read_source
from worker.config.model import GoldenFile
from worker.config.problems import validation_problems
from worker.config.source import Problem, Source, UnreadableError, shown_path
from worker.config.values import values
from worker.core.target import Golden, Target, TargetKey
from worker.core.vector import survey
from worker.stamp import Stamp, stamp


def file_of(golden: Golden, key: TargetKey) -> Path:
    """Where a target's vector is kept: `golden/{namespace}/{plugin}.json`, ids percent-encoded."""
    named = {"{namespace}": quote(key.namespace, safe=""), "{plugin}": quote(key.plugin, safe="")}
    path = golden.file
    for placeholder, value in named.items():
        path = path.replace(placeholder, value)
    return Path(path)


class GoldenFiles:
    """`stamps` are of the files that were read, or looked for. What is wrong inside one goes to `problems`, once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.stamps: dict[Path, Stamp] = {}
        self._problems = problems
        self._read: dict[Path, GoldenFile | None] = {}

    def load(self, target: Target, golden: Golden) -> Golden | None:
        """With its vector; None where the file is no good. Raises FileNotFoundError."""
        path = file_of(golden, target.key)
        if path not in self._read:
            self.stamps[path] = stamp(path)
            self._read[path] = self._parse(path)
        found = self._read[path]
        if found is None:
            return None
        name = found.inference_name
        return replace(golden, file=str(path), vector=tuple(found.vector), inference_name=name)

    def _parse(self, path: Path) -> GoldenFile | None:
        source = Source(name=shown_path(path), path=path, text="")
        before = len(self._problems)
        try:
            source = read_source(path)
            content = values(source, self._problems)
            if len(self._problems) > before:
                return None
            found = GoldenFile.model_validate({"vector": content} if isinstance(content, list) else content)
        except FileNotFoundError:
            raise
        except ValidationError as error:
            self._problems.extend(validation_problems(error, GoldenFile, source, (), content))
            return None
        except UnreadableError as error:
            self._refuse(source, error.message, position=error.position)
            return None
        except OSError as error:
            self._refuse(source, f"cannot be read: {error.strerror}")
            return None
        looked = survey(found.vector)
        if looked is not None and looked.illness:
            self._refuse(source, f"holds {looked.illness}, which is no vector to compare with; record it again")
            return None
        return found

    def _refuse(self, source: Source, message: str, **more: Any) -> None:
        self._problems.append(Problem(source=source, place=(), message=message, **more))


def golden_text(target: Target, path: str, vector: list[Any], inference_name: str | None) -> str:
    """What such a file holds: a key a line, the vector on one of its own."""
    document = {
        "namespace": target.key.namespace,
        "plugin": target.key.plugin,
        "inputs": dict(target.inputs),
        "path": path,
        "inference_name": inference_name,
        "vector": vector,
    }
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(item)}" for key, item in document.items()) + "\n}\n"

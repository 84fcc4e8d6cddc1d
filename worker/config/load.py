"""The way in: worker.yaml and its targets files to Settings, or every problem at once."""

import gc
import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.config.files import fixed_part, read_source, targets_paths
from worker.config.problems import Problems, TooManyError, raise_all
from worker.config.shapes_file import ShapesFile
from worker.config.source import Place, Problem, Source, UnreadableError, shown_path
from worker.config.targets_file import TargetList
from worker.config.worker_file import WorkerSections
from worker.core.shard import Shard
from worker.settings import ApiSettings, ConfigError, Settings
from worker.stamp import Stamp, stamp


def load(
    path: Path,
    *,
    environ: Mapping[str, str],
    recording: bool = False,
    calling: bool = True,
    shard: Shard | None = None,
) -> Settings:
    """Settings of the worker.yaml at `path`. Raises ConfigError, whose problems name file, line, column and remedy.

    `recording` is for those who are about to record shapes and golden vectors: what is recorded may be missing, or
    contradict what is expected. `calling` False is for those who only read what is listed: there may be no key, nor any
    file that a call needs. A `shard` gets its part of the limits and of the targets, in the order of the files; what is
    wrong with others' targets is a problem all the same.
    """
    problems: list[Problem] = []
    source = _read_worker_file(path)
    sections = _sections(source, environ, problems, calling=calling)
    api, limits, outputs = sections.api(), sections.limits(shard), sections.outputs()
    template = sections.template()
    shapes = ShapesFile(sections.shapes_file, problems)
    files = _targets_sources(sections, source, shapes.path, problems)
    problems = Problems(problems)
    targets = TargetList(template, problems, shapes.pins, recording=recording)
    with _collector_paused(), suppress(TooManyError):
        for file in files:
            if file.text is not _NOT_TEXT:
                targets.add_file(file)
    watched = _watched([source, *files], sections, api) | targets.golden.stamps | {shapes.path: shapes.stamp}
    raise_all(problems, files=watched | sections.lacking, secret=environ.get(api.api_key_env or "", ""))
    return Settings(
        api=api,
        template=template,
        limits=limits,
        schedule=sections.schedule(),
        confirm=sections.confirm(),
        outputs=outputs,
        targets=tuple(target for target in targets.targets if shard is None or shard.holds(target.key)),
        shapes_file=shapes.path,
        pins=shapes.pins,
        watched_files=watched,
    )


def _watched(files: list[Source], sections: WorkerSections, api: ApiSettings) -> dict[Path, Stamp]:
    """What was read, the folders in which a glob would find more, and the certificates: those rotate in place."""
    globbed = any(glob.has_magic(pattern) for pattern in sections.targets_files)
    folders = {file.path.parent for file in files[1:]} if globbed else set()
    return {file.path: file.stamp for file in files} | {
        path: stamp(path) for path in [*sorted(folders), *api.tls.files]
    }


def _read_worker_file(path: Path) -> Source:
    name = shown_path(path)
    try:
        return read_source(path, pipe=True)  # as a shell makes it of -c <(...)
    except FileNotFoundError:
        reason = "no such file; name the configuration with -c/--config PATH or in PLUGIN_PROBE_CONFIG"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}; name a file with -c/--config PATH or in PLUGIN_PROBE_CONFIG"
    except ValueError:  # A path with a NUL in it.
        reason = "is no path; name the configuration with -c/--config PATH or in PLUGIN_PROBE_CONFIG"
    except UnreadableError as error:
        raise ConfigError([f"{name}:{error.position.line}:{error.position.column}: {error.message}"]) from None
    raise ConfigError([f"{name}:1:1: {reason}"])


def _sections(source: Source, environ: Mapping[str, str], problems: list[Problem], *, calling: bool) -> WorkerSections:
    try:
        return WorkerSections(source, environ, problems, calling=calling)
    except UnreadableError as error:
        problem = Problem(source=source, place=error.place, message=error.message, position=error.position)
        raise_all([*problems, problem])
        raise


def _targets_sources(sections: WorkerSections, worker: Source, shapes: Path, problems: list[Problem]) -> list[Source]:
    """Each targets file once, however many patterns match it."""
    sources: dict[Path, Source] = {}
    for index, pattern in enumerate(sections.targets_files):
        place: Place = ("targets_files", index)
        awaited = fixed_part(worker.path.parent / pattern)
        before = stamp(awaited)
        try:
            for path in targets_paths(pattern, worker.path.parent, (worker.path, shapes)):
                real = path.resolve()
                if real not in sources:
                    sources[real] = _read_targets_file(path, problems)
        except ValueError as error:
            problems.append(Problem(source=worker, place=place, message=str(error)))
            sections.lacking[awaited] = before
        except OSError as error:
            message = f"{pattern} cannot be read: {error.strerror}"
            problems.append(Problem(source=worker, place=place, message=message))
    return list(sources.values())


#: The text of a file that has none, told apart by identity; the problem is noted already.
_NOT_TEXT = "\0"


def _read_targets_file(path: Path, problems: list[Problem]) -> Source:
    try:
        return read_source(path)
    except UnreadableError as error:
        source = Source(name=shown_path(path), path=path, text=_NOT_TEXT, stamp=stamp(path))
        problems.append(Problem(source=source, place=(), message=error.message, position=error.position))
        return source


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Nothing built here is garbage, yet looking for it again and again takes a third of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

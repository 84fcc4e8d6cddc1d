"""Reads configuration files, and finds the targets files that worker.yaml names."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from worker.config.source import Source, decoded, shown_path
from worker.stamp import SUFFIXES, stamp


def read_source(path: Path) -> Source:
    """The file's text. Raises OSError, or UnreadableError where it is not UTF-8."""
    before = stamp(path)
    return Source(name=shown_path(path), path=path, text=decoded(path.read_bytes()), stamp=before)


def targets_paths(pattern: str, folder: Path, others: Iterable[Path]) -> Iterator[Path]:
    """The files that one entry of targets_files names, relative to `folder`. Raises ValueError.

    `others` are files of ours that a * beside them does not mean.
    """
    path = folder / pattern
    if path.exists() or not glob.has_magic(pattern):
        _check_targets_path(path, pattern)
        yield path
        return
    found = [folder / name for name in sorted(glob.glob(pattern, root_dir=folder, recursive=True))]
    found = [path for path in found if not any(_same_file(path, other) for other in others)]
    if not found:
        raise ValueError(f"{pattern} matches no file")
    for path in found:
        _check_targets_path(path, os.path.relpath(path, folder))
        yield path


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _check_targets_path(path: Path, name: str) -> None:
    if path.is_dir():
        raise ValueError(f"{name} is a folder; write {name.rstrip('/')}/*.yaml")
    if not path.is_file():
        raise ValueError(f"{name} is no file" if path.exists() else f"{name} does not exist")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{name} ends in none of {', '.join(SUFFIXES)}")


def check_readable(path: Path, name: str) -> None:
    """Raises ValueError where the file cannot be read."""
    if path.is_dir():
        raise ValueError(f"{name} is a folder, not a file")
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None

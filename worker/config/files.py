"""Reads configuration files, and finds the targets files that worker.yaml names."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from worker.config.source import Position, Source, UnreadableError, decoded, shown_path
from worker.stamp import SUFFIXES, stamp


def read_source(path: Path, *, pipe: bool = False) -> Source:
    """The file's text; for that of a `pipe` it waits. Raises OSError, or UnreadableError for what is not UTF-8, and for
    a pipe unless it may be one.
    """
    if path.is_fifo() and not pipe:
        raise UnreadableError("is a pipe; write a file in its place", Position(1, 1))
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


def fixed_part(pattern: Path) -> Path:
    """The pattern itself, or the folder below which what it matches would stand."""
    return fixed_part(pattern.parent) if glob.has_magic(str(pattern)) else pattern


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
    if path.is_fifo():  # to open it would wait for whoever writes to it
        raise ValueError(f"{name} is a pipe, not a file")
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None

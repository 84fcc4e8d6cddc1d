"""Files written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write(path: str | Path, chunks: Iterable[bytes]) -> None:
    """Replaces the file at `path` at once: a reader sees the old content or the new, also after a crash.

    A symlink stays one and its target is replaced. The file is readable by all, since node_exporter runs as another
    user. What is no file (/dev/stdout, a pipe) is written to as it is. Raises OSError, which names `path`, and then the
    old content stands.
    """
    try:
        _write(path, chunks)
    except OSError as error:  # of its own it names no file where the disk is full, or one that nobody knows
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def _write(path: str | Path, chunks: Iterable[bytes]) -> None:
    final = Path(os.path.realpath(path))
    if final.exists() and not final.is_file():
        with open(path, "wb") as device:
            device.writelines(chunks)
        return
    descriptor, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(name, final)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(final.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the rename last; some file systems can't, which is no reason to fail."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

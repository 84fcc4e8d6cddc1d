"""Files written whole or not at all."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: A descriptor that we were given. A pipe behind it has no other name, and a file is not ours to replace.
_GIVEN = re.compile(r"/dev/(?P<stream>stdout|stderr)|(?:/dev|/proc/self)/fd/(?P<number>[0-9]{1,9})")


def write(path: str | Path, chunks: Iterable[bytes]) -> None:
    """Replaces the file at `path` at once: a reader sees the old content or the new, also after a crash.

    A symlink stays one and its target is replaced. The file is readable by all, since node_exporter runs as another
    user. What is no file (/dev/stdout, a pipe) is written to as it is; a pipe that nobody reads is refused. Raises
    OSError, which names `path`, and then the old content stands.
    """
    try:
        _write(path, chunks)
    except OSError as error:  # of its own it names no file where the disk is full, or one that nobody knows
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def _write(path: str | Path, chunks: Iterable[bytes]) -> None:
    given = _GIVEN.fullmatch(str(path))
    if given or (os.path.exists(path) and not os.path.isfile(path)):
        with os.fdopen(_given(given) if given else _device(path), "wb") as device:
            device.writelines(chunks)
        return
    final = Path(os.path.realpath(path))
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


def _given(found: re.Match[str]) -> int:
    return os.dup({"stdout": 1, "stderr": 2}[found["stream"]] if found["stream"] else int(found["number"]))


def _device(path: str | Path) -> int:
    """Nobody waits for the reader of a pipe: no signal would be heard meanwhile."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "nobody reads this pipe") from None
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def _sync_folder(folder: Path) -> None:
    """Makes the rename last; some file systems can't, which is no reason to fail."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

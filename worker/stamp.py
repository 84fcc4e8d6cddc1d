"""A file's stamp: something else when the file was written or exchanged."""

import os
import stat
from pathlib import Path

#: What a folder's stamp looks at: files that a glob of targets files could find.
SUFFIXES = (".yaml", ".yml", ".json")

Stamp = tuple[int, int, int] | tuple[str, ...] | None


def stamp(path: Path) -> Stamp:
    """Links are followed, since Kubernetes swaps them; None when there is nothing. Take it before the file is read."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return tuple(sorted(name for name in os.listdir(path) if name.endswith(SUFFIXES)))
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size

"""The child's side of `load_aside`: loads a configuration, niced, and writes what it came to to stdout."""

import gc
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from worker.config.load import load
from worker.config.source import shown_path
from worker.config.transfer import of_word, stream
from worker.core.shard import Shard
from worker.settings import ConfigError, Settings

#: Probes go first, on a single core too; with more, a busy worker would keep the child waiting for minutes.
NICE = 10


def main(path: Path, shard: str) -> None:
    gc.disable()  # the process is over before any garbage matters
    os.nice(NICE)
    for piece in stream(outcome(path, of_word(shard))):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def outcome(path: Path, shard: Shard | None = None, load: Callable[..., Settings] = load) -> Settings | ConfigError:
    """What loading comes to. A bug of ours is told by its place alone: its text could hold what the files hold."""
    if path.is_fifo():  # to open it would wait for whoever writes to it
        return ConfigError([f"{shown_path(path)}:1:1: is a pipe; write a file in its place"])
    try:
        return load(path, environ=os.environ, shard=shard)
    except ConfigError as error:
        return error
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        bug = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}, a bug of ours"
        return ConfigError([f"{shown_path(path)}:1:1: cannot be read: {bug}"])

"""Loading the configuration while probes go on: in a child process, which yields to them, and whose outcome is taken in
slices. In a thread of this process it would hold the interpreter for tens of milliseconds at a time.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from worker.config.source import shown_path
from worker.config.transfer import LENGTH, MARK, Intake, TransferError, as_word
from worker.core.shard import Shard
from worker.core.target import Target, TargetKey
from worker.settings import ConfigError, Settings
from worker.slices import Slices

#: Finds our modules where this process found them, be that a checkout or a zip, and none in the working directory.
_PROGRAM = """
import sys
from pathlib import Path
sys.path[:] = sys.argv[3:]
from worker.config.child import main
main(Path(sys.argv[1]), sys.argv[2])
"""
COMMAND = (sys.executable, "-c", _PROGRAM)
#: 100,000 targets take seconds: this is a file system that hangs.
LONGEST_S = 300.0
#: A longer frame is none.
MOST_BYTES = 1 << 30


async def load_aside(
    path: Path,
    *,
    environ: Mapping[str, str],
    before: Mapping[TargetKey, Target],
    shard: Shard | None = None,
    command: Sequence[str] = COMMAND,
    longest_s: float = LONGEST_S,
) -> Settings:
    """As `load`; targets that say the same as those of `before` are the same objects.

    Raises ConfigError, also where the child fails. What that wrote to stderr is told to nobody, since it could hold
    anything. It is killed when it takes longer than `longest_s`, or when this is cancelled.
    """
    try:
        async with asyncio.timeout(longest_s):
            process = await _start([*command, str(path), as_word(shard), *sys.path], environ)
            try:
                return await _outcome(process, before)
            finally:
                await _end(process)
    except TimeoutError:
        reason = f"that took longer than {longest_s:g} s"
    except TransferError as error:
        reason = str(error)
    raise ConfigError([f"{shown_path(path)}:1:1: cannot be read: {reason}; `plugin-probe validate` may tell more"])


async def _start(command: Sequence[str], environ: Mapping[str, str]) -> Process:
    """In a process group of its own: Ctrl-C asks us to stop gracefully, and is not for the child."""
    try:
        return await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environ, process_group=0
        )
    except OSError as error:
        raise TransferError(f"no process can be started for it ({error.strerror})") from None


async def _outcome(process: Process, before: Mapping[TargetKey, Target]) -> Settings:
    pipe, intake = process.stdout, Intake(before)
    assert pipe, "it was asked for"
    try:
        mark = await pipe.readexactly(len(MARK))
        if mark != MARK:
            raise TransferError(_told_by(mark))
        with Slices() as slices:
            while intake.settings is None:
                (length,) = LENGTH.unpack(await pipe.readexactly(LENGTH.size))
                if length > MOST_BYTES:
                    raise TransferError("its reader wrote something else between the settings")
                for _ in intake.take(await pipe.readexactly(length)):
                    await slices.pause()
            slices.keep(intake.news)
        return intake.settings
    except asyncio.IncompleteReadError:
        raise TransferError(f"its reader {_ended(await process.wait())}") from None


def _told_by(mark: bytes) -> str:
    name, _, _ = MARK.partition(b" ")
    if mark.startswith(name):
        return "plugin-probe is another version by now; restart the worker"
    return "its reader wrote no settings"


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" if code else "wrote no settings"


async def _end(process: Process) -> None:
    assert process.stdout, "it was asked for"
    with suppress(ProcessLookupError):
        process.kill()  # even where all has been read: nothing is left for it to do
    while await process.stdout.read(65_536):  # what is left in the pipe, or its end would not be seen
        pass
    await process.wait()

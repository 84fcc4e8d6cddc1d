"""How the process ends: what stdout did not take, and codes that Python would choose for itself."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

import click


def prepare_streams() -> None:
    """No result is lost for want of a character: what stdout's encoding lacks becomes a question mark. And no exit code
    for want of somebody who reads stderr.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stderr is None:  # closed: its number must not go to a socket
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = cast(TextIO, _Lossy(sys.stderr))


class _Lossy:
    """A stream that drops what it can't write: what is told to a person changes nothing of what the process came to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def printed(write: Callable[[], None]) -> bool:
    """False when stdout did not take the results; a reader who has seen enough (`| head`) is no failure."""
    try:
        if sys.stdout is None:
            raise OSError("it is closed")
        write()
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
    except OSError as error:
        drop_stdout()
        click.echo(f"can't write the results to stdout: {error.strerror or error}", err=True)
        return False
    return True


def drop_stdout() -> None:
    """What is still buffered goes nowhere, or Python would fail over it at the very end, with a code of its own."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(code: int) -> NoReturn:
    """Ends the process; what stdout does not take by now is lost."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        drop_stdout()
    sys.exit(code)

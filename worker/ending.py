"""How the process ends: what stdout did not take, and codes that Python would choose for itself."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import click


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

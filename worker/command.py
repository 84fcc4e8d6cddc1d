"""What every command does around its own work: read the configuration, start, run to the end, say what is wrong."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast

import click

from worker.core.exits import Exit
from worker.core.shard import Shard
from worker.settings import ConfigError, Settings

if TYPE_CHECKING:
    from worker.app import Launch

T = TypeVar("T")


def read(config: Path, *, recording: bool = False, calling: bool = True, shard: Shard | None = None) -> Settings:
    """Raises ConfigError."""
    from worker.config.load import load

    return load(config, environ=os.environ, recording=recording, calling=calling, shard=shard)


def read_or_leave(
    config: Path, *, recording: bool = False, calling: bool = True, shard: Shard | None = None
) -> Settings:
    try:
        return read(config, recording=recording, calling=calling, shard=shard)
    except ConfigError as error:
        fail(error.problems)


def launch(level: str | None, fmt: str | None) -> "Launch":
    """How the worker is started; logs are for people on a terminal."""
    from worker.app import Launch

    chosen = fmt or ("console" if sys.stderr.isatty() else "json")
    return Launch(environ=os.environ, log_level=level or "info", log_format=cast(Literal["json", "console"], chosen))


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """Leaves with 2 where the configuration turns out to be no good after all."""
    try:
        return asyncio.run(main)
    except ConfigError as error:
        fail(error.problems)


def fail(problems: Sequence[str]) -> NoReturn:
    """Nothing was sent."""
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(Exit.USAGE)

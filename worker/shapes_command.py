"""The group of commands `shapes`, as they are typed."""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from worker.command import fail, launch, read_or_leave, run_to_end
from worker.core.exits import Exit
from worker.ending import leave, printed
from worker.options import common

if TYPE_CHECKING:
    from worker.core.target import Target, TargetKey
    from worker.settings import Settings

SAMPLES = 3

T = TypeVar("T")

_TARGETS = click.argument("names", nargs=-1, metavar="[[NS/]PLUGIN]...")


@click.group()
def shapes() -> None:
    """Pin the shapes of replies, compare, show and tidy them (shapes_file, default shapes.lock.yaml).

    A plugin is named by its id or as NAMESPACE/PLUGIN, with globs; without a name all targets are meant.
    """


@shapes.command()
@common
@_TARGETS
@click.option("--samples", type=click.IntRange(1, 100), default=SAMPLES, show_default=True, help="Calls per target.")
@click.option("--force", is_flag=True, help="Pin what a sick plugin answers, too.")
@click.option("--golden", is_flag=True, help="Also record the vectors of expect.golden.")
@click.option("--from", "old", metavar="[NS/]PLUGIN", help="Take over this plugin's pin, and show what differs.")
def pin(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    names: tuple[str, ...],
    samples: int,
    force: bool,
    golden: bool,
    old: str | None,
) -> None:
    """Record what plugins answer now as what they are to answer.

    \b
    Exit codes:  0 all pinned                        1 a plugin was sick and not pinned, or differs from --from
                 2 bad usage or configuration        3 the shapes file could not be written
                 4 a plugin gave no answer that proves anything
    """
    settings = read_or_leave(config, recording=True)
    from worker.pinning import PinOrder, carried_from, run_carry, run_pin

    targets, started = _targets(settings, names), launch(log_level or "error", log_format)
    if old is None:
        order = PinOrder(targets=targets, samples=samples, force=force, golden=golden)
        _finish(settings, run_pin(settings, started, order, _say))
    if len(names) != 1 or len({target.key.plugin for target in targets}) != 1:
        raise click.UsageError("--from takes over one plugin's pin for another one: name the new one, and nothing else")
    if force or golden:
        raise click.UsageError("--from records nothing: leave --force and --golden out")
    carried = []
    for target in targets:
        source = carried_from(settings, target.key.namespace, old)
        if source is None:
            told = f"--from: {old} is not pinned for {target.key}; see `plugin-probe shapes show`"
            raise click.UsageError(told)
        if source == target.key:
            raise click.UsageError(f"--from: {source} is the plugin itself")
        carried.append((target, source))
    _finish(settings, run_carry(settings, started, carried, _say))


@shapes.command()
@common
@_TARGETS
def diff(config: Path, log_level: str | None, log_format: str | None, names: tuple[str, ...]) -> None:
    """Compare what plugins answer with what is pinned.

    \b
    Exit codes:  0 no difference                     1 a difference, compatible ones included
                 2 bad usage or configuration        3 the worker failed
                 4 a pinned plugin gave nothing to compare
    """
    settings = read_or_leave(config, recording=True)
    from worker.shapes import run_diff

    targets, started = _targets(settings, names), launch(log_level or "error", log_format)
    _finish(settings, run_diff(settings, started, targets, _say))


@shapes.command()
@common
@_TARGETS
def show(config: Path, log_level: str | None, log_format: str | None, names: tuple[str, ...]) -> None:
    """Print what is pinned; nothing is called."""
    settings = read_or_leave(config, recording=True, calling=False)
    from worker.shapes import shown

    known = sorted({*settings.pins, *(target.key for target in settings.targets)})
    text = "".join(f"{line}\n" for line in shown(settings, _keys(known, names)))
    leave(Exit.OK if printed(lambda: click.echo(text, nl=False)) else Exit.WORKER_FAILED)


@shapes.command()
@common
def prune(config: Path, log_level: str | None, log_format: str | None) -> None:
    """Take out the pins of plugins that are no targets any more."""
    settings = read_or_leave(config, recording=True, calling=False)
    from worker.shapes import drop_pins

    listed = {target.key for target in settings.targets}
    stray = sorted(key for key in settings.pins if key not in listed)
    _write(settings, lambda: drop_pins(settings.shapes_file, stray))
    for key in stray:
        click.echo(f"{key}: no target, no pin any more")
    if not stray:
        click.echo("every pin has a target")
    leave(Exit.OK)


def _targets(settings: "Settings", names: Sequence[str]) -> "list[Target]":
    by_key = {target.key: target for target in settings.targets}
    return [by_key[key] for key in _keys(list(by_key), names)]


def _keys(known: "list[TargetKey]", names: Sequence[str]) -> "list[TargetKey]":
    """Raises UsageError for a name that nothing has."""
    from worker.shapes import named

    for name in names:
        if not named(known, [name]):
            raise click.UsageError(f"{name} matches none of {len(known)} plugins")
    return named(known, names)


def _say(line: str) -> None:
    """What a reply chose may be in it: no escape sequence reaches the terminal."""
    from worker.sinks.text import tame

    click.echo(tame(line))


def _finish(settings: "Settings", work: "Coroutine[Any, Any, Exit]") -> NoReturn:
    leave(_write(settings, lambda: run_to_end(work)))


def _write(settings: "Settings", work: Callable[[], T]) -> T:
    from worker.config.lock_text import NotEditableError

    try:
        return work()
    except NotEditableError as error:
        fail([f"{settings.shapes_file}: {error}"])
    except OSError as error:
        click.echo(f"{error.filename or settings.shapes_file}: can't be written: {error.strerror}", err=True)
        leave(Exit.WORKER_FAILED)

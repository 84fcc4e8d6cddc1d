"""What the commands take: kinds of values, and the options that all of them have."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from worker.core.exits import FailOn

CONFIG_VARIABLE = "PLUGIN_PROBE_CONFIG"
LEVELS = ["debug", "info", "warning", "error"]
REPORTS = ("json", "junit", "markdown")

Command = TypeVar("Command", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """250ms, 30s, 5m, 1h, or seconds; a float of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from worker.config.units import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Id(click.ParamType[str]):
    """A namespace or plugin id, as strict as in a targets file."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from worker.config.fields import checked_id

        try:
            return checked_id(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class JsonObject(click.ParamType[dict[str, Any]]):
    """An object as a targets file could hold it."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        from worker.config.source import Problem, Source, UnreadableError
        from worker.config.values import MAX_DEPTH, deeper_than, values

        problems: list[Problem] = []
        try:
            value.encode()
            found = values(Source(name="", path=Path("inputs.json"), text=value), problems)
        except UnicodeEncodeError:
            self.fail("no JSON: not UTF-8", param, ctx)
        except UnreadableError as error:
            self.fail(error.message, param, ctx)
        if problems:
            self.fail(problems[0].message, param, ctx)
        if not isinstance(found, dict):
            self.fail('must be a JSON object such as {"text": "hello"}', param, ctx)
        if deeper_than(found, MAX_DEPTH):
            self.fail(f"nested more than {MAX_DEPTH} deep", param, ctx)
        return found


class FailOnType(click.ParamType[FailOn]):
    """down, unknown, an outcome, several with commas, or never."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FailOn:
        try:
            return value if isinstance(value, FailOn) else FailOn.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ReportType(click.ParamType[tuple[str, Path]]):
    """junit=PATH, markdown=PATH or json=PATH."""

    name = "kind=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        kind, equals, path = value.partition("=")
        if kind not in REPORTS or not equals or not path:
            self.fail(f"{value!r} is no report: use {', '.join(f'{known}=PATH' for known in REPORTS)}", param, ctx)
        return kind, Path(path)


def taking(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """These options as one decorator, in the order in which --help shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: What every command takes.
common = taking(
    click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        default=lambda: os.environ.get(CONFIG_VARIABLE) or "config/worker.yaml",
        show_default=f"${CONFIG_VARIABLE}, then config/worker.yaml",
        help="The worker's configuration.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        help="Least level that is logged.  [default: info; error where a table on a terminal tells the same]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["json", "console"]),
        help="Default: console on a terminal, else json.",
    ),
)


def _apart(_ctx: click.Context, _param: click.Parameter, reports: tuple[tuple[str, Path], ...]) -> Any:
    paths = [path for _, path in reports]
    for path in paths:
        if paths.count(path) > 1:
            raise click.BadParameter(f"two reports go to {path}; give each a file of its own")
    return reports


#: What a command takes that tells of a batch, and ends with the batch's exit code.
reporting = taking(
    click.option("--format", "fmt", type=click.Choice(["table", "json", "none"]), default="table", show_default=True),
    click.option(
        "--report",
        "reports",
        type=ReportType(),
        multiple=True,
        callback=_apart,
        help="Also write a report; repeatable.",
    ),
    click.option("--fail-on", type=FailOnType(), default="down", show_default=True, help="What makes it exit with 1."),
)

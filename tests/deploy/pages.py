"""Pages of docs/: their blocks of code, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import cast

import click

from worker.cli import cli


def blocks(page: str, language: str) -> list[str]:
    """What stands between fences of this language, without its indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def files(page: str) -> dict[str, str]:
    """Those that it shows in YAML, by the path that is each one's first line."""
    return {block.partition("\n")[0].removeprefix("# "): block for block in blocks(page, "yaml")}


def rows(page: str, line: str) -> list[list[str]]:
    """Of the first table below that line, without its head."""
    lines = page.split(f"{line}\n", 1)[1].splitlines()
    table = list(takewhile(lambda one: one.startswith("|"), dropwhile(lambda one: not one.startswith("|"), lines)))
    return [[cell.strip() for cell in one.strip().strip("|").split("|")] for one in table[2:]]


def commands(text: str) -> Iterator[str]:
    """One a line, without its remark; a backslash at the end goes on in the next line."""
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        command = re.sub(r"(^|\s+)# .*", "", line).strip()
        if command:
            yield command


def parse(line: str) -> None:
    """Has the command's own parser read a line. Raises what it would tell its user."""
    name, *arguments = shlex.split(line)
    assert name == "plugin-probe"
    context, command = cli.make_context(name, arguments), cast(click.Command, cli)
    while isinstance(command, click.Group):
        found, subcommand, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        assert subcommand is not None
        context, command = subcommand.make_context(found, rest, parent=context), subcommand


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")

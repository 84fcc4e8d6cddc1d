"""The committed dashboards as Grafana reads them: their panels, their queries, and what it replaces in these."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
NAMES = ("fleet", "plugin", "prober")

#: ${name}, ${name:format}, $name
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")


def read(name: str) -> dict[str, Any]:
    board: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return board


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query and where it stands; a variable's is the PromQL that its label_values comes to."""

    board: str
    where: str
    expr: str
    kind: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.board}: {self.where}"


def queries(name: str) -> Iterator[Asked]:
    board = read(name)
    for panel in panels(board):
        for query in panel["targets"]:
            where = f"{panel['title']} {query['refId']}"
            instant = bool(query.get("instant"))
            yield Asked(board=name, where=where, expr=query["expr"], kind=panel["type"], instant=instant)
    for note in board["annotations"]["list"]:
        yield Asked(board=name, where=note["name"], expr=note["expr"], kind="annotation", instant=False)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            vector, label = label_values(variable["query"])
            expr = f'{vector} and {vector.partition("{")[0]}{{{label}!=""}}'
            yield Asked(board=name, where=f"${variable['name']}", expr=expr, kind="variable", instant=True)


def label_values(query: str) -> tuple[str, str]:
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert found, query
    return found[1], found[2]


def interpolate(expr: str, values: Mapping[str, str | list[str]]) -> str:
    """As Grafana does it. A list is what several may be chosen of: a regular expression in a query."""

    def replaced(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name.isdigit():
            return match[0]  # PromQL's own, in label_replace
        value = values[name]
        if isinstance(value, str):
            return value if match[2] == "raw" else value.replace("\\", "\\\\").replace('"', '\\"')
        if value == ["$__all"]:
            return ".*"
        escaped = [re.escape(one).replace("\\", "\\\\") for one in value]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(replaced, expr)

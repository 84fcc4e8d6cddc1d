"""`${VAR}` in the string values of worker.yaml."""

import re
from collections.abc import Mapping
from typing import Any

from worker.config.source import Place, Problem, Source

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{", re.ASCII)


def expanded(value: Any, environ: Mapping[str, str], source: Source, problems: list[Problem], place: Place = ()) -> Any:
    """The same values with references replaced; `$${` stands for `${`."""
    if isinstance(value, dict):
        return {key: expanded(item, environ, source, problems, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [expanded(item, environ, source, problems, (*place, index)) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return _REFERENCE.sub(lambda match: _replacement(match, environ), value)
    except ValueError as error:
        problems.append(Problem(source=source, place=place, message=str(error)))
        return value


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match[0] == "$${":
        return "${"
    name = match[1]
    if name is None:
        raise ValueError("${ begins a reference like ${NAME}; write $${ for a literal ${")
    if name not in environ:
        raise ValueError(f"environment variable {name} is not set")
    return environ[name]

"""The graph of modules: who may know whom, who owns which library, and how long anything may be."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

WORKER = Path(__file__).parent.parent / "worker"

#: A module imports only from rows above its own (a package is one entry: inside it, anything goes), so there is no
#: cycle between rows.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("worker.core.outcome", "worker.core.exchange", "worker.core.vector"),
    ("worker.core.shape", "worker.core.finding"),
    ("worker.core.notation",),
    ("worker.core.difference",),
    ("worker.core.pin",),
    ("worker.core.target", "worker.core.limit", "worker.core.fit"),
    ("worker.core.distinct",),
    ("worker.core.rules",),
    ("worker.core.judge",),
    ("worker.core.attempt", "worker.core.result"),
    ("worker.core.track",),
    ("worker.core.schedule", "worker.core.summary", "worker.core.overload", "worker.core.shard"),
    ("worker.core.exits",),
    ("worker.version", "worker.stamp", "worker.retry_after"),
    ("worker.settings",),
    ("worker.clock", "worker.slices"),
    ("worker.limits", "worker.probe", "worker.jumps"),
    ("worker.backlog", "worker.agenda", "worker.running"),
    ("worker.stall", "worker.collector"),
    ("worker.world",),
    ("worker.strain", "worker.roster"),
    ("worker.engine",),
    ("worker.config", "worker.mixpeek", "worker.sinks", "worker.sandbox"),
    ("worker.web", "worker.connection", "worker.outputs", "worker.merging"),
    ("worker.app",),
    ("worker.check", "worker.batch", "worker.daemon", "worker.shapes"),
    ("worker.local", "worker.pinning"),
    ("worker.options", "worker.ending"),
    ("worker.command", "worker.shard_options"),
    ("worker.shapes_command", "worker.report_command"),
    ("worker.cli",),
    ("worker.__main__",),
)

#: The edges of the program: of the rows above them they know these alone.
SIBLINGS = ("worker.config", "worker.mixpeek", "worker.sinks", "worker.sandbox")
FOUNDATION = (
    "worker.core",
    "worker.version",
    "worker.stamp",
    "worker.retry_after",
    "worker.settings",
    "worker.clock",
    "worker.slices",
)

#: Who may import what is not in the standard library; nobody may import what is not listed.
OWNERS: dict[str, tuple[str, ...]] = {
    "aiodns": ("worker.mixpeek",),
    "aiohttp": (
        "worker.mixpeek",
        "worker.web",
        "worker.sandbox",
        "worker.sinks.receiver",
        "worker.sinks.pushgateway",
        "worker.sinks.remote_write",
    ),
    "cramjam": ("worker.sinks.write_request",),
    "google": ("worker.sinks.write_request",),
    "multidict": ("worker.mixpeek",),  # aiohttp's own types
    "yarl": ("worker.mixpeek",),
    "asyncio_throttle": ("worker.limits",),
    "prometheus_client": ("worker.sinks",),
    "structlog": ("worker.sinks.log",),
    "pydantic": ("worker.config", "worker.mixpeek", "worker.sandbox", "worker.sinks.report_file"),
    "pydantic_core": ("worker.config", "worker.mixpeek", "worker.sandbox", "worker.sinks.report_file"),
    "yaml": ("worker.config", "worker.sandbox"),
    "jsonschema_rs": ("worker.config",),
    "click": (
        "worker.cli",
        "worker.command",
        "worker.shapes_command",
        "worker.report_command",
        "worker.options",
        "worker.ending",
        "worker.shard_options",
    ),
    "rich": ("worker.sinks.table",),
    "jinja2": ("worker.web",),
}

#: What a pure module has no use for, standard library or not.
IMPURE = frozenset(
    {
        "asyncio",
        "datetime",
        "io",
        "logging",
        "os",
        "pathlib",
        "random",
        "socket",
        "subprocess",
        "sys",
        "threading",
        "time",
    }
)

MOST_LINES = 300
MOST_FUNCTION_LINES = 60
#: Files and functions (`module:name`) that may be longer, each with its reason.
LONG: dict[str, str] = {}

#: Plugins: loaded from their folders as a plugin author's would be, never imported.
NOT_MODULES = WORKER / "sandbox" / "samples"


def name_of(path: Path) -> str:
    parts = path.relative_to(WORKER.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    name_of(path): path
    for path in sorted(WORKER.rglob("*.py"))
    if NOT_MODULES not in path.parents and "__pycache__" not in path.parts
}
PACKAGES = {name for name, path in FILES.items() if path.name == "__init__.py"}
MODULES = sorted(FILES.keys() - PACKAGES)


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Dotted names, wherever in the module they stand: a lazy import is one as well."""
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else node.module


def within(name: str, entries: tuple[str, ...]) -> str | None:
    """The entry that is this module or a package around it."""
    return next((entry for entry in entries if name == entry or name.startswith(f"{entry}.")), None)


def row_of(name: str) -> int | None:
    return next((number for number, row in enumerate(LAYERS) if within(name, row)), None)


def ours(name: str) -> list[str]:
    return [found for found in imports(name) if found.split(".")[0] == "worker"]


def libraries(name: str) -> set[str]:
    roots = {found.split(".")[0] for found in imports(name)}
    return {root for root in roots if root != "worker" and root not in sys.stdlib_module_names}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_place(name: str) -> None:
    assert row_of(name) is not None, "not in LAYERS"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_rows_above_its_own(name: str) -> None:
    row = row_of(name)
    assert row is not None
    for found in ours(name):
        other = row_of(found)
        assert other is not None, f"{found} is no module: a package gives nothing away"
        same = within(found, LAYERS[row])
        assert other < row or (same and same == within(name, LAYERS[row])), f"{found} is not above"


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, SIBLINGS)])
def test_the_edges_know_neither_each_other_nor_the_engine(name: str) -> None:
    own = within(name, SIBLINGS)
    assert own
    strangers = [found for found in ours(name) if not within(found, (own, *FOUNDATION))]
    assert strangers == []


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, ("worker.core",))])
def test_the_core_is_pure(name: str) -> None:
    assert libraries(name) == set()
    assert {found.split(".")[0] for found in imports(name)} & IMPURE == set()


@pytest.mark.parametrize("name", MODULES)
def test_a_library_is_imported_by_its_owners_only(name: str) -> None:
    assert {library for library in libraries(name) if not within(name, OWNERS.get(library, ()))} == set()


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_package_holds_a_docstring_and_gives_nothing_away(name: str) -> None:
    body = tree_of(name).body
    assert len(body) == 1
    assert ast.get_docstring(tree_of(name))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    if name != "worker.__main__":
        assert ast.get_docstring(tree_of(name))


@pytest.mark.parametrize("name", MODULES)
def test_a_file_is_short(name: str) -> None:
    lines = FILES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES or name in LONG


def functions(name: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("name", MODULES)
def test_a_function_is_short(name: str) -> None:
    assert [found for found, lines in functions(name) if lines > MOST_FUNCTION_LINES and found not in LONG] == []


def test_no_exception_outlives_its_reason() -> None:
    lengths = {name: FILES[name].read_text(encoding="utf-8").count("\n") - MOST_LINES for name in MODULES}
    lengths |= {found: lines - MOST_FUNCTION_LINES for name in MODULES for found, lines in functions(name)}
    assert [name for name, reason in LONG.items() if lengths.get(name, 0) <= 0 or not reason] == []


def test_the_tables_themselves_are_sound() -> None:
    listed = [entry for row in LAYERS for entry in row]
    assert len(listed) == len(set(listed))
    assert all(row_of(entry) is not None for owners in OWNERS.values() for entry in owners)

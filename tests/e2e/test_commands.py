"""`validate`, `schema`, `--help`: what they say, and how little they load."""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.e2e.commands import COMMAND, KEY, environment, run, target, write_config

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "config"
HEAVY = ("aiohttp", "wordllama", "gcld3", "numpy", "rich", "jinja2", "prometheus_client", "structlog")


async def test_validate_says_that_there_is_no_problem(tmp_path: Path) -> None:
    write_config(tmp_path, "https://mixpeek.example.com", [target("a"), target("b")])
    done = await run("validate", "-c", "worker.yaml", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "worker.yaml: 2 targets, no problem\n", "")


async def test_validate_asks_for_no_key_where_the_worker_runs_elsewhere(tmp_path: Path) -> None:
    write_config(tmp_path, "https://mixpeek.example.com", key_file=tmp_path / "there")
    here = await run("validate", "-c", "worker.yaml", cwd=tmp_path)
    assert (here.code, "api_key_file" in here.err) == (2, True)
    there = await run("validate", "-c", "worker.yaml", "--elsewhere", cwd=tmp_path)
    assert (there.code, there.out) == (0, "worker.yaml: 1 target, no problem\n")
    both = await run("validate", "-c", "worker.yaml", "--elsewhere", "--resolved", cwd=tmp_path)
    assert (both.code, both.out) == (2, "")
    assert "without --elsewhere" in both.err


async def test_validate_warns_of_a_plan_that_cannot_fit(tmp_path: Path) -> None:
    targets = [target(f"p{number}") for number in range(100)]
    write_config(tmp_path, "https://mixpeek.example.com", targets, limits={"rate": "1/m"})
    done = await run("validate", "-c", "worker.yaml", cwd=tmp_path)
    assert done.code == 0
    assert "warning: 100 targets ask for" in done.err
    assert "limits.rate is 1/m" in done.err


async def test_validate_tells_every_problem_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text("api:\n  base_url: mixpeek\nlimits: {rate: fast}\n")
    (tmp_path / "targets.yaml").write_text(
        "targets:\n  - {namespace: ns_a, plugin: p}\n  - {namespace: ns_a, plugin: p}\n"
    )
    done = await run("validate", "-c", "worker.yaml", cwd=tmp_path)
    assert done.code == 2
    places = [line.split(" ")[0] for line in done.err.splitlines()]
    assert {"worker.yaml:2:13:", "worker.yaml:3:16:"} <= set(places)
    assert any(place.startswith("targets.yaml:3:") for place in places)
    assert any("MIXPEEK_API_KEY" in line for line in done.err.splitlines())


async def test_what_resolved_prints_loads_as_the_same(tmp_path: Path) -> None:
    write_config(
        tmp_path, "https://mixpeek.example.com", [target("a", labels={"team": "x"}), target("b", interval="1m")]
    )
    first = await run("validate", "-c", "worker.yaml", "--resolved", cwd=tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    worker, targets = yaml.safe_load_all(first.out)
    (again / "worker.yaml").write_text(yaml.safe_dump(worker))
    (again / "targets.yaml").write_text(yaml.safe_dump(targets))
    second = await run("validate", "-c", "again/worker.yaml", "--resolved", cwd=tmp_path)
    assert first.code == second.code == 0
    assert list(yaml.safe_load_all(second.out)) == [worker, targets]
    assert KEY not in first.out


async def test_the_configuration_is_found_through_the_environment(tmp_path: Path) -> None:
    path = write_config(tmp_path, "https://mixpeek.example.com")
    (tmp_path / "elsewhere").mkdir()
    done = await run("validate", cwd=tmp_path / "elsewhere", env=environment(PLUGIN_PROBE_CONFIG=str(path)))
    assert done.code == 0
    default = await run("validate", cwd=tmp_path)
    assert default.code == 2
    assert "config/worker.yaml" in default.err


async def test_schema_prints_a_json_schema_that_the_examples_meet(tmp_path: Path) -> None:
    done = await run("schema", cwd=tmp_path)
    assert done.code == 0
    schema = done.json
    jsonschema_rs.meta.validate(schema)
    either = jsonschema_rs.validator_for(schema)
    for name, definition in (("worker.yaml", "WorkerFile"), ("targets.yaml", "TargetsFile")):
        example = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
        one = jsonschema_rs.validator_for({"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]})
        assert [error.message for error in one.iter_errors(example)] == []
        assert either.is_valid(example)
        assert not one.is_valid({**example, "unknown": 1})


async def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    env = environment(MIXPEEK_API_KEY=KEY)
    done = await run("validate", "-c", EXAMPLES / "worker.yaml", cwd=tmp_path, env=env)
    assert (done.code, done.err) == (0, "")


async def loaded(folder: Path, *arguments: str) -> set[str]:
    """Which of the heavy packages the command imports."""
    script = f"""
import contextlib, json, sys
from worker.cli import main
sys.argv = ["plugin-probe", *{list(arguments)!r}]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
    main()
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = await run(script, cwd=folder, command=[sys.executable, "-c"])
    found: list[str] = json.loads(done.out)
    return set(found)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["once", "--help"], ["validate", "-c", "worker.yaml"], ["validate", "--resolved"]]
)
async def test_help_and_validate_load_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    write_config(tmp_path, "https://mixpeek.example.com", [target(expect={"schema": {"type": "object"}})])
    assert await loaded(tmp_path, *arguments) == set()


async def test_once_loads_no_model_and_no_page(tmp_path: Path) -> None:
    write_config(tmp_path, "http://127.0.0.1:1")
    found = await loaded(tmp_path, "once", "-c", "worker.yaml", "--format", "none")
    assert found & {"wordllama", "gcld3", "numpy", "jinja2"} == set()


@pytest.mark.parametrize(
    ("arguments", "code", "holding"),
    [
        pytest.param(["--version"], 0, "plugin-probe", id="version"),
        pytest.param(["once", "-h"], 0, "Exit codes", id="help of once"),
        pytest.param(["onec"], 2, "once", id="a wrong command"),
        pytest.param([], 2, "Usage", id="no command"),
    ],
)
async def test_the_command_line_explains_itself(tmp_path: Path, arguments: list[str], code: int, holding: str) -> None:
    done = await run(*arguments, cwd=tmp_path)
    assert done.code == code
    assert holding in done.out + done.err


@pytest.mark.parametrize(
    "command", ["$PROBE schema", "$PROBE once --help", "$PROBE validate -c worker.yaml --resolved"]
)
async def test_a_closed_pipe_gives_no_traceback(tmp_path: Path, command: str) -> None:
    write_config(tmp_path, "https://mixpeek.example.com", [target(f"p{number}") for number in range(3_000)])
    options: dict[str, Any] = {"command": ["bash", "-c"], "env": environment(PROBE=COMMAND)}
    done = await run(f"{command} | head -1; exit ${{PIPESTATUS[0]}}", cwd=tmp_path, **options)
    assert (done.code, done.err) == (0, "")

"""Loading stays lean: what is not needed is not imported, and long lists are quick."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.config.load import load
from worker.config.problems import MAX_PROBLEMS
from worker.settings import ConfigError

KEY = {"MIXPEEK_API_KEY": "key-for-tests"}
COUNT = 5_000
SCRIPT = """
import sys
from pathlib import Path
import worker.config.plan, worker.config.resolved
from worker.config.load import load
from worker.config.problems import MAX_PROBLEMS
load(Path(sys.argv[1]), environ={"MIXPEEK_API_KEY": "key-for-tests"})
print(*(name for name in ("aiohttp", "jsonschema_rs", "asyncio", "ssl") if name in sys.modules))
"""


def entry(number: int) -> dict[str, object]:
    return {
        "namespace": f"ns_{number // 25}",
        "plugin": f"p{number}",
        "interval": "30s",
        "inputs": {"text": "hello"},
        "expect": {"max_latency": "800ms", "vector": {"path": "embedding", "dimensions": 384}},
    }


def written(folder: Path, name: str, text: str) -> Path:
    (folder / "worker.yaml").write_text(f"api: {{base_url: https://h.example.com}}\ntargets_files: [{name}]\n")
    (folder / name).write_text(text)
    return folder / "worker.yaml"


def test_loading_imports_neither_client_nor_schema_library(tmp_path: Path) -> None:
    path = written(tmp_path, "t.yaml", "targets: [{namespace: a, plugin: p}]\n")
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.split() == []


@pytest.mark.parametrize("name", ["t.json", "t.yaml"])
def test_a_long_list_loads_in_microseconds_a_target(tmp_path: Path, name: str) -> None:
    # JSON is YAML as well. Measured: 16 and 40 µs a target; the bound is what a busy machine must still keep.
    path = written(tmp_path, name, json.dumps({"targets": [entry(number) for number in range(COUNT)]}))
    start = time.process_time()
    assert len(load(path, environ=KEY).targets) == COUNT
    assert (time.process_time() - start) / COUNT < 250e-6


@pytest.mark.parametrize("name", ["t.json", "t.yaml"])
def test_a_long_list_of_mistakes_is_told_soon(tmp_path: Path, name: str) -> None:
    entries = [{**entry(number), f"key{number}": 1} for number in range(COUNT)]
    path = written(tmp_path, name, json.dumps({"targets": entries}))
    start = time.process_time()
    with pytest.raises(ConfigError) as refused:
        load(path, environ=KEY)
    assert refused.value.problems[-1] == f"… and {COUNT - 100} more"
    assert (time.process_time() - start) / COUNT < 1000e-6


@pytest.mark.parametrize("wrong", ['{"targets": [' + "1," * MAX_PROBLEMS + "1]}", "{" + "a," * MAX_PROBLEMS + "a, a}"])
def test_when_far_too_much_is_wrong_the_rest_is_not_looked_at(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, "targets.yaml", wrong), environ=KEY)
    assert len(refused.value.problems) == 101
    assert refused.value.problems[-1] == f"… and {MAX_PROBLEMS - 100} more, and the rest was not looked at"

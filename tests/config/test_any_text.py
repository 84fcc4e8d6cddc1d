"""Whatever a file holds, loading it gives settings or ConfigError, in whole lines, and soon."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.config.load import load
from worker.config.plan import plan_warnings
from worker.config.resolved import resolved
from worker.settings import ConfigError, Settings

GOOD = Path(__file__).parent / "testdata" / "good"
ENVIRON = {"MIXPEEK_API_KEY": "key-for-tests", "MIXPEEK_HOST": "mixpeek.example.com", "CALLS": "7"}
WORKER = (Path(__file__).parents[2] / "config" / "worker.yaml").read_text()
TARGETS = (GOOD / "more.yml").read_text()

fragments = st.sampled_from([
    "api: ", "limits:", "targets:", "namespace: a", "plugin: p", "plugins: [a, b]", "expect:", "schema:", "rate: 1/s",
    "labels: {a: b}", "inputs: {a: 1}", "base_url: https://h", "timeout: 5s", "vector: {path: a}", "x", "12", "''",
    "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", ": ", "&a ", "*a", "<<: *a", "!!x ", '"', "'", "# ", "\t",
    "~", ".nan", "1e999", "0x1F", "? ", "---\n", "...\n", "%YAML 1.1\n", "${A}", "$${", "\ufeff", "\u2028", "\x85",
    "\\ud800", "| ", "> ", " ",
])  # fmt: skip
any_text = st.one_of(st.text(), st.lists(fragments, max_size=40).map("".join))
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["namespace", "plugin", "plugins", "expect", "labels", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
soon = settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


def loaded_or_refused(path: Path) -> Settings | list[str]:
    try:
        return load(path, environ=ENVIRON)
    except ConfigError as error:
        return error.problems


def check(path: Path) -> None:
    outcome = loaded_or_refused(path)
    if isinstance(outcome, Settings):
        plan_warnings(outcome, interval_s=60, deadline_s=30)
        resolved(outcome).encode()
    else:
        assert outcome
        assert all(problem.isprintable() for problem in outcome)


@soon
@given(text=any_text, place=st.integers(min_value=0, max_value=len(WORKER)))
def test_any_text_in_the_worker_file(text: str, place: int, tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(TARGETS)
    (tmp_path / "worker.yaml").write_bytes((WORKER[:place] + text + WORKER[place:]).encode(errors="surrogatepass"))
    check(tmp_path / "worker.yaml")
    (tmp_path / "worker.yaml").write_bytes(text.encode(errors="surrogatepass"))
    check(tmp_path / "worker.yaml")


@soon
@given(text=any_text, place=st.integers(min_value=0, max_value=len(TARGETS)))
def test_any_text_in_a_targets_file(text: str, place: int, tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(WORKER)
    (tmp_path / "targets.yaml").write_bytes((TARGETS[:place] + text + TARGETS[place:]).encode(errors="surrogatepass"))
    check(tmp_path / "worker.yaml")


@soon
@given(data=st.binary())
def test_any_bytes_in_a_targets_file(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(WORKER)
    (tmp_path / "targets.yaml").write_bytes(data)
    check(tmp_path / "worker.yaml")


@soon
@given(entries=st.lists(json_values, max_size=4), top=json_values)
def test_any_json_in_a_targets_file(entries: list[Any], top: Any, tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(WORKER.replace("targets.yaml]", "targets.json, more.json]"))
    (tmp_path / "targets.json").write_text(json.dumps({"targets": entries}))
    (tmp_path / "more.json").write_text(json.dumps(top))
    check(tmp_path / "worker.yaml")


@soon
@given(schema=json_values)
def test_any_schema(schema: Any, tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(WORKER.replace("targets.yaml]", "targets.json]"))
    entry = {"namespace": "a", "plugin": "p", "expect": {"schema": {"type": "object", "properties": schema}}}
    (tmp_path / "targets.json").write_text(json.dumps({"targets": [entry]}))
    check(tmp_path / "worker.yaml")


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize(
    "text", ["[" * 50_000, '{"a":' * 50_000, "[" * 900 + "]" * 900], ids=["lists", "maps", "closed"]
)
def test_deep_nesting_is_refused(text: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(WORKER.replace("targets.yaml", f"deep.{suffix}"))
    (tmp_path / f"deep.{suffix}").write_text(text)
    check(tmp_path / "worker.yaml")

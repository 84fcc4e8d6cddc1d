"""What README says is true: its files load, its commands run, its table of outcomes is the code's."""

import asyncio
import json
import os
import re
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.benchmarks.__main__ import BENCHMARKS
from tests.deploy import rule_files
from worker.config.load import load
from worker.core import notation
from worker.core.limit import Limit
from worker.core.notation import parse
from worker.core.outcome import Fault, Outcome
from worker.core.overload import Need, Overload, Seen, fields
from worker.core.pin import SHORTEST_VECTOR
from worker.core.shape import MAX_DEPTH, MAX_KEYS, MAX_NODES, MAX_SAMPLE, infer
from worker.core.target import TargetKey
from worker.core.track import MOST_SHAPES
from worker.sandbox.app import serve
from worker.sandbox.catalogue import SAMPLES
from worker.sandbox.faults import make_faults
from worker.sandbox.plugins import load_plugins
from worker.sandbox.sandbox import Sandbox
from worker.version import VERSION

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
KEY = "sk_your_key"


def blocks(language: str) -> list[str]:
    """The code blocks of README in this language, without their indentation."""
    found: list[str] = []
    opened: tuple[str, str, list[str]] | None = None
    for line in README.splitlines():
        fence = re.match(r"( *)```(\w*)$", line)
        if fence and opened is None:
            opened = (fence[1], fence[2], [])
        elif fence and opened:
            if opened[1] == language:
                found.append("".join(text[len(opened[0]) :] + "\n" for text in opened[2]))
            opened = None
        elif opened:
            opened[2].append(line)
    return found


def block(language: str, containing: str) -> str:
    return next(text for text in blocks(language) if containing in text)


async def plugin_probe(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs the command there; exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "worker", *arguments),
        cwd=folder,
        env={**os.environ, "MIXPEEK_API_KEY": KEY, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def host() -> AsyncIterator[str]:
    """A Mixpeek host that has README's example plugin, real model and all, and the first screen's sick one."""
    folders = {sample.folder: sample.path for sample in SAMPLES}
    plugins = load_plugins([folders["text_embed"], folders["sick_wrong_size"]])
    sandbox = Sandbox(plugins, namespace="ns_ab12cd34ef", api_key=KEY)
    async with serve(sandbox) as url:
        yield url
    sandbox.close()


def write_readme_files(folder: Path, url: str) -> None:
    worker_yaml = block("yaml", "# worker.yaml").replace("https://mixpeek.example.com", url)
    (folder / "worker.yaml").write_text(worker_yaml)
    (folder / "targets.yaml").write_text(block("yaml", "# targets.yaml"))


@pytest.mark.e2e
async def test_the_commands_to_probe_your_own_plugins_run_as_they_stand(host: str, tmp_path: Path) -> None:
    write_readme_files(tmp_path, host)
    commands = [
        line.split("#")[0].split()[1:]
        for text in blocks("console")
        for line in text.splitlines()
        if line.startswith("plugin-probe") and " run " not in line and " sandbox " not in line
    ]
    assert {command[0] for command in commands} == {"validate", "check", "once", "shapes"}
    for command in commands:
        code, out, err = await plugin_probe(tmp_path, *command)
        assert code == 0, f"{command}: {out}{err}"
    assert (tmp_path / "report.xml").read_text().startswith("<?xml")


@pytest.mark.e2e
async def test_the_first_screen_shows_what_the_command_really_gives(host: str, tmp_path: Path) -> None:
    write_readme_files(tmp_path, host)
    targets = block("yaml", "sick_wrong_size").replace("ns_sandbox", "ns_ab12cd34ef")
    (tmp_path / "targets.yaml").write_text(targets)
    with (tmp_path / "worker.yaml").open("a") as file:
        file.write("outputs: {textfile: {path: probe.prom}}\n")
    code, out, err = await plugin_probe(tmp_path, "once", "-c", "worker.yaml")
    assert code == 1
    row, reason = block("", "└").splitlines()[1:3]
    assert row.split()[:3] == ["sick_wrong_size_1_0_0", "down", "shape_mismatch"]
    assert row.split()[:3] == next(line for line in out.splitlines() if "sick_wrong_size" in line).split()[1:4]
    assert reason in out
    metric = "".join(line.strip() for line in block("", "failure_info").splitlines())
    assert metric.replace("ns_sandbox", "ns_ab12cd34ef") in (tmp_path / "probe.prom").read_text()
    shown = json.loads(block("json", "probe.failed"))
    logged = next(line for line in map(json.loads, err.splitlines()) if line["event"] == "probe.failed")
    assert shown.items() <= logged.items()


@pytest.mark.e2e
async def test_a_flip_of_dimensions_is_told_as_readme_shows_it(tmp_path: Path) -> None:
    folders = {sample.folder: sample.path for sample in SAMPLES}
    fault = re.search(r"`(\{plugins: [^`]*wrong_size[^`]*)`", README)
    assert fault
    faults = make_faults(yaml.safe_load(fault[1]))
    sandbox = Sandbox(load_plugins([folders["text_embed"]]), api_key=KEY, faults=faults)
    async with serve(sandbox) as url:
        write_readme_files(tmp_path, url)
        targets = "targets: [{namespace: ns_sandbox, plugin: text_embed_1_0_0, inputs: {text: hello}}]\n"
        (tmp_path / "targets.yaml").write_text(targets)
        with (tmp_path / "worker.yaml").open("a") as file:
            file.write("outputs: {textfile: {path: probe.prom}}\n")
        for command in ("shapes pin", "once"):
            code, out, err = await plugin_probe(tmp_path, *command.split(), "-c", "worker.yaml")
            assert code == 0, out + err
        code, _, err = await plugin_probe(tmp_path, "once", "-c", "worker.yaml")
    sandbox.close()
    assert code == 1
    assert (tmp_path / "shapes.lock.yaml").read_text().split("\n", 1)[1] == block("yaml", "samples: 3")
    shown = json.loads(block("json", "shape_diff"))
    logged = next(line for line in map(json.loads, err.splitlines()) if line["event"] == "probe.failed")
    assert shown.items() <= logged.items()
    metric = "".join(line.strip() for line in block("", "shape_match").splitlines())
    assert metric in (tmp_path / "probe.prom").read_text()


def test_the_notation_of_shapes_is_the_one_that_is_read() -> None:
    text = (ROOT / "docs" / "shapes.md").read_text(encoding="utf-8")
    table = text.split("| written | means |")[1].split("\n\n")[0].replace("\\|", "|")
    written = [word for line in table.splitlines()[2:] for word in re.findall(r"`([^`]+)`", line.rsplit(" | ", 1)[0])]
    assert len(written) >= 14
    for word in written:
        assert notation.text(parse(word)) == word
    assert notation.text(infer(json.loads('[{"a": 1}, {"a": 2.5, "b": "x"}]'))) in text
    for number in (MAX_KEYS, MAX_DEPTH, MAX_NODES, MAX_SAMPLE, SHORTEST_VECTOR, MOST_SHAPES):
        assert str(number) in text or {8: "eight"}.get(number, "") in text


def test_the_examples_of_the_page_on_shapes_are_accepted(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "shapes.md").read_text(encoding="utf-8")
    pins, *expectations = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "worker.yaml").write_text("api: {base_url: https://mixpeek.example.com}\n")
    (tmp_path / "shapes.lock.yaml").write_text(pins)
    (tmp_path / "golden" / "ns_a").mkdir(parents=True)
    assert len(expectations) == 2
    targets = []
    for number, expect in enumerate(expectations):
        (tmp_path / "golden" / "ns_a" / f"p{number}.json").write_text("[1, 2]")
        targets.append({"namespace": "ns_a", "plugin": f"p{number}", **yaml.safe_load(expect)})
    (tmp_path / "targets.yaml").write_text(json.dumps({"targets": targets}))
    settings = load(tmp_path / "worker.yaml", environ={"MIXPEEK_API_KEY": KEY})
    assert notation.text(settings.pins[TargetKey("ns_ab12cd34ef", "ner_1_0_0")].shape) == (
        "{entities: {score: number, text: string}[2..3], model?: string}"
    )


def test_the_page_on_overload_shows_the_fields_that_are_logged() -> None:
    text = (ROOT / "docs" / "overload.md").read_text(encoding="utf-8")
    shown = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    window = Seen(took_s=shown["window_s"], skipped=shown["skipped"])
    found = Overload(
        limit=Limit.RATE,
        namespace=None,
        waiting=shown["waiting"],
        lateness_s=shown["lateness_s"],
        window=window,
    )
    told = fields(found, Need(50.0, 5.0), {Limit.RATE: ("5/s", 5.0)})
    given = {name: value for name, value in told.items() if value is not None}
    assert shown == {"level": "warning", "event": "worker.overloaded", **given}
    assert set(told) <= set(re.findall(r"`(\w+)`", text.split("| field | is |")[1].split("\n\n")[0]))


def test_the_table_of_outcomes_is_the_closed_set() -> None:
    told: dict[str, str] = {}
    verdict = ""
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and re.search(r"^(\*\*(up|down|unknown)\*\*)?$", cells[0]):
            verdict = cells[0].strip("*") or verdict
            told |= {word: verdict for word in re.findall(r"`([a-z_]+)`", cells[1]) if word != "max_latency"}
    told.pop("max_warming", None)
    assert told == {outcome.value: outcome.verdict.value for outcome in Outcome}


def test_who_acts_is_told_as_the_code_says() -> None:
    for fault in (Fault.NETWORK, Fault.PLATFORM, Fault.CONFIGURATION, Fault.PROBER):
        rows = [line for line in README.splitlines() if line.rstrip().endswith(f"| the {fault.value} |")]
        words = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)} - {"max_warming"}
        assert words == {outcome.value for outcome in Outcome if outcome.fault is fault}


@pytest.mark.parametrize("name", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_file_that_readme_points_at_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_modules_that_readme_names_are_there() -> None:
    table = README.split("## How it is built")[1]
    for name in re.findall(r"`([a-z_]+(?:\.py|/))`", table):
        assert list((ROOT / "worker").rglob(name)), f"no {name} in worker/"


def test_the_version_is_that_of_pyproject() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def figures(text: str) -> list[str]:
    """In tables: 139 µs, 6,767/s, 43.2 %."""
    rows = "".join(line for line in text.splitlines(keepends=True) if line.startswith("| "))
    return re.findall(r"\d[\d.,]*(?: (?:µs|ms|s|kB|%)|/s)(?!\w)", rows)


@pytest.mark.parametrize(
    ("page", "heading"),
    [("README.md", "## What it costs"), ("docs/latency.md", "## Figures")],
    ids=["README", "latency"],
)
def test_the_figures_that_are_told_are_those_that_were_measured(page: str, heading: str) -> None:
    section = (ROOT / page).read_text(encoding="utf-8").partition(heading)[2].partition("\n## ")[0]
    measured = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    told = figures(section)
    assert len(told) >= 10
    assert [figure for figure in told if figure not in measured] == []


def test_the_page_on_benchmarks_names_each_of_them() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(BENCHMARKS)


def test_the_outputs_of_a_batch_are_keys_that_there_are(tmp_path: Path) -> None:
    outputs = next(text for text in blocks("yaml") if "pushgateway" in text)
    (tmp_path / "worker.yaml").write_text("api: {base_url: https://mixpeek.example.com}\n" + outputs)
    (tmp_path / "targets.yaml").write_text(next(text for text in blocks("yaml") if "availability" in text))
    settings = load(tmp_path / "worker.yaml", environ={"MIXPEEK_API_KEY": KEY})
    assert settings.outputs.pushgateway
    assert settings.targets[0].slo.latency == 0.99


def test_there_are_as_many_alerts_as_readme_says() -> None:
    names = {alert["alert"] for alert in rule_files.alerts()}
    assert len(names) == 20
    assert "twenty" in README.split("## From a sick plugin to a page")[1].split("##")[0]

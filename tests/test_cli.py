"""What the command line takes, and how it refuses the rest."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from worker.cli import cli, main
from worker.core.outcome import Outcome
from worker.core.shard import Shard
from worker.core.target import TargetKey
from worker.options import Duration, FailOnType, ReportType


def convert(kind: click.ParamType[Any], text: str) -> Any:
    return kind.convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("3m", 180.0), ("1h", 3600.0), ("90", 90.0)])
def test_durations_are_written_as_in_the_configuration(text: str, seconds: float) -> None:
    assert convert(Duration(), text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-5s", "5 lightyears", "nan", "inf"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        convert(Duration(), text)


def test_reports_are_a_kind_and_a_path() -> None:
    assert convert(ReportType(), "junit=out/a=b.xml") == ("junit", Path("out/a=b.xml"))


@pytest.mark.parametrize("text", ["html=x", "json", "json=", "=x", ""])
def test_other_reports_are_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(click.BadParameter, match="use json=PATH, junit=PATH, markdown=PATH"):
        convert(ReportType(), text)


def test_fail_on_takes_verdicts_and_outcomes() -> None:
    found = convert(FailOnType(), "slow, server_error").outcomes
    assert found == {Outcome.SLOW, Outcome.SERVER_ERROR}


@pytest.mark.parametrize(
    ("text", "hint"),
    [("dwn", "did you mean down"), ("time_out", "did you mean timeout"), ("never,down", "never"), ("", "use ")],
)
def test_a_wrong_word_of_fail_on_is_answered_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(click.BadParameter, match=hint):
        convert(FailOnType(), text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["once", "--deadline", "0"],
        ["once", "--period", "-1s"],
        ["once", "--format", "xml"],
        ["once", "--report", "html=x"],
        ["once", "--report", "json=x", "--report", "junit=x"],
        ["once", "--fail-on", "dwn"],
        ["once", "--log-level", "loud"],
        ["once", "extra"],
        ["once", "--shard-index", "one", "--shard-count", "2"],
        ["check", "ns_a"],
        ["check", "ns_a", "p", "--inputs", "[]"],
        ["check", "ns_a", "p", "--inputs", "{"],
        ["check", "ns_a", "p", "--inputs", "[" * 100_000],
        ["check", "ns_a", "p", "--inputs", '{"a":' * 900 + "1" + "}" * 900],
        ["check", "ns_a", "p", "--inputs", '{"a": "\\ud800"}'],
        ["check", "ns_a", "p", "--inputs", '{"a": 1e999}'],
        ["check", "ns_a", "p", "--inputs", '{"a": NaN}'],
        ["check", "ns_a", "..", "--inputs", "{}"],
        ["check", "", "p", "--inputs", "{}"],
        ["sandbox", "no/such/folder"],
        ["sandbox", "--port", "70000"],
        ["run", "--enable-everything"],
        ["unknown"],
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_bad_usage_exits_with_2_and_prints_no_result(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr


POD = {"PLUGIN_PROBE_SHARDS": "3", "JOB_COMPLETION_INDEX": "3"}


@pytest.mark.parametrize("command", ["once", "run"])
@pytest.mark.parametrize(
    ("options", "environ", "says"),
    [
        (["--shard-index", "0"], {}, "--shard-index is 0, but nothing says of how many shards: use --shard-count, or"),
        (["--shard-index", "0", "--shard-count", "0"], {}, "--shard-count is 0, but there is 1 shard at least"),
        (["--shard-index", "3", "--shard-count", "3"], {}, "--shard-index is 3, but of 3 shards (--shard-count) the"),
        (["--shard-index", "-1", "--shard-count", "2"], {}, "--shard-index is -1, but of 2 shards (--shard-count) the"),
        ([], POD, "JOB_COMPLETION_INDEX is 3, but of 3 shards (PLUGIN_PROBE_SHARDS) the last is 2: "),
        ([], {"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETION_INDEX is 0, but nothing says of how many shards"),
        (["--shard-index", "1"], POD, "--shard-index is 1, but JOB_COMPLETION_INDEX is 3: "),
        ([], {"PLUGIN_PROBE_SHARDS": ""}, "PLUGIN_PROBE_SHARDS is empty: "),
    ],
)
def test_a_shard_that_is_none_is_refused_before_anything_is_read(
    command: str, options: list[str], environ: dict[str, str], says: str
) -> None:
    done = CliRunner(env=environ).invoke(cli, [command, "-c", "no/such.yaml", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert "no/such.yaml" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["once", "--only", "ns_a"],
        ["check", "ns_a", "p"],
        ["validate"],
        ["shapes", "show"],
        ["shapes", "diff"],
        ["shapes", "pin"],
        ["shapes", "prune"],
    ],
    ids=" ".join,
)
def test_what_somebody_asks_for_in_a_shards_pod_is_not_shared_out(arguments: list[str]) -> None:
    done = CliRunner(env=POD).invoke(cli, [*arguments, "-c", "no/such.yaml"])
    assert done.exit_code == 2
    assert done.stderr.startswith("no/such.yaml:1:1: no such file")


@pytest.mark.parametrize("options", [["--shard-index", "0"], ["--shard-count", "1"]], ids=" ".join)
def test_only_is_not_shared_out(options: list[str]) -> None:
    done = CliRunner().invoke(cli, ["once", "-c", "no/such.yaml", "--only", "ns_a", *options])
    assert done.exit_code == 2
    assert "--only chooses among all targets" in done.stderr


def configured(folder: Path, concurrency: int) -> list[str]:
    """One target, at an address at which nobody is."""
    worker = {"api": {"base_url": "http://127.0.0.1:1"}, "limits": {"rate": "9/s", "concurrency": concurrency}}
    (folder / "worker.json").write_text(json.dumps({**worker, "targets_files": ["targets.json"]}))
    (folder / "targets.json").write_text(json.dumps({"targets": [{"namespace": "ns_a", "plugin": "p"}]}))
    return ["once", "-c", str(folder / "worker.json"), "--format", "json", "--no-outputs"]


def test_limits_that_can_not_be_shared_are_refused(tmp_path: Path) -> None:
    options = [*configured(tmp_path, concurrency=2), "--shard-index", "0", "--shard-count", "3"]
    done = CliRunner(env={"MIXPEEK_API_KEY": "key-for-tests"}).invoke(cli, options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "worker.json:1:86: limits.concurrency: 2 can't be shared by 3 shards" in done.stderr


def test_a_shard_without_a_target_finds_nothing(tmp_path: Path) -> None:
    empty = next(shard for index in (0, 1) if not (shard := Shard(index=index, count=2)).holds(TargetKey("ns_a", "p")))
    options = [*configured(tmp_path, concurrency=2), "--shard-index", str(empty.index), "--shard-count", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "worker", *options],
        env={**os.environ, "MIXPEEK_API_KEY": "key-for-tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["shard"], report["results"]) == ({"index": empty.index, "count": 2}, [])
    assert report["complete"]


def test_schema_needs_no_configuration() -> None:
    done = CliRunner().invoke(cli, ["schema", "-c", "no/such.yaml"])
    assert done.exit_code == 0
    assert "$defs" in json.loads(done.stdout)


@pytest.mark.parametrize("command", ["once", "run", "check", "validate", "schema", "report", "sandbox", "demo"])
def test_every_command_takes_the_common_options(command: str) -> None:
    page = CliRunner().invoke(cli, [command, "--help"]).stdout
    for option in ("--config", "--log-level", "--log-format", "--help"):
        assert option in page


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        pytest.param(KeyboardInterrupt(), 130, id="an interrupt"),
        pytest.param(RuntimeError("a bug"), 3, id="a bug"),
        pytest.param(click.UsageError("wrong"), 2, id="bad usage"),
        pytest.param(BrokenPipeError(), 0, id="a reader who left"),
    ],
)
def test_what_ends_a_command_decides_its_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @click.command(name="ends")
    def ends() -> None:
        raise raised

    cli.add_command(ends)
    monkeypatch.setattr("sys.argv", ["plugin-probe", "ends"])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        del cli.commands["ends"]
    assert ended.value.code == code
    assert ("worker.crashed" in caplog.text) is (code == 3)

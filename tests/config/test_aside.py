"""Loading in a child process: the same settings, the same problems, and whatever the child does, one clear problem."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.config.aside import load_aside
from worker.config.child import outcome
from worker.config.load import load
from worker.config.transfer import LENGTH, MARK
from worker.core.shard import Shard
from worker.settings import ConfigError, Settings

SECRET = "sk_live_0123456789"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "worker.yaml").write_text(
        "api: {base_url: https://h.example.com}\nlimits: {rate: 90/m}\ntargets_files: [t.json]\n"
    )
    targets = [{"namespace": f"ns_{number % 7}", "plugin": f"p{number}"} for number in range(300)]
    (tmp_path / "t.json").write_text(json.dumps({"targets": targets}))
    return tmp_path / "worker.yaml"


ENVIRON = {**os.environ, "MIXPEEK_API_KEY": SECRET}


async def aside(path: Path, **options: Any) -> Settings:
    return await load_aside(path, **({"environ": ENVIRON, "before": {}} | options))


async def refused(path: Path, program: str, **options: Any) -> str:
    """The one problem, where the child is this Python program."""
    with pytest.raises(ConfigError) as error:
        await aside(path, command=[sys.executable, "-c", program], **options)
    (problem,) = error.value.problems
    return problem


async def test_it_is_what_loading_here_gives(written: Path) -> None:
    here = load(written, environ=ENVIRON)
    settings = await aside(written)
    assert settings == here
    assert settings.watched_files == here.watched_files
    again = await aside(written, before={target.key: target for target in settings.targets})
    assert all(map(lambda new, old: new is old, again.targets, settings.targets))


async def test_a_shard_gets_its_part_and_no_more_is_sent(written: Path) -> None:
    shard = Shard(index=1, count=2)
    here = load(written, environ=ENVIRON, shard=shard)
    assert 0 < len(here.targets) < 300
    settings = await aside(written, shard=shard)
    assert (settings.targets, settings.limits) == (here.targets, here.limits)
    with pytest.raises(ConfigError, match=r"worker.yaml:2:9: limits.concurrency: 2 can't be shared by 11 shards"):
        await aside(written, shard=Shard(index=10, count=11))


async def test_problems_are_those_of_loading_here(written: Path) -> None:
    (written.parent / "t.json").write_text('{"targets": [{"namespace": "a", "plugn": "b"}]}')
    with pytest.raises(ConfigError) as here:
        load(written, environ=ENVIRON)
    with pytest.raises(ConfigError) as there:
        await aside(written)
    assert there.value.problems == here.value.problems
    assert there.value.files == here.value.files


async def test_it_sees_the_environment_that_it_is_given_and_no_other(written: Path) -> None:
    with pytest.raises(ConfigError, match="MIXPEEK_API_KEY is not set"):
        await aside(written, environ={})


async def test_modules_of_the_working_directory_are_not_taken_for_ours(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written.parent)
    (written.parent / "worker").mkdir()
    for name in ("worker/__init__.py", "json.py", "yaml.py"):
        (written.parent / name).write_text("raise SystemExit(5)")
    assert len((await aside(written)).targets) == 300


@pytest.mark.parametrize(
    ("program", "told"),
    [
        pytest.param(f"raise ValueError({SECRET!r})", "its reader ended with exit code 1;", id="crashes"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "its reader was ended by SIGKILL;", id="is killed"),
        pytest.param("pass", "its reader wrote no settings;", id="writes nothing"),
        pytest.param("print('rubbish' * 9)", "its reader wrote no settings;", id="writes rubbish"),
        pytest.param("print('plugin-probe 99.0.1')", "plugin-probe is another version by now;", id="was upgraded"),
        pytest.param(
            f"import sys; sys.stdout.buffer.write({MARK!r} + b'~~~~' * 9)", "something else", id="rubbish for a frame"
        ),
        pytest.param(
            f"import sys; sys.stdout.buffer.write({MARK!r} + {LENGTH.pack(9)!r} + b'~' * 9)",
            "its reader wrote no settings (",
            id="rubbish in a frame",
        ),
        pytest.param(
            f"import sys; sys.stdout.buffer.write({MARK!r} + {LENGTH.pack(99)!r}); sys.exit(3)",
            "exit code 3;",
            id="ends within a frame",
        ),
        pytest.param("print('x' * 1_000_000, flush=True); input()", "no settings", id="does not stop writing"),
    ],
)
async def test_a_child_that_fails_is_one_clear_problem(written: Path, program: str, told: str) -> None:
    problem = await refused(written, program)
    assert told in problem
    assert problem.startswith(f"{written}:1:1: cannot be read: ")
    assert "plugin-probe validate" in problem
    assert SECRET not in problem


async def test_a_child_that_hangs_is_killed(written: Path, tmp_path: Path) -> None:
    program = f"import os, time; open({str(tmp_path / 'id')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    assert "took longer than 1 s" in await refused(written, program, longest_s=1.0)
    assert not running(int((tmp_path / "id").read_text()))


async def test_who_no_longer_waits_leaves_no_child_behind(written: Path, tmp_path: Path) -> None:
    told = tmp_path / "id"
    os.mkfifo(told)
    program = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    waiting = asyncio.create_task(aside(written, command=[sys.executable, "-c", program]))
    number = int(await asyncio.to_thread(told.read_text))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not running(number)


def running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


async def test_where_no_process_can_be_started_that_is_told(written: Path) -> None:
    with pytest.raises(ConfigError, match="no process can be started for it"):
        await aside(written, command=[str(written)])


def test_a_bug_of_ours_is_told_by_its_place_alone(written: Path) -> None:
    def load(path: Path, **_: Any) -> Settings:
        raise ValueError(f"{path} holds {SECRET}")

    found = outcome(written, load=load)
    assert isinstance(found, ConfigError)
    (problem,) = found.problems
    assert "ValueError in test_aside.py:" in problem
    assert SECRET not in problem

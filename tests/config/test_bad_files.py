"""Every file that must be refused, with the whole of what is said about it in a text file beside it."""

from pathlib import Path

import pytest

from worker.config.load import load
from worker.settings import ConfigError

BAD = Path(__file__).parent / "testdata" / "bad"
ENVIRON = {"MIXPEEK_API_KEY": "key-for-tests", "EMPTY_KEY": " \n", "SPACED_KEY": "Bearer sk_live_0123456789"}

WORKER_FILES = sorted(path for path in (BAD / "worker").glob("*.yaml") if path.stem != "targets")
TARGETS_FILES = sorted(
    path for path in (BAD / "targets").iterdir() if path.suffix in (".yaml", ".json") and path.stem != "worker"
)
FOLDERS = sorted(path for path in (BAD / "folders").iterdir() if path.is_dir())


def refusal(path: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(path, environ={**ENVIRON, **environ})
    return "".join(f"{problem}\n" for problem in refused.value.problems)


@pytest.mark.parametrize("path", WORKER_FILES, ids=lambda path: path.stem)
def test_a_bad_worker_file_is_refused_with_exactly_these_problems(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert refusal(Path(path.name)) == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", TARGETS_FILES, ids=lambda path: path.stem)
def test_a_bad_targets_file_is_refused_with_exactly_these_problems(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert refusal(Path("worker.yaml"), CASE=path.name) == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_bad_folder_is_refused_with_exactly_these_problems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert refusal(Path("worker.yaml")) == (folder / "expected.txt").read_text()


def test_there_are_enough_bad_files() -> None:
    assert len(WORKER_FILES) + len(TARGETS_FILES) + len(FOLDERS) >= 70


@pytest.mark.parametrize("path", sorted(BAD.rglob("*.txt")), ids=lambda path: path.stem)
def test_no_message_quotes_what_may_be_a_secret(path: Path) -> None:
    text = path.read_text()
    assert "sk_live" not in text
    assert "sk-live" not in text
    assert "me:secret" not in text

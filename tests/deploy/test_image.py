"""The container image: what its Dockerfile says, and what its steps make when they are done in an empty folder."""

import asyncio
import re
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.deploy.dockerfile import FILE, STAGES, Built, Replay, build, copied, image, let_in, stand_in, unlock
from tests.e2e.commands import KEY, PATIENCE_S, run, started, target, write_config
from tests.programs import ROOT
from tests.programs import run as run_program
from tests.servers import serving
from worker.settings import OutputSettings
from worker.version import VERSION

#: What is replayed downloads all that the image holds.
pytestmark = pytest.mark.timeout(300)

TARGETS = ("worker", "sandbox")
LOCKS = ("requirements", "requirements-demo", "requirements-build", "requirements-dev")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = Path(sys.executable).parent

PINNED = r"python:(3\.\d+)\.\d+-slim-bookworm@sha256:[0-9a-f]{64}"
#: Bookworm's glibc: what a wheel may ask for.
GLIBC = "manylinux_2_36"


def python() -> str:
    """The minor version of the one image that all is built on, by tag and digest."""
    (base,) = {stage.base for stage in STAGES.values()} - STAGES.keys()
    pinned = re.fullmatch(PINNED, base)
    assert pinned, base
    return pinned[1]


def locked(lock: str) -> dict[str, str]:
    """The version of each package that this Python would get."""
    lines = (ROOT / f"{lock}.lock").read_text(encoding="utf-8").splitlines()
    asked = [Requirement(line.removesuffix("\\")) for line in lines if not line.startswith(" ")]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in asked
        if each.marker is None or each.marker.evaluate()
    }


# The file ------------------------------------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    assert run_program(str(TOOLS / "hadolint"), str(FILE)) == (0, "")


def test_the_base_is_one_image_by_tag_and_digest_with_a_python_that_the_project_allows() -> None:
    assert python() in SpecifierSet(PROJECT["requires-python"])


def test_the_worker_is_what_is_built_when_no_target_is_named() -> None:
    assert list(STAGES)[-1] == "worker"


@pytest.mark.parametrize("name", TARGETS)
def test_a_container_runs_the_daemon_as_a_user_by_number_and_without_a_shell(name: str) -> None:
    made = image(name)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", made.user)
    assert (made.entrypoint, made.command) == (["plugin-probe"], ["run"])
    assert made.ports == [str(OutputSettings().listen_port)]


@pytest.mark.parametrize(("name", "title"), [("worker", "plugin-probe"), ("sandbox", "plugin-probe-sandbox")])
def test_the_labels_say_what_the_project_says(name: str, title: str) -> None:
    repository = "https://github.com/mixpeek/plugin-probe"
    assert image(name).labels == {
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.description": PROJECT["description"],
        "org.opencontainers.image.licenses": PROJECT["license"],
        "org.opencontainers.image.source": repository,
        "org.opencontainers.image.documentation": f"{repository}/blob/main/README.md",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.revision": "",
        "org.opencontainers.image.created": "",
    }


def test_what_is_downloaded_is_a_wheel_with_a_locked_hash() -> None:
    runs = [step.text for stage in STAGES.values() for step in stage.steps if step.keyword == "RUN"]
    installs = [set(command.split()) for text in runs for command in text.split("&&") if "install " in command]
    assert len(installs) == 4
    for words in installs:
        assert {"--no-cache-dir", "--no-deps"} < words
        assert "--no-index" in words or {"--require-hashes", "--only-binary", "-r"} < words


# The context ---------------------------------------------------------------------------------------------------------


def test_the_context_is_what_the_dockerfile_copies() -> None:
    assert {entry.name for entry in ROOT.iterdir() if let_in(entry.name)} == copied()


@pytest.mark.parametrize(
    ("path", "is_in"),
    {
        "worker/cli.py": True,
        "worker/sandbox/samples/text_embed/realtime.py": True,
        "worker/__pycache__/cli.cpython-313.pyc": False,
        "worker/core/__pycache__/judge.cpython-313.pyc": False,
        "config/worker.yaml": False,
        "deploy/Dockerfile": False,
        "tests/worker": False,
        ".env": False,
        "worker/.env": False,
        ".git/config": False,
    }.items(),
)
def test_no_secret_history_or_build_is_in_the_context(path: str, is_in: bool) -> None:
    assert let_in(path) is is_in


# The locks -----------------------------------------------------------------------------------------------------------


def test_a_package_has_one_version_in_all_locks() -> None:
    assert set(locked("requirements").items()) < set(locked("requirements-demo").items())
    everything = locked("requirements-dev").items()
    assert [lock for lock in LOCKS if not locked(lock).items() <= everything] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_registry(lock: str) -> None:
    assert "://" not in (ROOT / f"{lock}.lock").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lock", "machine"),
    [
        ("requirements", "x86_64"),
        ("requirements", "aarch64"),
        ("requirements-build", "x86_64"),
        ("requirements-build", "aarch64"),
        ("requirements-demo", "x86_64"),  # wordllama has none for the other
    ],
)
def test_the_images_python_finds_a_wheel_for_all_that_is_locked(lock: str, machine: str, tmp_path: Path) -> None:
    where = f"--target={tmp_path} --python-version={python()} --python-platform={machine}-{GLIBC}"
    how = "pip install -q --dry-run --no-deps --require-hashes --only-binary=:all:"
    assert run_program(str(TOOLS / "uv"), *how.split(), *where.split(), "-r", f"{lock}.lock") == (0, "")


# The replay ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    """Not in pytest's folder, which other users cannot enter."""
    if sys.platform != "linux":
        pytest.skip("the steps are for Linux")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        stand_in(root)
        shutil.copytree(ROOT / "config", root / "etc" / "examples")
        yield Replay(root=root)
        unlock(root)


@pytest.fixture(scope="module")
def worker(replay: Replay) -> Built:
    return build(replay, "worker")


@pytest.fixture(scope="module")
def sandbox(replay: Replay, worker: Built) -> Built:
    """Goes on where the worker's steps ended."""
    return build(replay, "sandbox")


def test_the_worker_is_all_that_is_installed_beside_what_is_locked(worker: Built) -> None:
    assert worker.packages == {**locked("requirements"), "plugin-probe": VERSION}


async def test_the_entry_point_says_its_version(worker: Built) -> None:
    done = await run("--version", **worker.container())
    assert (done.code, done.out, done.err) == (0, f"plugin-probe, version {VERSION}\n", "")


async def test_it_validates_the_examples(worker: Built) -> None:
    path = worker.replay.root / "etc" / "examples" / "worker.yaml"
    done = await run("validate", "-c", path, **worker.container(MIXPEEK_API_KEY=KEY))
    assert (done.code, done.out) == (0, f"{path}: 3 targets, no problem\n"), done.err


async def test_a_batch_probes_by_the_configuration_at_the_usual_place(worker: Built) -> None:
    async with serving() as server:
        configure(worker, server.url)
        done = await run("once", "--format", "json", **worker.container())
    assert done.code == 0, done.err
    assert [row["outcome"] for row in done.json["results"]] == ["success"]


async def test_nothing_is_compiled_at_a_start(worker: Built) -> None:
    """Python tells of each module what it was loaded from; what ends in .py was compiled."""
    async with serving() as server:
        configure(worker, server.url)
        done = await run("once", **worker.container(PYTHONVERBOSE="1"))
    assert done.code == 0
    loaded = re.findall(r"^# code object from '?([^'\n]+?)'?$", done.err, re.MULTILINE)
    assert any("aiohttp" in path for path in loaded)
    assert [path for path in loaded if path.endswith(".py")] == []


async def test_the_daemon_probes_is_scraped_reloads_and_ends(worker: Built) -> None:
    async with serving() as server:
        often = {"interval": "1s", "timeout": "1s", "grace": "1s"}
        configure(worker, server.url, schedule=often, outputs={"listen": "127.0.0.1:0"})
        async with started(*image("worker").command, **worker.container()) as daemon:
            await daemon.url()
            await server.called()
            daemon.send(signal.SIGHUP)
            assert (await daemon.event("config.reloaded"))["targets"] == 1
            daemon.send(signal.SIGTERM)
            assert (await daemon.finish()).code == 0


def test_the_sandbox_has_the_models_of_the_samples_besides(sandbox: Built) -> None:
    assert sandbox.packages == {**locked("requirements-demo"), "plugin-probe": VERSION}


async def test_the_sandbox_serves_the_samples_to_the_worker_beside_it(sandbox: Built) -> None:
    samples = {"text_embed_1_0_0": "hello", "language_id_1_0_0": "Où est la bibliothèque ?"}
    async with started("sandbox", "--port=0", f"--api-key={KEY}", **sandbox.container()) as server:
        stream = server.process.stdout
        assert stream is not None
        async with asyncio.timeout(PATIENCE_S):
            said = (await stream.readline()).decode()
        found = re.search(r"http://\S+", said)
        assert found, said
        configure(sandbox, found[0], *(target(name, "ns_sandbox", inputs={"text": samples[name]}) for name in samples))
        done = await run("once", "--format", "json", **sandbox.container())
    assert {row["plugin"]: row["outcome"] for row in done.json["results"]} == dict.fromkeys(samples, "success")


def configure(made: Built, url: str, *targets: dict[str, Any], **sections: Any) -> None:
    """Mounts a configuration where the image looks for it."""
    path = Path(made.replay.here(image(made.target).env["PLUGIN_PROBE_CONFIG"]))
    path.parent.mkdir(exist_ok=True)
    write_config(path.parent, url, targets, **sections)

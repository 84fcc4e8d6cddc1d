"""deploy/Dockerfile, read and replayed without an engine: below a folder that stands for the image's root."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from string import Template
from typing import Any

from packaging.utils import canonicalize_name

from tests.e2e.commands import KEY, KEY_NAME
from tests.programs import ROOT, run

FILE = ROOT / "deploy" / "Dockerfile"
IGNORED = ROOT / ".dockerignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An instruction in one line."""

    keyword: str
    text: str

    @property
    def pairs(self) -> dict[str, str]:
        """Of an ENV, a LABEL or an ARG; what has no value has an empty one."""
        return dict(word.partition("=")[::2] for word in shlex.split(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is built from `base`: another stage, or an image."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


def _read() -> Iterator[Stage]:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    stage = None
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        keyword, _, text = line.partition(" ")
        if keyword == "FROM":
            base, _, name = text.split()
            stage = Stage(name=name, base=base)
            yield stage
        elif keyword:
            assert stage is not None, f"{line}: before the first FROM"
            stage.steps.append(Step(keyword=keyword, text=text))


#: By their names, in their order.
STAGES = {stage.name: stage for stage in _read()}


def chain(name: str) -> list[Stage]:
    """The stage, after those that it is built from."""
    stage = STAGES.get(name)
    return [*chain(stage.base), stage] if stage else []


def steps(name: str) -> list[Step]:
    return [step for stage in chain(name) for step in stage.steps]


@dataclass(slots=True, kw_only=True)
class Image:
    """What a target says of the containers made of it."""

    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    user: str = "0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def image(target: str) -> Image:
    """As it is built without --build-arg. JSONDecodeError: a command in shell form."""
    made, given = Image(), dict[str, str]()
    for step in steps(target):
        match step.keyword:
            case "ARG":
                given |= step.pairs
            case "ENV":
                made.env |= step.pairs
            case "LABEL":
                made.labels |= _expanded(step.pairs, given)
            case "EXPOSE":
                made.ports += step.text.split()
            case "USER":
                made.user = step.text
            case "WORKDIR":
                made.folder = step.text
            case "ENTRYPOINT":
                made.entrypoint = json.loads(step.text)
            case "CMD":
                made.command = json.loads(step.text)
    return made


def _expanded(values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    return {name: Template(value).substitute(given) for name, value in values.items()}


# The context ---------------------------------------------------------------------------------------------------------


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a file into the context: the last rule for it, or for a folder above, decides."""
    parts = path.split("/")
    names = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    ignored = False
    for line in IGNORED.read_text(encoding="utf-8").splitlines():
        rule = line.removeprefix("!")
        if line and not line.startswith("#") and any(_pattern(rule).fullmatch(name) for name in names):
            ignored = rule == line
    return not ignored


def _pattern(rule: str) -> re.Pattern[str]:
    """`*` stops at a slash; `**/` is any number of folders, or none."""
    known = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", rule)))


def copied() -> set[str]:
    """What the stages take from the context."""
    copies = [step.text.split() for stage in STAGES.values() for step in stage.steps if step.keyword == "COPY"]
    return {source for words in copies if not words[0].startswith("--from=") for source in words[:-1]}


# The replay ----------------------------------------------------------------------------------------------------------


def stand_in(root: Path) -> None:
    """The base image's Python: the one of these tests, at the same place, and without bytecode as there."""
    stdlib, library = Path(sysconfig.get_path("stdlib")), root / "usr" / "local" / "lib"
    left_out = shutil.ignore_patterns("__pycache__", "test", "tests", "*-packages", "config-*")
    shutil.copytree(stdlib, library / stdlib.name, ignore=left_out, ignore_dangling_symlinks=True)
    for shared in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3*.so*"):
        shutil.copy(shared, library)
    program = root / "usr" / "local" / "bin" / "python"
    program.parent.mkdir()
    shutil.copy(Path(sys.executable).resolve(), program)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Does the steps below `root`, where a Python stands as in the base image. All stages share that folder: what one
    copies from another is there already."""

    root: Path
    done: set[str] = field(default_factory=set)

    def here(self, text: str) -> str:
        """With the image's folders below the root."""
        return re.sub(r"(?<![\w*/])/(?=(usr/local|opt|build|etc)\b)", f"{self.root}/", text)

    def environment(self, target: str, *, path: str) -> dict[str, str]:
        """What the target says, and what the stand-in needs. `path`: what ends the base image's PATH."""
        local = self.root / "usr" / "local"
        env = {"PATH": f"{local}/bin:{path}", "LD_LIBRARY_PATH": f"{local}/lib"}
        for step in steps(target):
            if step.keyword == "ENV":
                env |= _expanded(step.pairs, env)
        return {name: self.here(value) for name, value in env.items()}

    def build(self, target: str) -> None:
        """No stage is done twice."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        env, folder = ours | self.environment(target, path=os.environ["PATH"]), self.root
        for stage in chain(target):
            for step in stage.steps:
                if step.keyword == "WORKDIR":
                    folder = Path(self.here(step.text))
                    folder.mkdir(exist_ok=True)
                elif stage.name not in self.done:
                    self._do(step, folder, env)
            self.done.add(stage.name)

    def _do(self, step: Step, folder: Path, env: Mapping[str, str]) -> None:
        if step.keyword == "RUN":
            command = ["sh", "-c", self.here(step.text)]
            ended = subprocess.run(
                command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            assert ended.returncode == 0, f"{step.text}\n{ended.stdout}"
        elif step.keyword == "COPY":
            *sources, last = step.text.split()
            if sources[0].startswith("--from="):
                assert sources[1:] == [last], "an environment is bound to its place"
                self.build(sources[0].removeprefix("--from="))
            else:
                assert last in ("./", *sources), f"{step.text}: the replay keeps names"
                for source in sources:
                    _copy(source, folder)


def _copy(source: str, folder: Path) -> None:
    """What the context has of it."""
    for file in (ROOT / source, *(ROOT / source).rglob("*")):
        name = file.relative_to(ROOT).as_posix()
        if file.is_file() and let_in(name):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(file, folder / name)


# The containers ------------------------------------------------------------------------------------------------------

#: What is read-only everywhere: no byte can be written to any file, be it in a folder that is open to all, like /tmp.
WRITING_NOTHING = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A target, and what was installed in it when it was made."""

    replay: Replay
    target: str
    packages: dict[str, str]

    def container(self, **given: str) -> dict[str, Any]:
        """How `commands.run` starts one: by the entry point, with the target's folder, user (unless these tests have no
        right to that) and environment, and no other program within reach.
        """
        made = image(self.target)
        user, _, group = made.user.partition(":")
        switched = {"user": int(user), "group": int(group), "extra_groups": []} if os.geteuid() == 0 else {}
        return {
            "command": [f"{self.replay.root}/usr/local/bin/python", "-c", WRITING_NOTHING, *made.entrypoint],
            "cwd": Path(made.folder),
            "env": {**self.replay.environment(self.target, path="/nowhere"), KEY_NAME: KEY, **given},
            **switched,
        }


def build(replay: Replay, name: str) -> Built:
    """Leaves it read-only, and the folder that it was built in closed: a container has none."""
    unlock(replay.root)
    replay.build(name)
    (packages,) = replay.root.glob("opt/plugin-probe/lib/python3.*/site-packages")
    found: dict[str, str] = {canonicalize_name(each.name): each.version for each in distributions(path=[str(packages)])}
    _change("a-w", replay.root / "usr", replay.root / "opt")
    (replay.root / "build").chmod(0)
    return Built(replay=replay, target=name, packages=found)


def unlock(root: Path) -> None:
    """So that it can be gone on with, or removed."""
    _change("u+rwX", *(folder for folder in root.iterdir() if folder.name in ("usr", "opt", "build")))


def _change(mode: str, *folders: Path) -> None:
    assert run("chmod", "-R", mode, *map(str, folders)) == (0, "")

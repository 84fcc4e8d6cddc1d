"""The installed command as a process, the files that it reads, and how tests wait for what it does."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

COMMAND = str(Path(sys.executable).with_name("plugin-probe"))
KEY_NAME = "PROBE_TEST_KEY"
KEY = "sk_live_0123456789abcdefghij"
#: No test waits longer than this for anything.
PATIENCE_S = 20.0

T = TypeVar("T")


def environment(**more: str) -> dict[str, str]:
    """What the process sees: the key, and nothing of this shell that could change what it does."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, KEY_NAME: KEY, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str
    took_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(events(self.err))

    def event(self, name: str) -> dict[str, Any]:
        """The last event of that name."""
        return [event for event in self.events if event["event"] == name][-1]


def events(text: str) -> Iterator[dict[str, Any]]:
    """The log lines in what came from stderr."""
    return (json.loads(line) for line in text.splitlines() if line.startswith('{"timestamp"'))


@dataclass(slots=True, kw_only=True)
class Started:
    """A process that runs; what it writes to stderr is read line by line."""

    process: asyncio.subprocess.Process
    began: float
    errors: list[str] = field(default_factory=list)

    async def line(self, holding: str) -> str:
        """The next line of stderr that holds this."""
        stream = self.process.stderr
        assert stream is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := (await stream.readline()).decode():
                self.errors.append(line)
                if holding in line:
                    return line
        raise AssertionError(f"no line with {holding!r} came: {''.join(self.errors)}")

    async def event(self, name: str) -> dict[str, Any]:
        """The next log event of that name."""
        event: dict[str, Any] = json.loads(await self.line(f'"event":"{name}"'))
        return event

    async def url(self) -> str:
        """Where the daemon says that it serves."""
        url: str = (await self.event("run.started"))["url"]
        return url

    async def page(self) -> str:
        """Where `demo --serve` says that its status page is."""
        return (await self.line("plugin-probe: ")).split()[-1]

    async def finish(self, within_s: float = PATIENCE_S) -> Finished:
        async with asyncio.timeout(within_s):
            out, err = await self.process.communicate()
        code = self.process.returncode
        assert code is not None
        took_s = asyncio.get_running_loop().time() - self.began
        return Finished(code=code, out=(out or b"").decode(), err="".join(self.errors) + err.decode(), took_s=took_s)

    def send(self, number: int) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def started(
    *arguments: str | Path,
    cwd: Path,
    command: Sequence[str] = (COMMAND,),
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Started]:
    """The command while it runs; still running at the end, it is killed."""
    given = {"stdin": asyncio.subprocess.DEVNULL, "stdout": asyncio.subprocess.PIPE} | options
    process = await asyncio.create_subprocess_exec(
        *command,
        *map(str, arguments),
        cwd=cwd,
        env=dict(env or environment()),
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
        **given,
    )
    try:
        yield Started(process=process, began=asyncio.get_running_loop().time())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*arguments: str | Path, cwd: Path, within_s: float = PATIENCE_S, **options: Any) -> Finished:
    """The command from start to end."""
    async with started(*arguments, cwd=cwd, **options) as process:
        return await process.finish(within_s)


def target(plugin: str = "p_1_0_0", namespace: str = "ns_a", **keys: Any) -> dict[str, Any]:
    return {"namespace": namespace, "plugin": plugin, **keys}


def write_targets(folder: Path, targets: Sequence[Mapping[str, Any]]) -> None:
    """targets.yaml, replaced at once."""
    replace(folder / "targets.yaml", json.dumps({"targets": list(targets)}))


def write_config(
    folder: Path, url: str, targets: Sequence[Mapping[str, Any]] = (), *, key_file: Path | None = None, **sections: Any
) -> Path:
    """worker.yaml and targets.yaml (both in JSON, which is YAML): fast limits, unless `sections` say otherwise."""
    api = {"base_url": url, **({"api_key_file": str(key_file)} if key_file else {"api_key_env": KEY_NAME})}
    worker: dict[str, Any] = {
        "api": {**api, **sections.pop("api", {})},
        "limits": {"rate": "1000/s", "concurrency": 50},
        "schedule": {"timeout": "5s", "grace": "5s"},
        **sections,
    }
    write_targets(folder, targets or [target()])
    path = folder / "worker.yaml"
    replace(path, json.dumps(worker))
    return path


def replace(path: Path, text: str) -> None:
    """Writes a file so that no reader finds half of it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


async def eventually(question: Callable[[], Awaitable[T]], within_s: float = PATIENCE_S) -> T:
    """Asks again until the answer is true; what was answered last otherwise."""
    async with asyncio.timeout(within_s):
        while not (answer := await question()):  # noqa: ASYNC110 (another process has no event of ours)
            await asyncio.sleep(0.05)
    return answer


class Together(dict[str, Any]):
    """What came of cases that ran at the same time; a case that failed raises where it is looked at."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, BaseException):
            raise found
        return found


Case = Callable[[Path], Coroutine[Any, Any, Any]]


class Cases(dict[str, Case]):
    """Those of a module, by name."""

    def add(self, case: Case) -> Case:
        """A decorator."""
        self[case.__name__] = case
        return case


def together(cases: Mapping[str, Case], folder: Path, at_once: int = 4) -> Together:
    """Runs cases that have nothing to do with each other, a few at a time, each in a folder of its own."""

    async def main() -> Together:
        gate = asyncio.Semaphore(at_once)

        async def one(name: str, case: Case) -> Any:
            async with gate:
                place = folder / name
                place.mkdir()
                return await case(place)

        made = await asyncio.gather(*(one(*item) for item in cases.items()), return_exceptions=True)
        return Together(zip(cases, made, strict=True))

    return asyncio.run(main())

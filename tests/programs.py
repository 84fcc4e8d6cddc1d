"""Programs of Prometheus' family, run as they are; servers on loopback, on free ports, ended by their own process."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
#: No test waits longer than this for a server.
PATIENCE_S = 20.0


def missing(*names: str) -> list[str]:
    """Those that are not here; where CI=true that is a failure."""
    found = [name for name in names if shutil.which(name) is None]
    assert not found or os.environ.get("CI") != "true", f"missing: {found}; see `make servers`"
    return found


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips where one is missing, and says which."""
    lacking = missing(*names)
    return pytest.mark.skipif(bool(lacking), reason=f"no {', '.join(lacking)} here")


def run(*command: str, folder: Path = ROOT) -> tuple[int, str]:
    """The exit code, and all that it said."""
    ended = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return ended.returncode, ended.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(*command: str, ready: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at `ready`; what it says is in the folder, beside what it keeps."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait(lambda: process.poll() is not None or _answers(ready), f"{command[0]} to answer")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def pushgateway(folder: Path) -> Iterator[tuple[str, int]]:
    """An empty one that keeps nothing: its URL, and its process's id."""
    address = f"127.0.0.1:{free_port()}"
    command = ("prometheus-pushgateway", f"--web.listen-address={address}", "--persistence.file=", "--log.level=error")
    with serving(*command, ready=f"http://{address}/-/ready", folder=folder) as process:
        yield f"http://{address}", process.pid


def wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, f"waited {PATIENCE_S:.0f} s for {what}"
        time.sleep(0.02)


def get(url: str) -> Any:
    """The JSON that stands there."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
        return json.load(reply)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S):
            return True
    except (urllib.error.URLError, OSError):
        return False

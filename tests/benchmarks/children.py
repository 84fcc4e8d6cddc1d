"""Processes beside a benchmark: each is a module here that reads lines on stdin and answers with lines of JSON.

They end when their stdin does; one that doesn't is killed, by its own pid.
"""

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

#: The environment's name of the API key, and the key.
KEY_NAME, KEY = "BENCH_KEY", "sk_bench_0123456789"
PATIENCE_S = 120.0


class Child:
    """A running module."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._stdin, self._stdout = process.stdin, process.stdout

    def hear(self, within_s: float = PATIENCE_S) -> Any:
        """The next line that it says."""
        ready, _, _ = select.select([self._stdout], [], [], within_s)
        line = self._stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"process {self.pid} said nothing within {within_s:g} s, or ended")
        return json.loads(line)

    def ask(self, *words: object, within_s: float = PATIENCE_S) -> Any:
        """Tells it a line of words and hears its answer."""
        self._stdin.write(" ".join(map(str, words)).encode() + b"\n")
        return self.hear(within_s)


@contextmanager
def child(module: str, *arguments: object) -> Iterator[Child]:
    """`tests.benchmarks.<module>` in a process of its own."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    environ = {**os.environ, KEY_NAME: KEY}
    with subprocess.Popen(command, stdin=-1, stdout=-1, bufsize=0, env=environ) as process:
        running = Child(process)
        try:
            yield running
        finally:
            running._stdin.close()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()


def say(value: Any) -> None:
    """A child's answer."""
    print(json.dumps(value), flush=True)


async def orders() -> AsyncIterator[list[str]]:
    """What a child is told, line by line, until its stdin ends; read in a thread, so that its loop goes on."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield line.split()

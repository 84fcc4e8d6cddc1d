"""Start-up: `once` over one target against importing the libraries that it stands on."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options

IMPORTS = "import aiohttp, pydantic, prometheus_client, structlog, yaml"


def startup(options: Options) -> list[Figure]:
    """CPU of the whole process, both ways, one after the other in every block."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name, instant_server() as port:
        config = write_config(Path(name), port)
        once = [sys.executable, "-m", "worker", "once", "-c", str(config), "--log-level", "error"]
        for number in range(options.blocks + 1):
            imports_s = cpu_s([sys.executable, "-c", IMPORTS])
            once_s = cpu_s(once)
            if number:  # the first block warms the caches of both
                theirs.append(imports_s)
                ours.append(once_s)
    return [Figure(name="start-up of a one-target once, against its imports", goal="≤ 1.3", ours=ours, theirs=theirs)]


def cpu_s(command: Sequence[str]) -> float:
    """User and system seconds of a command that must succeed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "BENCH_KEY": "sk_bench"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return usage.ru_utime + usage.ru_stime


def write_config(folder: Path, port: int) -> Path:
    config = folder / "worker.yaml"
    config.write_text(
        f"api: {{base_url: 'http://127.0.0.1:{port}', api_key_env: BENCH_KEY}}\ntargets_files: [t.yaml]\n"
    )
    (folder / "t.yaml").write_text("targets: [{namespace: ns_a, plugin: p_1_0_0, inputs: {text: hello}}]\n")
    return config


@contextmanager
def instant_server() -> Iterator[int]:
    """The port of an instant server in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.instant_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()

"""A blackbox_exporter in a process of its own, as Debian packages it, and what it is asked."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.children import KEY
from tests.benchmarks.road import BODY

PROGRAM = "prometheus-blackbox-exporter"
MISSING = f"{PROGRAM} is not installed"
#: `judged` looks for what our targets expect, as far as a regular expression can; `timed` only reads the reply.
MODULES: dict[str, dict[str, Any]] = {
    "judged": {"fail_if_body_not_matches_regexp": ['"status": "success"', r'"embedding": \[']},
    "timed": {},
}
START_UP_S = 10.0


@dataclass(frozen=True, slots=True)
class Exporter:
    pid: int
    port: int


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


@contextmanager
def exporter() -> Iterator[Exporter]:
    """Ready to be asked; ended with the block. All is as it comes but for the module: a log level of info, a history of
    100, and `--timeout-offset` 0.5 s, which with no scrape's time-out to subtract from leaves the module's 10 s.
    """
    port = _free_port()
    with TemporaryDirectory() as name:
        config = Path(name, "blackbox.yml")
        config.write_text(json.dumps({"modules": {module: _module(http) for module, http in MODULES.items()}}))
        command = [PROGRAM, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _await_port(port)
                yield Exporter(process.pid, port)
            finally:
                process.terminate()


def _module(http: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    asked = {"method": "POST", "headers": headers, "body": BODY.decode(), "preferred_ip_protocol": "ip4", **http}
    return {"prober": "http", "timeout": "10s", "http": asked}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    until = time.monotonic() + START_UP_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)

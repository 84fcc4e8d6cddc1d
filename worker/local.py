"""The local sandbox as a user meets it: `sandbox` serves plugin folders, `demo` probes the samples."""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from worker.app import Launch
from worker.batch import Done, Order, run_batch
from worker.config.aside import load_aside
from worker.config.load import load
from worker.daemon import Serving, run_daemon
from worker.sandbox.app import serve
from worker.sandbox.catalogue import SAMPLES, sample_sandbox, sample_targets
from worker.sandbox.faults import Faults
from worker.sandbox.handout import as_yaml, introduction, worker_yaml
from worker.sandbox.plugins import load_plugins
from worker.sandbox.sandbox import Sandbox
from worker.settings import OutputSettings, Settings

KEY_NAME = "PLUGIN_PROBE_SANDBOX_KEY"
DEMO_INTERVAL = "10s"


def make_sandbox(folders: Sequence[Path], *, namespace: str, api_key: str | None, faults: Faults | None) -> Sandbox:
    """Over these plugin folders, or over the samples where there is none. PluginError, FaultsError: what is wrong."""
    if folders:
        return Sandbox(load_plugins(folders), namespace=namespace, api_key=api_key, faults=faults)
    return sample_sandbox(namespace=namespace, api_key=api_key, faults=faults)


async def run_sandbox(sandbox: Sandbox, *, port: int, show: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; `show` gets the URL, the key and the files to use."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serve(sandbox, port=port) as url:
        show(introduction(sandbox, url))
        await stopped.wait()


@asynccontextmanager
async def demo_settings(folder: Path) -> AsyncIterator[tuple[Settings, Mapping[str, str]]]:
    """The samples served on loopback, and a configuration that probes them, read as a user's would be."""
    sandbox = sample_sandbox()
    async with serve(sandbox) as url:
        environ = {**os.environ, KEY_NAME: sandbox.api_key}
        worker = worker_yaml(url, interval=DEMO_INTERVAL, key_name=KEY_NAME, listen=_free_address())
        (folder / "worker.yaml").write_text(worker)
        targets = {"targets": sample_targets(sandbox.namespace)}
        (folder / "targets.yaml").write_text(as_yaml(targets), encoding="utf-8")
        yield load(folder / "worker.yaml", environ=environ), environ


def _free_address() -> str | None:
    """None, the usual one, unless something (a worker in earnest?) listens there already."""
    usual = OutputSettings()
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind((usual.listen_host, usual.listen_port))
        except OSError:
            return f"{usual.listen_host}:0"
    return None


async def run_demo(
    launch: Launch, *, show: Callable[[Done], None], announce: Callable[[str], None] | None = None
) -> list[str]:
    """Probes every sample once and tells which did not get the outcome that it was made for.

    With `announce` it then goes on as a daemon with its status page, until it is stopped.
    """
    with tempfile.TemporaryDirectory(prefix="plugin-probe-demo-") as name:
        async with demo_settings(Path(name)) as (settings, environ):
            launch = replace(launch, environ=environ)
            order = Order(targets=settings.targets, period_s=settings.schedule.interval_s)
            done = await run_batch(settings, launch, order)
            show(done)
            if announce:
                path = Path(name) / "worker.yaml"
                serving = Serving(
                    load=lambda before: load_aside(path, environ=environ, before=before), announce=announce
                )
                await run_daemon(settings, launch, serving)
    return _surprises(done)


def _surprises(done: Done) -> list[str]:
    made_for = {sample.plugin_id: sample.outcome for sample in SAMPLES}
    return [
        f"{row.key.plugin} was made for {made_for[row.key.plugin]} and got {row.outcome.value}"
        for row in done.rows
        if row.outcome.value != made_for[row.key.plugin]
    ]

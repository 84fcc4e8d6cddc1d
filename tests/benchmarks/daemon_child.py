"""The daemon as it runs in production, but for one more sink that notes what it is told, in a process of its own.

Arguments: the configuration, seconds to warm up, seconds to note, and the interval whose beginning is waited for (0:
none): then the first round and the next one follow each other without a gap. It says where it serves, then what it
noted, and stops when its stdin ends.
"""

import asyncio
import json
import os
import signal
import sys
import time
from array import array
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.children import KEY, KEY_NAME, say
from tests.benchmarks.spent import cpu_now_s
from worker.app import Launch, Worker, assemble
from worker.config.aside import load_aside
from worker.config.load import load
from worker.core.exchange import Reply
from worker.core.summary import percentile
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.daemon import Daemon, Serving
from worker.settings import Settings
from worker.web.board import Board


class Notes:
    """A sink. `errors_s` are of latencies that were recorded: what a stall touched is counted apart."""

    def __init__(self) -> None:
        self._noting = False
        self._lateness_s = array("d")
        self._errors_s = array("d")
        self._outcomes: Counter[str] = Counter()
        self._stalled = 0

    def record(self, recorded: Recorded) -> None:
        if not self._noting:
            return
        result = recorded.result
        self._outcomes[result.outcome.value] += 1
        if result.lateness_s is not None:
            self._lateness_s.append(result.lateness_s)
        exchange = result.exchange
        if exchange is None or exchange.duration_s is None or not isinstance(exchange.answer, Reply):
            return
        passed_s = exchange.answer.raw_response.get("passed_s")
        if exchange.lost_s > 0:
            self._stalled += 1
        elif passed_s is not None:
            self._errors_s.append(exchange.duration_s - passed_s)

    def forget(self, key: TargetKey) -> None:
        """The list does not change."""

    def begin(self, worker: Worker) -> None:
        self._noting = True
        self._began, self._cpu_s, self._stalls = time.perf_counter(), cpu_now_s(), stalls(worker)

    def end(self, worker: Worker) -> dict[str, Any]:
        self._noting = False
        seconds = time.perf_counter() - self._began
        return {
            "seconds": seconds,
            "cpu_share": (cpu_now_s() - self._cpu_s) / seconds,
            "stalls": stalls(worker) - self._stalls,
            "targets": len(worker.engine.targets),
            "resident_bytes": resident_bytes(),
            "outcomes": self._outcomes,
            "touched_by_a_stall": self._stalled,
            "lateness_s": ranked(self._lateness_s),
            "errors_s": ranked(self._errors_s),
        }


def stalls(worker: Worker) -> float:
    """So far."""
    return worker.metrics.own.registry.get_sample_value("plugin_probe_stalls_total") or 0.0


def ranked(values: "array[float] | list[float]") -> dict[str, float | None]:
    """How many there are, and where they lie."""
    ordered = sorted(values)
    return {"count": len(ordered), **{f"p{q}": percentile(ordered, q / 100) for q in (50, 99, 100)}}


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def write_daemon(
    folder: Path,
    port: int,
    *,
    targets: int,
    namespaces: int,
    interval_s: float,
    limits: Mapping[str, Any],
    outputs: Mapping[str, Any] | None = None,
    expect: Mapping[str, Any] | None = None,
) -> Path:
    """Its configuration and targets, in files as a fleet's would be; a batch's `outputs` may stand in it as well."""
    document = {
        "api": {"base_url": f"http://127.0.0.1:{port}", "api_key_env": KEY_NAME},
        "limits": limits,
        "schedule": {"interval": interval_s, "timeout": min(interval_s, 10.0)},
        "outputs": {"listen": "127.0.0.1:0", **(outputs or {})},
        "targets_files": ["t.json"],
    }
    plugins = [f"text_embed_{number}_1_0_0" for number in range(targets // namespaces)]
    listed = {"plugins": plugins, "inputs": {"text": "hello"}, "expect": expect or {"keys": ["embedding"]}}
    fleet = {"targets": [{"namespace": f"ns_{number}", **listed} for number in range(namespaces)]}
    (folder / "t.json").write_text(json.dumps(fleet))
    config = folder / "worker.yaml"
    config.write_text(json.dumps(document))
    return config


async def main(config: Path, warm_s: float, window_s: float, aligned_s: float) -> None:
    loop = asyncio.get_running_loop()
    launch = Launch(environ={KEY_NAME: KEY}, log_level="error")  # many a stall is a line of the log
    settings = load(config, environ=launch.environ)
    board, notes = Board(), Notes()

    def again(before: Mapping[TargetKey, Target]) -> Coroutine[Any, Any, Settings]:
        return load_aside(config, environ=launch.environ, before=before)

    async with assemble(
        settings, launch, targets=settings.targets, extra={"board": board, "notes": notes}, exemplars=True
    ) as worker:
        board.redact = worker.connection.redact
        await asyncio.sleep(-time.time() % aligned_s if aligned_s else 0.0)
        loop.call_later(warm_s, notes.begin, worker)
        loop.call_later(warm_s + window_s, lambda: say(notes.end(worker)))
        ended = loop.run_in_executor(None, sys.stdin.read)
        ended.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGTERM))
        await Daemon(worker, board, Serving(load=again, announce=say)).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *map(float, sys.argv[2:5])))

"""What a piece of work costs: CPU and wall time."""

import os
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """User and system seconds, and seconds by the clock."""

    cpu_s: float
    wall_s: float


def cpu_now_s() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def spent(run: Callable[[], Awaitable[None]]) -> Spent:
    """Of this process while it runs."""
    cpu_s, wall_s = cpu_now_s(), time.perf_counter()
    await run()
    return Spent(cpu_now_s() - cpu_s, time.perf_counter() - wall_s)


def cpu_of_s(pid: int) -> float:
    """CPU seconds of another process so far, to a tick of 10 ms; differences of it add up without an error."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def peak_bytes(pid: int) -> int:
    """The most resident memory that another process has had so far."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

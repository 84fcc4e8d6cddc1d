"""What the figures were measured on: without it they say nothing."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("aiohttp", "asyncio-throttle", "pydantic", "prometheus-client", "structlog")


def conditions() -> dict[str, str]:
    return {
        "processors": f"{len(os.sched_getaffinity(0))} × {_model()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _model() -> str:
    """Of the first processor, as Linux names it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()

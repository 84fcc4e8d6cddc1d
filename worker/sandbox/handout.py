"""What a sandbox hands to whoever wants to probe it: its address, its key, and the two files to use."""

from typing import Any

import yaml

from worker.sandbox.sandbox import Sandbox
from worker.sandbox.targets import targets_yaml


def introduction(sandbox: Sandbox, url: str) -> str:
    """Comments that say what to do, then worker.yaml and targets.yaml."""
    return f"""\
# The sandbox serves the Mixpeek plugin API at {url} (this machine only).
# It runs the plugins' own code. Stop it with Ctrl-C.
# To probe it, put the two files below into a folder and, in another terminal:
#   export MIXPEEK_API_KEY={sandbox.api_key}
#   plugin-probe once -c worker.yaml
# ---------------------------------------------------------------- worker.yaml
{worker_yaml(url)}
# --------------------------------------------------------------- targets.yaml
{targets_yaml(sandbox)}"""


def worker_yaml(
    url: str, *, rate: str = "20/s", interval: str = "30s", key_name: str = "MIXPEEK_API_KEY", listen: str | None = None
) -> str:
    """A configuration that fits a sandbox."""
    settings: dict[str, Any] = {
        "api": {"base_url": url, "api_key_env": key_name},
        "limits": {"rate": rate, "concurrency": 8},
        "schedule": {"interval": interval, "timeout": "10s"},
        "targets_files": ["targets.yaml"],
    }
    if listen:
        settings["outputs"] = {"listen": listen}
    return as_yaml(settings)


def as_yaml(values: dict[str, Any]) -> str:
    """In the order given, and with letters of any language as they are."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

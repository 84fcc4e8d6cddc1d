"""promtool, the judge of every exposition in the text format."""

import os
import shutil
import subprocess


def is_here() -> bool:
    """Where CI=true it must be; elsewhere a test of its own says that it was skipped, and why."""
    found = shutil.which("promtool") is not None
    assert found or os.environ.get("CI") != "true", "promtool is missing: install the prometheus package"
    return found


def check_metrics(text: bytes) -> tuple[int, bytes]:
    """The exit code of `promtool check metrics`, and all that it said."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return checked.returncode, checked.stdout

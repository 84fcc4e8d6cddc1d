"""promtool, the judge of every exposition in the text format."""

import subprocess


def check_metrics(text: bytes) -> tuple[int, bytes]:
    """The exit code of `promtool check metrics`, and all that it said."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return checked.returncode, checked.stdout

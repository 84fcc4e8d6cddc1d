"""Runs commands from a small process, since the peak memory that the system tells of a process begins with that of
whoever started it. Each line is a command in JSON, answered with what came of it.
"""

import json
import os
import subprocess
import sys

from tests.benchmarks.children import say


def main() -> None:
    for line in sys.stdin:
        process = subprocess.Popen(json.loads(line), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        say(
            {
                "code": process.returncode,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": 1024 * usage.ru_maxrss,
            }
        )


if __name__ == "__main__":
    main()

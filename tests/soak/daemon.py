"""`plugin-probe` as it is installed, but that two signals are heard. SIGUSR1 collects all garbage at once, as the
daemon does by itself every hour; SIGUSR2 writes to the file $SOAK_COUNTS how many tasks there are, and how many blocks
of memory Python's objects take.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path

from worker.cli import main


def collect(*_: object) -> None:
    gc.collect()


def count(*_: object) -> None:
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:  # no loop yet, or no more
        return
    draft = Path(f"{os.environ['SOAK_COUNTS']}.draft")
    draft.write_text(json.dumps({"tasks": tasks, "blocks": sys.getallocatedblocks()}), encoding="utf-8")
    draft.replace(os.environ["SOAK_COUNTS"])


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, collect)
    signal.signal(signal.SIGUSR2, count)
    main()

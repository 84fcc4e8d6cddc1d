"""`make soak` and `make truth`: what came of it as a table, and all of it in build/."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.soak.soak import Soak, soak
from tests.soak.truth import Truth, truth

BUILD = Path("build")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_soak = commands.add_parser(
        "soak", help="all faults, reloads and scrapes: memory, tasks and such stay as they are"
    )
    of_soak.add_argument("--seconds", type=float, default=600.0)
    of_truth = commands.add_parser("truth", help="healthy probes, of which none may be down")
    of_truth.add_argument("--probes", type=int, default=1_000_000)
    of_truth.add_argument("--per-second", type=int, default=3_000, metavar="N", help="probes due in a second")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(wanted, Path(folder)))
    BUILD.mkdir(exist_ok=True)
    result = {**asdict(found), "problems": found.problems}
    (BUILD / f"{wanted.command}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(found.table())
    print("\n".join(found.problems) or "all well")
    return int(bool(found.problems))


def run(wanted: argparse.Namespace, folder: Path) -> Coroutine[Any, Any, Soak | Truth]:
    return soak(folder, wanted.seconds) if wanted.command == "soak" else truth(folder, wanted.probes, wanted.per_second)


if __name__ == "__main__":
    sys.exit(main())

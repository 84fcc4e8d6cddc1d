"""`make bench`: all benchmarks, or those that are named, in one table.

Every ratio is against a baseline measured beside it in interleaved blocks of the same run. What was promised and is
missed stands in the table as NO; that is no failure of this command, a benchmark that breaks off is.
"""

import argparse
import json
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.conditions import conditions
from tests.benchmarks.figure import Missing, Row, table
from tests.benchmarks.options import Options

#: Modules here, each with a function of its own name: options → rows.
BENCHMARKS = ("shapes", "startup", "road", "blackbox", "scrape", "accuracy", "scheduler", "footprint")
RESULTS = Path("build/bench.json")


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    wanted = parser.parse_args(arguments)
    unknown = set(wanted.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    options = Options(blocks=wanted.blocks, minutes=wanted.minutes, seconds=wanted.seconds)
    found = conditions()
    rows: list[Row] = []
    broken = False
    for name in wanted.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows += getattr(import_module(f"tests.benchmarks.{name}"), name)(options)
        except Exception as error:  # the others' minutes are not to be lost
            traceback.print_exc()
            rows.append(Missing(name=name, why=f"broke off: {error}"))
            broken = True
        _write(wanted.json, found, rows)
    print("".join(f"{what}: {value}\n" for what, value in found.items()))
    print(table(rows))
    return int(broken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    defaults = Options()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all of them by default")
    parser.add_argument("--blocks", type=int, default=defaults.blocks, help="interleaved blocks of every ratio")
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="of the scheduler's window")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="at each rate of the accuracy")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="PATH", help=f"by default {RESULTS}")
    return parser


def _write(path: Path, found: dict[str, str], rows: list[Row]) -> None:
    document: dict[str, Any] = {"conditions": found, "figures": [row.as_dict() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

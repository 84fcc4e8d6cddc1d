"""`make bench`: every figure is a ratio within one run, against a baseline measured beside it in interleaved blocks."""

import json
import sys
from pathlib import Path

from tests.benchmarks.road import road
from tests.benchmarks.shapes import shapes
from tests.benchmarks.startup import startup


def main() -> None:
    figures = [*shapes(), startup(), *road()]
    for figure in figures:
        print(figure.line())
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps([figure.as_dict() for figure in figures], indent=2) + "\n")


main()

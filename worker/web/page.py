"""The status page: one table, sick targets first. Everything that a reply can choose is escaped by Jinja2."""

from collections import Counter
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, Template

from worker.core.shard import Shard
from worker.sinks.rows import shape_lines
from worker.web.board import Shown, sick_first

#: More rows than anybody reads (1,000 take 40 ms, in which no probe moves); the JSON API has them all.
MOST_ROWS = 200


def status_page(targets: list[Shown], shard: Shard | None = None) -> str:
    """HTML that loads nothing. `shard` is whose targets these are."""
    counts = Counter(shown.verdict or "waiting" for shown in targets)
    listed = sick_first(targets, MOST_ROWS)
    total, hidden = len(targets), len(targets) - len(listed)
    return _template().render(targets=listed, counts=counts, total=total, hidden=hidden, shard=shard)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clock": _clock, "milliseconds": _milliseconds, "span": _span, "shape_lines": shape_lines}
    return environment.from_string(files("worker.web").joinpath("status.html").read_text(encoding="utf-8"))


def _clock(unix_s: float | None) -> str:
    try:
        return "–" if unix_s is None else datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # of a textfile that somebody else wrote
        return "?"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _span(seconds: float | None) -> str:
    """12 s, 4 min, 2.5 h."""
    if seconds is None:
        return "–"
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

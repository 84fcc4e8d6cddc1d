"""The log: one JSON object a line on stderr, or a line for people, whatever is in it and whatever becomes of stderr."""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from worker.core.target import TargetKey
from worker.core.track import Recorded
from worker.sinks.events import Narrator
from worker.sinks.text import Redact, tame, unchanged

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: Until then a library need not say again what it has just said.
AGAIN_S = 1.0
#: Nested deeper than this is told as text.
_MOST_DEPTH = 8
#: Of a longer text the middle is left out: a traceback tells most at both ends.
_MOST_LENGTH = 16_384
_FIRST = ("timestamp", "level", "event", "run_id")


def configure(
    *, level: str, fmt: Literal["json", "console"], run_id: str, redact: Redact, stream: TextIO | None = None
) -> None:
    """Sets up structlog, and routes the logging module and warnings through it.

    `level` is debug, info, warning, error or critical; libraries are heard from warning on. `redact` takes the secrets
    out of every value and again of the finished line. `stream` None is sys.stderr, as it is when a line is written.
    """
    least = _LEVELS[level.lower()]
    structlog.configure(
        processors=_processors(fmt, run_id, redact, stream),
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=_Unbreakable(stream)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(least, logging.WARNING))
    logging.captureWarnings(True)


def _processors(fmt: str, run_id: str, redact: Redact, stream: TextIO | None) -> list[Processor]:
    def name_run(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["run_id"] = run_id
        return event

    def scrub(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {str(key): _scrubbed(value, redact) for key, value in event.items()}

    def redact_line(_logger: Any, _method: str, line: Any) -> Any:
        return redact(line)

    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_run,
        structlog.processors.format_exc_info,
        scrub,
    ]
    if fmt == "json":
        return [*shared, _to_json, redact_line]
    return [*shared, _tame_values, _console(stream), redact_line]


def _to_json(_logger: Any, _method: str, event: EventDict) -> str:
    """ASCII only, so that no character of a reply can end the line or upset a terminal or a decoder."""
    ordered = {name: event.pop(name) for name in _FIRST if name in event} | dict(event)
    return json.dumps(ordered, separators=(",", ":"), allow_nan=False)


def _scrubbed(value: Any, redact: Redact, depth: int = 0) -> Any:
    """JSON values without secrets: a secret is looked for before quoting could disguise it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth < _MOST_DEPTH and isinstance(value, Mapping):
        return {redact(str(key)): _scrubbed(item, redact, depth + 1) for key, item in value.items()}
    if depth < _MOST_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(item, redact, depth + 1) for item in value]
    try:
        return _shortened(redact(str(value)))
    except Exception as error:  # a field whose text can't be had must not cost the line
        return f"<unprintable: {type(error).__name__}>"


def _shortened(text: str) -> str:
    half = _MOST_LENGTH // 2
    return text if len(text) <= _MOST_LENGTH else f"{text[:half]} … {text[-half:]}"


def _tame_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """For terminals: no escape sequence passes, and only a traceback has several lines."""
    return {
        tame(key): tame(item, keep_lines=key == "exception") if isinstance(item, str) else item
        for key, item in event.items()
    }


def _console(stream: TextIO | None) -> structlog.dev.ConsoleRenderer:
    try:
        terminal = (stream or sys.stderr).isatty()
    except (ValueError, AttributeError):  # closed; None
        terminal = False
    colors = terminal and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


class _Unbreakable:
    """A stream that may be closed, full or gone: a lost line is better than a lost worker."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            (self._stream or sys.stderr).write(text)
        except (OSError, ValueError, AttributeError):  # broken pipe; closed; sys.stderr None
            return

    def flush(self) -> None:
        try:
            (self._stream or sys.stderr).flush()
        except (OSError, ValueError, AttributeError):
            return


class _Bridge(logging.Handler):
    """Takes what libraries log, and warnings, to the same place; `logger` says whose words they are.

    Who says the same over and over is heard once a second: without a free descriptor asyncio tells of each connection
    that it might have accepted.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last, self._heard_at = ("", ""), -math.inf

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # a library's wrong format string: its words are still worth having
            message = f"{record.msg} {record.args}"
        said, now = (record.name, message), time.monotonic()
        if said == self._last and now - self._heard_at < AGAIN_S:
            return
        self._last, self._heard_at = said, now
        # Levels between the standard five are taken as the next lower one.
        level = max((known for known in _LEVELS.values() if known <= record.levelno), default=logging.DEBUG)
        structlog.get_logger().log(level, message, logger=record.name, exc_info=record.exc_info)


class LogSink:
    """Results and the worker's other events, as log lines. Made after `configure`."""

    def __init__(self, *, redact: Redact = unchanged) -> None:
        self._logger = structlog.get_logger().bind()
        self._least: int = self._logger.get_effective_level()
        self._narrator = Narrator(redact)

    def record(self, recorded: Recorded) -> None:
        for level, name, fields in self._narrator.tell(recorded, self._least):
            self._logger.log(level, name, **fields)

    def forget(self, key: TargetKey) -> None:
        self._narrator.forget(key)

    def event(self, name: str, *, level: str = "info", **fields: Any) -> None:
        """An event of the worker itself: `event("sink.failed", level="error", sink="textfile", exc_info=True)`."""
        given = {key: value for key, value in fields.items() if value is not None}
        self._logger.log(_LEVELS[level], name, **given)

"""The log: one event phrase, fields in snake_case (`fields`), text or JSON lines on stderr.

The libraries' own logging goes through the same form. Values come from strangers (host names, paths), so
nothing in them may end a line or speak to a terminal.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from coordinator.telemetry.printable import printable

LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
_LONGEST_REASON = 120
_MANY_LINES = ("exception", "stack")


def configure_logging(level: str, form: str) -> None:
    """Set up structlog and route the libraries' own logging into the same stream.

    Args:
        level: A key of `LEVELS`.
        form: `text` or `json`.
    """
    number = LEVELS[level]
    render: list[Processor]
    if form == "json":
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain tracebacks: the default shows local variables, and among them would be keys.
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
        render = [escape_controls, console]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_told_in_one_line)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Spell out characters that are not printable, so that a value stays in its line and is not obeyed by a
    terminal; tracebacks keep their lines.
    """
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value, keep="\n" if name in _MANY_LINES else "")
    return event


def _told_in_one_line(record: logging.LogRecord) -> bool:
    """What is not HTTP is the sender's mistake: one line says so, without aiohttp's traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if record.name != "aiohttp.server" or type(error).__module__ != "aiohttp.http_exceptions":
        return True
    words = " ".join(str(getattr(error, "message", error)).split())
    remote = record.args[0] if isinstance(record.args, tuple) and record.args else None
    structlog.get_logger(__name__).info(
        "request not understood", remote=remote, reason=words[:_LONGEST_REASON]
    )
    return False

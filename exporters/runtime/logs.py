"""Logs on stdout, one line an event: ``key=value`` or JSON."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

__all__ = ["Log", "configure", "logger"]

Log = Any  # structlog's filtering logger has no public type of its own


class _Forward(logging.Handler):
    """What libraries log goes the same way, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        words = {"error": f"{type(fault).__name__}: {fault}"} if fault is not None else {}
        logger().log(record.levelno, record.getMessage().strip(), logger=record.name, **words)


def configure(form: str, level: str) -> None:
    """Set the process's logs up: ``form`` is logfmt or json, ``level`` debug, info, warning or error."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], bool_as_flag=False
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(logging.WARNING)


def logger() -> Log:
    """The logger of this process."""
    return structlog.get_logger()

"""Logs on stdout, one line an event: ``key=value`` or JSON.

Made of the standard library's logging, which asyncio loads anyway: structlog adds about
10 MB to each of five processes and a tenth of a second to their start.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import select
import sys
from collections.abc import Collection, MutableMapping
from typing import Any, Literal, TextIO

_MOST_REASONS = 100

_BARE = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Log(logging.LoggerAdapter[logging.Logger]):
    """Events with named values: ``logger().info("listening", port=9500)``."""

    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        """Called by the library with what an event was given."""
        return msg, {"extra": {"values": kwargs}}


class _Line(logging.Formatter):
    """A record as one line; of an exception only its name and words, no traceback."""

    def __init__(self, form: Literal["logfmt", "json"]) -> None:
        super().__init__()
        self._json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        values: dict[str, object] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            values["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        values |= getattr(record, "values", {"logger": record.name})
        if self._json:
            return json.dumps(values, default=str)
        return " ".join(f"{key}={_word(value)}" for key, value in values.items())


class _Stdout(logging.StreamHandler[TextIO]):
    """A log that cannot be written (disk full, reader gone or asleep) is lost and disturbs nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write unless that would wait: a pipe nobody reads must not hold up a scrape or a refresh."""
        if self._has_room():
            super().emit(record)

    def _has_room(self) -> bool:
        try:
            ready = select.poll()
            ready.register(self.stream.fileno(), select.POLLOUT)
            return bool(ready.poll(0))
        except (AttributeError, OSError, ValueError):  # no stream, or no file behind it
            return True

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the library's name)
        """Say nothing: there is nowhere to say it."""


def _word(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def warn_of(event: str, reasons: Collection[str]) -> None:
    """One line a reason, in order, up to a hundred; one hostile file has a hundred thousand of them."""
    for reason in sorted(reasons)[:_MOST_REASONS]:
        logger().warning(event, reason=reason)
    if len(reasons) > _MOST_REASONS:
        logger().warning(event, reason=f"and {len(reasons) - _MOST_REASONS} more")


def configure(form: Literal["logfmt", "json"], level: str) -> None:
    """Set the process's logs up; ``level`` is debug, info, warning or error."""
    handler = _Stdout(sys.stdout)
    handler.setFormatter(_Line(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("wattframe").setLevel(level.upper())


def logger() -> Log:
    """The log of this process."""
    return Log(logging.getLogger("wattframe"))

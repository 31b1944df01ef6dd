"""The one place where errors become exit codes and single lines on stderr, and names safe for a terminal."""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from advisor.errors import WattframeError

# control characters but tab and line feed, and those that turn the direction of what follows
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def guarded(program: str, work: Callable[[], int | None]) -> int:
    """Call ``work`` and return the process's exit code.

    0 done, 1 the work failed, 2 bad usage or bad input, 130 interrupted. A failure is one line on stderr that
    begins with ``program``; Python's development mode
    (``PYTHONDEVMODE=1``) adds the traceback.
    """
    _prepare_standard_streams()
    try:
        code = _code_of(work)
        sys.stdout.flush()  # what cannot be written is a failure as well
    except WattframeError as exc:
        return _failed(program, str(exc), exc.exit_code)
    except KeyboardInterrupt:
        return _failed(program, "interrupted", 130)
    except OSError as exc:
        drop_unwritten()
        if isinstance(exc, BrokenPipeError):  # the reader (head, less) went away
            return 1
        named = f"{exc.filename}: " if exc.filename else ""
        return _failed(program, f"{named}{exc.strerror or exc}", 1)
    except Exception as exc:
        detail = " ".join(str(exc).split())
        return _failed(
            program, f"internal error: {type(exc).__name__}: {detail} (PYTHONDEVMODE=1 shows where)", 1
        )
    return code


def _code_of(work: Callable[[], int | None]) -> int:
    try:
        return work() or 0
    except SystemExit as exc:  # argparse and Typer have said their line already
        return exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1


def _prepare_standard_streams() -> None:
    """Those that were closed lead nowhere; a character that stdout's encoding lacks is escaped.

    Else a file or a socket would get the number of a closed one: libuv aborts, and children write into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_unwritten() -> None:
    """Forget what stdout cannot take: what Python flushes at exit must not complain once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(document: Any) -> None:
    """The one document on stdout: UTF-8, whatever the terminal's encoding; text where a notebook takes it."""
    data = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(data)
    else:
        sys.stdout.write(data.decode())


def printable(text: str) -> str:
    r"""``text`` without what makes a terminal act, which names in files from elsewhere may hold.

    >>> print(printable("a\x1b]0;title\x07"))
    a\x1b]0;title\x07
    """
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _failed(program: str, line: str, code: int) -> int:
    if sys.flags.dev_mode:
        traceback.print_exc()
    sys.stderr.write(f"{program}: {printable(line)}\n")
    return code

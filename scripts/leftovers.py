"""Ends what a test run left behind and says so: exit code 1 when there was something.

Every process that `scripts/test` starts inherits the variable WATTFRAME_TEST_RUN; whoever still carries its
value at the end, other than the script's own ancestors, was forgotten by a test.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_VARIABLE = "WATTFRAME_TEST_RUN"
# what ends by itself, as what an engine starts to clean up after a container, was not forgotten
_ENDING_SECONDS = 30.0


def _marked(mark: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue  # ended, or another user's


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _test(pid: int) -> str:
    # pytest keeps the name of the running test in the environment
    for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if variable.startswith(b"PYTEST_CURRENT_TEST="):
            return variable.partition(b"=")[2].decode(errors="replace")
    return "something"


def main() -> int:
    mark = f"{_VARIABLE}={os.environ[_VARIABLE]}".encode()
    deadline = time.monotonic() + _ENDING_SECONDS
    while (left := set(_marked(mark)) - _ancestors()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in sorted(left):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            started_by = _test(pid)
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
        if command:  # a zombie has none
            sys.stdout.write(f"{started_by} left this running: {pid} {command[:300]}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

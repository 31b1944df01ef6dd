"""No child outlives its parent: the kernel kills what was started here when whoever started it is gone."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

# between the fork and the notice the parent may be gone already: then nothing is to be started
_IF_PARENT_LIVES = '[ "$PPID" = "$0" ] && exec "$@"'


def death_notice() -> tuple[str, ...]:
    """What stands before a command so that it is killed with its parent; empty where there is no such tool.

    ``setpriv`` sets the notice and becomes a shell that becomes the command: one process, no wrapper is left.
    The notice follows the thread that starts the command, which therefore has to wait for it.
    """
    return (*_tool(), str(os.getpid())) if _tool() else ()


@functools.cache
def _tool() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL", "--", "/bin/sh", "-c", _IF_PARENT_LIVES)
    probe = subprocess.run(  # noqa: S603 -- an argument list of its own
        [*prefix, str(os.getpid()), "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )
    return prefix if probe.returncode == 0 else ()

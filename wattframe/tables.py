"""Tables on stdout: names in them are data, never markup."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console"]


def console(pipe_width: int) -> Console:
    """Stdout as wide as the terminal, or ``pipe_width`` columns where it is none.

    A scenario may be named ``x264 [fast]`` or ``live :fire:``, which rich would take for markup.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else pipe_width
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)

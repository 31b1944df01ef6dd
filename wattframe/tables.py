"""Tables on stdout: names in them are data, never markup, and nothing in them acts on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from advisor.common.exit import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["console"]


def console(pipe_width: int) -> Console:
    """Stdout as wide as the terminal, or ``pipe_width`` columns where it is none.

    A scenario may be named ``x264 [fast]`` or ``live :fire:``, which rich would take for markup.
    """
    from rich.console import Console

    class Plain(Console):
        """Every text of a table or a line goes through here."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    width = None if sys.stdout.isatty() else pipe_width
    return Plain(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)

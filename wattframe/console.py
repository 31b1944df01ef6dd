"""What commands show: tables and lines on stdout, notes on stderr. Names in them are data, never markup."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from advisor.common.exit import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.text import Text

_PIPE_WIDTH = 80
_NOTHING = ("", "-")


def console(width: int | None = None) -> Console:
    """Stdout. ``width`` in columns is for what is no terminal; without it 80, or the variable COLUMNS.

    A scenario may be named ``x264 [fast]`` or ``live :fire:``, which rich would take for markup.
    """
    from rich.console import Console

    class Plain(Console):
        """Every text of a table or a line goes through here."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    if width is None or sys.stdout.isatty() or "COLUMNS" in os.environ:
        width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns  # either may say 0
    return Plain(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Sequence[str] = (),
    title: str | None = None,
    caption: str | None = None,
) -> None:
    """A table that is never cut: what is wider than the terminal becomes one block of lines a row.

    Parameters
    ----------
    headings
        One a column, a line break where one may be broken; the first column names the row.
    rows
        Cells as they are shown, as many as headings.
    text
        Headings of further columns that hold words: they are left-aligned and may wrap. Numbers never wrap.
    title, caption
        Lines above and below. In a pipe a table is as wide as it needs to be. A column without a value in any
        row is left out.
    """
    from rich.measure import Measurement
    from rich.table import Table

    words = {headings[0], *text}
    columns = [i for i in range(len(headings)) if i == 0 or any(row[i] not in _NOTHING for row in rows)]
    headings, rows = [headings[i] for i in columns], [[row[i] for i in columns] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        wraps = heading in words
        table.add_column(
            heading, justify="left" if wraps else "right", no_wrap=not wraps, overflow="fold", vertical="top"
        )
    for row in rows:
        table.add_row(*row)
    measuring = console(100_000)
    natural = Measurement.get(measuring, measuring.options.update(max_width=100_000), table)
    out = console(max(natural.maximum, _PIPE_WIDTH))
    if title:
        out.print(title, style="bold")
    if _least_width(headings, rows, words) <= out.width:
        out.print(table)
    else:
        _print_blocks(out, headings, rows)
    if caption:
        out.print(caption, style="dim")


def _least_width(headings: Sequence[str], rows: Sequence[Sequence[str]], words: set[str]) -> int:
    """Columns that the table takes with every text column folded to what can still be read."""
    from rich.cells import cell_len

    total = 0
    for index, heading in enumerate(headings):
        lines = [
            line for cell in (heading, *(row[index] for row in rows)) for line in printable(cell).split("\n")
        ]
        longest = max(map(cell_len, lines))
        total += min(longest, max(16, *map(cell_len, heading.split()))) if heading in words else longest
    return total + 2 * (len(headings) - 1)


def _print_blocks(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One block a row: its name, then a line for each cell that says anything."""
    names = [heading.replace("\n", " ") for heading in headings[1:]]
    width = max(map(len, names), default=0)
    for row in rows:
        out.print(row[0], style="bold")
        for heading, cell in zip(names, row[1:], strict=True):
            if cell not in _NOTHING:
                lead = f"  {heading:<{width}}  "
                text = " ".join(printable(cell).split("\n"))
                out.print(
                    textwrap.fill(text, out.width, initial_indent=lead, subsequent_indent=" " * len(lead))
                )


def note(command: str, line: str) -> None:
    """A line for the person, beside the result: on stderr."""
    sys.stderr.write(f"wattframe {command}: {printable(line)}\n")
    sys.stderr.flush()


def progress(*columns: ProgressColumn | str) -> Progress:
    """Bars on stderr while work runs, gone afterwards; none where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    name = TextColumn("{task.description}", markup=False)  # of a file, which may hold brackets
    return Progress(
        *(name, BarColumn(), *columns, TimeRemainingColumn()),
        console=terminal,
        transient=True,
        redirect_stdout=False,  # it may be a pipe
        disable=not terminal.is_terminal,
    )


def shown(value: float | None, digits: int = 4) -> str:
    """A number for a table: significant digits, a large one whole, a dash for unknown.

    >>> shown(0.00001500412), shown(1234.5678), shown(12345678.9), shown(0.0), shown(None)
    ('1.5e-05', '1235', '12345679', '0', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"

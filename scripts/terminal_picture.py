"""A picture of commands in a terminal of 80 columns: ``terminal_picture.py FILE.svg COMMAND...``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 80


def main(path: str, *commands: str) -> None:
    """Run the commands, and write what they print as an SVG file."""
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115  until the end
    for command in commands:
        words = shlex.split(command)
        shown = " ".join(Path(word).name if word.endswith(".json") else word for word in words)
        console.print(Text(f"$ {shown}", style="bold green"))
        done = subprocess.run(
            words,
            env={**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        console.print(Text.from_ansi(done.stdout.rstrip()))
        console.print()
    console.save_svg(path, title="Wattframe", unique_id="terminal")


if __name__ == "__main__":
    main(*sys.argv[1:])

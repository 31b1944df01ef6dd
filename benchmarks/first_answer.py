"""From nothing to an answer: the README's first block, as somebody runs it who has just cloned the project.

A clone of what is committed, an empty home, an environment of nothing but the system's folders on PATH
(no ffmpeg), and the commands as they are written. Then what a newcomer would look for in what they print:
the sentence with the saving, and an ffmpeg command that runs when it is pasted. Needs pipx and a network
that reaches PyPI.

    python -m benchmarks.first_answer [--json]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.record import ROOT

GOAL_COMMANDS, GOAL_SECONDS = 2, 360.0
_SAVING = re.compile(r"instead of .*\b(saves|take)\b.*%", re.DOTALL)
_PROGRAMS = ("git", "pipx", "python3")


def first_block() -> list[str]:
    """The commands of the README's first block for a shell."""
    block = re.search(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    if block is None:
        raise SystemExit("README.md: expected a block of commands")
    return [line.partition("#")[0].strip() for line in block[1].splitlines() if line.strip()]


def environment(home: Path) -> dict[str, str]:
    """What a login has, with these programs alone on its PATH beside those that an installer adds."""
    programs = home / "programs"
    programs.mkdir(parents=True)
    for program in Path("/usr/bin").iterdir():
        if not program.name.startswith(("ffmpeg", "ffprobe", "chromium", "prometheus")):
            (programs / program.name).symlink_to(program)
    return {
        "HOME": str(home),
        "PATH": f"{home}/.local/bin:{programs}:/bin",
        "LANG": "C.UTF-8",
        # how PyPI is reached here
        **{name: text for name, text in os.environ.items() if name.startswith(("PIP_", "SSL_CERT"))},
    }


def timed(command: str, folder: Path, variables: dict[str, str]) -> tuple[float, str]:
    """Seconds, and what it printed."""
    begin = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: ended with code {done.returncode}\n{done.stdout[-2000:]}")
    return time.monotonic() - begin, done.stdout


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one document on stdout")
    options = parser.parse_args(argv)
    if missing := [name for name in _PROGRAMS if shutil.which(name, path="/usr/bin") is None]:
        raise SystemExit(f"needs {', '.join(missing)} in /usr/bin")
    commands = first_block()
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "wattframe"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        variables = environment(Path(place) / "home")
        taken = [timed(command, clone, variables) for command in commands]
        said = taken[-1][1]
        sys.stderr.write(said)
        (line,) = re.findall(r"^\S*ffmpeg\S* .*-i .*$", said, re.MULTILINE)
        timed(line, clone, variables)
    figures = [
        Figure(what="commands until the answer", value=len(commands), unit="commands", goal=GOAL_COMMANDS),
        *(
            Figure(what=command, value=seconds, unit="s")
            for command, (seconds, _) in zip(commands, taken, strict=True)
        ),
        Figure(
            what="from nothing to the answer, install included",
            value=sum(seconds for seconds, _ in taken),
            unit="s",
            goal=GOAL_SECONDS,
        ),
        Figure(
            what="the saving in one sentence",
            value=float(_SAVING.search(said) is not None),
            unit="sentences",
            goal=1,
            at_least=True,
        ),
    ]
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())

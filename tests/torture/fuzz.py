"""Coverage-guided fuzzing of one reader: ``python -m tests.torture.fuzz TARGET [--seconds N]``.

Needs atheris (``pip install --group fuzz``). Begins with the kept corpus, writes what breaks a target to
``--artifacts`` and ends with a code that is not 0. A finding that was mended goes into the corpus, where
the ordinary tests run it for ever.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

import atheris

_MODULES = ["advisor", "exporters", "runner", "yaml", "tests.torture.targets"]
_HOSTILE = (b"&a", b"*a", b"!!int ", b"!!float ", b"1e999", b"1e308", b"NaN", b"9" * 400, b"\\ud800", b"\0")
_MOST_BYTES = 1 << 16
_MOST_MEGABYTES = 1024
_MOST_SECONDS = 10
"""One input may take so long: libFuzzer counts a longer one as a hang."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--artifacts", type=Path, default=None, help="folder of what breaks the target")
    parser.add_argument("--found", type=Path, default=None, help="folder of inputs that reach new code")
    return parser.parse_args()


def _words(corpus: Path) -> str:
    """A dictionary for the mutator: the names and the numbers of the corpus."""
    found = {w for path in corpus.iterdir() for w in re.findall(rb"[A-Za-z_][\w.-]{2,40}", path.read_bytes())}
    words = (*sorted(found)[:2000], *_HOSTILE)
    return "\n".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words)


def main() -> None:
    options = _arguments()
    with atheris.instrument_imports(include=_MODULES):
        from tests.torture import targets
    if options.target not in targets.TARGETS:
        sys.exit(f"expected one of {', '.join(targets.TARGETS)}")
    folder = Path(tempfile.mkdtemp(prefix="wattframe-fuzz-"))
    artifacts, found = options.artifacts or folder / "artifacts", options.found or folder / "found"
    for path in (artifacts, found):
        path.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(targets.seeds(options.target)):
        (corpus / str(number)).write_bytes(seed)
    words = folder / "words"
    words.write_text(_words(corpus))
    command = [sys.argv[0], str(found), str(corpus), f"-max_total_time={options.seconds}", f"-dict={words}"]
    command += [f"-max_len={_MOST_BYTES}", f"-timeout={_MOST_SECONDS}", f"-rss_limit_mb={_MOST_MEGABYTES}"]
    command += [f"-artifact_prefix={artifacts}{os.sep}", "-print_final_stats=1", "-verbosity=1"]
    atheris.Setup(command, lambda data: targets.survive(options.target, data), enable_python_coverage=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

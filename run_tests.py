#!/usr/bin/env python3
"""Run ffmpeg scenarios and measure them; ``--help`` tells how."""

import signal
import sys

# until the runner listens, Ctrl-C just ends the process: nothing has begun
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    from runner.cli import main
except ModuleNotFoundError as exc:
    sys.stderr.write(
        f"run_tests.py: needs the package {exc.name}: '. .venv/bin/activate' (scripts/demo makes it), "
        "or pipx install '.[all]' and wattframe test\n"
    )
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())

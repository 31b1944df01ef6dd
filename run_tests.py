#!/usr/bin/env python3
"""Run ffmpeg scenarios and measure them; ``--help`` tells how."""

import signal
import sys

# until the runner listens, Ctrl-C just ends the process: nothing has begun
signal.signal(signal.SIGINT, signal.SIG_DFL)

from runner.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Run ffmpeg scenarios and measure them; ``--help`` tells how."""

import signal
import sys

# until the runner listens, Ctrl-C just ends the process: nothing has begun
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from runner.cli import main

if __name__ == "__main__":
    sys.exit(main())

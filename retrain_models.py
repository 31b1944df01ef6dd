#!/usr/bin/env python3
"""Train models of power and energy on result files; ``--help`` tells how."""

import sys

from wattframe.cli import main

if __name__ == "__main__":
    sys.exit(main(["retrain", *sys.argv[1:]]))

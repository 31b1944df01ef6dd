#!/usr/bin/env python3
"""Train models of power and energy on result files; ``--help`` tells how."""

import sys

try:
    from wattframe.cli import main
except ModuleNotFoundError as exc:
    sys.stderr.write(
        f"retrain_models.py: needs the package {exc.name}: '. .venv/bin/activate' (scripts/demo makes it), "
        "or pipx install '.[all]' and wattframe retrain\n"
    )
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main(["retrain", *sys.argv[1:]]))

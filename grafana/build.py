"""Write the dashboards: ``python -m grafana.build``; ``--check`` says whether the files are up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana.boards import BOARDS

FOLDER = Path(__file__).resolve().parent / "provisioning" / "dashboards"


def documents() -> dict[Path, str]:
    """The text of every dashboard by its file."""
    return {
        FOLDER / f"{name}.json": json.dumps(board, indent=1, ensure_ascii=False) + "\n"
        for name, board in BOARDS.items()
    }


def main() -> int:
    stale = [path for path, text in documents().items() if not path.exists() or path.read_text() != text]
    stale += [path for path in FOLDER.glob("*.json") if path not in documents()]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.name} is not what grafana/boards.py says: python -m grafana.build\n")
        return 1 if stale else 0
    for path in stale:
        path.unlink(missing_ok=True)
    for path, text in documents().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

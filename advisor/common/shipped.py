"""What comes with the package, also where there is no checkout: sample clip, scenarios, Prometheus' rules."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """A file of the project: packed beside this module, or at the root of a checkout."""
    packed = _HERE / "shipped_files" / name
    return packed if packed.exists() else _HERE.parents[1] / name


def existing_or_shipped(path: Path) -> Path:
    """``path`` where there is such a file, else the one of that name that came with the package.

    >>> existing_or_shipped(Path("scenarios/codecs.yaml")).is_file()
    True
    """
    packed = shipped(str(path))
    return packed if not path.exists() and not path.is_absolute() and packed.is_file() else path

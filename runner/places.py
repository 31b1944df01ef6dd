"""Where a run's files are."""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

from advisor.results import result_file_name

__all__ = ["content_cache", "new_result_path", "outputs_folder", "remove_if_empty"]


def content_cache() -> Path:
    """The file of what is known of the content of inputs: the user's, for all folders of results."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # a user without a home
        base = Path(tempfile.gettempdir())
    return base / "wattframe" / "content.json"


def outputs_folder(result_path: Path) -> Path:
    """Where the encodes of a result file lie."""
    return result_path.with_name(f"{result_path.stem}_outputs")


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that nothing was left in."""
    try:
        folder.rmdir()
    except OSError:
        return


def new_result_path(output_dir: Path) -> Path:
    """A file of this moment's name; of a later second's when two runs start together.

    The outputs folder is made here, so that no other run takes the name.
    """
    when = datetime.datetime.now().astimezone()
    while True:
        path = output_dir / result_file_name(when)
        try:
            outputs_folder(path).mkdir(parents=True)
        except FileExistsError:
            pass
        else:
            if not path.exists():
                return path
            remove_if_empty(outputs_folder(path))
        when += datetime.timedelta(seconds=1)

"""A small file with which the counters go on after a restart, as registers count on meanwhile.

It holds for one boot of one machine: the kernel's boot id tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON, write_atomically
from advisor.energy.source import SavedZone, SourceName

__all__ = ["SAVE_SECONDS", "SavedMeter", "StateFile", "boot_id"]

SAVE_SECONDS = 5.0
"""How often state is written: what is drawn after it is in the registers all the same."""


class SavedMeter(Struct, frozen=True):
    """The counters of one source."""

    boot_id: str
    place: str
    """The roots that were read; of other folders the registers are others."""
    source: SourceName
    zones: Mapping[str, SavedZone]


class StateFile:
    """Where a meter keeps its counters.

    Parameters
    ----------
    path
        The file; its folder is made when it is first written.
    boot_id
        Of the running kernel.
    place
        What is read, to tell the state of another tree.
    """

    def __init__(self, path: Path, boot_id: str, place: str) -> None:
        self.path = path
        self._boot_id, self._place = boot_id, place

    def load(self, source: SourceName) -> Mapping[str, SavedZone]:
        """The zones that were saved on this boot; none where there is no such file, or it is malformed."""
        try:
            saved = msgspec.json.decode(self.path.read_bytes(), type=SavedMeter)
        except (OSError, *NO_JSON):
            return {}
        same = (saved.boot_id, saved.place, saved.source) == (self._boot_id, self._place, source)
        return saved.zones if same else {}

    def save(self, source: SourceName, zones: Mapping[str, SavedZone]) -> None:
        """Put the zones in place of what was saved before.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        saved = SavedMeter(self._boot_id, self._place, source, zones)
        write_atomically(self.path, msgspec.json.encode(saved))


def boot_id(procfs: str = "/proc") -> str | None:
    """The kernel's name for this boot; None where it cannot be read."""
    try:
        return Path(procfs, "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None

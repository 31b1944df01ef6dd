"""A small file with which the counters go on after a restart, as registers count on meanwhile.

It holds for one boot of one machine: the kernel's boot id tells. So nothing waits for the disk: what is lost
with the power would not be used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON, write_atomically
from advisor.common.regular_file import read_regular
from advisor.energy.source import SavedZone, SourceName

_T = TypeVar("_T")
SAVE_SECONDS = 5.0
"""How often a meter's state is written: what is drawn after it is in the registers all the same."""


class SavedMeter(Struct, frozen=True):
    """The counters of each source."""

    sources: Mapping[SourceName, Mapping[str, SavedZone]]


class _Envelope(Struct, frozen=True):
    boot_id: str
    place: str
    state: msgspec.Raw


class StateFile(Generic[_T]):
    """Where a state of type ``kind`` is kept.

    Parameters
    ----------
    path
        The file; its folder is made when it is first written.
    kind
        The type of the state.
    boot_id
        Of the running kernel.
    place
        The roots that are read, to tell the state of another tree.
    """

    def __init__(self, path: Path, kind: type[_T], *, boot_id: str, place: str) -> None:
        self.path = path
        self._kind, self._boot_id, self._place = kind, boot_id, place

    def load(self) -> _T | None:
        """What was saved on this boot; None where there is no such file, or it is malformed."""
        try:
            envelope = msgspec.json.decode(read_regular(self.path), type=_Envelope)
            if (envelope.boot_id, envelope.place) != (self._boot_id, self._place):
                return None
            return msgspec.json.decode(envelope.state, type=self._kind)
        except (OSError, *NO_JSON):
            return None

    def save(self, state: _T) -> None:
        """Put ``state`` in place of what was saved before.

        Raises
        ------
        OSError
            The file cannot be written; what was saved before is gone too, as it is out of date.
        """
        envelope = _Envelope(self._boot_id, self._place, msgspec.Raw(msgspec.json.encode(state)))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, msgspec.json.encode(envelope), durable=False)
        except OSError:
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise


def state_file(
    path: Path | None, kind: type[_T], *, sysfs: str, procfs: str, place: str = ""
) -> StateFile[_T] | None:
    """The file at ``path``; None for no path, and where the kernel does not tell the boot."""
    boot = None if path is None else boot_id(procfs)
    if path is None or boot is None:
        return None
    return StateFile(path, kind, boot_id=boot, place=f"{sysfs} {procfs} {place}".strip())


def boot_id(procfs: str = "/proc") -> str | None:
    """The kernel's name for this boot; None where it cannot be read."""
    try:
        return Path(procfs, "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None

"""A small file with which the counters go on after a restart, as registers count on meanwhile.

It holds for one boot of one machine: the kernel's boot id tells. So nothing waits for the disk: what is lost
with the power would not be used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON, write_atomically
from advisor.common.regular_file import read_regular
from advisor.energy.source import SavedZone, SourceName

_T = TypeVar("_T")
Unsaved = Callable[[Path, OSError], object]
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
    on_unsaved
        Told once of a path that cannot be written, and why.
    """

    def __init__(
        self, path: Path, kind: type[_T], *, boot_id: str, place: str, on_unsaved: Unsaved | None = None
    ) -> None:
        self.path = path
        self._kind, self._boot_id, self._place = kind, boot_id, place
        self._on_unsaved = on_unsaved

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
        """Put ``state`` in place of what was saved before, which goes all the same: it is out of date."""
        envelope = _Envelope(self._boot_id, self._place, msgspec.Raw(msgspec.json.encode(state)))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, msgspec.json.encode(envelope), durable=False)
        except OSError as exc:
            with contextlib.suppress(OSError):
                self.path.unlink()
            tell, self._on_unsaved = self._on_unsaved, None
            if tell is not None:
                tell(self.path, exc)


def state_file(
    path: Path | None,
    kind: type[_T],
    *,
    sysfs: str,
    procfs: str,
    place: str = "",
    on_unsaved: Unsaved | None = None,
) -> StateFile[_T] | None:
    """The file at ``path``; None for no path, and where the kernel does not tell the boot."""
    boot = None if path is None else boot_id(procfs)
    if path is None or boot is None:
        return None
    place = f"{sysfs} {procfs} {place}".strip()
    return StateFile(path, kind, boot_id=boot, place=place, on_unsaved=on_unsaved)


def boot_id(procfs: str = "/proc") -> str | None:
    """The kernel's name for this boot; None where it cannot be read."""
    try:
        return Path(procfs, "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None

"""A powercap tree as the kernel lays it out, driven by hand: registers that move, wrap, fail and lie.

The layout is the kernel's: zones are directories below ``devices/virtual/powercap/<type>``, subzones inside
their package, and ``class/powercap`` lists all of them flat, as links. `Register` keeps the true energy in
whole microjoules; files show it modulo the range, as the hardware does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

__all__ = ["INTEL_LIMITS", "PowercapTree", "Register"]

LARGE_RANGE_UJ = 262_143_328_850
SMALL_RANGE_UJ = 65_532_610_987
INTEL_LIMITS: Mapping[str, int] = MappingProxyType({"constraint_0_max_power_uw": 400_000_000})


class Register:
    """One energy register: the truth, and the file that shows it."""

    def __init__(self, folder: Path, range_uj: int | None, start_uj: int) -> None:
        self.folder = folder
        self.range_uj = range_uj
        self.true_uj = 0
        self.offset_uj = start_uj
        self._shown_as: str | None = None

    @property
    def file(self) -> Path:
        return self.folder / "energy_uj"

    @property
    def joules(self) -> float:
        """True joules since the tree was made."""
        return self.true_uj / 1e6

    @property
    def raw_uj(self) -> int:
        value = self.true_uj + self.offset_uj
        return value % self.range_uj if self.range_uj else value

    def add(self, joules: float) -> None:
        """Draw energy; the file moves."""
        self.true_uj += round(joules * 1e6)
        self.show()

    def jump(self, joules: float) -> None:
        """Set the register forth or back without any energy having been drawn."""
        self.offset_uj += round(joules * 1e6)
        self.show()

    def show(self) -> None:
        if self._shown_as is None:
            # in one write of one length: a reader never sees half of it
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o644)
            line = f"{self.raw_uj:<20}\n".encode()
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
            os.close(descriptor)

    def show_instead(self, text: str) -> None:
        """The file holds nonsense until `heal`."""
        self._shown_as = text
        self.file.write_text(text)

    def vanish(self) -> None:
        """The counter's file goes away until `heal`."""
        self._shown_as = ""
        self.file.unlink()

    def block(self) -> None:
        """The file is a pipe nobody writes to: a plain open or read would wait for ever."""
        self._shown_as = ""
        self.file.unlink()
        os.mkfifo(self.file)

    def serve_from(self, path: Path) -> None:
        """The file is at ``path``, whose content somebody else shows, until `heal`."""
        self._shown_as = ""
        self.file.unlink()
        self.file.symlink_to(path)

    def deny(self) -> None:
        """Root's alone, as the kernel makes it (root itself still reads)."""
        self.file.chmod(0o000)

    def heal(self) -> None:
        """Back to a plain file with the register's value."""
        self._shown_as = None
        if self.file.is_symlink() or not self.file.is_file():
            self.file.unlink(missing_ok=True)
        self.show()
        self.file.chmod(0o644)


class PowercapTree:
    """A tree under ``sysfs``; zones are added one by one and found again by the kernel's names."""

    def __init__(self, sysfs: Path) -> None:
        self.sysfs = sysfs
        self._class = sysfs / "class/powercap"
        self._class.mkdir(parents=True)
        self.registers: dict[str, Register] = {}

    def __getitem__(self, entry: str) -> Register:
        return self.registers[entry]

    def add(
        self,
        entry: str,
        name: str,
        *,
        range_uj: int | None = LARGE_RANGE_UJ,
        start_uj: int = 0,
        limits_uw: Mapping[str, int] = INTEL_LIMITS,
    ) -> Register:
        """Add a zone: ``entry`` as in ``intel-rapl:0:1``, ``name`` what its name file says.

        AMD's parts list no limits (``{}``).
        """
        folder = self.folder(entry)
        folder.mkdir(parents=True)
        kind = entry.partition(":")[0]
        self._link(self._class / kind, self.sysfs / "devices/virtual/powercap" / kind)
        self._link(self._class / entry, folder)
        (folder / "name").write_text(f"{name}\n")
        if range_uj is not None:
            (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
        for limit, value in limits_uw.items():
            (folder / limit).write_text(f"{value}\n")
        register = Register(folder, range_uj, start_uj)
        register.show()
        self.registers[entry] = register
        return register

    def nudge(self) -> None:
        """Every register moves by a microjoule, as real ones do all the time."""
        for register in self.registers.values():
            register.jump(1e-6)

    def folder(self, entry: str) -> Path:
        """Where the zone's directory is."""
        kind, _, place = entry.partition(":")
        path = self.sysfs / "devices/virtual/powercap" / kind
        parts = place.split(":")
        for depth in range(1, len(parts) + 1):
            path /= ":".join([kind, *parts[:depth]])
        return path

    def remove(self, entry: str) -> None:
        """The zone leaves the tree, as when its module is unloaded."""
        (self._class / entry).unlink()
        self.folder(entry).rename(self.sysfs / f"removed-{entry}")

    def put_back(self, entry: str) -> None:
        """The zone appears again."""
        (self.sysfs / f"removed-{entry}").rename(self.folder(entry))
        self._link(self._class / entry, self.folder(entry))

    @staticmethod
    def _link(link: Path, target: Path) -> None:
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(target, link.parent))

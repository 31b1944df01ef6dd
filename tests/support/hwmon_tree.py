"""Devices of the kernel's hwmon class as files, laid out as the drivers' documentation says."""

from __future__ import annotations

from pathlib import Path

__all__ = ["device_at", "gpu_device", "hwmon_device"]


def hwmon_device(root: Path, number: int, driver: str, *, below: str = "", **files: object) -> Path:
    """A hwmon device; ``below`` is where its files are (``device`` for ACPI's meters)."""
    folder = root / f"class/hwmon/hwmon{number}" / below
    folder.mkdir(parents=True, exist_ok=True)
    (root / f"class/hwmon/hwmon{number}/name").write_text(f"{driver}\n")
    _write(folder, files)
    return folder


def gpu_device(
    root: Path,
    number: int,
    driver: str,
    address: str,
    *,
    card: dict[str, object] | None = None,
    **files: object,
) -> Path:
    """The sensors of a card at a PCI address, to which the class links; ``card``: its own files."""
    folder = device_at(root, number, driver, f"pci0000:00/{address}", **files)
    _write(folder.parent.parent, card or {})
    return folder


def device_at(root: Path, number: int, driver: str, place: str, **files: object) -> Path:
    """The sensors of the device at a place below ``devices``, to which the class links."""
    folder = root / "devices" / place / f"hwmon/hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "device").symlink_to("../..")
    (root / "class/hwmon").mkdir(parents=True, exist_ok=True)
    (root / f"class/hwmon/hwmon{number}").symlink_to(f"../../devices/{place}/hwmon/hwmon{number}")
    _write(folder, {"name": driver} | files)
    return folder


def _write(folder: Path, files: dict[str, object]) -> None:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

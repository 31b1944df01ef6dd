"""What a benchmark found once, kept as a file beside the code: when, where, under what load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.figures import Figure

__all__ = ["ROOT", "Machine", "Record", "keep", "kept"]

ROOT = Path(__file__).resolve().parent.parent
_FOLDER = ROOT / "benchmarks" / "results"


class Machine(Struct, frozen=True):
    """Where it ran; nothing here names the host."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    wattframe: str
    """The commit."""
    peers: dict[str, str]
    """Versions by name."""


class Record(Struct, frozen=True):
    """One run of one benchmark."""

    benchmark: str
    arguments: str
    date: str
    seconds: float
    load_before: float
    """The minute's load average; two busy cores are 2."""
    load_after: float
    machine: Machine
    figures: list[Figure]


def keep(record: Record) -> None:
    """Write it in place of the former one."""
    _FOLDER.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    (_FOLDER / f"{record.benchmark}.json").write_bytes(text + b"\n")


def kept() -> Mapping[str, Record]:
    """All that were kept, by benchmark."""
    found = (msgspec.json.decode(path.read_bytes(), type=Record) for path in sorted(_FOLDER.glob("*.json")))
    return {record.benchmark: record for record in found}

"""What the engine's threads tell the monitor; each is one small value, applied in the order of posting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from advisor.containers.records import ApiUsage, Container, EngineInfo


class EngineUp(Struct, frozen=True):
    """An engine answers."""

    info: EngineInfo


class EngineDown(Struct, frozen=True):
    """It does not, or no longer; its containers may run on."""


class Listed(Struct, frozen=True):
    """All running containers by their names of now: those it does not name have ended."""

    containers: tuple[Container, ...]
    age_seconds: float = float("inf")
    """How long ago those began at most that the list before it did not name."""


class Started(Struct, frozen=True):
    """A container started ``age_seconds`` ago."""

    container: Container
    age_seconds: float


class Ended(Struct, frozen=True):
    """A container has ended."""

    id: str


class Inspected(Struct, frozen=True):
    """Everything the engine knows of one container now; its name and limits may be others."""

    container: Container


class Used(Struct, frozen=True):
    """One round of the engine's own statistics, by container id."""

    usages: Mapping[str, ApiUsage]


Change: TypeAlias = EngineUp | EngineDown | Listed | Started | Ended | Inspected | Used

"""Cost and carbon of a run's scenarios, per hour of video."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Priced"]


class Priced(Struct, frozen=True, kw_only=True):
    """One scenario's bill per hour of video delivered; None is unknown."""

    scenario: str
    currency: str
    energy_per_video_hour: float | None
    compute_per_video_hour: float | None
    cost_per_video_hour: float | None
    grams_per_video_hour: float | None
    explanation: str
    """Which prices and which carbon intensity these figures were made with."""

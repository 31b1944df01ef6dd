"""What a retraining is asked to do, and the account of it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from advisor.prometheus.client import Connection
from advisor.prometheus.enrichment import Enriched
from advisor.regression.registry import Manifest


class RetrainOptions(Struct, frozen=True, kw_only=True):
    """What a retraining is asked to do."""

    results_dir: Path
    models_dir: Path
    prometheus: Connection | None = None
    selector: str = ""
    hardware_id: str | None = None
    keep: int = 5
    margin: float = 0.05
    force: bool = False
    """Promote whatever the comparison says."""


class LeftOut(Struct, frozen=True):
    """A scenario or file that was not trained on, and why."""

    run_id: str
    scenario: str | None
    reason: str


class RetrainReport(Struct, kw_only=True):
    """The account of one retraining."""

    files: int = 0
    scenarios: int = 0
    baselines: int = 0
    enriched: list[Enriched] = []
    requests: int = 0
    from_cache: int = 0
    unanswered: str | None = None
    """Why Prometheus did not answer to the last queries; None where it did."""
    skipped: list[LeftOut] = []
    noted: list[LeftOut] = []
    """Scenarios that were trained on with less weight, or that look odd."""
    not_valid: dict[str, int] = {}
    """Scenarios with validity reasons by reason; each was trained on with a quarter of its weight."""
    manifest: Manifest | None = None
    former: str | None = None
    """The version in service before."""
    drift_ratio: float | None = None
    """How much more new scenarios draw than the former model says (median); None for fewer than five."""
    card: str | None = None
    """The page that shows the model."""
    deleted: list[str] = []
    seconds: float = 0.0

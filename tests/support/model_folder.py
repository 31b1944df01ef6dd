"""A model in service by its manifest alone, where the model itself is never opened."""

from __future__ import annotations

from pathlib import Path

import msgspec

from advisor.regression.registry import Manifest, TargetReport

__all__ = ["put_model"]


def put_model(models: Path, hardware: str = "intel-1", version: str = "0001", error: float = 0.05) -> None:
    """Write the version's manifest, or write it again, and put it in service."""
    home = models / hardware
    (home / version).mkdir(parents=True, exist_ok=True)
    report = TargetReport(
        model=("forest", "ridge"),
        candidate_error_ratios={},
        error_ratios={"plain": error},
        coverage_ratios={"plain": 0.9},
        rows=50,
    )
    manifest = Manifest(
        version=version,
        created="2026-03-01T00:00:00+00:00",
        created_unix_seconds=1_772_323_200.0,
        hardware_id=hardware,
        hardware_known=(hardware,),
        encoders_known=("libx264",),
        feature_names=("pixels",),
        tier="measured",
        training_scenarios=50,
        training_configurations=50,
        training_data_sha256="0" * 64,
        grouped_by="video",
        targets={"mean_power_watts": report},
        library_versions={},
        files_sha256={},
    )
    (home / version / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    link = home / "latest"
    link.unlink(missing_ok=True)
    link.symlink_to(version)

"""The account of a retraining in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.regression.registry import Manifest
from wattframe.retraining.account import LeftOut, RetrainReport


def summary(report: RetrainReport) -> str:
    """The account in words."""
    lines = [
        f"Loaded {report.scenarios} scenarios of {report.files} files ({report.baselines} baselines)",
        f"Enriched {len(report.enriched)} from Prometheus"
        + (f" ({report.requests} requests, {report.from_cache} from the cache)" if report.enriched else ""),
        *_listed(
            [
                f"{e.scenario}: {e.mean_power_watts:.2f} W, {e.total_energy_joules:.1f} J, "
                + "; ".join([e.tier or "tier unknown", *e.notes])
                for e in report.enriched
            ]
        ),
        f"Skipped {len(report.skipped)}",
        *_listed([_left(left) for left in report.skipped]),
    ]
    if report.noted:
        lines += [f"Noted {len(report.noted)}", *_listed([_left(left) for left in report.noted])]
    manifest = report.manifest
    if manifest is not None:
        lines += _model_lines(manifest, report)
    return "\n".join(lines) + "\n"


def not_valid_sentence(not_valid: Mapping[str, int]) -> str:
    """What was done with scenarios that are not valid.

    >>> not_valid_sentence({"throttled": 2, "steal": 1})
    'Not valid, used with weight 1/4: throttled 2, steal 1'
    """
    counts = ", ".join(f"{reason} {count}" for reason, count in not_valid.items())
    return f"Not valid, used with weight 1/4: {counts}"


def _model_lines(manifest: Manifest, report: RetrainReport) -> list[str]:
    lines = [
        f"Trained version {manifest.version} for {manifest.hardware_id} on "
        f"{manifest.training_configurations} configurations ({manifest.tier or 'unknown'} power), "
        f"held out by {manifest.grouped_by}"
    ]
    for name, target in manifest.targets.items():
        error, coverage = target.error_ratios.get("plain"), target.coverage_ratios.get("plain")
        quality = "error unknown" if error is None else f"error {error:.1%}"
        if coverage is not None:
            quality += f", 90 % intervals hold {coverage:.0%}"
        lines.append(f"  {name}: {' + '.join(target.model)}, {quality}")
    lines += [f"  {note}" for note in manifest.notes]
    state = "In service" if manifest.promoted else f"Not promoted, version {report.former} stays"
    lines.append(f"{state}: {manifest.reason}")
    if report.drift_ratio is not None:
        lines.append(
            f"Drift: new scenarios draw {report.drift_ratio:+.1%} over the prediction of the previous model"
        )
    card = report.card or "none, it needs matplotlib and jinja2 (pip install '.[report]' in the checkout)"
    lines.append(f"Card: {card}")
    if report.deleted:
        lines.append(f"Deleted {len(report.deleted)} old versions")
    return lines


def _left(left: LeftOut) -> str:
    return f"{left.run_id}, {left.scenario}: {left.reason}" if left.scenario else left.reason


def _listed(lines: Sequence[str], most: int = 20) -> list[str]:
    shown = [f"  {line}" for line in lines[:most]]
    return shown if len(lines) <= most else [*shown, f"  and {len(lines) - most} more (all with --json)"]

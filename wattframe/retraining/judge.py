"""Whether a new model is not worse than the one in service, and how far the machine has drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.errors import ModelError
from advisor.regression import registry
from advisor.regression.features import Case
from advisor.regression.registry import Manifest
from wattframe.retraining.account import RetrainOptions, RetrainReport

if TYPE_CHECKING:
    from advisor.regression.model import TrainedModel  # brings scikit-learn

_FEWEST_NEW = 5


def held_out(trained: TrainedModel, target: str) -> list[tuple[Case, float]]:
    """The cases of a target that were predicted by a model without them, and its errors as logarithms."""
    model = trained.targets[target]
    cases = [c for c in trained.training if target in c.targets]
    return [(cases[i], float(e)) for i, e in zip(model.predictor.validated_, model.residuals, strict=True)]


def judged(
    options: RetrainOptions, trained: Any, challenger: Manifest, report: RetrainReport
) -> tuple[bool, str]:
    """Whether the new model is not worse than the one in service, and why.

    They are compared on scenarios that are new to the former where there are some, else by both's own errors.
    """
    home = challenger.hardware_id
    if not (options.models_dir / home / registry.LATEST).is_symlink():
        return True, "the first model of this machine"
    try:
        former, manifest = registry.load(options.models_dir, home)
    except ModelError as exc:
        return True, f"the previous model cannot be used: {exc}"
    if manifest.tier != challenger.tier:
        better = challenger.tier == "measured"
        return better, f"{challenger.tier or 'unknown'} power in place of {manifest.tier or 'unknown'}"
    ours, theirs, count, report.drift_ratio = _on_new_rows(former, manifest, trained)
    what = f"on {count} new scenarios"
    if count < _FEWEST_NEW:
        ours, theirs = challenger.error_ratio, manifest.error_ratio
        what = "in grouped cross-validation"
    if theirs is None:
        return True, f"the error of version {manifest.version} is unknown"
    if ours is None:
        return False, f"its error is unknown, that of version {manifest.version} is {theirs:.1%}"
    reason = f"power error {ours:.1%} against {theirs:.1%} of version {manifest.version} {what}"
    return ours <= theirs * (1 + options.margin), reason


def _on_new_rows(
    former: Any, manifest: Manifest, trained: Any
) -> tuple[float | None, float | None, int, float | None]:
    """Errors of the new and the former model on scenarios that the former never saw, and its drift there."""
    import numpy as np

    from advisor.regression.interval_bins import mean_ratio_error

    name = "mean_power_watts"
    model = trained.targets.get(name)
    if model is None or not model.predictor.errors_:
        return None, None, 0, None
    new = [(c, e) for c, e in held_out(trained, name) if c.run_id not in manifest.runs]
    predicted = former.predict([c for c, _ in new]) if new else []
    pairs = [
        (e, np.log(c.targets[name] / p.mean_power_watts.mean))
        for (c, e), p in zip(new, predicted, strict=True)
        if p.mean_power_watts is not None
    ]
    if len(pairs) < _FEWEST_NEW:
        return None, None, len(pairs), None
    ours, theirs = np.array(pairs).T
    drift = float(np.expm1(np.median(theirs)))
    return mean_ratio_error(ours), mean_ratio_error(theirs), len(pairs), drift

"""What the true values of options may be, given what was measured or predicted of them.

Three things are uncertain, and each is drawn as it occurs:

- the noise of each option's own figure, independent of the others'. Where repeats told how large it is, that
  is uncertain too: it is scaled by a draw of chi-squared with their degrees of freedom (Student's t);
- the error that options share, such as a video that is harder than a model believes: one draw for all of one
  basis. It moves predicted options against measured ones, and none against its like;
- luck: of many measured options that hardly differ, the one that looks least was helped by noise. Their
  values are drawn towards their mean as far as noise explains why they differ (a hierarchical normal model,
  Gelman et al., Bayesian Data Analysis, chapter 5; the spread of the true values is integrated over a grid).
  Predictions are a model's means already: no noise of a measurement is in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 4000
_SCALES = 200
"""Draws of how large the noise is: each is weighed at every spread of the grid."""
_SPREADS = np.geomspace(0.06, 2.0, 20)
"""By how much true values may differ, standard deviations of logarithms: 6 % to a factor of 7."""


def plausible_values(
    values: Floats,
    noise: Floats,
    shared: Floats,
    basis: Sequence[str],
    degrees: Sequence[int | None],
    seed: int = 0,
) -> Floats:
    """Draws of the true values.

    Parameters
    ----------
    values
        What is known of each option, shape (options,); of any sign.
    noise, shared
        Relative standard deviations, shape (options,): of each option alone, and common to all of its basis.
    basis
        ``measured`` or ``predicted``: those of one basis share an error.
    degrees
        Degrees of freedom that ``noise`` rests on; None where it is stated and not estimated.

    Returns
    -------
    Shape (draws, options). Values that are not all positive are not drawn towards their mean.
    """
    rng = np.random.default_rng(seed)
    count = len(values)
    if not count:
        return np.empty((DRAWS, 0))
    scales = np.ones((_SCALES if any(degrees) else 1, count))
    for freedom in {d for d in degrees if d}:
        scale = np.sqrt(freedom / rng.chisquare(freedom, len(scales)))
        scales[:, [d == freedom for d in degrees]] = scale[:, None]
    deviations = scales * noise
    normal = rng.standard_normal((DRAWS, count))
    common = {name: rng.standard_normal(DRAWS) for name in sorted(set(basis))}
    shift = shared * np.column_stack([common[name] for name in basis])
    measured = np.array([name == "measured" for name in basis])
    if measured.sum() < 2 or not (values > 0).all():
        rows = rng.integers(len(scales), size=DRAWS)
        return np.asarray(values * np.exp(deviations[rows] * normal + shift))
    logs = np.log(values)
    rows, spreads, centres = _population(logs[measured], deviations[:, measured], rng)
    true = logs + deviations[rows] * normal
    shrinkage = spreads[:, None] ** 2 / (spreads[:, None] ** 2 + deviations[rows][:, measured] ** 2)
    drawn = centres[:, None] + shrinkage * (logs[measured] - centres[:, None])
    true[:, measured] = drawn + np.sqrt(shrinkage) * deviations[rows][:, measured] * normal[:, measured]
    return np.asarray(np.exp(true + shift))


def _population(
    logs: Floats, deviations: Floats, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Draws of what the options' true values are scattered about, and how far, given what was measured.

    Returns
    -------
    Of each draw the row of ``deviations`` (scales, options), the spread and the centre; shape (draws,).
    """
    total = deviations[:, None, :] ** 2 + _SPREADS[:, None] ** 2  # scales, spreads, options
    weight = 1 / total
    precision = weight.sum(-1)
    mean = (weight * logs).sum(-1) / precision
    misfit = (weight * (logs - mean[..., None]) ** 2).sum(-1)
    likelihood = -0.5 * (np.log(total).sum(-1) + np.log(precision) + misfit)
    odds = np.exp(likelihood - likelihood.max()).ravel()
    rows, columns = np.divmod(rng.choice(odds.size, DRAWS, p=odds / odds.sum()), len(_SPREADS))
    centres = mean[rows, columns] + rng.standard_normal(DRAWS) / np.sqrt(precision[rows, columns])
    return rows, _SPREADS[columns], centres


def probabilities_of_least(draws: Floats) -> list[float]:
    """How probably each option has the least value; equal ones share it."""
    if not draws.size:
        return []
    least = draws == draws.min(axis=1, keepdims=True)
    return [float(p) for p in (least / least.sum(axis=1, keepdims=True)).mean(axis=0)]

"""Random data of a law that is known by construction: lines, powers, exponentials, products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from advisor import MultivariatePredictor

Table = np.ndarray


def _line(x: Table, rng: np.random.Generator) -> Table:
    y = x @ rng.uniform(-5, 20, x.shape[1])
    return np.asarray(y - y.min() + rng.uniform(1, 50))


def _exponential(x: Table, rng: np.random.Generator) -> Table:
    return np.asarray(np.exp(1 + x @ rng.uniform(-0.3, 0.3, x.shape[1])))


def _power(x: Table, rng: np.random.Generator) -> Table:
    return np.asarray(3 * np.prod(x ** rng.uniform(-1, 1, x.shape[1]), axis=1))


def _product(x: Table, rng: np.random.Generator) -> Table:
    return np.asarray(rng.uniform(1, 20) + x[:, 0] * x[:, -1])


LAWS: dict[str, Callable[[Table, np.random.Generator], Table]] = {
    "line": _line,
    "exponential": _exponential,
    "power": _power,
    "product": _product,
}


def _columns(rng: np.random.Generator, rows: int, count: int) -> Table:
    """Positive columns that span a factor of ten and more; one of them may be constant."""
    x = rng.uniform(0.5, 10, (rows, count))
    if count > 2 and rng.random() < 0.5:
        x[:, 1] = 14.62
    return x


def _trial(law: str, seed: int, noise: float, rows: int) -> tuple[float, float]:
    """Median error of unseen rows against the law, and the share of noisy ones inside 90 % intervals."""
    rng = np.random.default_rng(seed)
    x = _columns(rng, rows + 100, int(rng.integers(1, 4)))
    truth = LAWS[law](x, rng)
    y = truth * np.exp(noise * rng.normal(size=len(truth)))
    # copies and order of rows decide nothing
    chosen = rng.permutation(np.r_[np.arange(rows), rng.integers(rows, size=rows // 5)])
    model = MultivariatePredictor().fit(x[chosen], y[chosen])
    low, high = model.prediction_interval(x[rows:])
    errors = np.abs(model.predict(x[rows:]) / truth[rows:] - 1)
    return float(np.median(errors)), float(np.mean((low <= y[rows:]) & (y[rows:] <= high)))


@pytest.mark.parametrize("law", ["line", "exponential", "power"])
@pytest.mark.parametrize("seed", range(3))
def test_a_law_without_noise_is_found_from_14_rows(law: str, seed: int) -> None:
    assert _trial(law, seed, 0.0, 14)[0] < 1e-4


def test_a_product_of_two_settings_is_found_from_50_rows() -> None:
    assert _trial("product", 0, 0.0, 50)[0] < 1e-4


@pytest.mark.long
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rows", [40, 150])
@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noise_is_averaged_and_intervals_hold_what_they_say(law: str, rows: int, noise: float) -> None:
    """A tenth of the rows would do for the terms: the error of the law is below the noise of a row."""
    trials = [_trial(law, seed, noise, rows) for seed in range(8)]
    assert np.median([error for error, _ in trials]) < noise
    assert np.mean([inside for _, inside in trials]) == pytest.approx(0.9, abs=0.05)

"""Trees of a tampered model: refused before anything walks them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor

from advisor.errors import ModelError
from advisor.regression.model_file import check_trees, loads

X = np.random.default_rng(1).random((300, 3))
Y = X[:, 0] + 2 * X[:, 1]


def boosted() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(max_iter=3, early_stopping=False).fit(X, Y)


@pytest.mark.parametrize("model", [RandomForestRegressor(3), ExtraTreesRegressor(3)])
def test_trees_as_scikit_learn_makes_them_are_taken(model: Any) -> None:
    check_trees({"estimators": {"power": {"predictor": model.fit(X, Y), "difficulty": boosted()}}})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("left", 2**31, "lead outside it or back"),
        ("right", 10_000, "lead outside it or back"),
        ("right", 0, "lead outside it or back"),
        ("feature_idx", 3, "a feature that there is not"),
        ("feature_idx", 10**6, "a feature that there is not"),
        ("is_categorical", 1, "a tree with categories"),
    ],
)
def test_a_boosted_tree_that_leads_elsewhere_is_refused(field: str, value: int, said: str) -> None:
    """Unchecked, the first of these ends the process by a signal."""
    model = boosted()
    model._predictors[1][0].nodes[field][0] = value
    with pytest.raises(ValueError, match=said):
        check_trees([model])


@pytest.mark.parametrize(("table", "value"), [("left", 5000), ("left", 0), ("right", 2**40), ("feature", 3)])
def test_a_tree_of_a_forest_that_leads_elsewhere_is_refused(table: str, value: int) -> None:
    model = RandomForestRegressor(2).fit(X, Y)
    tree = model.estimators_[1].tree_
    {"left": tree.children_left, "right": tree.children_right, "feature": tree.feature}[table][0] = value
    with pytest.raises(ValueError, match="a tree"):
        check_trees([model])


def test_a_claim_of_more_features_inside_changes_nothing() -> None:
    """What lets rows in is the forest: its trees are asked without a further look."""
    model = RandomForestRegressor(1).fit(X, Y)
    model.estimators_[0].n_features_in_ = 100
    model.estimators_[0].tree_.feature[0] = 50
    with pytest.raises(ValueError, match="a feature that there is not"):
        check_trees([model])


def test_a_tampered_file_is_refused_in_one_line(tmp_path: Path) -> None:
    model = boosted()
    model._predictors[0][0].nodes["left"][0] = 2**31
    with pytest.raises(ModelError, match="nodes lead outside") as caught:
        loads(skops.io.dumps({"plain": "{}", "estimators": {"x": model}}), tmp_path / "model.skops")
    assert "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.regression.model_file.MODEL_BYTES", 1 << 20)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(2 << 20))
    assert len(packed.getvalue()) < 10_000
    with pytest.raises(ModelError, match="more than 1 MiB when unpacked"):
        loads(packed.getvalue(), tmp_path / "model.skops")

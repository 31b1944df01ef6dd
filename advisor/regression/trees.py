"""Trees of a model file, looked at before anything walks them.

scikit-learn follows the node numbers of a loaded tree unchecked: one that points outside its table reads
foreign memory, one that points back never ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

__all__ = ["check_trees"]

_MOST_DEPTH = 12
"""How deep a forest lies in lists, pipelines and attributes; a document of another shape is not ours."""


def check_trees(document: object) -> None:
    """Raise ValueError for a tree below ``document`` that leads outside, back, or to a feature too many."""
    for tree, features in _trees(document, 0, 0):
        if isinstance(tree, Tree):
            inner = tree.children_left != -1
            _check(tree.children_left, tree.children_right, tree.feature, inner, features)
        else:
            nodes = tree.nodes
            if nodes["is_categorical"].any():
                raise ValueError("a tree with categories, which no model here has")
            inner = nodes["is_leaf"] == 0
            _check(nodes["left"], nodes["right"], nodes["feature_idx"], inner, features)


def _trees(value: Any, features: int, depth: int) -> Iterator[tuple[Any, int]]:
    """Every tree, with the columns that its estimators let in."""
    if depth > _MOST_DEPTH:
        raise ValueError("objects lie deeper in one another than in any model")
    if isinstance(value, (Tree, TreePredictor)):
        yield value, features
        return
    inside: Iterable[Any] = ()
    if isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        inside = value
    elif hasattr(value, "get_params"):  # an estimator: what it learned are its attributes
        own = int(getattr(value, "n_features_in_", features))
        features = min(features, own) if features else own
        inside = vars(value).values()
    for item in inside:
        yield from _trees(item, features, depth + 1)


def _check(
    left: NDArray[Any], right: NDArray[Any], feature: NDArray[Any], inner: NDArray[np.bool_], features: int
) -> None:
    """Children come after their parent, as scikit-learn numbers them, and inside the table."""
    count = len(left)
    own = np.arange(count)
    if not count:
        raise ValueError("a tree without a node")
    for child in (left, right):
        if ((child <= own) | (child >= count))[inner].any():
            raise ValueError("a tree whose nodes lead outside it or back")
    if ((feature < 0) | (feature >= features))[inner].any():
        raise ValueError("a tree that asks for a feature that there is not")

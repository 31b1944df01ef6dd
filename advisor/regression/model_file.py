"""A model as bytes: skops, with the list of types that may be in it.

Estimators lie in the archive as skops writes them, all else as JSON of the structs that hold it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from advisor.errors import ModelError
from advisor.regression.candidates import HuberRidge, LogarithmOfWideColumns
from advisor.regression.model import TrainedModel
from advisor.regression.multivariate import MultivariatePredictor

MODEL_BYTES = 1 << 30
"""Of a model unpacked."""
_MOST_DEPTH = 12
"""How deep a forest lies in lists, pipelines and attributes; a document of another shape is not ours."""
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "skops")
_ESTIMATORS = ("predictor", "difficulty", "residuals")
TRUSTED = frozenset(
    f"{kind.__module__}.{kind.__qualname__}"
    for kind in (MultivariatePredictor, HuberRidge, LogarithmOfWideColumns, TreePredictor, Tree)
)
"""Types beyond skops' own safe ones (numpy arrays, scikit-learn estimators) that a model file may hold."""


def library_versions() -> dict[str, str]:
    """The libraries that a model depends on, as installed here."""
    return {name: version(name) for name in _LIBRARIES}


def check_versions(versions: Mapping[str, str], path: Path) -> None:
    """Refuse a model that another minor version of scikit-learn made: its trees may mean something else."""
    here, there = version("scikit-learn"), versions.get("scikit-learn", "unknown")
    if here.split(".")[:2] != there.split(".")[:2]:
        raise ModelError(f"made with scikit-learn {there}, here is {here}: retrain", subject=path)


def dumps(trained: TrainedModel) -> bytes:
    """The model file's content."""
    bare = {
        name: msgspec.structs.replace(target, **dict.fromkeys(_ESTIMATORS))
        for name, target in trained.targets.items()
    }
    plain = msgspec.structs.replace(trained, targets=bare, training=[])
    document = {
        "plain": msgspec.json.encode(plain).decode(),
        "estimators": {
            name: {field: getattr(target, field) for field in _ESTIMATORS}
            for name, target in trained.targets.items()
        },
    }
    data: bytes = skops.io.dumps(document, compression=zipfile.ZIP_DEFLATED, compresslevel=3)
    return data


def loads(data: bytes, path: Path) -> TrainedModel:
    """The model of a file's content.

    Raises
    ------
    ModelError
        It is no model file, or it holds a type that is not trusted.
    """
    # whatever a tampered archive provokes inside skops
    try:
        _check_size(data)
        strange = set(skops.io.get_untrusted_types(data=data)) - TRUSTED
    except Exception as exc:
        raise ModelError(f"expected a model file: {type(exc).__name__}: {exc}", subject=path) from exc
    if strange:
        raise ModelError(f"holds types that are not trusted: {', '.join(sorted(strange))}", subject=path)
    try:
        document = skops.io.loads(data, trusted=sorted(TRUSTED))
        check_trees(document)
        trained = msgspec.json.decode(document["plain"], type=TrainedModel)
        for name, target in trained.targets.items():
            for field in _ESTIMATORS:
                setattr(target, field, document["estimators"][name][field])
    except Exception as exc:
        raise ModelError(f"expected a model file: {type(exc).__name__}: {exc}", subject=path) from exc
    return trained


def _check_size(data: bytes) -> None:
    """An archive of a few bytes may stand for any number of them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MODEL_BYTES:
        raise ValueError(f"more than {MODEL_BYTES >> 20} MiB when unpacked")


def check_trees(document: object) -> None:
    """Raise ValueError for a tree below ``document`` that leads outside, back, or to a feature too many.

    scikit-learn follows the node numbers of a loaded tree unchecked: one that points outside its table reads
    foreign memory, one that points back never ends.
    """
    for tree, features in _trees(document, 0, 0):
        if isinstance(tree, Tree):
            inner = tree.children_left != -1
            _check_nodes(tree.children_left, tree.children_right, tree.feature, inner, features)
        else:
            nodes = tree.nodes
            if nodes["is_categorical"].any():
                raise ValueError("a tree with categories, which no model here has")
            inner = nodes["is_leaf"] == 0
            _check_nodes(nodes["left"], nodes["right"], nodes["feature_idx"], inner, features)


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
        columns = int(getattr(value, "n_features_in_", features))
        features = min(features, columns) if features else columns
        inside = vars(value).values()
    for item in inside:
        yield from _trees(item, features, depth + 1)


def _check_nodes(
    left: NDArray[Any], right: NDArray[Any], feature: NDArray[Any], inner: NDArray[np.bool_], features: int
) -> None:
    """Children come after their parent, as scikit-learn numbers them, and inside the table."""
    count = len(left)
    if not count:
        raise ValueError("a tree without a node")
    for child in (left, right):
        if ((child <= np.arange(count)) | (child >= count))[inner].any():
            raise ValueError("a tree whose nodes lead outside it or back")
    if ((feature < 0) | (feature >= features))[inner].any():
        raise ValueError("a tree that asks for a feature that there is not")

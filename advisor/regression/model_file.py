"""A model as bytes: skops, with the list of types that may be in it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import skops.io

from advisor.errors import ModelError
from advisor.regression.design import Design
from advisor.regression.features import Encoding
from advisor.regression.multivariate import MultivariatePredictor
from advisor.regression.offsets import Spread
from advisor.regression.situations import Situation
from advisor.regression.target import TargetModel
from advisor.regression.trained import Trained
from advisor.regression.trees import check_trees

__all__ = ["TRUSTED", "check_versions", "dumps", "library_versions", "loads"]

_MOST_BYTES = 1 << 30
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "skops")
TRUSTED = frozenset(
    {
        f"{MultivariatePredictor.__module__}.{MultivariatePredictor.__qualname__}",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""Types beyond skops' own safe ones (numpy arrays, scikit-learn estimators) that a model file may hold."""


class _Plain(msgspec.Struct, frozen=True, kw_only=True):
    """All of a model that is no estimator, kept as JSON inside the file."""

    encoding: Encoding
    tier: str | None
    grouped_by: str
    rows: int
    cases: int
    videos: frozenset[str] | None
    notes: list[str]
    targets: dict[str, _PlainTarget]


class _PlainTarget(msgspec.Struct, frozen=True, kw_only=True):
    ways: dict[str, float]
    typical_error: float
    variation: float
    spread: Spread
    content: dict[str, dict[str, tuple[float, float]]]
    content_spread: Spread
    situations: dict[str, Situation]


def library_versions() -> dict[str, str]:
    """The libraries that a model depends on, as installed here."""
    return {name: version(name) for name in _LIBRARIES}


def check_versions(found: Mapping[str, str], path: Path) -> None:
    """Refuse a model that another minor version of scikit-learn made: its trees may mean something else."""
    mine, theirs = (v.split(".")[:2] for v in (version("scikit-learn"), found.get("scikit-learn", "")))
    if mine != theirs:
        raise ModelError(
            f"made with scikit-learn {found.get('scikit-learn', 'unknown')}, here is "
            f"{version('scikit-learn')}: train again",
            subject=path,
        )


def dumps(trained: Trained) -> bytes:
    """The model file's content."""
    targets = {name: _plain_target(model) for name, model in trained.targets.items()}
    plain = _Plain(
        encoding=trained.encoding,
        tier=trained.tier,
        grouped_by=trained.grouped_by,
        rows=trained.rows,
        cases=trained.cases,
        videos=trained.videos,
        notes=trained.notes,
        targets=targets,
    )
    estimators = {
        n: {"predictor": m.predictor, "difficulty": m.difficulty, "residuals": m.residuals}
        for n, m in trained.targets.items()
    }
    document = {
        "plain": msgspec.json.encode(plain).decode(),
        "pace": trained.design.pace,
        "estimators": estimators,
    }
    data: bytes = skops.io.dumps(document, compression=zipfile.ZIP_DEFLATED, compresslevel=3)
    return data


def _plain_target(model: TargetModel) -> _PlainTarget:
    return _PlainTarget(
        ways=model.ways,
        typical_error=model.typical_error,
        variation=model.variation,
        spread=model.spread,
        content=model.content,
        content_spread=model.content_spread,
        situations=model.situations,
    )


def loads(data: bytes, path: Path) -> Trained:
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
        return _built(document)
    except Exception as exc:
        raise ModelError(f"expected a model file: {type(exc).__name__}: {exc}", subject=path) from exc


def _check_size(data: bytes) -> None:
    """An archive of a few bytes may stand for any number of them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB when unpacked")


def _built(document: Mapping[str, Any]) -> Trained:
    plain = msgspec.json.decode(document["plain"], type=_Plain)
    targets = {
        name: TargetModel(
            **document["estimators"][name],
            ways=target.ways,
            typical_error=target.typical_error,
            variation=target.variation,
            spread=target.spread,
            content=target.content,
            content_spread=target.content_spread,
            situations=target.situations,
        )
        for name, target in plain.targets.items()
    }
    return Trained(
        design=Design(encoding=plain.encoding, pace=document["pace"]),
        targets=targets,
        tier=plain.tier,
        grouped_by=plain.grouped_by,
        rows=plain.rows,
        cases=plain.cases,
        videos=plain.videos,
        notes=plain.notes,
    )

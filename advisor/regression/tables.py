"""What is given to a predictor as tables of finite numbers, or a refusal that names the argument."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from advisor.errors import TableError

__all__ = ["column", "matrix"]

Floats = NDArray[np.float64]


def matrix(x: ArrayLike, columns: int | None = None) -> Floats:
    """``X`` as one row a sample; a flat list is one feature, a bare number one sample of it.

    Raises
    ------
    TableError
        A cell is missing, no number or not finite, or the columns are not the ``columns`` that were fitted.
    """
    array = _numbers(x, "X")
    array = array.reshape(-1, 1) if array.ndim < 2 else array
    if array.ndim != 2 or not np.isfinite(array).all():
        raise TableError("expected a finite number in every cell of one table", subject="X")
    if columns is not None and array.shape[1] != columns:
        raise TableError(f"expected {columns} features, got {array.shape[1]}", subject="X")
    return array


def column(y: ArrayLike, rows: int, name: str = "y", *, positive: bool = False) -> Floats:
    """``y`` as one number a row, from a list or a table of one column.

    Raises
    ------
    TableError
        There are more or fewer than ``rows``, or one is missing, not finite or (``positive``) not above 0.
    """
    array = _numbers(y, name)
    if array.shape == (rows, 1):
        array = array[:, 0]
    kind = "positive" if positive else "finite"
    if array.shape != (rows,):
        raise TableError(f"expected {rows} {kind} numbers, got shape {array.shape}", subject=name)
    if not np.isfinite(array).all() or (positive and (array <= 0).any()):
        raise TableError(f"expected {rows} {kind} numbers", subject=name)
    return array


def _numbers(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as exc:
        raise TableError("expected numbers only", subject=name) from exc

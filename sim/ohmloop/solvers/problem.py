"""What a user hands in, checked and made float64 or complex128; every refusal is one line that says what and where."""

import math
from typing import Any

import numpy as np
import scipy.sparse

from ohmloop.errors import InputError
from ohmloop.plan.scaling import LARGEST, check_magnitude
from ohmloop.readers import MAX_ELEMENTS


def checked_matrix(matrix: Any) -> Any:
    """A as a dense array or a sparse CSR array, float64 or complex128, (m, n), finite, not all zero.

    Accepts what numpy makes an array of numbers of, and every scipy sparse format. Errors: :class:`InputError`.
    """
    if scipy.sparse.issparse(matrix):
        kind, shape = np.dtype(matrix.dtype), matrix.shape
    else:
        matrix = _array(matrix, "matrix")
        kind, shape = matrix.dtype, matrix.shape
    _numeric(kind, "matrix")
    if len(shape) != 2:
        raise InputError(f"matrix: must have 2 dimensions, not {len(shape)}")
    if 0 in shape:
        raise InputError(f"matrix: holds no numbers (size {shape[0]} x {shape[1]})")
    if shape[0] * shape[1] > MAX_ELEMENTS:
        raise InputError(f"matrix: {shape[0]} x {shape[1]} elements are too many, at most {MAX_ELEMENTS} are worked on")
    wide = np.complex128 if kind.kind == "c" else np.float64
    held: Any
    if scipy.sparse.issparse(matrix):
        held = scipy.sparse.csr_array(matrix, dtype=wide)
        values = held.data
    else:
        held = values = np.array(matrix, dtype=wide)
    if not values.size or not values.any():
        raise InputError("matrix: every element is zero")
    if not np.isfinite(values).all():
        dense = held.toarray() if scipy.sparse.issparse(held) else held
        row, column = np.argwhere(~np.isfinite(dense))[0]
        raise InputError(f"matrix: element ({row + 1}, {column + 1}), counted from 1, is {dense[row, column]}; "
                         "every element must be finite")
    check_magnitude(np.abs(values), "matrix")
    if wide is np.complex128 and not np.imag(values).any():
        held = held.real
    return held


def checked_rhs(b: Any, rows: int) -> np.ndarray:
    """b as (rows, k), float64 or complex128, finite. Errors: :class:`InputError`."""
    if scipy.sparse.issparse(b):
        b = b.toarray()
    b = _array(b, "right-hand side")
    _numeric(b.dtype, "right-hand side")
    if b.ndim not in (1, 2) or len(b) != rows or b.size == 0:
        raise InputError(f"right-hand side: must have {rows} elements, or columns of {rows}, one element a row of the "
                         f"matrix, not {' x '.join(map(str, b.shape)) or 'a single number'}")
    b = np.array(b, dtype=np.complex128 if b.dtype.kind == "c" else np.float64).reshape(rows, -1)
    bad = np.argwhere(~np.isfinite(b))
    if len(bad):
        raise InputError(f"right-hand side: element {bad[0][0] + 1}, counted from 1, is {b[tuple(bad[0])]}; "
                         "every element must be finite")
    check_magnitude(np.abs(b), "right-hand side")
    return b


def checked_number(name: str, value: Any) -> float:
    """An option that is a finite number. Errors: :class:`InputError`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{name}: must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name}: must be a finite number, not {number}")
    return number


def checked_noise(noise: Any, rows: int) -> np.ndarray | None:
    """Variances (rows,) or a symmetric covariance (rows, rows), float64, finite. Errors: :class:`InputError`."""
    if noise is None:
        return None
    held = _array(noise.toarray() if scipy.sparse.issparse(noise) else noise, "noise")
    _numeric(held.dtype, "noise")
    if held.dtype.kind == "c":
        raise InputError("noise: must be real")
    held = np.array(held, dtype=np.float64)
    if held.shape not in ((rows,), (rows, rows)) or not np.isfinite(held).all():
        raise InputError(f"noise: must be {rows} variances, or {rows} x {rows}, finite, not of shape {held.shape}")
    variances = held if held.ndim == 1 else np.diagonal(held)
    if variances.max() > LARGEST or 0.0 < variances.min() < 1 / LARGEST:
        raise InputError(f"noise: variances must be from {1 / LARGEST:g} to {LARGEST:g}, not {variances.min():.3g} to "
                         f"{variances.max():.3g}")
    if held.ndim == 2:
        if np.abs(held - held.T).max() > 1e-12 * np.abs(held).max():
            raise InputError("noise: must be symmetric and positive definite")
        held = (held + held.T) / 2
    return held


def checked_bad(bad: Any, size: int) -> np.ndarray | None:
    """(N, N) booleans, None where none is set. Errors: :class:`InputError`."""
    if bad is None:
        return None
    held = _array(bad, "bad")
    if held.shape != (size, size) or held.dtype.kind not in "biu" or not np.isin(held, (0, 1)).all():
        raise InputError(f"bad: must be {size} x {size} booleans, not {held.dtype} of shape {held.shape}")
    return held.astype(bool) if held.any() else None


def checked_grid(grid: Any, unknowns: int) -> tuple[int, int] | None:
    """Rows and columns with a point an unknown. Errors: :class:`InputError`."""
    if grid is None:
        return None
    sides = _array(grid, "grid")
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1 or int(np.prod(sides)) != unknowns:
        raise InputError(f"grid: must be rows and columns with {unknowns} points, as many as unknowns, not {grid!r}")
    return int(sides[0]), int(sides[1])


def _array(values: Any, what: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise InputError(f"{what}: has masked elements; every element must be a number")
    try:
        return np.asarray(values)
    except (ValueError, TypeError):
        raise InputError(f"{what}: is not an array of numbers; rows must be of the same length") from None


def _numeric(kind: np.dtype, what: str) -> None:
    if kind.kind not in "biufc":
        raise InputError(f"{what}: holds {kind} elements, allowed are numbers")


def check_lines(matrix: np.ndarray, ridge: float) -> None:
    """Raise :class:`InputError` for a zero row or column of a matrix (m, n) that makes it singular."""
    m, n = matrix.shape
    for name, axis, singular in (("row", 1, m <= n), ("column", 0, m >= n)):
        lines = matrix.any(axis=axis)
        if singular and not ridge and not lines.all():
            raise InputError(f"matrix: singular, {name} {int(np.argmin(lines)) + 1} is all zero")

"""The baselines: ILU(0) against its definition, and counts that theory gives."""

import os

import numpy as np
import pytest
import scipy.sparse

from ohmloop.ensembles import heat, tridiagonal
from ohmloop.solvers.baselines import BreakdownError, baseline_counts, ilu0, jacobi

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


def factors_of(apply, n: int) -> np.ndarray:
    """The matrix whose inverse a preconditioner is."""
    return np.linalg.inv(np.array([apply(e) for e in np.eye(n)]).T)


def test_without_fill_it_is_the_whole_factorisation():
    """A tridiagonal and a dense matrix have none outside the pattern."""
    rng = np.random.default_rng(SEED)
    dense = rng.standard_normal((12, 12)) + 12 * np.eye(12)
    for matrix in (tridiagonal(30), dense):
        assert np.allclose(factors_of(ilu0(matrix), len(matrix)), matrix, atol=1e-10)


def test_on_the_pattern_the_product_is_the_matrix():
    """(L U)_ij = A_ij wherever A has a number: what defines ILU(0); elsewhere it has fill."""
    print(f"OHMLOOP_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    sparse = scipy.sparse.random_array((40, 40), density=0.1, rng=rng).toarray() + 3 * np.eye(40)
    for matrix in (heat(36), sparse):
        product = factors_of(ilu0(scipy.sparse.csr_array(matrix)), len(matrix))
        held = matrix != 0.0
        assert np.allclose(product[held], matrix[held], atol=1e-10)
        assert np.abs(product[~held]).max() > 0.01


def test_where_it_breaks_down():
    with pytest.raises(BreakdownError, match="^ILU\\(0\\) breaks down in row 1: the pivot is zero$"):
        ilu0(np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(BreakdownError, match="^ILU\\(0\\) breaks down in row 2: "):
        ilu0(np.array([[1.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(BreakdownError, match="^the diagonal is zero in row 2$"):
        jacobi(np.array([[1.0, 1.0], [1.0, 0.0]]))


def test_explicit_zeros_are_no_pattern():
    matrix = scipy.sparse.csr_array(np.array([[2.0, 1.0], [1.0, 2.0]]))
    matrix.data[1] = 0.0
    assert np.allclose(factors_of(ilu0(matrix), 2), [[2.0, 0.0], [1.0, 2.0]])


def test_counts():
    b = heat(64) @ np.random.default_rng(SEED).standard_normal(64)
    counts = baseline_counts(scipy.sparse.csr_array(heat(64)), b)
    assert counts["none"] == counts["Jacobi"] and isinstance(counts["none"], int) and 24 <= counts["none"] <= 32
    assert isinstance(counts["ILU(0)"], int) and 11 <= counts["ILU(0)"] <= 16
    broken = baseline_counts(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 2.0]))
    assert broken["none"] == 2 and broken["Jacobi"] == "the diagonal is zero in row 1"
    assert baseline_counts(np.diag([1.0, 2.0, 3.0]), np.ones(3), limit=2)["none"] == "not in 2"

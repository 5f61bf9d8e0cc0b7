"""A matrix made ready as a whole: exact, and nothing done where nothing is to be mended."""

import os

import numpy as np
import pytest
from verification.unit.solvers.exact import exact, system, unplanned

from ohmloop.ensembles import ensemble
from ohmloop.errors import InputError
from ohmloop.solvers.blocks import RecursiveInverse
from ohmloop.solvers.large import calls
from ohmloop.solvers.partition import chunks
from ohmloop.solvers.prepared import PreparedInverse, whole

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


def spoilt(n: int) -> np.ndarray:
    """Rows in any order, with any sign, rows and columns in any unit."""
    random = np.random.default_rng(SEED)
    rows, columns = 10.0 ** random.uniform(-3.0, 3.0, (2, n))
    matrix = rows[:, None] * system(n, SEED) * random.choice([-1.0, 1.0], n)[:, None] * columns
    return matrix[random.permutation(n)]


def test_with_exact_solves_it_is_the_inverse():
    print(f"OHMLOOP_SEED={SEED}")
    matrix, x = spoilt(24), np.random.default_rng(SEED).standard_normal(24)
    _, way = whole(matrix)
    assert way.reason == "as a whole, rows are matched to columns and signs are flipped and rows and columns are scaled"
    inner = RecursiveInverse(way.apply(matrix), chunks(np.arange(24), 8), unplanned, form="kept")
    inverse = PreparedInverse(inner, way)
    assert inverse.apply(exact(inverse), matrix @ x) == pytest.approx(x, rel=1e-6)
    assert calls(inverse) == calls(inner) == (0, 1, 2) and inverse.loops is inner.loops
    assert inverse.work.application == inner.work.application + 2 * 24


def test_the_diagonal_is_large_and_positive_and_sizes_are_alike():
    matrix = spoilt(24)
    ready = whole(matrix)[1].apply(matrix)
    assert (np.diag(ready) > 0.0).all()
    assert np.abs(ready).max(axis=0) == pytest.approx(np.ones(24), rel=0.05)
    assert np.abs(ready).max(axis=1) == pytest.approx(np.ones(24), rel=0.05)


def test_a_symmetric_matrix_stays_symmetric_with_ones_on_its_diagonal():
    units = 10.0 ** np.random.default_rng(SEED).uniform(-2.0, 2.0, 36)
    _, way = whole(units[:, None] * ensemble("heat", 36) * units)
    assert way.apply(units[:, None] * ensemble("heat", 36) * units) == pytest.approx(ensemble("heat", 36) / 4)


@pytest.mark.parametrize("family", ["heat", "oscillator", "wishart", "spdlog", "svdlog", "skew", "impedance"])
def test_nothing_is_done_where_nothing_is_to_be_mended(family: str):
    matrix = ensemble(family, 64, 30.0, SEED)
    (way,) = whole(matrix)
    assert way.reason == "" and np.array_equal(way.apply(matrix), matrix)


def test_a_matrix_without_a_full_diagonal_is_refused():
    matrix = system(16, SEED)
    matrix[:9, :] = 0.0
    matrix[:9, :8] = 1.0
    with pytest.raises(InputError, match="structurally singular"):
        whole(matrix)

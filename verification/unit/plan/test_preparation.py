"""Preparations: exact ways there and back, norms of one, the best diagonal, bad cells under zero codes."""

import itertools
import os

import numpy as np
import pytest

from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import heat
from ohmloop.errors import InputError
from ohmloop.plan.planner import plan_system
from ohmloop.plan.preparation import around_bad_cells, equilibration, matched_rows, plain, preparations
from ohmloop.plan.scaling import code_at
from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"OHMLOOP_SEED={SEED}")
    return np.random.default_rng(SEED)


def test_every_preparation_leads_back_to_the_solution(rng: np.random.Generator):
    """B z = R P v and x = Q C z are A x = v, with rows and columns of wildly different size and no order."""
    matrix = rng.standard_normal((9, 9)) + 4 * np.eye(9)[rng.permutation(9)]
    matrix = 10.0 ** rng.uniform(-5, 5, 9)[:, None] * matrix * 10.0 ** rng.uniform(-5, 5, 9)
    x = rng.standard_normal(9)
    v = matrix @ x
    plan = plan_system(np.eye(9), CONFIGS["lab"], AnalogParams.reference())
    ways = list(preparations(matrix))
    ways.append(ways[-1].permuted(rng.permutation(9), "in another order"))
    assert len(ways) >= 6 and len({way.reason for way in ways}) == len(ways) and ways[0].reason == ""
    for way in ways:
        loop = way.loop(matrix, plan)
        assert np.allclose(loop.prepared, way.apply(matrix), rtol=1e-12, atol=0)
        found = loop.solution(np.linalg.solve(loop.prepared, loop.rhs(v)))
        scale = np.abs(matrix).max(axis=0)
        assert found * scale == pytest.approx(x * scale, rel=1e-5)


def test_equilibration_brings_norms_to_one_and_keeps_symmetry(rng: np.random.Generator):
    matrix = 10.0 ** rng.uniform(-6, 6, 20)[:, None] * rng.standard_normal((20, 20)) * 10.0 ** rng.uniform(-6, 6, 20)
    for largest, norm in ((True, np.max), (False, np.sum)):
        row, column = equilibration(matrix, largest)
        scaled = np.abs(row[:, None] * matrix * column)
        for axis in (0, 1):
            assert norm(scaled, axis=axis) == pytest.approx(np.ones(20), rel=0.05)
    even = matrix + matrix.T
    row, column = equilibration(even)
    assert row == pytest.approx(column, rel=1e-12)
    row, column = equilibration(np.array([[0.0, 0.0], [0.0, 4.0]]))
    assert row[1] * column[1] * 4.0 == pytest.approx(1.0) and np.isfinite([*row, *column]).all()


def test_the_matching_has_the_largest_product_of_all_permutations(rng: np.random.Generator):
    for _ in range(5):
        matrix = rng.standard_normal((6, 6)) * (rng.random((6, 6)) < 0.8)
        best = max(np.prod(np.abs(matrix[list(order), range(6)])) for order in itertools.permutations(range(6)))
        if best == 0.0:
            with pytest.raises(InputError, match="^matrix: structurally singular, "):
                matched_rows(matrix)
            continue
        assert np.prod(np.abs(np.diagonal(matrix[matched_rows(matrix)]))) == pytest.approx(best)


def test_a_matching_ends_where_all_choices_are_as_good_but_for_rounding(rng: np.random.Generator):
    """Outer products: on a third of them an algorithm for sparse graphs goes round for ever."""
    for n in (8, 16, 32) * 10:
        rows, columns = rng.standard_normal((2, n))
        matrix = np.outer(rows, columns)
        found = np.abs(np.diagonal(matrix[matched_rows(matrix)]))
        assert np.log(found).sum() == pytest.approx(np.log(np.abs(rows)).sum() + np.log(np.abs(columns)).sum())


def test_a_diagonal_that_is_best_is_left_alone():
    assert np.array_equal(matched_rows(np.ones((4, 4))), np.arange(4))
    assert np.array_equal(matched_rows(heat(16)), np.arange(16))


def test_signs_are_flipped_to_a_positive_diagonal():
    matrix = np.array([[0.0, -3.0], [2.0, 0.1]])
    way = next(way for way in preparations(matrix) if "matched" in way.reason)
    assert way.reason == "rows are matched to columns and signs flipped for a positive diagonal"
    assert (np.diagonal(way.apply(matrix)) > 0.0).all()


def test_a_matrix_that_needs_nothing_is_left_as_it_is():
    assert [way.reason for way in preparations(np.eye(5))] == [""]


def test_bad_cells_get_zero_codes(rng: np.random.Generator):
    codes = code_at(heat(64), 12)
    bad = np.zeros((64, 64), dtype=bool)
    for i, j in rng.integers(0, 64, (20, 2)):
        bad[i, j] = i != j
    bad[0, 1] = bad[5, 6] = bad[9, 1] = True
    assert (bad & (codes != 0)).sum() >= 3
    order = around_bad_cells(codes, bad)
    assert sorted(order) == list(range(64))
    assert not (bad & (codes[np.ix_(order, order)] != 0)).any()
    assert np.allclose(np.linalg.eigvalsh(codes[np.ix_(order, order)]), np.linalg.eigvalsh(codes))


def test_no_bad_cell_no_new_order():
    assert np.array_equal(around_bad_cells(code_at(heat(16), 12), np.zeros((16, 16), dtype=bool)), np.arange(16))


def test_bad_cells_that_cannot_be_avoided_are_named():
    bad = np.zeros((4, 4), dtype=bool)
    bad[1, 2] = True
    said = ("^bad cells: no order of the unknowns puts all 1 bad cells under zero codes; 1 stay, the first at row 1, "
            "column 2$")
    with pytest.raises(InputError, match=said):
        around_bad_cells(np.ones((4, 4), dtype=int), bad)
    bad[:] = False
    bad[3, 3] = True
    with pytest.raises(InputError, match=r"^bad cells: cell \(3, 3\) on the unused diagonal must conduct$"):
        around_bad_cells(np.eye(2, dtype=int), bad)


def test_another_order_moves_rows_columns_and_their_factors_together(rng: np.random.Generator):
    matrix = 10.0 ** rng.uniform(-3, 3, 5)[:, None] * rng.standard_normal((5, 5))
    way, order = list(preparations(matrix))[-1], rng.permutation(5)
    assert np.allclose(way.permuted(order, "").apply(matrix), way.apply(matrix)[np.ix_(order, order)], rtol=1e-14)


def test_plain_is_no_change(rng: np.random.Generator):
    matrix = rng.standard_normal((4, 4))
    assert np.array_equal(plain(4).apply(matrix), matrix)

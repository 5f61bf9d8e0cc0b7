"""Two-level Schwarz: the formulas with exact solves, the coarse spaces, loops shared, refusals."""

import os

import numpy as np
import pytest
from verification.unit.solvers.exact import matrix_of, system, unplanned

from ohmloop.ensembles import heat
from ohmloop.errors import InputError
from ohmloop.plan.cost import writings
from ohmloop.solvers.large import calls
from ohmloop.solvers.partition import boxes, chunks
from ohmloop.solvers.schwarz import DAMPING, Schwarz, aggregates, bilinear

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


def corrections(matrix: np.ndarray, blocks: list[np.ndarray], coarse: np.ndarray) -> list[np.ndarray]:
    """The parts of the inverse, (n, n) each: P E^-1 P', then that of every box."""
    spaces = [coarse, *(np.eye(len(matrix))[:, block] for block in blocks)]
    return [space @ np.linalg.inv(space.T @ matrix @ space) @ space.T for space in spaces]


def test_one_after_the_other_errors_multiply():
    print(f"OHMLOOP_SEED={SEED}")
    matrix, blocks = system(24, SEED), chunks(np.random.default_rng(SEED).permutation(24), 8)
    coarse = np.random.default_rng(SEED + 1).standard_normal((24, 3))
    expected = np.eye(24)
    for part in corrections(matrix, blocks, coarse):
        expected = (np.eye(24) - part @ matrix) @ expected
    left = np.eye(24) - matrix_of(Schwarz(matrix, blocks, coarse, unplanned)) @ matrix
    assert left == pytest.approx(expected, abs=1e-9)
    assert left @ coarse == pytest.approx(np.zeros((24, 3)), abs=1e-9), "what the coarse space holds is solved"


def test_all_boxes_of_a_grid_are_one_loop():
    poisson = Schwarz(heat(256), boxes((16, 16), 64), bilinear((16, 16)), unplanned)
    assert calls(poisson) == (0, 0, 0, 0) and writings(calls(poisson), times=13) == 1
    assert poisson.coarse_size == 9
    elements = np.count_nonzero(heat(256))
    assert poisson.work.application == elements + 2 * np.count_nonzero(bilinear((16, 16))) + 81
    assert "4 boxes of at most 64 unknowns, all alike, and a coarse system of 9" in poisson.reasons[0]


def test_hats():
    assert bilinear((1, 7)).ravel() == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25])
    plane = bilinear((15, 11))
    assert plane.shape == (165, 3 * 2) and plane.max() == 1.0
    away = plane.reshape(15, 11, 6)[3:12, 3:8].sum(axis=2)
    assert away == pytest.approx(np.ones((9, 5))), "between coarse points hats add up to one"


def test_aggregates_are_smoothed_and_add_up_to_a_smoothed_one():
    matrix = heat(64)
    coarse = aggregates(matrix, boxes((8, 8), 16))
    assert coarse.shape == (64, 4)
    one = np.ones(64)
    assert coarse.sum(axis=1) == pytest.approx(one - DAMPING * (matrix @ one) / 4.0)
    assert all(8 < np.count_nonzero(column) < 64 for column in coarse.T)
    assert aggregates(matrix, boxes((8, 8), 64), spacing=2).shape[1] == 16


def test_the_coarse_space_keeps_errors_small_where_boxes_are_many():
    def worst(n: int, two: bool) -> float:
        side = round(n ** 0.5)
        inverse = Schwarz(heat(n), boxes((side, side), 16), bilinear((side, side)) if two else None, unplanned)
        return float(np.abs(np.linalg.eigvals(np.eye(n) - matrix_of(inverse) @ heat(n))).max())

    assert worst(144, False) > 0.75 and worst(256, False) > worst(144, False) + 0.05
    assert worst(256, True) < 0.5 and worst(256, True) < worst(144, True) + 0.1


def test_refusals():
    hollow = system(16, SEED)
    hollow[3, 3] = 0.0
    with pytest.raises(InputError, match="row 4 of the diagonal is zero"):
        aggregates(hollow, chunks(np.arange(16), 8))
    with pytest.raises(InputError, match="the coarse system of 2 unknowns is singular; use one level"):
        Schwarz(system(16, SEED), chunks(np.arange(16), 8), np.ones((16, 2)), unplanned)
    with pytest.raises(InputError, match="each of the 16 unknowns once"):
        Schwarz(system(16, SEED), [np.arange(8)], None, unplanned)

"""Rounding for the inverse: against brute force, and that it does what it is for."""

from itertools import product

import numpy as np
import pytest

from ohmloop.ensembles import ensemble
from ohmloop.plan.rounding import rounded_for_inverse


def loss(codes: np.ndarray, target: np.ndarray) -> float:
    """||(X - T) T^-1||_F."""
    return float(np.linalg.norm((codes - target) @ np.linalg.inv(target)))


def test_integers_stay():
    target = np.array([[4.0, -1, 0], [-1, 4, -1], [0, -1, 4]])
    assert np.array_equal(rounded_for_inverse(target, 15), target)


@pytest.mark.parametrize("seed", range(5))
def test_no_step_of_one_element_helps_and_few_integers_are_better(seed: int):
    """Rows are independent: each is compared with every neighbour in a box around it."""
    rng = np.random.default_rng(seed)
    target = 5.0 * np.eye(3) + rng.uniform(-4, 4, (3, 3))
    codes = rounded_for_inverse(target, 15)
    inverse = np.linalg.inv(target)
    for row in range(3):
        def left(step, row=row) -> float:
            return float(np.linalg.norm((codes[row] + step - target[row]) @ inverse))

        assert left(0) <= min(left(step) for step in np.vstack([np.eye(3), -np.eye(3)]))
        assert left(0) <= 2.0 * min(left(step) for step in product((-2, -1, 0, 1, 2), repeat=3))


@pytest.mark.parametrize("name", ["spdlog", "wishart", "svdlog", "diagdom", "sparse5"])
def test_the_inverse_suffers_less_than_from_nearest(name: str):
    matrix = ensemble(name, 64, 100.0, 0)
    target = matrix / np.abs(matrix).max() * 15 + np.eye(64)
    nearest = np.clip(np.rint(target), -15, 15)
    codes = rounded_for_inverse(target, 15)
    assert codes.dtype == np.int64 and np.abs(codes).max() <= 15
    assert loss(codes, target) < 0.85 * loss(nearest, target)


def test_a_diagonal_out_of_range_is_made_up_for():
    """The largest element is one above the top: its row gives way elsewhere, and the inverse keeps its scale."""
    target = np.array([[16.0, 3.2], [3.2, 9.0]])
    codes = rounded_for_inverse(target, 15)
    assert codes[0, 0] == 15
    assert loss(codes, target) <= min(loss(np.array([[15, k], [3, 9]]), target) for k in range(-15, 16)) + 1e-12

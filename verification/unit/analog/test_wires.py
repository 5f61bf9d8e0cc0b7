"""The mesh of wires against a nodal analysis written another way, its limits, and its first order."""

import numpy as np
import pytest

from ohmloop.analog.wires import first_order, mesh


def array(n: int, seed: int) -> np.ndarray:
    """Random conductances over G0, a third of them missing."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, (n, n)) * (rng.random((n, n)) < 0.67)


def nodal(conductance: np.ndarray, wire: float) -> tuple[np.ndarray, np.ndarray]:
    """F and D by dense nodal analysis, one element stamped after the other, terminals included."""
    n = len(conductance)
    rows = {(i, j): i * n + j for i in range(n) for j in range(n)}
    columns = {place: n * n + index for place, index in rows.items()}
    sums, drives = 2 * n * n, 2 * n * n + n
    Y = np.zeros((2 * n * n + 2 * n,) * 2)

    def stamp(a: int, b: int, g: float):
        Y[[a, b], [a, b]] += g
        Y[[a, b], [b, a]] -= g

    for i in range(n):
        for j in range(n):
            stamp(rows[i, j], rows[i, j - 1] if j else sums + i, 1 / wire)
            stamp(columns[i, j], columns[i - 1, j] if i else drives + j, 1 / wire)
            stamp(rows[i, j], columns[i, j], conductance[i, j])
    inner, outer = slice(0, 2 * n * n), slice(2 * n * n, None)
    terminals = Y[outer, outer] - Y[outer, inner] @ np.linalg.solve(Y[inner, inner], Y[inner, outer])
    return -terminals[:n, n:], terminals[:n, :n]


@pytest.mark.parametrize("n", [1, 4, 7])
def test_mesh_is_the_nodal_analysis(n: int):
    forward, load = mesh(array(n, n), 0.01)
    expected_forward, expected_load = nodal(array(n, n), 0.01)
    assert forward == pytest.approx(expected_forward, abs=1e-12)
    assert load == pytest.approx(expected_load, abs=1e-10)


def test_one_cell_is_three_resistors_in_series():
    forward, load = mesh(np.array([[0.5]]), 0.1)
    assert forward[0, 0] == pytest.approx(1 / (2 + 0.2))
    assert load[0, 0] == pytest.approx(1 / (2 + 0.2))


def test_without_resistance_it_is_the_array():
    conductance = array(8, 1)
    forward, load = mesh(conductance, 1e-9)
    assert forward == pytest.approx(conductance, abs=1e-6)
    assert load == pytest.approx(np.diag(conductance.sum(axis=1)), abs=1e-6)


def test_first_order_is_what_remains_of_small_resistances():
    conductance = array(16, 2)
    errors = [np.abs(mesh(conductance, r)[0] - first_order(conductance, r)).max() for r in (1e-4, 1e-5)]
    assert errors[1] < 0.012 * errors[0], "what first order leaves out must fall with the square"
    assert errors[0] < 0.1 * np.abs(mesh(conductance, 1e-4)[0] - conductance).max()

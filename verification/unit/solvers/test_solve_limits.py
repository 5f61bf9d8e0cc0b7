"""The front door where numbers are at their end: nothing left to fit, right-hand sides and matrices of any size."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from ohmloop.ensembles import heat
from ohmloop.errors import NotSolvedError
from ohmloop.solvers.solve import solve

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """A test that takes longer fails."""
    def ring(*_: object) -> None:
        raise AssertionError(f"not over after {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _over_sixteen_decades(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A and b whose columns have any size: scaled rows are small long before rows as they are."""
    rng, n = np.random.default_rng(seed), 40
    matrix = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.1)
    matrix += np.diag(rng.choice([-1.0, 1.0], n) * (0.3 + np.abs(rng.standard_normal(n))))
    columns = 10.0 ** rng.uniform(-8, 8, n)
    return matrix * columns, matrix @ rng.standard_normal(n)


@pytest.mark.parametrize("seed", [21, 26])
def test_where_scaled_iterations_end_those_on_the_residual_that_counts_go_on(seed: int):
    """Scaled, these end at 3e-10 and at a little above 1e-10."""
    matrix, b = _over_sixteen_decades(seed)
    found = solve(matrix, b, engine="static", seed=1)
    assert np.linalg.norm(b - matrix @ found.x) <= 1e-10 * np.linalg.norm(b)


def test_of_a_limit_of_two_cycles_the_residual_that_counts_gets_one():
    """All of it spent on scaled rows ends at 9e-9."""
    matrix, b = _over_sixteen_decades(10)
    found = solve(matrix, b, engine="static", seed=1, limit=2 * len(b))
    assert np.linalg.norm(b - matrix @ found.x) <= 1e-10 * np.linalg.norm(b)
    assert len(b) < found.iterations[0] <= 2 * len(b)


def test_a_fit_of_what_was_fitted_already_ends():
    """The recycled space is all there is, and what is left of X' y is rounding noise: no cycle has an iteration."""
    x = np.stack([np.ones(20), np.linspace(0.0, 1.0, 20)], axis=1)
    planned = None
    for seed in (5, 20, 24, 34):
        y = np.random.default_rng(seed).standard_normal(20)
        planned = planned or solve(x, y, config="tiny", engine="static").planned
        left = y - x @ np.linalg.lstsq(x, y)[0]
        with within(20):
            try:
                found = solve(x, left, config="tiny", engine="static", planned=planned)
                assert np.abs(found.x).max() < 1e-12
            except NotSolvedError:
                pass


@pytest.mark.parametrize("small", [1e-120, 1e-200, 1e-290])
def test_a_small_column_is_solved_as_well_as_its_neighbour(small: float):
    print(f"OHMLOOP_SEED={SEED}")
    x = np.random.default_rng(SEED).standard_normal((9, 2)) * [1.0, small]
    for method in ("fgmres", "fcg"):
        found = solve(heat(9), heat(9) @ x, config="lab", engine="static", method=method)
        assert found.x[:, 1] / small == pytest.approx(x[:, 1] / small, rel=1e-7)
        assert found.iterations[1] > 0 and 1e-17 < found.relative_residuals[1] <= 1e-10


def test_a_fit_that_explains_nothing_is_done_when_its_residual_is_orthogonal():
    """X' y is rounding noise, so that no ||X' r|| is small beside it; beside ||X|| ||r|| it is."""
    print(f"OHMLOOP_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    for m, n in ((12, 2), (30, 3), (40, 4)):
        x, y = rng.standard_normal((m, n)), rng.standard_normal(m)
        left = y - x @ np.linalg.lstsq(x, y)[0]
        for form in ("normal", "auto"):
            found = solve(x, left, config="tiny", engine="static", form=form)
            assert found.relative_residuals[0] <= 1e-10
            assert np.linalg.norm(x @ found.x) <= 1e-12 * np.linalg.norm(left)
            assert found.certificate.forward_bound > 1e-3 and found.warnings


@pytest.mark.parametrize("unit", [1e-120, 1e-76, 1e76, 1e120])
def test_least_squares_in_any_unit(unit: float):
    print(f"OHMLOOP_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    x, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    for form in ("normal", "auto"):
        found = solve(unit * x, y, config="lab", engine="static", form=form)
        assert unit * found.x == pytest.approx(np.linalg.lstsq(x, y)[0], rel=1e-7)
        assert found.certificate.forward_bound < 1e-6
    wide = solve(unit * x.T, np.ones(3), config="lab", engine="static")
    assert unit * wide.x == pytest.approx(np.linalg.lstsq(x.T, np.ones(3))[0], rel=1e-7)
    ridge = solve(unit * x, y, config="lab", engine="static", ridge=unit**2)
    assert unit * ridge.x == pytest.approx(np.linalg.solve(x.T @ x + np.eye(3), x.T @ y), rel=1e-7)

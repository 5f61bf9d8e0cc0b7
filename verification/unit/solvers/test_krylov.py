"""Flexible GMRES and CG: theory on small systems, noise in the inverse, recycling, and their cost."""

import os
from time import process_time

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from ohmloop.ensembles import ensemble, heat
from ohmloop.solvers.krylov import fcg, fgmres, fgmres_count
from ohmloop.solvers.recycle import harmonic_space, orthonormal_space

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"OHMLOOP_SEED={SEED}")
    return np.random.default_rng(SEED)


def noisy(matrix: np.ndarray, error: float, rng: np.random.Generator):
    """A^-1 with a fresh relative error each time: neither linear nor the same twice."""
    inverse = np.linalg.inv(matrix)

    def apply(v: np.ndarray) -> np.ndarray:
        z = inverse @ v
        return z + error * np.linalg.norm(z) / np.sqrt(len(z)) * rng.standard_normal(len(z))
    return apply


def test_as_many_iterations_as_different_eigenvalues():
    matrix, b = np.diag([1.0, 2.0, 2.0, 5.0, 5.0, -3.0]), np.ones(6)
    found = fgmres(matrix, b, None, tol=1e-12)
    assert found.solved and found.iterations == 4
    assert fcg(np.abs(matrix), b, None, tol=1e-12).iterations == 4
    assert np.allclose(found.x, b / np.diag(matrix), rtol=1e-12, atol=0)


def test_the_residual_of_every_iteration_is_that_of_scipy(rng: np.random.Generator):
    matrix = ensemble("svdlog", 40, 100.0, SEED)
    b, seen = rng.standard_normal(40), []
    scipy.sparse.linalg.gmres(matrix, b, rtol=1e-9, restart=40, maxiter=1, callback=seen.append,
                              callback_type="pr_norm")
    found = fgmres(matrix, b, None, tol=1e-9)
    assert found.iterations == len(seen)
    assert found.residuals[1:] == pytest.approx(seen, rel=1e-4)


@pytest.mark.parametrize("method", [fgmres, fcg])
def test_what_is_reported_is_what_the_answer_has(method, rng: np.random.Generator):
    matrix = ensemble("wishart", 48, 100.0, SEED)
    b = rng.standard_normal(48)
    found = method(matrix, b, noisy(matrix, 0.3, rng), tol=1e-10)
    true = np.linalg.norm(b - matrix @ found.x) / np.linalg.norm(b)
    assert found.solved and true <= 1e-10 and found.relative_residual == pytest.approx(true, rel=1e-3)
    assert len(found.residuals) == found.iterations + 1 and found.residuals[0] == 1.0
    assert np.linalg.norm(found.x - np.linalg.solve(matrix, b)) <= 1e-7 * np.linalg.norm(found.x)


def test_an_inverse_that_changes_every_time_still_gains_two_digits_an_iteration(rng: np.random.Generator):
    matrix = ensemble("diagdom", 64, 30.0, SEED)
    b = matrix @ rng.standard_normal(64)
    assert fgmres(matrix, b, noisy(matrix, 0.01, rng), tol=1e-10).iterations <= 7
    assert fgmres(matrix, b, None, tol=1e-10).iterations > 40


def test_the_tolerance_of_float64_is_reached_or_given_up(rng: np.random.Generator):
    matrix = ensemble("spdlog", 32, 1e3, SEED)
    b = matrix @ rng.standard_normal(32)
    found = fgmres(matrix, b, noisy(matrix, 0.1, rng), tol=2e-15, limit=300)
    assert found.relative_residual < 1e-14 and found.iterations < 80
    beyond = fgmres(matrix, b, noisy(matrix, 0.1, rng), tol=1e-18, limit=300)
    assert not beyond.solved and beyond.relative_residual < 1e-14 and beyond.iterations < 200


def test_a_start_is_gone_on_from(rng: np.random.Generator):
    matrix = ensemble("wishart", 24, 30.0, SEED)
    x = rng.standard_normal(24)
    b = matrix @ x
    for method in (fgmres, fcg):
        assert method(matrix, b, None, start=x).iterations == 0
        near = method(matrix, b, None, tol=1e-10, start=x + 1e-7 * rng.standard_normal(24))
        assert near.solved and near.iterations < method(matrix, b, None, tol=1e-10).iterations


@pytest.mark.parametrize("method", [fgmres, fcg])
def test_zero_and_single_systems(method):
    nothing = method(np.eye(3), np.zeros(3), None)
    assert nothing.solved and nothing.iterations == 0 and not nothing.x.any()
    one = method(np.array([[4.0]]), np.array([2.0]), None)
    assert one.solved and one.x == pytest.approx([0.5])


@pytest.mark.parametrize("method", [fgmres, fcg])
def test_an_inverse_without_an_answer_is_counted(method, rng: np.random.Generator):
    """Zero or NaN brings no direction: v itself is taken, and said."""
    matrix = heat(16)
    b = rng.standard_normal(16)
    for answer in (np.zeros(16), np.full(16, np.nan)):
        found = method(matrix, b, lambda v, answer=answer: answer, tol=1e-10)
        plain = method(matrix, b, None, tol=1e-10)
        assert found.unanswered == found.iterations == plain.iterations and plain.unanswered == 0


def test_a_singular_system_is_not_called_solved():
    matrix = np.diag([1.0, 2.0, 0.0])
    found = fgmres(matrix, np.ones(3), None, tol=1e-10)
    assert not found.solved and found.relative_residual == pytest.approx(1 / np.sqrt(3))
    found = fcg(matrix, np.ones(3), None, tol=1e-10)
    assert not found.solved and np.isfinite(found.x).all() and found.iterations <= 3
    assert not fgmres(np.zeros((2, 2)), np.ones(2), None).solved


def test_conjugate_gradients_stop_at_a_curvature_that_is_not_positive():
    assert not fcg(np.diag([1.0, -1.0]), np.array([1.0, 2.0]), None, tol=1e-10).solved
    assert not fcg(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.ones(2), None).solved


@pytest.mark.parametrize("method", [fgmres, fcg])
def test_recycling_takes_the_slow_directions_out(method, rng: np.random.Generator):
    """Eight eigenvalues far below the others: with them recycled, the others are all that is left."""
    q, _ = np.linalg.qr(rng.standard_normal((60, 60)))
    matrix = q * np.concatenate([np.geomspace(1e-4, 1e-2, 8), np.linspace(1, 2, 52)]) @ q.T
    matrix = (matrix + matrix.T) / 2
    first = method(matrix, rng.standard_normal(60), None, tol=1e-10, limit=200)
    later = [method(matrix, rng.standard_normal(60), None, tol=1e-10, limit=200, recycled=first.space)
             for _ in range(2)]
    assert first.solved and all(found.solved for found in later)
    for found in later:
        assert found.residuals[-1] == pytest.approx(found.relative_residual, rel=1e-2)
    assert len(first.space) == 8 and max(found.iterations for found in later) <= 0.7 * first.iterations
    assert method(matrix, rng.standard_normal(60), None, keep=0).space is None


def test_a_recycled_right_hand_side_costs_nothing(rng: np.random.Generator):
    matrix = ensemble("svdlog", 32, 100.0, SEED)
    space = fgmres(matrix, rng.standard_normal(32), None).space
    assert space is not None
    assert np.allclose(space.directions @ matrix.T, space.images, atol=1e-10)
    assert np.allclose(space.images @ space.images.T, np.eye(len(space)), atol=1e-10)
    b = space.images.T @ rng.standard_normal(len(space))
    assert fgmres(matrix, b, None, tol=1e-9, recycled=space).iterations == 0


@pytest.mark.parametrize("method", [fgmres, fcg])
def test_a_recycled_iteration_knows_its_residual(method, rng: np.random.Generator):
    """What it believes after each iteration is what the answer has, in one cycle, though the space is not invariant."""
    matrix = ensemble("wishart", 40, 1e3, SEED)
    inverse = noisy(matrix, 0.5, rng)
    space = method(matrix, rng.standard_normal(40), inverse, tol=1e-10).space
    found = method(matrix, rng.standard_normal(40), inverse, tol=1e-6, recycled=space)
    assert found.solved and found.residuals[-1] == pytest.approx(found.relative_residual, rel=1e-3)
    # A second cycle, which a wrong answer of the first one needs, would begin with a residual that has gone up.
    assert method is fcg or (np.diff(found.residuals) <= 0.0).all()


def test_harmonic_directions_are_those_of_the_smallest_eigenvalues(rng: np.random.Generator):
    """Of the whole space, harmonic Ritz vectors are eigenvectors."""
    q, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    matrix = q * np.arange(1.0, 13.0) @ q.T
    inputs = rng.standard_normal((12, 12))
    space = harmonic_space(inputs, inputs @ matrix.T, inputs, 3)
    assert space is not None
    wanted = q[:, :3]
    kept, _ = np.linalg.qr(space.directions.T)
    assert np.linalg.norm(wanted - kept @ (kept.T @ wanted)) < 1e-8


def test_a_pair_of_complex_directions_stays_together(rng: np.random.Generator):
    block = np.array([[0.01, 0.1], [-0.1, 0.01]])
    matrix = np.eye(10)
    matrix[:2, :2] = block
    inputs = rng.standard_normal((10, 10))
    space = harmonic_space(inputs, inputs @ matrix.T, inputs, 1)
    assert space is not None and len(space) == 2
    assert np.abs(space.directions[:, 2:]).max() < 1e-8 * np.abs(space.directions).max()


def test_dependent_and_empty_directions_are_dropped():
    rows = np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 0], [0, 3.0, 0]])
    space = orthonormal_space(rows, rows, rows)
    assert space is not None and len(space) == 2
    assert orthonormal_space(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3))) is None
    assert harmonic_space(rows[:0], rows[:0], rows[:0], 4) is None


def test_counts_have_a_fraction_and_grow_where_it_takes_longer(rng: np.random.Generator):
    matrix = heat(64)
    b = rng.standard_normal(64)
    exact = fgmres(matrix, b, None, tol=1e-10).iterations
    count = fgmres_count(matrix, lambda v: v, b, 80)
    assert exact - 1 < count <= exact
    assert fgmres_count(matrix, lambda v: v, b, exact // 2) > exact / 2
    # A digit an iteration: three of them foretell the rest.
    steady = np.eye(40) - 0.1 * np.eye(40, k=-1)
    start = fgmres(steady, np.eye(40)[0], None, tol=1e-10, limit=3).residuals
    assert fgmres_count(steady, lambda v: v, np.eye(40)[0], 3) == pytest.approx(
        3 * np.log(1e-10) / np.log(start[-1]), rel=1e-9)
    assert fgmres_count(np.diag([1.0, 0.0]), lambda v: v, np.ones(2), 10) == np.inf


def test_every_iteration_is_told(rng: np.random.Generator):
    seen: list[tuple[int, float]] = []
    found = fgmres(heat(16), rng.standard_normal(16), None, on_iteration=lambda k, size: seen.append((k, size)))
    assert [k for k, _ in seen] == list(range(1, found.iterations + 1))
    assert [size for _, size in seen] == found.residuals[1:].tolist()


def test_an_iteration_costs_no_more_than_three_of_scipys(rng: np.random.Generator):
    matrix = ensemble("spdlog", 64, 1e4, SEED)
    b = matrix @ rng.standard_normal(64)

    def timed(run) -> float:
        best = np.inf
        for _ in range(5):
            begun = process_time()
            for _ in range(4):
                count = run()
            best = min(best, (process_time() - begun) / count)
        return best

    def theirs() -> int:
        seen = []
        scipy.sparse.linalg.gmres(matrix, b, rtol=1e-10, restart=64, maxiter=1, callback=seen.append,
                                  callback_type="pr_norm")
        return len(seen)

    ratio = timed(lambda: fgmres(matrix, b, lambda v: v, tol=1e-10).iterations) / timed(theirs)
    print(f"an iteration takes {ratio:.2f} of scipy's")
    assert ratio < 3.0


def test_sparse_matrices_and_operators_are_taken(rng: np.random.Generator):
    matrix = scipy.sparse.csr_array(heat(25))
    b = rng.standard_normal(25)
    operator = scipy.sparse.linalg.aslinearoperator(matrix)
    for given in (matrix, operator):
        assert fgmres(given, b, None).solved and fcg(given, b, None).solved


@pytest.mark.parametrize("method", [fgmres, fcg])
def test_a_limit_takes_no_memory_and_may_be_above_the_unknowns(method, rng: np.random.Generator):
    matrix = ensemble("spdlog", 10, 1e9, SEED)
    b = matrix @ rng.standard_normal(10)
    found = method(matrix, b, noisy(matrix, 0.5, rng), tol=1e-10, limit=10**12)
    assert found.solved and np.linalg.norm(b - matrix @ found.x) <= 1e-10 * np.linalg.norm(b)
    longer = method(matrix, b, noisy(matrix, 0.5, rng), tol=1e-300, limit=35)
    assert not longer.solved and 10 < longer.iterations == len(longer.residuals) - 1 <= 35
    assert np.linalg.norm(b - matrix @ longer.x) <= 1e-12 * np.linalg.norm(b)

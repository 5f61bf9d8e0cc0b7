"""Certificates: bounds are above true errors and near them, backward errors are those of a perturbed matrix."""

import os
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse

from ohmloop.ensembles import tridiagonal
from ohmloop.solvers import remap
from ohmloop.solvers.certificate import EPS, Factors, certify, inverse_norm, one_norm

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


def conditioned(n: int, condition: float, rng: np.random.Generator) -> np.ndarray:
    """Random singular vectors, singular values from one to the condition number."""
    q, p = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    return q * np.geomspace(1.0, condition, n) @ p


def test_bounds_of_two_hundred_systems():
    """Never below the true error, and within a hundred of it in the median."""
    print(f"OHMLOOP_SEED={SEED}")
    rng, ratios = np.random.default_rng(SEED), []
    for _ in range(200):
        n = int(rng.integers(1, 65))
        matrix = conditioned(n, 10.0 ** rng.uniform(0, 6), rng)
        matrix = (10.0 ** rng.uniform(-8, 8, n))[:, None] * matrix if rng.random() < 0.3 else matrix
        x = rng.standard_normal(n)
        b = matrix @ x
        r = rng.standard_normal(n) * np.abs(b) * 10.0 ** rng.uniform(-14, -6)
        answer = x + np.linalg.solve(matrix, r)
        error = np.abs(answer - x).max() / np.abs(answer).max()
        if error > 0.0:
            ratios.append(certify(matrix, b, answer).forward_bound / error)
    print(f"bound over error: least {min(ratios):.2f}, median {np.median(ratios):.1f}, most {max(ratios):.0f}")
    assert min(ratios) >= 1.0 and np.median(ratios) < 30.0


@pytest.mark.parametrize("share", [1.0, 0.1, 1e-3, 1e-9])
def test_bounds_of_fits_that_explain_a_share(share: float):
    """Of y only so much lies in the span of X: X' y cancels, and the bound is above the exact error all the same."""
    print(f"OHMLOOP_SEED={SEED}")
    rng, ratios = np.random.default_rng(SEED), []
    for _ in range(40):
        m, n = int(rng.integers(12, 40)), int(rng.integers(1, 5))
        x = rng.standard_normal((m, n)) + rng.choice([0.0, 10.0])
        q, _ = np.linalg.qr(x)
        inside, outside = (q @ (q.T @ v) - v * k for k, v in enumerate(rng.standard_normal((2, m))))
        y = share * inside / np.linalg.norm(inside) - (1.0 - share) * outside / np.linalg.norm(outside)
        posed = remap.normal(x)
        z = np.linalg.solve(posed.matrix, posed.rhs(y))
        answer = posed.answer(z)
        true = exact_fit(x, y)
        error = max(abs(float(Fraction(a) - t)) for a, t in zip(answer.tolist(), true, strict=True))
        bound = certify(posed.matrix, posed.rhs(y), z, slack=posed.slack(z, y)).forward_bound
        if error > 0.0:
            ratios.append(bound * np.abs(answer).max() / error)
    print(f"bound over error: least {min(ratios):.2f}, median {np.median(ratios):.1f}")
    assert min(ratios) >= 1.0 and np.median(ratios) < 3e3


def exact_fit(x: np.ndarray, y: np.ndarray) -> list[Fraction]:
    """Least squares in rational numbers, by elimination of the normal equations."""
    rows = [[Fraction(value) for value in row] for row in x.tolist()]
    wanted, n = [Fraction(value) for value in y.tolist()], x.shape[1]
    zero = Fraction(0)
    held = [[sum((row[i] * row[j] for row in rows), zero) for j in range(n)]
            + [sum((row[i] * value for row, value in zip(rows, wanted, strict=True)), zero)] for i in range(n)]
    for k in range(n):
        held[k] = [value / held[k][k] for value in held[k]]
        for i in range(n):
            if i != k:
                held[i] = [a - held[i][k] * b for a, b in zip(held[i], held[k], strict=True)]
    return [Fraction(row[-1]) for row in held]


def test_the_norm_of_the_inverse_is_estimated_from_below_and_near():
    print(f"OHMLOOP_SEED={SEED}")
    rng, ratios = np.random.default_rng(SEED), []
    for _ in range(100):
        n = int(rng.integers(2, 50))
        matrix, weights = conditioned(n, 10.0 ** rng.uniform(0, 8), rng), rng.random(n)
        true = np.abs(np.linalg.inv(matrix) * weights).sum(axis=1).max()
        ratios.append(inverse_norm(Factors(matrix), weights) / true)
    assert max(ratios) <= 1.0 + 1e-6 and min(ratios) > 1 / 3 and np.median(ratios) > 0.9


def test_the_one_norm_of_a_map_that_hides_it():
    """All columns alike but for the sign: the ramp finds what unit vectors of one start miss."""
    for matrix in (np.array([[1.0, -1.0], [-1.0, 1.0]]), np.diag([1.0, 5.0, 2.0]), np.array([[3.0]])):
        found = one_norm(lambda v, m=matrix: m @ v, lambda v, m=matrix: m.T @ v, len(matrix))
        assert found == pytest.approx(np.linalg.norm(matrix, 1))


def test_backward_errors_of_a_known_answer():
    matrix, b = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([2.0, 1.0])
    found = certify(matrix, b, np.array([1.0, 1.5]))
    assert found.backward_error == pytest.approx(0.5 / (2.0 * 1.5 + 2.0))
    assert found.componentwise_backward_error == pytest.approx(0.5 / (1.5 + 1.0))
    assert found.condition == pytest.approx(2.0)
    assert found.forward_bound == pytest.approx(3 * 0.5 / 1.5, rel=1e-6)
    assert found.digits == 0.0
    exact = certify(matrix, b, np.ones(2))
    assert exact.backward_error == 0.0 and exact.forward_bound == pytest.approx(3 * 3 * EPS * 2.0, rel=0.5, abs=0.0)
    assert 14.0 < exact.digits < 15.7


def test_scaled_rows_show_in_the_componentwise_error_only():
    matrix, b = np.diag([1e8, 1.0]), np.array([1e8, 1.0])
    found = certify(matrix, b, np.array([1.0, 0.0]))
    assert found.backward_error < 1e-8 and found.componentwise_backward_error == 1.0 and found.forward_bound >= 1.0


def test_a_singular_matrix_has_no_bound():
    for n, matrix in ((2, np.ones((2, 2))), (2, scipy.sparse.csr_array(np.ones((2, 2)))), (1, np.zeros((1, 1)))):
        found = certify(matrix, np.ones(n), np.zeros(n))
        assert found.forward_bound == np.inf and found.condition == np.inf and found.digits == 0.0


def test_sparse_and_dense_agree():
    rng = np.random.default_rng(SEED)
    matrix = tridiagonal(40)
    x = rng.standard_normal(40)
    b = matrix @ x + 1e-9 * rng.standard_normal(40)
    dense, sparse = certify(matrix, b, x), certify(scipy.sparse.csr_array(matrix), b, x)
    assert dense.forward_bound == pytest.approx(sparse.forward_bound, rel=1e-9)
    assert dense.condition == pytest.approx(sparse.condition, rel=1e-9)
    assert dense.condition == pytest.approx(np.linalg.cond(matrix, np.inf), rel=1e-9)


def test_a_warning_says_how_many_digits_there_are():
    matrix = conditioned(20, 1e8, np.random.default_rng(1))
    x = np.ones(20)
    b = matrix @ x
    found = certify(matrix, b * (1 + 1e-10), x)
    said = found.warning(1e-7)
    assert said is not None and f"condition number {found.condition:.1e}" in said and "not to the 7 asked for" in said
    assert f"{found.digits:.1f} digits" in said or "no digit" in said
    assert found.warning(found.forward_bound) is None

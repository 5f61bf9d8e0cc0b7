"""Least squares, ridge, generalised and complex problems as square real systems: same answers, stable sign."""

import os

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from ohmloop.errors import InputError
from ohmloop.solvers import remap

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
FORMS = {"normal": remap.normal, "augmented": remap.augmented}


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"OHMLOOP_SEED={SEED}")
    return np.random.default_rng(SEED)


def through(posed: remap.Posed, y: np.ndarray) -> np.ndarray:
    """The answer by a direct solution of the square system."""
    return posed.answer(np.linalg.solve(posed.matrix, posed.rhs(y)))


@pytest.mark.parametrize("form", FORMS)
def test_least_squares(form: str, rng: np.random.Generator):
    x, y = 5.0 * rng.standard_normal((20, 6)), rng.standard_normal(20)
    posed = FORMS[form](x)
    found = through(posed, y)
    assert found == pytest.approx(np.linalg.lstsq(x, y)[0], rel=1e-9)
    assert posed.residual(found, y) < 1e-12 < 1e-3 < posed.residual(found + 0.1, y)


@pytest.mark.parametrize("form", FORMS)
def test_ridge(form: str, rng: np.random.Generator):
    x, y, mu = rng.standard_normal((15, 4)), rng.standard_normal(15), 0.7
    posed = FORMS[form](x, ridge=mu)
    found = through(posed, y)
    wanted = np.linalg.lstsq(np.vstack([x, np.sqrt(mu) * np.eye(4)]), np.concatenate([y, np.zeros(4)]))[0]
    assert found == pytest.approx(wanted, rel=1e-9)
    assert posed.residual(found, y) < 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dense", [False, True])
def test_generalised(form: str, dense: bool, rng: np.random.Generator):
    x, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    root = rng.standard_normal((12, 12))
    noise = root @ root.T + np.eye(12) if dense else rng.uniform(0.1, 10.0, 12)
    covariance = noise if dense else np.diag(noise)
    whiten = scipy.linalg.solve_triangular(np.linalg.cholesky(covariance), np.eye(12), lower=True)
    found = through(FORMS[form](x, noise=noise), y)
    assert found == pytest.approx(np.linalg.lstsq(whiten @ x, whiten @ y)[0], rel=1e-8)
    assert found != pytest.approx(np.linalg.lstsq(x, y)[0], rel=1e-2)


@pytest.mark.parametrize("form", FORMS)
def test_ridge_and_noise_together(form: str, rng: np.random.Generator):
    x, y, noise, mu = 3.0 * rng.standard_normal((9, 3)), rng.standard_normal(9), rng.uniform(2.0, 20.0, 9), 0.4
    wanted = np.linalg.solve(x.T / noise @ x + mu * np.eye(3), x.T / noise @ y)
    posed = FORMS[form](x, ridge=mu, noise=noise)
    assert through(posed, y) == pytest.approx(wanted, rel=1e-9)
    assert posed.residual(wanted, y) < 1e-12


def test_the_augmented_form_with_the_minus_sign_is_the_stable_one(rng: np.random.Generator):
    """Eigenvalues in the right half plane; the sign of the lower left decides, not the solution."""
    posed = remap.augmented(rng.standard_normal((10, 4)), ridge=0.01)
    assert np.linalg.eigvals(posed.matrix).real.min() > 0.0
    turned = posed.matrix.copy()
    turned[10:] *= -1.0
    assert np.linalg.eigvals(turned).real.min() < 0.0
    assert np.abs(posed.matrix).max() <= 1.0


def test_least_norm(rng: np.random.Generator):
    x, y = rng.standard_normal((4, 9)), rng.standard_normal(4)
    assert through(remap.normal(x), y) == pytest.approx(np.linalg.lstsq(x, y)[0], rel=1e-9)
    posed = remap.normal(x, ridge=0.3)
    wanted = np.linalg.solve(x.T @ x + 0.3 * np.eye(9), x.T @ y)
    assert through(posed, y) == pytest.approx(wanted, rel=1e-9)
    assert posed.residual(wanted, y) < 1e-12


def test_complex_systems(rng: np.random.Generator):
    matrix = rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5))
    z = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    real = remap.realified(matrix)
    assert real.shape == (10, 10) and real.dtype == np.float64
    assert remap.joined(np.linalg.solve(real, remap.stacked(matrix @ z))) == pytest.approx(z, rel=1e-9)
    sparse = remap.realified(scipy.sparse.csr_array(matrix))
    assert scipy.sparse.issparse(sparse) and np.array_equal(sparse.toarray(), real)
    plain = np.eye(3)
    assert remap.realified(plain) is plain


@pytest.mark.parametrize(("arguments", "said"), [
    (dict(ridge=-1.0), "ridge: must be a finite number, 0 or above, not -1.0"),
    (dict(noise=np.ones(3)), r"noise: must be 6 variances, or 6 x 6, finite, not of shape \(3,\)"),
    (dict(noise=np.array([1, 1, 1, 1, 1, 0.0])), "noise: every variance must be above 0"),
    (dict(noise=-np.eye(6)), "noise: must be symmetric and positive definite"),
])
@pytest.mark.parametrize("form", FORMS)
def test_refused_weights(form: str, arguments: dict, said: str):
    with pytest.raises(InputError, match=f"^{said}$"):
        FORMS[form](np.ones((6, 2)), **arguments)


def test_refused_shapes():
    with pytest.raises(InputError, match="^augmented form: must have as many rows as columns at least, not 2 x 3$"):
        remap.augmented(np.ones((2, 3)))
    with pytest.raises(InputError, match="^noise: weighs equations that contradict one another; "):
        remap.normal(np.ones((2, 3)), noise=np.ones(2))

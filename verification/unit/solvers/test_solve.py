"""The front door: every kind of system, every refusal in one line, and nothing called solved that is not."""

import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble, heat, tridiagonal
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.solvers import solve as front
from ohmloop.solvers.krylov import Krylov, fgmres
from ohmloop.solvers.solve import solve

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"OHMLOOP_SEED={SEED}")
    return np.random.default_rng(SEED)


def quick(matrix, b, **options):
    """On the settled model of a small chip."""
    return solve(matrix, b, **{"config": "lab", "engine": "static", **options})


def residual(matrix, x, b) -> float:
    """||b - A x|| / ||b||."""
    return float(np.linalg.norm(b - matrix @ x) / np.linalg.norm(b))


@pytest.mark.parametrize("engine", ["static", "model"])
def test_a_solution_and_all_that_is_said_of_it(engine: str, rng: np.random.Generator):
    matrix = ensemble("svdlog", 16, 30.0, SEED)
    x = rng.standard_normal(16)
    b = matrix @ x
    found = quick(matrix, b, engine=engine, seed=3)
    assert residual(matrix, found.x, b) <= 1e-10
    assert found.relative_residuals[0] == pytest.approx(residual(matrix, found.x, b))
    error = np.abs(found.x - x).max() / np.abs(found.x).max()
    assert error <= found.certificate.forward_bound <= 1e3 * error
    assert found.certificate.condition == pytest.approx(np.linalg.cond(matrix, np.inf), rel=0.5)
    assert found.iterations[0] == found.analogue_solves == len(found.histories[0]) - 1
    assert found.reprogrammings == 1 and found.warnings == ()
    assert abs(found.iterations[0] - found.predicted_iterations) <= 2 < found.predicted_without - found.iterations[0]
    assert ("clocks" in found.counters) == (engine == "model")
    assert any("full-scale code" in reason for reason in found.reasons)


def test_chips_differ_by_seed_and_repeat(rng: np.random.Generator):
    matrix, b = heat(16), rng.standard_normal(16)
    first = quick(matrix, b, seed=1)
    runs = [quick(matrix, b, seed=seed, planned=replace(first.planned, space=None)) for seed in (1, 2)]
    assert np.array_equal(first.histories[0], runs[0].histories[0])
    assert not np.array_equal(first.histories[0], runs[1].histories[0])


def test_later_right_hand_sides_gain_from_the_first(rng: np.random.Generator):
    matrix = ensemble("spdlog", 16, 1e3, SEED)
    b = matrix @ rng.standard_normal((16, 4))
    found = quick(matrix, b)
    assert found.x.shape == (16, 4)
    assert all(residual(matrix, found.x[:, j], b[:, j]) <= 1e-10 for j in range(4))
    assert max(found.iterations[1:]) < found.iterations[0]
    alone = quick(matrix, b, keep=0, planned=found.planned)
    assert sum(found.iterations) < sum(alone.iterations)
    again = quick(matrix, b[:, 0], planned=found.planned)
    assert again.iterations[0] < found.iterations[0] == alone.iterations[0]
    assert residual(matrix, again.x, b[:, 0]) <= 1e-10


@pytest.mark.parametrize("given", [scipy.sparse.coo_array, scipy.sparse.csc_matrix, scipy.sparse.csr_array,
                                   np.ndarray.tolist, np.matrix, lambda a: a.astype(np.float32)])
def test_every_kind_of_array(given, rng: np.random.Generator):
    matrix = heat(9)
    b = rng.standard_normal(9)
    found = quick(given(matrix), b)
    assert residual(matrix, found.x, b) <= 1e-10
    column = quick(matrix, b[:, None])
    assert column.x.shape == (9, 1)


def test_complex_systems(rng: np.random.Generator):
    matrix = heat(8) + 1j * tridiagonal(8)
    z = rng.standard_normal(8) + 1j * rng.standard_normal(8)
    found = quick(matrix, matrix @ z)
    assert np.iscomplexobj(found.x) and residual(matrix, found.x, matrix @ z) <= 1e-10
    assert found.x == pytest.approx(z, rel=1e-6)
    sparse = quick(scipy.sparse.csr_array(matrix), np.ones(8))
    assert residual(matrix, sparse.x, np.ones(8)) <= 1e-10
    mixed = quick(heat(8), np.stack([z, 2j * z], axis=1))
    assert mixed.x == pytest.approx(np.linalg.solve(heat(8), np.stack([z, 2j * z], axis=1)), rel=1e-6)
    real = quick(heat(8) + 0j, np.ones(8))
    assert real.x.dtype == np.float64 and len(real.iterations) == 1


def test_least_squares_and_its_weights(rng: np.random.Generator):
    x, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    found = quick(x, y)
    assert found.x == pytest.approx(np.linalg.lstsq(x, y)[0], rel=1e-7)
    assert np.linalg.norm(x.T @ (y - x @ found.x)) <= 1e-10 * np.linalg.norm(x.T @ y)
    assert found.reasons[0] == "normal equations of 30 equations in 6 unknowns"
    ridge = quick(x, y, ridge=2.0)
    assert ridge.x == pytest.approx(np.linalg.solve(x.T @ x + 2 * np.eye(6), x.T @ y), rel=1e-7)
    noise = rng.uniform(0.1, 10, 30)
    weighed = quick(x, y, noise=noise)
    assert weighed.x == pytest.approx(np.linalg.solve(x.T / noise @ x, x.T / noise @ y), rel=1e-7)
    wide = quick(x.T, np.ones(6))
    assert wide.x == pytest.approx(np.linalg.lstsq(x.T, np.ones(6))[0], rel=1e-7)


@pytest.mark.parametrize("form", ["normal", "augmented", "auto"])
def test_least_squares_in_each_form(form: str, rng: np.random.Generator):
    x, y = rng.standard_normal((10, 3)), rng.standard_normal(10)
    found = quick(x, y, form=form)
    assert found.x == pytest.approx(np.linalg.lstsq(x, y)[0], rel=1e-7)
    assert found.relative_residuals[0] <= 1e-10
    assert form == "auto" or found.reasons[0].startswith(form)
    assert found.certificate.condition == pytest.approx(np.linalg.cond(x.T @ x, np.inf), rel=0.5)


def test_rows_of_any_scale_are_all_solved(rng: np.random.Generator):
    """In the norm of the user the small rows would not count; the answer has them right all the same."""
    matrix = 10.0 ** rng.uniform(-8, 8, 12)[:, None] * ensemble("diagdom", 12, 10.0, SEED)
    x = rng.standard_normal(12)
    found = quick(matrix, matrix @ x)
    assert found.x == pytest.approx(x, rel=1e-6)
    assert found.certificate.componentwise_backward_error < 1e-8


def test_zero_right_hand_sides_and_single_unknowns():
    assert quick(heat(9), np.zeros(9)).x.tolist() == [0.0] * 9
    assert quick([[4.0]], [2.0]).x == pytest.approx([0.5])


def test_conjugate_gradients(rng: np.random.Generator):
    b = rng.standard_normal(16)
    found = quick(heat(16), b, method="fcg")
    assert residual(heat(16), found.x, b) <= 1e-10
    with pytest.raises(InputError, match="^method: fcg needs a symmetric positive definite matrix; use fgmres$"):
        quick(ensemble("svdlog", 16, 10.0, SEED), b, method="fcg")


def test_an_ill_conditioned_system_is_solved_with_a_warning(rng: np.random.Generator):
    q, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    matrix = q * np.geomspace(1, 1e-9, 12) @ q.T
    matrix = (matrix + matrix.T) / 2
    found = quick(matrix, matrix @ rng.standard_normal(12))
    assert found.relative_residuals[0] <= 1e-10
    assert any("the residual is small, but with condition number" in said for said in found.warnings)
    mild = quick(heat(16), np.ones(16), digits=12)
    assert "not to the 12 asked for" in mild.warnings[0]
    assert quick(heat(16), np.ones(16), digits=6).warnings == ()


def test_a_chip_without_an_answer_is_said(monkeypatch, rng: np.random.Generator):
    b = rng.standard_normal(16)
    planned = quick(heat(16), b).planned

    class Dead:
        solves, reprogrammings, counters = 7, 1, {}

        def __call__(self, k: int, v: np.ndarray) -> np.ndarray:
            return np.zeros_like(v)
    monkeypatch.setattr(front, "loops_on", lambda *_: Dead())
    planned = replace(planned, choice=replace(planned.choice, inverse=Plain(planned.choice.inverse)), space=None)
    found = quick(heat(16), b, planned=planned)
    assert any(said.startswith("the chip had no answer to ") for said in found.warnings)
    with pytest.raises(NotSolvedError, match=r"; the chip had no answer to 3 of 7 solves$"):
        quick(heat(16), b, planned=planned, limit=3)


class Plain:
    """An inverse without what is digital around it."""

    def __init__(self, inverse):
        self.size, self.loops, self.reasons = inverse.size, inverse.loops, inverse.reasons

    def apply(self, solve, v: np.ndarray) -> np.ndarray:
        """One solve."""
        return solve(0, v)


def test_not_solved_is_said_with_the_best_residual(rng: np.random.Generator):
    matrix = ensemble("spdlog", 16, 1e3, SEED)
    said = r"^not solved: best relative residual \S+ in 2 iterations, 1e-10 was asked for$"
    with pytest.raises(NotSolvedError, match=said) as caught:
        quick(matrix, rng.standard_normal(16), limit=2)
    best = float(str(caught.value).split()[5])
    assert 1e-10 < best < 1.0 and caught.value.exit_code == 3


def test_an_iteration_that_lies_is_not_believed(monkeypatch, rng: np.random.Generator):
    """Solved is what the true residual says, whatever the iteration reports."""
    def lying(matrix, b, inverse, **options) -> Krylov:
        found = fgmres(matrix, b, inverse, **{**options, "tol": 1e-3})
        return replace(found, relative_residual=1e-16, solved=True, residuals=np.array([1.0, 1e-16]))
    monkeypatch.setitem(front.METHODS, "fgmres", lying)
    with pytest.raises(NotSolvedError, match="^not solved: best relative residual "):
        quick(heat(16), rng.standard_normal(16))


@pytest.mark.parametrize(("matrix", "b", "said"), [
    (np.eye(3), np.ones(4), "right-hand side: must have 3 elements, or columns of 3, one element a row of the matrix, "
                            "not 4"),
    (np.eye(3), np.float64(1), "right-hand side: must have 3 elements, or columns of 3, one element a row of the "
                               "matrix, not a single number"),
    (np.eye(2), [1.0, np.nan], "right-hand side: element 2, counted from 1, is nan; every element must be finite"),
    (np.eye(2), ["a", "b"], "right-hand side: holds <U1 elements, allowed are numbers"),
    (np.ones(3), np.ones(3), "matrix: must have 2 dimensions, not 1"),
    (np.zeros((0, 0)), np.ones(0), "matrix: holds no numbers (size 0 x 0)"),
    (np.zeros((2, 2)), np.ones(2), "matrix: every element is zero"),
    (np.array([[1.0, np.inf], [0, 1]]), np.ones(2), "matrix: element (1, 2), counted from 1, is inf; every element "
                                                    "must be finite"),
    (scipy.sparse.csr_array(np.array([[1.0, 0], [np.nan, 1]])), np.ones(2),
     "matrix: element (2, 1), counted from 1, is nan; every element must be finite"),
    (np.array([[1, None], [2, 3]], dtype=object), np.ones(2), "matrix: holds object elements, allowed are numbers"),
    ([[1.0, 2.0], [3.0]], np.ones(2), "matrix: is not an array of numbers; rows must be of the same length"),
    (1e200 * np.eye(2), np.ones(2), "matrix: the largest magnitude is 1e+200, allowed are 1e-150 to 1e+150"),
    (np.diag([1.0, 0.0]), np.ones(2), "matrix: singular, row 2 is all zero"),
    (np.array([[1.0, 0], [1, 0]]), np.ones(2), "matrix: singular, column 2 is all zero"),
])
def test_refusals(matrix, b, said: str):
    with pytest.raises(InputError) as caught:
        quick(matrix, b)
    assert str(caught.value) == said


@pytest.mark.parametrize("matrix", [np.ones((3, 3)), heat(9) - np.linalg.eigvalsh(heat(9))[0] * np.eye(9)])
def test_singular_matrices(matrix: np.ndarray):
    with pytest.raises(InputError, match="^matrix: numerically singular, condition number "):
        quick(matrix, np.ones(len(matrix)))
    dependent = np.random.default_rng(0).standard_normal((9, 3)) @ np.ones((3, 4))
    with pytest.raises(InputError, match="^matrix: the normal equations form is numerically singular, "):
        quick(dependent, np.ones(9))


@pytest.mark.parametrize(("options", "said"), [
    (dict(engine="none"), "engine: must be one of static, model, rtl, icarus, verilator, not 'none'"),
    (dict(config="none"), "config must be one of"),
    (dict(chip="none"), "chip: must be"),
    (dict(tol=0.0), "tol: must be from 1e-15 to below 1, not 0.0"), (dict(tol=2.0), "tol: must be from"),
    (dict(method="cg"), "method: must be one of fgmres, fcg, "),
    (dict(form="x"), "form: must be one of auto, normal, augmented, not 'x'"),
    (dict(limit=0), "limit: must be 1 or above, not 0"), (dict(keep=-1), "keep: must be 0 or above, not -1"),
])
def test_refused_options(options: dict, said: str):
    with pytest.raises(InputError, match=f"^{said}"):
        quick(heat(4), np.ones(4), **options)


def test_an_exact_chip_refuses_nothing_that_noise_would():
    """Ideal parameters go through the same door."""
    found = solve(tridiagonal(4), np.ones(4), config="tiny", engine="static", chip="ideal")
    assert found.x == pytest.approx(np.linalg.solve(tridiagonal(4), np.ones(4)), rel=1e-8)
    assert AnalogParams.ideal().mismatch_sigma == 0.0

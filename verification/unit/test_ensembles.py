"""Ensembles: each family is what its definition says, reproducible, and stable in the loop."""

import os

import numpy as np
import pytest

from ohmloop.ensembles import CONDITIONED, ENSEMBLES, STRUCTURED, ensemble, grid_of, heat, loop_stable, structured
from ohmloop.errors import InputError

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
SYMMETRIC = ("spdlog", "wishart", "sparse5", "heat")


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.parametrize("n", [4, 16, 64])
@pytest.mark.parametrize("cond", [10, 300])
def test_all_are_stable_in_the_loop_and_reproducible(name: str, n: int, cond: float):
    print(f"OHMLOOP_SEED={SEED}")
    for seed in (SEED, SEED + 1):
        matrix = ensemble(name, n, cond, seed)
        assert matrix.shape == (n, n) and matrix.dtype == np.float64
        assert loop_stable(matrix)
        assert np.array_equal(matrix, ensemble(name, n, cond, seed))


@pytest.mark.parametrize("name", CONDITIONED)
@pytest.mark.parametrize("cond", [10, 30, 300])
def test_condition_number(name: str, cond: float):
    print(f"OHMLOOP_SEED={SEED}")
    found = np.linalg.cond(ensemble(name, 32, cond, SEED))
    if name == "diagdom":
        assert found <= cond * (1 + 1e-9)
    else:
        assert found == pytest.approx(cond, rel=1e-9)
    assert not np.array_equal(ensemble(name, 32, cond, SEED), ensemble(name, 32, cond, SEED + 1))


@pytest.mark.parametrize("name", ENSEMBLES)
def test_symmetry(name: str):
    matrix = ensemble(name, 16, 30, SEED)
    assert np.array_equal(matrix, matrix.T) == (name in SYMMETRIC)


def test_spdlog_eigenvalues_are_log_uniform_with_both_ends():
    eigenvalues = np.linalg.eigvalsh(ensemble("spdlog", 256, 100, SEED))
    assert eigenvalues[[0, -1]] == pytest.approx([1, 100])
    assert np.log(eigenvalues).mean() / np.log(100) == pytest.approx(0.5, abs=0.1)


def test_diagdom_has_the_smallest_diagonal_that_serves():
    matrix = ensemble("diagdom", 16, 30, SEED)
    t = matrix[0, 0]
    assert np.array_equal(np.diag(matrix), np.full(16, t))
    assert np.abs(matrix - np.diag(np.diag(matrix))).max() <= 1
    less = matrix - 1e-6 * t * np.eye(16)
    assert np.linalg.cond(less) > 30 or not loop_stable(less)


def test_svdlog_is_a_symmetric_matrix_times_a_rotation_of_half_a_radian():
    u, s, vt = np.linalg.svd(ensemble("svdlog", 16, 30, SEED))
    assert s[0] / s[-1] == pytest.approx(30)
    angles = np.abs(np.angle(np.linalg.eigvals(u @ vt)))
    assert angles.max() == pytest.approx(0.5)


def test_sparse5_has_about_five_a_row():
    counts = [np.count_nonzero(ensemble("sparse5", 64, 30, SEED + k)) / 64 for k in range(10)]
    assert np.mean(counts) == pytest.approx(5.0, abs=0.4)


def test_heat_stencil():
    plate = heat(64)
    assert np.array_equal(np.diag(plate), np.full(64, 4.0))
    assert sorted(set(plate.ravel())) == [-1, 0, 4]
    assert np.flatnonzero(plate[9] == -1).tolist() == [1, 8, 10, 17]
    assert np.flatnonzero(plate[7] == -1).tolist() == [6, 15]
    assert [grid_of(n) for n in (64, 60, 12, 13, 16)] == [(8, 8), (6, 10), (3, 4), (1, 13), (4, 4)]
    assert np.linalg.eigvalsh(plate)[0] == pytest.approx(8 * np.sin(np.pi / 18) ** 2)


def test_oscillator_blocks():
    matrix = ensemble("oscillator", 8)
    assert np.array_equal(matrix[:4, :4], np.eye(4)) and np.array_equal(matrix[4:, 4:], np.eye(4))
    assert np.array_equal(matrix[:4, 4:], -1.5 * np.eye(4))
    assert matrix[5, :4].tolist() == [-1.5, 3.0, -1.5, 0]


def test_skew_and_impedance_parts():
    matrix = ensemble("skew", 32, seed=SEED)
    assert np.allclose((matrix + matrix.T) / 2, 0.4 * np.eye(32))
    assert np.abs(matrix - matrix.T).max() / 2 == 1.0
    matrix = ensemble("impedance", 32, seed=SEED)
    r, x = matrix[:16, :16], matrix[16:, :16]
    assert np.array_equal(r, 0.4 * np.eye(16)) and np.array_equal(matrix[16:, 16:], r)
    assert np.array_equal(x, x.T) and np.array_equal(matrix[:16, 16:], -x)
    spread = [ensemble("impedance", 32, seed=SEED + k)[17:, 0].std() for k in range(40)]
    assert np.mean(spread) == pytest.approx(np.sqrt(2 / 16), rel=0.1)


def test_a_plain_gaussian_matrix_is_not_stable():
    rng = np.random.default_rng(SEED)
    assert not any(loop_stable(rng.standard_normal((64, 64))) for _ in range(20))


@pytest.mark.parametrize("name", STRUCTURED)
def test_structured_matrices_hold_small_integers(name: str):
    matrix = structured(name, 16)
    assert np.array_equal(matrix, np.rint(matrix)) and np.abs(matrix).max() <= 7
    assert loop_stable(matrix)


def test_circulant_rows():
    assert structured("circulant", 4)[:2].tolist() == [[5, 2, 0, -1], [-1, 5, 2, 0]]


@pytest.mark.parametrize(("call", "said"), [
    (lambda: ensemble("gauss", 8),
     "ensemble: must be one of spdlog wishart diagdom svdlog sparse5 heat oscillator skew impedance, not 'gauss'"),
    (lambda: ensemble("heat", 1), "ensemble heat: n must be at least 2, not 1"),
    (lambda: ensemble("oscillator", 7), "ensemble oscillator: n must be even, not 7"),
    (lambda: ensemble("impedance", 7), "ensemble impedance: n must be even, not 7"),
    (lambda: ensemble("wishart", 8, 1.0), "ensemble wishart: cond must be above 1, not 1.0"),
    (lambda: structured("toeplitz", 8),
     "structured: must be one of identity tridiagonal heat circulant, not 'toeplitz'"),
    (lambda: structured("circulant", 2), "structured circulant: n must be at least 3, not 2"),
])
def test_refusals(call, said: str):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == said

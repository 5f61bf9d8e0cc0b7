"""Options of the front door: wrong ones are refused in one line, plans serve what they were made for only."""

import os
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import heat, tridiagonal
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.host.device import Device
from ohmloop.plan.search import plan_loop
from ohmloop.solvers import choice as chooser
from ohmloop.solvers.loops import DeviceLoops, StaticLoops
from ohmloop.solvers.solve import solve
from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
TALL = np.random.default_rng(7).standard_normal((10, 3))
CONFIG = CONFIGS["tiny"]
UNEVEN_NOISE = np.eye(10) + np.triu(np.ones((10, 10)), 1) / 20


def quick(matrix: Any, b: Any, **options: Any):
    """On the settled model of the smallest chip."""
    return solve(matrix, b, **{"config": "tiny", "engine": "static", **options})


@pytest.mark.parametrize(("options", "said"), [
    (dict(ridge=1.0), "ridge"), (dict(noise=np.arange(1.0, 11.0)), "noise"), (dict(form="normal"), "form"),
    (dict(config="lab"), "configuration"), (dict(method="fcg"), "method"),
    (dict(method="gcr", engine="model"), "method"),
    (dict(bad=np.eye(4, dtype=bool)[::-1] & np.eye(4, dtype=bool)[0]), "map of bad cells"),
])
def test_a_plan_is_for_one_problem(options: dict[str, Any], said: str):
    planned = quick(TALL, np.ones(10)).planned
    assert np.array_equal(quick(TALL, np.ones(10), planned=planned, seed=3).planned.scaled, planned.scaled)
    with pytest.raises(InputError, match=f"^planned: was made for another {said}; leave it out to plan anew$"):
        quick(TALL, np.ones(10), planned=planned, **options)


def test_a_plan_is_for_one_matrix():
    planned = quick(tridiagonal(4), np.ones(4)).planned
    for other in (2.0 * tridiagonal(4), tridiagonal(3), np.ones((5, 4)) + np.eye(5, 4)):
        with pytest.raises(InputError, match="^planned: was made for another matrix; "):
            quick(other, np.ones(len(other)), planned=planned)
    assert quick(scipy.sparse.csr_array(tridiagonal(4)), np.ones(4), planned=planned, form="normal").iterations
    ridged = quick(tridiagonal(4), np.ones(4), ridge=1.0).planned
    with pytest.raises(InputError, match="^planned: was made for another ridge; "):
        quick(tridiagonal(4), np.ones(4), planned=ridged)


@pytest.mark.parametrize(("options", "said"), [
    (dict(bad=[[True]]), r"bad: must be 4 x 4 booleans, not bool of shape \(1, 1\)"),
    (dict(bad=[[1, 2], [3]]), "bad: is not an array of numbers"),
    (dict(bad=np.full((4, 4), 0.5)), "bad: must be 4 x 4 booleans, not float64 "),
    (dict(ridge=10**400), "ridge: must be a finite number, not inf"),
    (dict(tol=10**400), "tol: must be a finite number"),
    (dict(seed=-1), "seed must be an int from 0 to"),
    (dict(limit=2.5), r"limit: must be a whole number, not 2\.5"), (dict(limit="3"), "limit: must be a whole number"),
    (dict(keep=1.5), "keep: must be a whole number"), (dict(keep=None), "keep: must be a whole number, not None"),
    (dict(tol="1e-8"), "tol: must be a number, not '1e-8'"),
    (dict(tol=np.nan), "tol: must be a finite number, not nan"),
    (dict(ridge="1"), "ridge: must be a number"), (dict(ridge=np.nan), "ridge: must be a finite number, not nan"),
    (dict(ridge=-1.0), "ridge: must be a finite number, 0 or above"), (dict(ridge=1j), "ridge: must be a number"),
    (dict(digits="6"), "digits: must be a number"), (dict(digits=np.nan), "digits: must be a finite number"),
    (dict(method="gcr"), "engine: gcr needs a chip, and static is the settled model alone; use model"),
    (dict(method="gcr", engine="model", bad=np.eye(4, dtype=bool)), "bad: cells are avoided by methods on the host "),
    (dict(grid=(2, 3)), "grid: must be rows and columns with 4 points, as many as unknowns"),
    (dict(grid=4), "grid: must be rows and columns"),
    (dict(grid=(2, 2), ridge=1.0), "grid: is for square real systems"),
    (dict(chip=Die.sample(CONFIGS["lab"], AnalogParams.reference())), "chip: made for lab, not for tiny; say config="),
])
def test_refused(options: dict[str, Any], said: str):
    with pytest.raises(InputError, match=f"^{said}") as caught:
        quick(tridiagonal(4), np.ones(4), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("noise", "said"), [
    (np.ones(10) + 0j, "noise: must be real"), (["a"] * 10, "noise: holds <U1 elements, allowed are numbers"),
    ([[1.0], [1.0, 2.0]], "noise: is not an array of numbers; rows must be of the same length"),
    (UNEVEN_NOISE, "noise: must be symmetric and positive definite"),
    (np.ones(3), "noise: must be 10 variances, or 10 x "),
    (np.full(10, np.nan), "noise: must be 10 variances"), (-np.ones(10), "noise: every variance must be above 0"),
    (np.full(10, 5e-324), "noise: variances must be from 1e-150 to 1e\\+150, not 4.94e-324 to "),
    (np.diag([1e-200] + 9 * [1.0]), "noise: variances must be from 1e-150 to 1e\\+150, not 1e-200 to 1$"),
])
def test_noise_that_is_none(noise: Any, said: str):
    with pytest.raises(InputError, match=f"^{said}"):
        quick(TALL, np.ones(10), noise=noise)


def test_a_chip_of_its_own_needs_no_name_of_a_configuration_but_the_right_one():
    die = Die.sample(CONFIG, AnalogParams.reference())
    assert quick(tridiagonal(4), np.ones(4), chip=die).x == pytest.approx(np.linalg.solve(tridiagonal(4), np.ones(4)))


def test_no_option_is_lost_on_the_way_to_a_program_on_the_chip():
    b = np.stack([np.ones(4), np.arange(4.0)], axis=1)
    seen: list[int] = []
    first = quick(tridiagonal(4), b, engine="model", method="gcr", digits=15, seed=4,
                  on_iteration=lambda k, size: seen.append(k))
    assert seen and any("not to the 15 asked for" in said for said in first.warnings)
    assert first.x == pytest.approx(np.linalg.solve(tridiagonal(4), b), rel=1e-8)
    again = quick(tridiagonal(4), b, engine="model", method="gcr", seed=4, planned=first.planned)
    assert np.array_equal(again.x, first.x)


@pytest.mark.parametrize("matrix", [-tridiagonal(4), tridiagonal(4) - 2.0 * np.eye(4) + 1e-3, np.triu(np.ones((4, 4)))])
def test_conjugate_gradients_ask_for_a_definite_matrix_before_they_plan(matrix, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chooser, "plan_loop", None)
    with pytest.raises(InputError, match="^method: fcg needs a symmetric positive definite matrix; use fgmres$"):
        quick(matrix, np.ones(4), method="fcg")


def test_conjugate_gradients_take_the_normal_form():
    x = np.random.default_rng(SEED).standard_normal((10, 3))
    found = solve(x, np.ones(10), config="lab", engine="static", method="fcg")
    assert found.reasons[0].startswith("normal equations")
    assert found.x == pytest.approx(np.linalg.lstsq(x, np.ones(10))[0], rel=1e-7)
    with pytest.raises(InputError, match="^form: fcg needs a symmetric positive definite matrix, which the augmented "):
        solve(x, np.ones(10), config="lab", engine="static", method="fcg", form="augmented")
    spread = np.geomspace(1e-3, 1e3, 9)
    assert solve(spread[:, None] * heat(9) * spread, np.ones(9), config="lab", engine="static", method="fcg").iterations


@pytest.mark.parametrize(("matrix", "said"), [
    (np.diag([1.0, 0.0, 2.0]) + 0j, "row 2"), (np.diag([1j, 2.0, 0.0]), "row 3"),
    (np.ones((9, 3)) * [1, 0, 2], "column 2"),
    (np.diag([1.0, 2.0, 0.0])[:, :2].T @ np.eye(3), None), (np.array([[1.0, 2, 3], [0, 0, 0]]), "row 2"),
])
def test_zero_rows_and_columns_have_the_numbers_of_the_user(matrix: np.ndarray, said: str | None):
    if said is None:
        assert quick(matrix, np.ones(len(matrix))).x[2] == 0.0
        return
    with pytest.raises(InputError, match=f"^matrix: singular, {said} is all zero$"):
        quick(matrix, np.ones(len(matrix)))


@pytest.mark.parametrize("turn", [1.0, 1.0 + 1j])
def test_a_zero_column_is_no_fault_with_a_ridge(turn: complex):
    x = np.random.default_rng(SEED).standard_normal((9, 3)) * [1, 0, 2] * turn
    found = quick(x, np.ones(9), ridge=0.5)
    exact = np.linalg.solve(x.conj().T @ x + 0.5 * np.eye(3), x.conj().T @ np.ones(9))
    assert np.abs(found.x - exact).max() <= 1e-9 and found.x[1] == 0.0
    assert found.reasons[0] == "3 complex unknowns are solved for as 6 real ones" or turn == 1.0
    assert re.fullmatch(r"<Solution: x \(3,\), \d+ iterations, \d+ analogue solves, relative residual \S+, forward "
                        r"bound \S+, \d+ warnings>", repr(found))


def test_complex_right_hand_sides_have_one_entry_each():
    b = np.array([[1.0, 2j], [1j, 1.0], [0.5, 2.0], [0.0, 1 - 1j]])
    found = quick(tridiagonal(4), b)
    whole = quick(tridiagonal(4), np.hstack([b.real, b.imag]), planned=replace(found.planned, space=None))
    for entries in (found.relative_residuals, found.certificates, found.iterations, found.histories):
        assert len(entries) == 2
    assert found.iterations == tuple(whole.iterations[j] + whole.iterations[j + 2] for j in range(2))
    assert [len(history) - 1 for history in found.histories] == list(found.iterations)
    exact = np.linalg.solve(tridiagonal(4), b)
    for j in range(2):
        error = np.abs(found.x[:, j] - exact[:, j]).max() / np.abs(found.x[:, j]).max()
        assert error <= found.certificates[j].forward_bound <= max(c.forward_bound for c in whole.certificates) * 1.5


def test_no_bad_cells_are_no_reason_to_plan_otherwise():
    """Two codes an element are looked at all the same."""
    matrix = np.array([[1.0, 0.123], [-0.257, 0.777]])
    plain, marked = (plan_loop(matrix, CONFIG, AnalogParams.reference(), bad=bad).plan
                     for bad in (None, np.zeros((4, 4), dtype=bool)))
    assert np.array_equal(plain.codes, marked.codes) and plain.reasons == marked.reasons
    assert quick(matrix, np.ones(2), bad=np.zeros((4, 4), dtype=bool)).reasons == quick(matrix, np.ones(2)).reasons


def test_vectors_of_any_size_are_solved_and_zero_is_not():
    loop = plan_loop(tridiagonal(4), CONFIG, AnalogParams.reference())
    v = np.arange(1.0, 5.0)
    with Device("tiny") as device:
        for loops in (StaticLoops([loop], device.die), DeviceLoops([loop], device)):
            whole = loops(0, v)
            for small in (1e-160, 1e-250, 1e200):
                assert loops(0, small * v) / small == pytest.approx(whole, abs=0.3 * np.abs(whole).max())
            assert not loops(0, np.zeros(4)).any() and (loops.solves, loops.reprogrammings) == (4, 1)


def test_a_limit_on_the_chip_is_for_all_of_its_runs():
    """A second run has what the first one left; a limit above what a program can count is no mistake."""
    matrix = np.random.default_rng(0).standard_normal((3, 3)) + 4.0 * np.eye(3)
    options: dict[str, Any] = dict(engine="model", method="gcr")
    planned = quick(matrix, [1.0, -2.0, 0.5], limit=1000, **options).planned
    taken = []
    for limit in range(1, 10):
        try:
            taken += quick(matrix, [1.0, -2.0, 0.5], limit=limit, planned=planned, **options).iterations
        except NotSolvedError as error:
            taken.append(int(str(error).split(" iterations")[0].split()[-1]))
        assert taken[-1] <= limit
    assert max(taken) > 6, "one run would do"


def test_what_is_masked_is_no_number():
    matrix = np.ma.masked_array(tridiagonal(4), mask=np.eye(4, dtype=bool))
    with pytest.raises(InputError, match="^matrix: has masked elements; every element must be a number$"):
        quick(matrix, np.ones(4))
    with pytest.raises(InputError, match="^right-hand side: has masked elements"):
        quick(tridiagonal(4), np.ma.masked_equal(np.ones(4), 1.0))
    assert quick(np.ma.masked_array(tridiagonal(4)), np.ones(4)).iterations

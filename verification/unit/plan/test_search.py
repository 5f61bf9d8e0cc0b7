"""The loop for iterations on the host: fewest iterations on chips it has not seen, stable, reasons for each step."""

import os
from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble, heat
from ohmloop.errors import InputError
from ohmloop.plan import stability
from ohmloop.plan.loop import Loop
from ohmloop.plan.planner import plan_preconditioner, plan_system
from ohmloop.plan.ranking import gcr_count, mismatch_error
from ohmloop.plan.search import FRAIL, ITERATIONS_MAX, plan_loop
from ohmloop.plan.stability import UnstableError
from ohmloop.solvers.krylov import fgmres, fgmres_count
from ohmloop.solvers.loops import StaticLoops
from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
CHIP, TINY, LAB = (CONFIGS[name] for name in ("chip64", "tiny", "lab"))
REFERENCE = AnalogParams.reference()


def iterations(loop: Loop, chips: int = 3, config=CHIP) -> float:
    """Mean over chips that no planner has seen."""
    counts = []
    for seed in range(chips):
        b = loop.matrix @ np.random.default_rng(seed).standard_normal(len(loop.matrix))
        loops = StaticLoops([loop], Die.sample(config, replace(REFERENCE, seed=500 + seed)))
        found = fgmres(loop.matrix, b, lambda v, loops=loops: loops(0, v), tol=1e-10)
        assert found.solved and loops.solves == found.iterations and loops.reprogrammings == 1
        counts.append(found.iterations)
    return float(np.mean(counts))


def test_it_needs_fewer_iterations_than_plans_that_only_round():
    print(f"OHMLOOP_SEED={SEED}")
    matrix = ensemble("svdlog", 48, 30.0, SEED)
    found = plan_loop(matrix, CHIP, REFERENCE, count=fgmres_count)
    rounded = Loop.plain(matrix, plan_system(matrix, CHIP, REFERENCE, allow_shift=True))
    bent = Loop.plain(matrix, plan_preconditioner(matrix, CHIP, REFERENCE))
    counts = [iterations(loop) for loop in (found, bent, rounded)]
    print(f"iterations {counts}")
    assert counts[0] <= counts[1] + 0.5 and counts[0] <= counts[2] - 3
    codes = np.asarray(found.plan.codes)
    assert stability.unstable_eigenvalue(codes, CHIP, REFERENCE, found.plan.bandwidth) is None
    for A, L in stability.mismatched_loops(codes, CHIP, REFERENCE):
        assert stability.settling(A, L, REFERENCE, found.plan.bandwidth).stable
    assert mismatch_error(codes, CHIP, REFERENCE) <= FRAIL


def test_rows_and_columns_of_any_scale_make_no_difference():
    """1e-8 to 1e8: the chip sees what it would have seen of the even matrix."""
    rng = np.random.default_rng(SEED)
    even = ensemble("wishart", 16, 10.0, SEED)
    rows, columns = (10.0 ** rng.uniform(-8, 8, 16) for _ in range(2))
    loop = plan_loop(rows[:, None] * even * columns, LAB, REFERENCE, count=gcr_count)
    assert "scaled" in loop.plan.reasons[0]
    held = np.abs(loop.prepared)
    assert held.max(axis=1).min() > 0.5 and held.max(axis=0).min() > 0.5


def test_a_matrix_in_disorder_is_matched_and_made_positive():
    rng = np.random.default_rng(SEED)
    upright = ensemble("diagdom", 16, 10.0, SEED)
    matrix = (rng.choice([-1.0, 1.0], 16)[:, None] * upright)[rng.permutation(16)]
    with pytest.raises(UnstableError):
        plan_system(matrix, LAB, REFERENCE)
    loop = plan_loop(matrix, LAB, REFERENCE, count=fgmres_count)
    assert loop.plan.reasons[0].startswith("rows are matched to columns")
    assert iterations(loop, config=LAB) <= 12


def test_two_digits_are_taken_where_they_fit_and_serve():
    matrix = ensemble("wishart", 32, 100.0, SEED)
    both, one = (plan_loop(matrix, CHIP, REFERENCE, count=fgmres_count, digits=digits) for digits in (None, 1))
    assert both.plan.digits == 2 and one.plan.digits == 1
    assert iterations(both) <= iterations(one) - 3


def test_an_exact_matrix_stays_exact():
    loop = plan_loop(heat(64), CHIP, REFERENCE, count=fgmres_count)
    assert loop.plan.shift == 0 and loop.plan.rounding_error < 1e-14
    assert any("holds the matrix exactly" in reason for reason in loop.plan.reasons)


def test_the_count_that_is_handed_in_decides():
    """A count that prefers large shifts gets the largest that was on offer."""
    seen = []

    def count(matrix: np.ndarray, inverse, b: np.ndarray, limit: int) -> float:
        assert limit == ITERATIONS_MAX
        gain = float(np.linalg.norm(inverse(b)) / np.linalg.norm(b))
        seen.append(gain)
        return 50.0 * gain
    matrix = ensemble("spdlog", 16, 10.0, SEED)
    usual, weak = plan_loop(matrix, LAB, REFERENCE, count=fgmres_count), plan_loop(matrix, LAB, REFERENCE, count=count)
    assert weak.plan.shift > usual.plan.shift and weak.plan.shift >= 4 and len(seen) > 20


def test_inverses_are_handed_out_in_the_users_unit():
    """What the count function is given is an inverse of A, whatever was scaled and permuted."""
    matrix = np.diag([1e6, 2.0, -3e-5])[[2, 0, 1]]
    off = []

    def count(given: np.ndarray, inverse, b: np.ndarray, limit: int) -> float:
        x = inverse(b)
        off.append(np.linalg.norm(given @ x - b) / np.linalg.norm(b))
        return fgmres_count(given, inverse, b, limit)
    loop = plan_loop(matrix, TINY, REFERENCE, count=count)
    assert min(off) < 0.05
    assert loop.solution(loop.rhs(matrix @ np.ones(3)) / np.diagonal(loop.prepared)) == pytest.approx(np.ones(3))


def test_reasons_tell_every_decision():
    loop = plan_loop(ensemble("spdlog", 32, 100.0, SEED), CHIP, REFERENCE, count=fgmres_count)
    text = "; ".join(loop.plan.reasons)
    for word in ("full-scale code", "bandwidth setting", "slowest time constant", "plans simulated"):
        assert word in text
    assert (loop.plan.shift > 0) == ("shifted by" in text) and (loop.plan.digits == 2) == ("two digits" in text)


def test_bad_cells_lie_under_zero_codes():
    bad = np.zeros((64, 64), dtype=bool)
    bad[3, 4] = bad[10, 11] = bad[40, 41] = True
    loop = plan_loop(heat(64), CHIP, REFERENCE, count=fgmres_count, bad=bad)
    assert not (bad & (np.asarray(loop.plan.codes) != 0)).any()
    assert "the unknowns are reordered so that bad cells lie under zero codes" in loop.plan.reasons[0]
    assert iterations(loop) <= 7
    with pytest.raises(InputError, match="^bad cells: no order of the unknowns puts all 1 bad cells under zero codes"):
        plan_loop(np.ones((4, 4)) + 3 * np.eye(4), TINY, REFERENCE, count=fgmres_count,
                  bad=np.arange(16).reshape(4, 4) == 7)


@pytest.mark.parametrize(("matrix", "said"), [
    (np.ones((2, 3)), "matrix: must be square, as many rows as columns, not 2 x 3"),
    (np.eye(5), "matrix: size 5 does not fit, one macro of tiny holds 1 to 4"),
    (np.full((2, 2), np.inf), "matrix: every element must be a finite number"),
    (np.ones((3, 3)), r"matrix: numerically singular, condition number (inf|\S+e\+\d+) when scaled; at most 1e\+14 is "
                      "allowed"),
])
def test_refusals(matrix: np.ndarray, said: str):
    with pytest.raises(InputError, match=f"^{said}$"):
        plan_loop(matrix, TINY, REFERENCE)


def test_a_matrix_that_nothing_holds_upright_is_refused():
    """Random signs: eigenvalues out to 8 times the largest entry on all sides, beyond any shift codes have room for."""
    print(f"OHMLOOP_SEED={SEED}")
    matrix = np.random.default_rng(SEED).choice([-1.0, 1.0], (64, 64))
    with pytest.raises(UnstableError, match="^matrix: unstable in the loop: eigenvalue ") as caught:
        plan_loop(matrix, CHIP, REFERENCE, count=fgmres_count)
    assert caught.value.eigenvalue.real < 0.0


@pytest.mark.parametrize("angle", [0.0, 0.012, -0.01])
def test_a_far_shift_serves_where_near_ones_keep_no_margin(angle: float):
    """Candidates that are stable on the nominal chip and on no other are no reason to refuse the matrix."""
    matrix = np.array([[angle, 2.0], [-2.0, angle]])
    found = plan_loop(matrix, TINY, REFERENCE, count=fgmres_count)
    assert found.plan.shift >= 1.0
    codes = np.asarray(found.plan.codes)
    for A, L in stability.mismatched_loops(codes, TINY, REFERENCE):
        assert stability.settling(A, L, REFERENCE, found.plan.bandwidth).stable

"""Which inverse: what is around the loops is exact, and the choice is what runs best on chips that no plan has seen."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble, heat
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.plan.loop import Loop
from ohmloop.plan.planner import plan_system
from ohmloop.plan.search import plan_loop
from ohmloop.solvers import choice as chooser
from ohmloop.solvers import large
from ohmloop.solvers.around import AugmentedInverse, NormalInverse, SmoothedInverse
from ohmloop.solvers.choice import inverse_for
from ohmloop.solvers.inverse import Inverse, SingleLoop
from ohmloop.solvers.krylov import fgmres
from ohmloop.solvers.large import UnreachedError
from ohmloop.solvers.loops import StaticLoops
from ohmloop.solvers.solve import solve
from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
LAB, TINY = CONFIGS["lab"], CONFIGS["tiny"]
REFERENCE, IDEAL = AnalogParams.reference(), AnalogParams.ideal()


def exact(inverse: Inverse):
    """Loops without error."""
    return lambda k, v: np.linalg.solve(inverse.loops[k].matrix, v)


def some_loop(matrix: np.ndarray) -> Loop:
    """A loop with a plan that nobody looks at."""
    return Loop.plain(matrix, plan_system(np.eye(len(matrix)), LAB, REFERENCE))


def test_the_normal_inverse_is_an_inverse():
    rng = np.random.default_rng(SEED)
    matrix = 10.0 ** rng.uniform(-4, 4, 8)[:, None] * rng.standard_normal((8, 8))
    inverse = NormalInverse(matrix, lambda gram: SingleLoop(some_loop(gram)))
    v = matrix @ np.arange(8.0)
    assert inverse.apply(exact(inverse), v) == pytest.approx(np.arange(8.0), abs=1e-6)
    assert np.linalg.eigvalsh(inverse.loops[0].matrix).min() > 0.0


def test_the_augmented_inverse_is_an_inverse():
    rng = np.random.default_rng(SEED)
    matrix = 10.0 ** rng.uniform(-4, 4, 6)[:, None] * rng.standard_normal((6, 6)) * 10.0 ** rng.uniform(-4, 4, 6)
    inverse = AugmentedInverse(matrix, lambda held, _: some_loop(held))
    x = np.arange(1.0, 7.0) / np.abs(matrix).max(axis=0)
    assert inverse.apply(exact(inverse), matrix @ x) == pytest.approx(x, rel=1e-5)
    held = inverse.loops[0].matrix
    assert held.shape == (12, 12) and np.linalg.eigvals(held).real.min() > 0.0
    least = np.linalg.svd(held[:6, 6:], compute_uv=False).min()
    assert np.linalg.svd(held, compute_uv=False).min() > 0.5 * least * min(1.0, least / 0.3)


def test_a_sweep_after_an_exact_solve_changes_nothing_and_after_a_poor_one_helps():
    matrix = heat(16)
    inverse = SmoothedInverse(SingleLoop(some_loop(matrix)), matrix)
    v, x = matrix @ np.ones(16), np.ones(16)
    assert inverse.apply(exact(inverse), v) == pytest.approx(x)
    rough = np.random.default_rng(SEED).standard_normal(16)
    rough *= 0.3
    off = inverse.apply(lambda k, v: np.linalg.solve(matrix, v) + rough, v) - x
    assert off == pytest.approx(rough - matrix @ rough / 4.0)


def counted(matrix: np.ndarray, choice, config=LAB) -> float:
    """Iterations on chips that nobody has seen."""
    counts = []
    for seed in range(700, 703):
        loops = StaticLoops(choice.inverse.loops, Die.sample(config, replace(REFERENCE, seed=seed)))
        b = matrix @ np.random.default_rng(seed).standard_normal(len(matrix))
        found = fgmres(matrix, b, lambda v, loops=loops: choice.inverse.apply(loops, v), tol=1e-10)
        assert found.solved
        counts.append(found.iterations)
    return float(np.mean(counts))


def test_the_prediction_is_what_chips_do():
    matrix = ensemble("svdlog", 16, 30.0, SEED)
    choice = inverse_for(matrix, LAB, REFERENCE)
    assert choice.iterations < 0.8 * choice.without
    assert counted(matrix, choice) == pytest.approx(choice.iterations, abs=1.5)
    assert f"predicted {choice.iterations:.1f} iterations, {choice.without:.0f} without the chip" in choice.reasons


def test_what_nothing_holds_upright_goes_in_squared():
    rng = np.random.default_rng(0)
    matrix = rng.choice([-1.0, 1.0], (16, 16)) + 0.3 * rng.random((16, 16))
    choice = inverse_for(matrix, LAB, REFERENCE)
    assert isinstance(choice.inverse, NormalInverse)
    half = inverse_for(matrix[:8, :8], LAB, REFERENCE)
    assert isinstance(half.inverse, AugmentedInverse) and half.iterations < half.without
    assert choice.reasons[0].startswith("no plan holds the matrix itself stable or well: the loop holds A' A")
    assert counted(matrix, choice) <= 17


def test_the_better_of_two_stands_in(monkeypatch):
    """One that answers nothing leaves the count of no preconditioner, and is not taken."""
    rng = np.random.default_rng(0)
    matrix = (rng.choice([-1.0, 1.0], (16, 16)) + 0.3 * rng.random((16, 16)))[:8, :8]

    class Nothing:
        size, loops, reasons = 8, (), ("nothing",)

        def apply(self, solve, v: np.ndarray) -> np.ndarray:
            return np.zeros_like(v)
    taken = inverse_for(matrix, LAB, REFERENCE)
    monkeypatch.setattr(chooser, "_augmented", lambda *_: Nothing())
    other = inverse_for(matrix, LAB, REFERENCE)
    assert taken.iterations < other.iterations <= other.without + 1 and not isinstance(other.inverse, Nothing)


def test_where_the_chip_does_not_pay_it_is_said():
    choice = inverse_for(np.eye(3), TINY, REFERENCE)
    assert choice.without <= 1.0 and "the chip saves no iterations on this system" in choice.reasons


def test_what_is_larger_than_the_array_is_split():
    matrix = heat(25)
    choice = inverse_for(matrix, LAB, REFERENCE)
    assert len(choice.inverse.loops) >= 1 and choice.inverse.size == 25
    assert all(len(loop.matrix) <= 16 for loop in choice.inverse.loops)
    assert math.isfinite(choice.iterations) and counted(matrix, choice) < 25


def test_refusals_pass_through():
    with pytest.raises(InputError, match="^matrix: numerically singular"):
        inverse_for(np.ones((3, 3)), TINY, REFERENCE)
    with pytest.raises(InputError, match="^bad cells: can only be kept under zero codes of one matrix, and 5 "):
        inverse_for(np.eye(5), TINY, REFERENCE, bad=np.ones((4, 4), dtype=bool))


def test_loops_count_solves_and_writings():
    matrix = np.diag([1.0, 2.0, 4.0])
    first, second = (Loop.plain(m, plan_system(m, TINY, IDEAL)) for m in (matrix, 3 * matrix))
    loops = StaticLoops([first, second], Die.sample(TINY, IDEAL))
    v = np.array([1.0, -2.0, 3.0])
    answers = [loops(k, v) for k in (0, 0, 1, 0)]
    assert (loops.solves, loops.reprogrammings) == (4, 3)
    assert answers[0] == pytest.approx(v / np.diagonal(matrix), abs=0.03)
    assert answers[2] == pytest.approx(answers[0] / 3, abs=0.01)
    assert not loops(0, np.zeros(3)).any()


def test_blocks_are_planned_for_the_tolerance_and_seed_of_the_caller(monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[float, int]] = []
    planned = large.planned

    def told(config, params, *, tol: float, seed: int):
        seen.append((tol, seed))
        return planned(config, params, tol=tol, seed=seed)
    monkeypatch.setattr(large, "planned", told)
    inverse_for(heat(25), LAB, REFERENCE, tol=1e-6, seed=5)
    assert seen == [(1e-6, 5)]


def test_a_grid_that_the_pattern_does_not_show_can_be_given():
    """Without couplings across rows of the grid it is a chain, or nothing; with the grid, boxes."""
    print(f"OHMLOOP_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    matrix = heat(36) + 0.01 * rng.uniform(-1.0, 1.0, (36, 36))
    blind, told = (inverse_for(matrix, LAB, REFERENCE, grid=grid) for grid in (None, (6, 6)))
    assert not any("(boxes)" in reason for reason in blind.reasons)
    assert any("(boxes)" in reason for reason in told.reasons)
    found = solve(matrix, np.ones(36), config="lab", engine="static", grid=(6, 6))
    assert any("(boxes)" in reason for reason in found.reasons)


def test_what_no_split_solves_is_not_solved_and_not_wrong_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(large, "LIMIT", 1)
    monkeypatch.setattr(chooser, "LIMIT", 1)
    with pytest.raises(UnreachedError, match=r"^matrix: none of \d+ ways to split 40 unknowns reaches ") as caught:
        inverse_for(ensemble("wishart", 40, 30.0, SEED), LAB, REFERENCE)
    assert isinstance(caught.value, NotSolvedError) and caught.value.exit_code == 3


def test_no_plan_is_called_good_that_never_gets_there(monkeypatch: pytest.MonkeyPatch):
    """Infinity is no less than three quarters of infinity."""
    tried: list[str] = []
    squared = chooser._squared
    monkeypatch.setattr(chooser, "_squared", lambda *given: tried.append("squared") or squared(*given))
    monkeypatch.setattr(chooser, "fgmres_count", lambda *given, **named: math.inf)
    monkeypatch.setattr(chooser, "LIMIT", 1)
    choice = inverse_for(ensemble("wishart", 16, 30.0, SEED), LAB, REFERENCE)
    assert tried and math.isinf(choice.iterations) and not any("inf" in reason.split() for reason in choice.reasons)


def test_the_first_chip_that_fails_is_the_last_that_is_asked(monkeypatch: pytest.MonkeyPatch):
    matrix, ran = ensemble("wishart", 16, 30.0, SEED), []
    iterate = chooser.fgmres
    monkeypatch.setattr(chooser, "LIMIT", 1)
    monkeypatch.setattr(chooser, "fgmres", lambda *given, **named: ran.append(1) or iterate(*given, **named))
    inverse = SingleLoop(plan_loop(matrix, LAB, REFERENCE))
    judge = chooser._Judge(matrix, LAB, REFERENCE, SEED, 1e-10)
    assert math.isinf(judge.choice(inverse).iterations) and len(ran) == 1
    candidate = next(large.candidates(ensemble("wishart", 40, 30.0, SEED), LAB))
    wide = ensemble("wishart", 40, 30.0, SEED)
    found = large.measure(candidate, candidate.build(large.planned(LAB, REFERENCE)), wide, LAB, REFERENCE, limit=1)
    assert not found.solved and len(found.iterations) == 1

"""The choice for systems above the array: what wins and why, what is refused, what could not have won."""

import os
from functools import cache

import numpy as np
import pytest
from verification.unit.solvers.exact import CHIP64, LAB, REFERENCE

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.errors import InputError
from ohmloop.plan.loop import Loop
from ohmloop.plan.stability import UnstableError
from ohmloop.solvers import large
from ohmloop.solvers.blocks import PlanLoop
from ohmloop.solvers.loops import StaticLoops

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


@cache
def plans() -> PlanLoop:
    """One planner for all tests of the small chip, so that each block is planned once."""
    return large.planned(LAB, REFERENCE)


def measured_by_name(ranking: large.Ranking) -> dict[str, large.Measured]:
    """All that ran."""
    return {found.candidate.name: found for found in ranking.measured}


def test_a_grid_gets_boxes_and_a_coarse_system():
    print(f"OHMLOOP_SEED={SEED}")
    chosen = large.choose(ensemble("heat", 256), CHIP64, REFERENCE, seed=SEED)
    why = next(reason for reason in chosen.reasons if reason.startswith("chosen of 14 for 1 right-hand side: "))
    assert "two-level Schwarz (boxes): " in why and " 1 writing of an array" in why
    assert large.calls(chosen) == (0, 0, 0, 0) and chosen.size == 256 and len(chosen.loops) == 1
    assert any(reason.startswith("not block Gauss-Seidel (boxes): 1") for reason in chosen.reasons)
    assert any(reason.startswith("not tried elimination, W kept (b") for reason in chosen.reasons)
    assert chosen.reasons[-1] == ("a dense float64 factorisation on the host would take the time of 140 thousand "
                                  "clocks once and 1639 a right-hand side")


@pytest.mark.parametrize("family", ["heat", "sparse5"])
def test_what_was_not_tried_could_not_have_won(family: str):
    matrix = ensemble(family, 48, 30.0, SEED)
    quick, every = (large.ranked(matrix, LAB, REFERENCE, plan_loop=plans(), exhaustive=all_of_them, seed=SEED)
                    for all_of_them in (False, True))
    assert every.hopeless == () and quick.hopeless
    best, ran = quick.measured[0], measured_by_name(every)
    assert every.measured[0].candidate.name == best.candidate.name and every.measured[0].cost == best.cost
    for candidate, least in quick.hopeless:
        assert best.clocks() < least <= ran[candidate.name].clocks()
    there = list(large.candidates(matrix, LAB))
    assert len(quick.measured) + len(quick.hopeless) == len(every.measured) == len(there) in (14, 28)


def test_counts_are_charged_as_the_formulas_say():
    matrix = ensemble("wishart", 64, 30.0, SEED)
    ran = measured_by_name(large.ranked(matrix, LAB, REFERENCE, plan_loop=plans(), exhaustive=True, seed=SEED))
    for method, solves, changes in (("recursion into halves, full", 9, 8), ("elimination, full", 7, 6),
                                    ("elimination, triangular", 4, 4), ("elimination, W kept", 4, 4),
                                    ("block Gauss-Seidel", 4, 4)):
        found = ran[f"{method} (natural)"]
        times = int(np.ceil(found.mean))
        assert found.cost.solves == times * solves, method
        assert found.cost.writings == times * changes + (solves > 4), method
        around = times * 64 ** 2 + 2 * 64 * times ** 2
        assert found.cost.multiply_adds == times * found.inverse.work.application + around, method
    assert ran["elimination, W kept (natural)"].mean <= ran["elimination, triangular (natural)"].mean
    assert ran["block Gauss-Seidel (natural)"].setup_clocks == 0 < ran["elimination, full (natural)"].setup_clocks


def test_many_right_hand_sides_pay_for_a_set_up_and_many_arrays_for_nothing_else():
    matrix = ensemble("heat", 40, 30.0, SEED)
    methods = (large.GAUSS_SEIDEL, "elimination, W kept")
    one, many, arrays = (large.ranked(matrix, LAB, REFERENCE, plan_loop=plans(), methods=methods, exhaustive=True,
                                      right_hand_sides=shared, arrays=there)
                         for shared, there in ((1, 1), (1000, 1), (1, 4)))
    for found in one.measured:
        again = measured_by_name(many)[found.candidate.name]
        assert again.cost == found.cost
        assert found.clocks(1) == found.cost.clocks + found.setup_clocks
        one_loop = len(found.inverse.loops) == 1
        assert found.cost.clocks - found.later_clocks == (435 if one_loop else 0), "only one loop stays in the array"
        assert found.clocks(1) - found.clocks(1000) == pytest.approx(
            0.999 * (found.setup_clocks + found.cost.clocks - found.later_clocks))
        alone = measured_by_name(arrays)[found.candidate.name]
        assert alone.cost.clocks - alone.later_clocks == 435 * len(found.inverse.loops), "all loops stay"
        assert measured_by_name(arrays)[found.candidate.name].cost.writings == len(found.inverse.loops)
    order = [found.clocks(1000) for found in many.measured]
    assert order == sorted(order)


def test_a_border_for_a_few_rows_more():
    chosen = large.choose(ensemble("wishart", 18, 10.0, SEED), LAB, REFERENCE, plan_loop=plans(), seed=SEED)
    assert large.calls(chosen) == (0,)
    assert chosen.reasons[0] == "16 unknowns in the array, 2 beside it digitally: 1 solve an application"
    assert large.BORDER not in [candidate.method for candidate in large.candidates(ensemble("heat", 25), LAB)]


def test_another_split_serves_where_one_is_refused():
    matrix = ensemble("heat", 64)
    box = ensemble("heat", 16)

    def only_boxes(block: np.ndarray) -> Loop:
        if not np.array_equal(block, box):
            raise UnstableError("matrix: unstable in the loop: for the test", -1.0)
        return plans()(block)

    ranking = large.ranked(matrix, LAB, REFERENCE, plan_loop=only_boxes, exhaustive=True, seed=SEED)
    assert {found.candidate.name for found in ranking.measured} == {
        "two-level Schwarz (boxes)", "block Gauss-Seidel (boxes)"}
    assert len(ranking.refused) == 12
    reasons = large.explanation(ranking, matrix, REFERENCE, 1)
    assert "refused elimination, full (boxes): matrix: unstable in the loop: for the test" in reasons


def test_a_matrix_is_mended_before_it_is_cut():
    """A grid whose equations are in any order, with any signs or in any unit is a grid again, with one loop for all."""
    print(f"OHMLOOP_SEED={SEED}")
    random, grid = np.random.default_rng(SEED), ensemble("heat", 64)
    units = 10.0 ** random.uniform(-2.0, 2.0, 64)
    plain = large.ranked(grid, LAB, REFERENCE, plan_loop=plans(), seed=SEED).measured[0]
    for spoilt in (units[:, None] * grid * units, random.choice([-1.0, 1.0], 64)[:, None] * grid,
                   grid[random.permutation(64)]):
        found = large.ranked(spoilt, LAB, REFERENCE, plan_loop=plans(), seed=SEED).measured[0]
        assert found.candidate.split == "boxes, prepared"
        assert found.candidate.method in (large.SCHWARZ, large.GAUSS_SEIDEL)
        assert len(found.inverse.loops) == 1 and found.mean <= 2 * plain.mean
        assert found.inverse.reasons[0].startswith("as a whole, ")


def test_refusals():
    def never(block: np.ndarray) -> Loop:
        raise UnstableError("matrix: unstable in the loop: for the test", -1.0)

    with pytest.raises(InputError, match="matrix: of 6 ways to split 40 unknowns none has a stable plan for every "
                                         r"block; \S.* \(natural\): matrix: unstable in the loop: for the test"):
        large.choose(ensemble("wishart", 40, 10.0, SEED), LAB, REFERENCE, plan_loop=never)
    with pytest.raises(InputError, match="size 16 fits the array of lab, which holds 1 to 16"):
        list(large.candidates(ensemble("heat", 16), LAB))
    with pytest.raises(InputError, match="must be square"):
        large.choose(np.ones((40, 41)), LAB, REFERENCE)
    with pytest.raises(InputError, match="every element must be a finite number"):
        large.choose(np.full((40, 40), np.nan), LAB, REFERENCE)
    with pytest.raises(InputError, match=r"grid: must have 40 points, as many as unknowns, not \(5, 9\)"):
        large.choose(ensemble("heat", 40), LAB, REFERENCE, grid=(5, 9))
    hollow = ensemble("heat", 40)
    hollow[3] = 0.0
    with pytest.raises(InputError, match="singular, a row or column is zero"):
        large.choose(hollow, LAB, REFERENCE)


def test_what_gets_nowhere_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(large, "LIMIT", 2)
    said = "none of 6 ways to split 40 unknowns reaches a .* of 1e-10 in 2 iterations"
    with pytest.raises(large.UnreachedError, match=said):
        large.choose(ensemble("wishart", 40, 10.0, SEED), LAB, REFERENCE, plan_loop=plans())


def test_blocks_that_differ_by_noise_are_planned_once():
    plan = large.planned(LAB, REFERENCE)
    block = ensemble("wishart", 8, 10.0, SEED)
    first, second = plan(block), plan(block * (1 + 1e-15))
    assert first.plan is second.plan and np.array_equal(second.matrix, block * (1 + 1e-15))
    assert plan(block * (1 + 1e-6) + 1e-6).plan is not first.plan


@pytest.mark.parametrize("factor", [0.25, 3.0, 1e6])
def test_a_multiple_of_a_known_block_has_its_own_scale(factor: float):
    print(f"OHMLOOP_SEED={SEED}")
    plan = large.planned(LAB, REFERENCE)
    block = ensemble("wishart", 8, 10.0, SEED)
    first, second = plan(block), plan(factor * block)
    assert second.plan is first.plan and second.prepared == pytest.approx(first.prepared, rel=1e-12)
    loops = StaticLoops([first, second], Die.sample(LAB, AnalogParams.ideal()))
    v = np.random.default_rng(SEED).standard_normal(8)
    assert factor * loops(1, v) == pytest.approx(loops(0, v), abs=0.05 * np.abs(loops(0, v)).max())

"""Elimination, sweeps and border: exact where the solves are, as many solves as the formulas say, refusals."""

import os
from dataclasses import replace

import numpy as np
import pytest
from verification.unit.solvers.exact import LAB, REFERENCE, exact, matrix_of, system, unplanned

from ohmloop.analog.cells import Die
from ohmloop.ensembles import tridiagonal, wishart
from ohmloop.errors import InputError
from ohmloop.plan.cost import writings
from ohmloop.plan.loop import Loop
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.solvers.blocks import (
    BORDER_MAX,
    CUTS,
    FORMS,
    Bordered,
    GaussSeidel,
    RecursiveInverse,
    elimination_solves,
)
from ohmloop.solvers.large import calls
from ohmloop.solvers.loops import StaticLoops
from ohmloop.solvers.partition import chunks

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


def shuffled(n: int, largest: int) -> list[np.ndarray]:
    """A partition of n unknowns without any order."""
    return chunks(np.random.default_rng(SEED).permutation(n), largest)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("form", ["full", "kept"])
@pytest.mark.parametrize("n", [5, 9, 16, 23, 64])
def test_elimination_with_exact_solves_is_the_inverse(n: int, form: str, cut: str):
    print(f"OHMLOOP_SEED={SEED}")
    matrix, v = system(n, SEED), np.random.default_rng(SEED + 1).standard_normal(n)
    inverse = RecursiveInverse(matrix, shuffled(n, 8), unplanned, form=form, cut=cut)
    assert inverse.apply(exact(inverse), v) == pytest.approx(np.linalg.solve(matrix, v), rel=1e-9, abs=1e-12)


def test_a_chain_without_the_way_back_is_the_lower_factor():
    matrix, blocks = system(23, SEED), shuffled(23, 6)
    order = np.concatenate(blocks)
    left = (matrix_of(RecursiveInverse(matrix, blocks, unplanned, form="triangular")) @ matrix)[np.ix_(order, order)]
    start = 0
    for block in blocks:
        rows = slice(start, start + len(block))
        assert left[rows, :start + len(block)] == pytest.approx(np.eye(23)[rows, :start + len(block)], abs=1e-9)
        start += len(block)
    assert np.abs(left - np.eye(23)).max() > 1e-3, "the upper factor is left out"


def test_halves_without_the_way_back_are_triangles_of_triangles():
    matrix, v = system(16, SEED), np.random.default_rng(SEED).standard_normal(16)

    def lower(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        half = len(a) // 2
        if half == 2:
            return np.linalg.solve(a, b)
        schur = a[half:, half:] - a[half:, :half] @ np.linalg.inv(a[:half, :half]) @ a[:half, half:]
        x1 = lower(a[:half, :half], b[:half])
        return np.concatenate([x1, lower(schur, b[half:] - a[half:, :half] @ x1)])

    inverse = RecursiveInverse(matrix, chunks(np.arange(16), 4), unplanned, form="triangular", cut="halves")
    assert inverse.apply(exact(inverse), v) == pytest.approx(lower(matrix, v))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_solves_and_writings_of_the_recursion_into_halves(depth: int):
    inverse = RecursiveInverse(system(4 << depth, SEED), shuffled(4 << depth, 4), unplanned, cut="halves")
    assert len(calls(inverse)) == 3 ** depth == elimination_solves(1 << depth, "full", "halves")
    assert writings(calls(inverse), times=10) == 1 + 10 * (3 ** depth - 1)
    assert calls(inverse)[0] == calls(inverse)[-1] == 0 and len(inverse.loops) == 1 << depth


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("blocks", range(1, 10))
def test_solves_of_every_elimination(form: str, cut: str, blocks: int):
    inverse = RecursiveInverse(system(2 * blocks, SEED), shuffled(2 * blocks, 2), unplanned, form=form, cut=cut)
    asked = calls(inverse)
    assert len(asked) == elimination_solves(blocks, form, cut)
    assert list(dict.fromkeys(asked)) == list(range(blocks)), "loops are numbered as they are first asked for"
    if form != "full":
        assert len(asked) == blocks
    elif cut == "chain":
        assert len(asked) == 2 * blocks - 1 and writings(asked, times=5) == 1 + 5 * (2 * blocks - 2)


def test_a_model_of_a_chip_counts_the_same():
    matrix = wishart(64, 30.0, np.random.default_rng(SEED))

    def plan(block: np.ndarray) -> Loop:
        return Loop.plain(block, plan_preconditioner(block, LAB, REFERENCE))

    inverse = RecursiveInverse(matrix, chunks(np.arange(64), 16), plan, cut="halves")
    loops = StaticLoops(inverse.loops, Die.sample(LAB, replace(REFERENCE, seed=7)))
    v = matrix @ np.random.default_rng(SEED).standard_normal(64)
    for _ in range(3):
        x = inverse.apply(loops, v)
    assert (loops.solves, loops.reprogrammings) == (27, 25) == (3 * 3 ** 2, writings(calls(inverse), times=3))
    assert np.linalg.norm(x - np.linalg.solve(matrix, v)) < 0.7 * np.linalg.norm(np.linalg.solve(matrix, v))


def test_a_sweep_is_the_inverse_of_the_lower_triangle():
    matrix, blocks = system(23, SEED), shuffled(23, 6)
    order = np.concatenate(blocks)
    number = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    ordered = matrix[np.ix_(order, order)]
    lower = np.where(number[:, None] >= number, ordered, 0.0)
    forward = GaussSeidel(matrix, blocks, unplanned)
    assert np.linalg.inv(matrix_of(forward)[np.ix_(order, order)]) == pytest.approx(lower, abs=1e-9)
    assert calls(forward) == (0, 1, 2, 3)


def test_equal_blocks_share_a_loop():
    sweep = GaussSeidel(tridiagonal(24), chunks(np.arange(24), 8), unplanned)
    assert len(sweep.loops) == 1 and calls(sweep) == (0, 0, 0) and writings(calls(sweep), times=20) == 1


@pytest.mark.parametrize("n", [9, 10, 16])
def test_a_border_is_exact_and_takes_one_solve(n: int):
    matrix, v = system(n, SEED), np.random.default_rng(SEED).standard_normal(n)
    for border in (None, list(np.random.default_rng(SEED).permutation(n)[:n - 8])):
        inverse = Bordered(matrix, 8, unplanned, border=border)
        assert inverse.apply(exact(inverse), v) == pytest.approx(np.linalg.solve(matrix, v), rel=1e-9)
        assert calls(inverse) == (0,) and len(inverse.loops[0].matrix) == 8
    assert inverse.work.kept == 8 * (n - 8) + (n - 8) ** 2


def test_digital_work_counts_what_is_not_zero():
    """Three blocks of a chain of 12: two cuts, each with one element of A21 and one column of W."""
    blocks = chunks(np.arange(12), 4)
    kept, full, triangular = (RecursiveInverse(tridiagonal(12), blocks, unplanned, form=form).work
                              for form in ("kept", "full", "triangular"))
    assert (kept.application, kept.kept) == (2 * (1 + 4), 8)
    assert (full.application, triangular.application, full.kept) == (2 * (1 + 1), 2, 0)
    assert kept.setup == full.setup == 2 * (4 ** 3 // 3 + 4 ** 2 + 1)
    assert GaussSeidel(tridiagonal(12), blocks, unplanned).work.application == 2
    halves = RecursiveInverse(system(16, SEED), chunks(np.arange(16), 4), unplanned, cut="halves").work
    assert halves.application == 2 * 8 * 8 + 3 * 2 * 4 * 4, "the first half is applied twice"


def test_refusals():
    matrix, blocks = system(16, SEED), chunks(np.arange(16), 8)
    with pytest.raises(InputError, match="form must be one of full, kept, triangular and cut one of halves, chain, not "
                                         "'upper', 'chain'"):
        RecursiveInverse(matrix, blocks, unplanned, form="upper")
    with pytest.raises(InputError, match="must hold each of the 16 unknowns once, they hold 16 numbers, 8 of them"):
        GaussSeidel(matrix, [blocks[0], blocks[0]], unplanned)
    with pytest.raises(InputError, match="must be square"):
        RecursiveInverse(matrix[:8], blocks, unplanned)
    swap = np.roll(np.eye(16), 8, axis=1)
    with pytest.raises(InputError, match="its first 8 unknowns alone are singular; another order may serve"):
        RecursiveInverse(swap, blocks, unplanned)
    for few in (0, BORDER_MAX + 1):
        with pytest.raises(InputError, match=f"with {few} beside an array of 16; allowed are 1 to {BORDER_MAX}"):
            Bordered(system(16 + few, SEED), 16, unplanned)
    with pytest.raises(InputError, match="leave at most 8"):
        Bordered(system(10, SEED), 8, unplanned, border=[3])
    twins = system(10, SEED)
    twins[9] = twins[8]
    with pytest.raises(InputError, match="Schur complement is singular; choose other unknowns"):
        Bordered(twins, 8, unplanned)

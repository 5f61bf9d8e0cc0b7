"""The programs of the chip on the golden machine: what they answer, how they end, that the recurrences are right."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from verification.unit.simulation import SHAPES

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble, heat
from ohmloop.errors import InputError
from ohmloop.golden.assembler import disassemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.vector import ONE, Scalar
from ohmloop.host.job import Job, Outcome, predict
from ohmloop.host.system import (
    K_COUNT,
    K_LONGEST,
    K_R,
    LIMIT_MAX,
    TOLERANCE,
    Answer,
    answer,
    chop_job,
    eigenvalue,
    eigenvalue_job,
    iterations_of,
    iterative_job,
    limits,
    power_of_two,
    scalar_of,
    scalar_value,
    slot_elements,
    slot_matrix,
    solve_job,
    stream_job,
    streamed_answers,
)
from ohmloop.plan.planner import plan_preconditioner, plan_system
from ohmloop.plan.reference import relative_error, relative_residual
from ohmloop.plan.scaling import Plan, scale_rhs
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.isa import HALT, INV, MAT
from ohmloop_hdl.sequencer.traps import TrapCause

TINY, LAB, CHIP = (CONFIGS[name] for name in ("tiny", "lab", "chip64"))
REFERENCE, IDEAL = AnalogParams.reference(), AnalogParams.ideal()
PROGRAMS = ("refine", "gcr", "gcr5", "digital")

SLACK = 1.0 + 2.0 ** -18
"""What scalars of 24 bits, and dot products that read 24 bits, may add to a tolerance."""


@dataclass
class Done:
    """A job that ran, and what came of it."""

    job: Job
    plan: Plan
    machine: Machine
    outcome: Outcome
    run: Run
    found: Answer
    b: np.ndarray
    """The right-hand side as the chip has it, rounded to mantissas, in the user's unit."""

    @property
    def matrix(self) -> np.ndarray:
        """The matrix of the slot, in the user's unit."""
        return slot_matrix(self.job.slots[0], self.plan)

    @property
    def residual(self) -> float:
        """||b - A x|| / ||b|| in float64."""
        return relative_residual(self.matrix, self.found.x, self.b)

    def written(self, register: str) -> list[np.ndarray]:
        """Everything that instructions wrote to a register, in order: (1,) or (N,)."""
        results = [retired.result for retired in self.run.retired if retired.result is not None]
        bits = 31 if register.startswith("v") else 23
        return [np.ldexp(np.array(result.mantissas, dtype=float), result.exponent - bits)
                for result in results if result.register == register and result.mantissas is not None]

    def sizes(self, register: str) -> list[float]:
        """Norms whose squares were written to a scalar."""
        return [math.sqrt(square[0]) for square in self.written(register)]


def run_program(name: str, matrix: np.ndarray, b: np.ndarray, config: ChipConfig, *, params: AnalogParams = REFERENCE,
                plan: Plan | None = None, change: Callable[[Job], Job] = lambda job: job, **options: Any) -> Done:
    """Plan a system, run a program on a golden machine of its own."""
    plan = plan or plan_system(matrix, config, params)
    rhs = scale_rhs(b, config)
    if name == "power_iteration":
        job = eigenvalue_job(plan, matrix, rhs, config, **options)
    else:
        job = change(iterative_job(name, plan, matrix, rhs, config, **options))
    machine = Machine(config, NumpyMacro(Die.sample(config, params)))
    outcome, run = predict(machine, job)
    held = rhs.factor * np.ldexp(rhs.mantissas[:plan.n].astype(float), -31)
    return Done(job, plan, machine, outcome, run, answer(plan, rhs, outcome), held)


def system(n: int, seed: int = 0, cond: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """An unsymmetric, diagonally dominant system and a right-hand side."""
    matrix = ensemble("diagdom", n, cond, seed)
    return matrix, matrix @ np.random.default_rng(seed).standard_normal(n)


def symmetric(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric positive system and a right-hand side."""
    matrix = ensemble("wishart", n, 6.0, seed)
    return matrix, matrix @ np.random.default_rng(seed).standard_normal(n)


def ended(done: Done, code: int) -> None:
    """The program came to a HALT with this code."""
    status = done.outcome.status
    assert (status.trap, status.halt_code) == (TrapCause.NONE, code)
    assert status.pc == done.run.retired[-1].pc and done.run.retired[-1].instruction == HALT.encode(code)


# What they answer


@pytest.mark.parametrize("config", [TINY, LAB, CHIP, SHAPES["halves"], SHAPES["unshared"]], ids=lambda c: f"{c.size}")
@pytest.mark.parametrize("name", PROGRAMS)
def test_solutions_are_as_exact_as_the_slot(name: str, config: ChipConfig):
    matrix, b = (symmetric if name == "digital" else system)(config.size, 3)
    done = run_program(name, matrix, b, config)
    ended(done, 0)
    assert done.residual <= SLACK * TOLERANCE
    exact = np.linalg.solve(done.matrix, done.b)
    assert relative_error(done.found.x, exact) <= np.linalg.cond(matrix) * TOLERANCE
    assert done.found.relative_residual == pytest.approx(done.residual, rel=1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_iterations_are_counted(name: str):
    matrix, b = symmetric(16)
    done = run_program(name, matrix, b, LAB)
    opcodes = [retired.instruction >> 27 for retired in done.run.retired]
    closings = opcodes.count(INV.opcode)
    assert closings == (0 if name == "digital" else done.found.iterations) and done.found.iterations > 3
    # One product an iteration, and what confirms the end; refinement has no other residual than the true one.
    assert opcodes.count(MAT.opcode) == done.found.iterations + (name != "refine")
    assert (done.run.events[Event.LOOP_CLOSED] == 0) == (name == "digital")
    assert (done.run.phases[Phase.PROGRAM] == 0) == (name == "digital")


def test_the_loop_saves_iterations_and_clocks():
    b = heat(64) @ np.random.default_rng(1).standard_normal(64)
    refine, gcr, digital = (run_program(name, heat(64), b, CHIP) for name in ("refine", "gcr", "digital"))
    assert refine.found.iterations <= 6 and gcr.found.iterations <= 6
    assert 20 <= digital.found.iterations <= 30
    assert 2 * (gcr.run.cycles - gcr.run.phases[Phase.PROGRAM]) < digital.run.cycles


# The recurrences, against float64


def images(matrix: np.ndarray, directions: list[np.ndarray], kept: int) -> list[np.ndarray]:
    """What q becomes in float64: M z, orthogonal to as many before it as are kept, one after the other."""
    found: list[np.ndarray] = []
    for z in directions:
        q = matrix @ z
        for old in found[-kept:]:
            q = q - (q @ old) / (old @ old) * old
        found.append(q)
    return found


@pytest.mark.parametrize(("name", "kept"), [("gcr", 1), ("gcr5", 5), ("digital", 1)])
@pytest.mark.parametrize("family", [system, symmetric])
def test_residuals_are_those_of_the_method(name: str, kept: int, family):
    """Each direction that the loop gave takes off the residual what float64 says, and x follows it."""
    matrix, b = family(16, 5)
    done = run_program(name, matrix, b, LAB, plan=plan_preconditioner(matrix, LAB, REFERENCE), limit=8, tolerance=1e-12)
    ended(done, 2)
    m = done.matrix / done.plan.alpha
    residuals = done.written("v3")
    directions = residuals[:done.found.iterations]
    if name != "digital":
        directions = [np.ldexp(np.array(retired.result.mantissas, dtype=float), retired.result.exponent - 31)
                      for retired in done.run.retired if retired.instruction >> 27 == INV.opcode and retired.result]
    sizes = done.sizes("k7")[1:]
    if name == "gcr5":  # two sums a turn where it took 3 bits
        assert len(residuals) > 9
        residuals = [residuals[0]] + [r for r, after in zip(residuals[1:], [*residuals[2:], None], strict=True)
                                      if after is None or np.linalg.norm(r - after) > 1e-5 * np.linalg.norm(r)]
    assert len(directions) == len(sizes) == len(residuals) - 1 == 8
    for r, q, size in zip(residuals[:-1], images(m, directions, kept), sizes, strict=True):
        assert size == pytest.approx(np.linalg.norm(r - (r @ q) / (q @ q) * q), rel=2e-5)
    x = done.written("v2")[-1]
    assert np.linalg.norm(residuals[0] - m @ x - residuals[-1]) < 2.0 ** -28 * np.linalg.norm(residuals[0])


def test_five_directions_keep_what_alpha_rounds_out_of_the_way():
    """Five bits a turn: 2^-24 of the first r, left along the first q, is what the fifth turn works on."""
    for seed in range(4):
        b = heat(64) @ np.random.default_rng([seed, 1]).standard_normal(64)
        done = run_program("gcr5", heat(64), b, CHIP, params=replace(REFERENCE, seed=100 + seed))
        ended(done, 0)
        assert done.found.iterations <= 6
        assert all(after < 0.25 * before for before, after in pairwise(done.sizes("k7")[:5]))


def test_five_directions_look_at_r_twice_after_three_bits():
    """Every turn, whichever pair it fills, takes r along its q off once, and once more where it took 3 bits."""
    seen = set()
    for matrix, seed in ((heat(16), 0), (symmetric(16, 1)[0], 1), (ensemble("wishart", 16, 100.0, 2), 2)):
        b = matrix @ np.random.default_rng(seed).standard_normal(16)
        done = run_program("gcr5", matrix, b, LAB, plan=plan_preconditioner(matrix, LAB, REFERENCE), limit=15,
                           tolerance=1e-9)
        turns: list[tuple[list[str], list[float]]] = []
        square = 0.0
        for retired in done.run.retired:
            text = disassemble(retired.instruction)
            if text.startswith("INV"):
                turns.append(([], [square]))
            elif text.startswith("AXPY v3, v3"):
                turns[-1][0].append(text.split(", ")[-1])
            elif retired.result is not None and retired.result.register == "k7":
                assert retired.result.mantissas is not None
                square = scalar_value(Scalar(retired.result.mantissas[0], retired.result.exponent))
                if turns:
                    turns[-1][1].append(square)
        for given, (before, after, *_) in turns[:-1]:
            fast = 7 / 8 * before > 64 * after > 64 * done.written("k6")[0][0]
            assert given == [given[0]] * (2 if fast else 1)
            seen.add((given[0], fast))
    assert seen == {(f"v{v}", fast) for v in range(11, 16) for fast in (True, False)}


def test_refinement_adds_what_the_loop_answers_to_the_true_residual():
    matrix, b = system(16, 2)
    done = run_program("refine", matrix, b, LAB)
    m = done.matrix / done.plan.alpha
    v1 = np.ldexp(done.job.vectors[1][0].astype(float), -31)
    x = np.zeros(16)
    for step, size in zip(done.written("v4"), done.sizes("k9"), strict=True):
        x = x + step
        exact = np.linalg.norm(v1 - m @ x)
        assert size == pytest.approx(exact, rel=1e-4, abs=2.0 ** -30)


def test_five_directions_need_fewer_iterations_than_one_and_all_are_used():
    """Without the loop, on a matrix whose images do not commute, more memory is fewer iterations."""
    matrix = ensemble("sparse5", 64, 300.0, 1)
    b = matrix @ np.random.default_rng(1).standard_normal(64)
    plan = plan_preconditioner(matrix, CHIP, REFERENCE)
    one, five = (run_program(name, matrix, b, CHIP, plan=plan, limit=80) for name in ("gcr", "gcr5"))
    ended(one, 0)
    ended(five, 0)
    assert five.found.iterations < one.found.iterations
    assert all(five.written(f"v{v}")[-1].any() for v in range(6, 16))


@pytest.mark.parametrize("name", ["gcr", "gcr5", "digital"])
def test_an_end_that_was_none_is_gone_on_from(name: str):
    """Near the floor the residual that is carried along is small before the true one is: a second look ends it."""
    looks = []
    for seed in range(8):
        matrix = ensemble("wishart", 16, 10.0, seed)
        b = matrix @ np.random.default_rng(seed).standard_normal(16)
        done = run_program(name, matrix, b, LAB, plan=plan_preconditioner(matrix, LAB, REFERENCE),
                           tolerance=2.0 ** -29, limit=100)
        if done.outcome.status.halt_code == 0:
            assert done.residual <= SLACK * 2.0 ** -29
            opcodes = [retired.instruction >> 27 for retired in done.run.retired]
            looks.append(opcodes.count(MAT.opcode) - done.found.iterations)
    assert min(looks) == 1 < max(looks)


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_depends_on_what_registers_held_before(name: str):
    matrix, b = symmetric(16, 7)
    clean = run_program(name, matrix, b, LAB)
    rng = np.random.default_rng(7)
    machine = Machine(LAB, NumpyMacro(Die.sample(LAB, REFERENCE)))
    machine.mantissas[1:] = rng.integers(-(1 << 31), 1 << 31, (15, 16))
    machine.exponents[1:] = rng.integers(-20, 20, 15)
    machine.scalars[1:] = [Scalar(int(m), int(e)) for m, e in zip(
        rng.integers(-(1 << 23), 1 << 23, 15), rng.integers(-20, 20, 15), strict=True)]
    machine.counters = [int(count) for count in rng.integers(0, 1 << 16, 16)]
    outcome, run = predict(machine, clean.job)
    assert outcome.same(clean.outcome) and run.retired == clean.run.retired


@pytest.mark.parametrize("name", ["gcr", "gcr5"])
def test_a_right_angle_is_no_end(name: str):
    """M turns r = e1 into e2, e3, e4 and e1 again: only from q do they get round, and there r falls to zero at once."""
    done = run_program(name, np.eye(4), np.array([1.0, 0, 0, 0]), TINY, params=IDEAL, change=with_slot(
        np.roll(np.eye(4, dtype=np.int64), 1, axis=0) << 22))
    ended(done, 0)
    assert done.found.iterations == 4
    squares = [square[0] for square in done.written("k7")]
    assert squares[0] == squares[1] == squares[2] == squares[3] > 0 == squares[4]
    mantissas, exponent = done.outcome.vectors[2]
    source = done.job.vectors[1][0].astype(float)
    assert np.array_equal(np.ldexp(mantissas.astype(float), exponent), 2 * np.roll(source, -1))


@pytest.mark.parametrize("name", ["gcr", "gcr5"])
def test_four_right_angles_in_a_row_are_stagnation(name: str):
    """e1 would come round after sixteen turns."""
    done = run_program(name, np.eye(16), np.eye(16)[0], LAB, params=IDEAL, change=with_slot(
        np.roll(np.eye(16, dtype=np.int64), 1, axis=0) << 22))
    ended(done, 3)
    assert done.found.iterations == 4 and done.found.relative_residual == pytest.approx(1.0, abs=1e-6)
    assert done.residual == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["gcr", "gcr5"])
def test_slow_turns_count(name: str):
    done = run_program(name, np.eye(4), np.array([1.0, 0, 0, 0]), TINY, params=IDEAL, limit=2, change=with_slot(
        np.roll(np.eye(4, dtype=np.int64), 1, axis=0) << 22))
    ended(done, 2)
    assert done.found.iterations == 2


def test_without_the_loop_a_right_angle_is_stagnation():
    done = run_program("digital", np.eye(4), np.array([1.0, 0, 0, 0]), TINY, change=with_slot(
        np.roll(np.eye(4, dtype=np.int64), 1, axis=0) << 22))
    ended(done, 3)
    assert done.found.iterations == 2


def test_slow_turns_go_on_from_q_and_others_from_r():
    """Everything that INV was given, by the address of the instruction that gave it."""
    matrix = ensemble("sparse5", 64, 300.0, 2)
    b = matrix @ np.random.default_rng(2).standard_normal(64)
    done = run_program("gcr", matrix, b, CHIP, plan=plan_preconditioner(matrix, CHIP, REFERENCE), limit=80)
    ended(done, 0)
    squares = [square[0] for square in done.written("k7")]
    sources = [disassemble(retired.instruction).split(", ")[1]
               for retired in done.run.retired if retired.instruction >> 27 == INV.opcode]
    slow = [after > 7 / 8 * before for before, after in pairwise(squares)]
    assert sources[0] == "v3" and 0 < sum(slow[:len(sources) - 1]) < len(sources) / 2
    assert not any(all(slow[place:place + 4]) for place in range(len(slow) - 3))
    assert sources[1:] == ["v7" if late else "v3" for late in slow[:len(sources) - 1]]


# How they end


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("limit", [0, 1, 4])
def test_limit(name: str, limit: int):
    matrix, b = symmetric(16, 1)
    done = run_program(name, matrix, b, LAB, limit=limit)
    ended(done, 2)
    assert done.found.iterations == limit
    assert done.found.relative_residual == pytest.approx(done.residual, rel=1e-3)
    assert (limit == 0) == (done.found.relative_residual == pytest.approx(1.0, abs=1e-6))


@pytest.mark.parametrize("name", PROGRAMS)
def test_zero_right_hand_side_is_done(name: str):
    done = run_program(name, heat(16), np.zeros(16), LAB)
    ended(done, 0)
    assert done.found.iterations == 0 and not done.found.x.any() and done.found.relative_residual == 0.0


@pytest.mark.parametrize("name", ["gcr", "gcr5", "digital"])
def test_a_residual_of_exactly_zero_is_done(name: str):
    """Powers of two through an identity: the codes are exact, and so is x = 2 b, in one iteration."""
    done = run_program(name, np.eye(4), np.array([0.5, 0.25, -0.5, 0.125]), TINY, params=IDEAL, change=with_slot(
        np.eye(4, dtype=np.int64) << 22))
    ended(done, 0)
    assert done.found.iterations == 1
    mantissas, exponent = done.outcome.vectors[2]
    source, shift = done.job.vectors[1]
    assert np.array_equal(np.ldexp(mantissas.astype(float), exponent), np.ldexp(source.astype(float), shift + 1))
    assert done.found.relative_residual == 0.0


def with_slot(elements: np.ndarray) -> Callable[[Job], Job]:
    """A job with another matrix in the slot."""
    return lambda job: replace(job, slots={0: elements})


@pytest.mark.parametrize("name", ["gcr", "gcr5", "digital"])
def test_a_product_of_zero_is_stagnation_and_divides_nothing(name: str):
    matrix, b = symmetric(4)
    done = run_program(name, matrix, b, TINY, change=with_slot(np.zeros((4, 4), dtype=np.int64)))
    ended(done, 3)
    assert done.found.iterations == 1 and not done.outcome.vectors[2][0].any()


@pytest.mark.parametrize("name", PROGRAMS)
def test_beyond_the_mantissas_all_stagnate_near_their_floor(name: str):
    matrix, b = symmetric(16, 4)
    done = run_program(name, matrix, b, LAB, tolerance=2.0 ** -45, limit=200)
    ended(done, 3)
    assert done.residual < 2.0 ** -27
    assert done.found.iterations < 60


def diagonal_job(codes: list[int], elements: list[float], b: list[float], **options: Any) -> Done:
    """Refinement on tiny with a diagonal matrix in the slot and other diagonal codes in the cells."""
    return run_program(
        "refine", np.eye(4), np.array(b), TINY, params=IDEAL, **options,
        change=lambda job: replace(job, codes=np.diag(codes), slots={
            0: np.diag(np.rint(np.ldexp(elements, 23)).astype(np.int64))}))


def test_refinement_that_grows_has_diverged_and_keeps_the_best():
    """Three elements converge by 0.1 a turn; one grows by -1.25 a turn from 2^-9, and takes over."""
    done = diagonal_job([10, 10, 10, 5], [0.6, 0.6, 0.6, 0.75], [1.0, -0.8, 0.6, 2.0 ** -9])
    ended(done, 1)
    sizes = done.sizes("k9")
    best = int(np.argmin(sizes))
    assert 0 < best < len(sizes) - 8 and sizes[-1] > 2 * sizes[best]
    assert sizes[-1] / sizes[-2] == pytest.approx(1.25, rel=0.05)
    assert math.sqrt(done.written("k7")[-1][0]) == sizes[best]
    elements = np.diag(done.job.slots[0]) / 2.0 ** 23
    mantissas, exponent = done.outcome.vectors[2]
    source = np.ldexp(done.job.vectors[1][0].astype(float), -31)
    assert np.linalg.norm(source - elements * np.ldexp(mantissas.astype(float), exponent - 31)) == pytest.approx(
        sizes[best], rel=1e-4)


def test_refinement_that_never_gets_better_answers_nothing():
    done = diagonal_job([5, 5, 5, 5], [0.9, 0.9, 0.9, 0.9], [1.0, 0.5, -0.5, 0.25])
    ended(done, 1)
    assert done.found.iterations == 8 and not done.outcome.vectors[2][0].any()
    assert done.found.relative_residual == pytest.approx(1.0, abs=1e-6)
    # 1 - 0.9 * 3 = -1.7 of it each time
    assert done.sizes("k9")[-1] == pytest.approx(1.7 ** 8 * done.sizes("k7")[0], rel=0.05)


def test_refinement_that_does_not_move_has_stagnated():
    """A factor of -1: r changes its sign and keeps its size."""
    done = diagonal_job([6, 6, 6, 6], [0.8, 0.8, 0.8, 0.8], [1.0, 0.5, -0.5, 0.25])
    ended(done, 3)
    assert 8 <= done.found.iterations <= 20
    assert 0.5 < done.found.relative_residual <= 1.0


def test_slow_refinement_is_not_stagnation():
    """A factor of 0.92 halves ||r||^2 in five turns."""
    done = diagonal_job([15, 15, 15, 15], [0.08, 0.08, 0.08, 0.08], [1.0, 0.5, -0.5, 0.25], limit=400)
    ended(done, 0)
    assert 180 < done.found.iterations < 230


# Sizes


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(("n", "config"), [(1, TINY), (3, TINY), (11, LAB)])
def test_smaller_systems(name: str, n: int, config: ChipConfig):
    matrix, b = (np.array([[3.0]]), np.array([-2.0])) if n == 1 else symmetric(n, 2)
    done = run_program(name, matrix, b, config)
    ended(done, 0)
    assert done.residual <= SLACK * TOLERANCE and done.found.x.shape == (n,)
    assert not done.outcome.vectors[2][0][n:].any()


@pytest.mark.parametrize("name", ["refine", "gcr"])
def test_two_digits_save_iterations(name: str):
    matrix = ensemble("wishart", 8, 30.0, 1)
    b = matrix @ np.random.default_rng(1).standard_normal(8)
    one, two = (run_program(name, matrix, b, LAB, plan=plan_preconditioner(
        matrix, LAB, REFERENCE, digits=digits, method="refine")) for digits in (1, 2))
    for done in (one, two):
        ended(done, 0)
        assert done.residual <= SLACK * TOLERANCE
    assert (two.job.settings.loop_size, two.job.settings.vector_size) == (16, 8)
    assert two.found.iterations < one.found.iterations and two.found.iterations <= 7
    assert not two.outcome.vectors[2][0][8:].any()


# The other programs


def test_right_hand_sides_stream_through():
    matrix, _ = system(16, 6)
    rng = np.random.default_rng(6)
    sides = [matrix @ rng.standard_normal(16) for _ in range(4)]
    scaled = [scale_rhs(b, LAB) for b in sides]
    plan = plan_system(matrix, LAB, REFERENCE)
    job = stream_job(plan, matrix, scaled, LAB)
    machine = Machine(LAB, NumpyMacro(Die.sample(LAB, REFERENCE)))
    outcome, run = predict(machine, job)
    assert (outcome.status.trap, outcome.status.halt_code) == (TrapCause.NONE, 0)
    assert len(outcome.objects) == 4 and not machine.source and not machine.sink
    assert (run.events[Event.BEAT_IN], run.events[Event.BEAT_OUT]) == (5 * 17, 4 * 17)
    held = slot_matrix(job.slots[0], plan)
    for x, b in zip(streamed_answers(plan, scaled, outcome), sides, strict=True):
        assert relative_residual(held, x, b) <= SLACK * TOLERANCE
    # Written once for all, and each takes what one alone takes.
    alone = run_program("gcr", matrix, sides[0], LAB, plan=plan)
    assert run.phases[Phase.PROGRAM] == alone.run.phases[Phase.PROGRAM]
    assert iterations_of(outcome.scalars[K_LONGEST]) == max(counts(run)) >= iterations_of(outcome.scalars[K_COUNT])
    assert counts(run)[-1] == iterations_of(outcome.scalars[K_COUNT])


@pytest.mark.parametrize("case", ["solved", "looked at twice", "at the floor", "right angles", "limit", "stagnated"])
def test_a_stream_of_one_does_what_gcr_does(case: str):
    """All that INV and MAT gave, and the end, in each way that there is through the program."""
    matrix, b = symmetric(16, 9)
    tolerances = {"looked at twice": 2.0 ** -29, "at the floor": 2.0 ** -45}
    options: dict[str, Any] = {"tolerance": tolerances.get(case, TOLERANCE), "params": REFERENCE}
    turn = np.roll(np.eye(16, dtype=np.int64), 1, axis=0)
    if case == "right angles":
        turn[:5, :4] = np.roll(np.eye(5, 4, dtype=np.int64), 1, axis=0)
        turn[[0, 4], 3] = 1, 0
    if case in ("right angles", "limit", "stagnated"):
        matrix, b = np.eye(16), np.eye(16)[0]
        options |= {"change": with_slot(turn << 22), "params": IDEAL}
    if case == "limit":
        options |= {"limit": 2}
    seeds = range(8) if case == "looked at twice" else [0]
    looks = set()
    for seed in seeds:
        if case == "looked at twice":
            matrix = ensemble("wishart", 16, 10.0, seed)
            b = matrix @ np.random.default_rng(seed).standard_normal(16)
        plan = plan_preconditioner(matrix, LAB, options["params"])
        alone = run_program("gcr", matrix, b, LAB, plan=plan, **options)
        job = stream_job(plan, matrix, [scale_rhs(b, LAB)], LAB, tolerance=options["tolerance"],
                         limit=options.get("limit", 60))
        machine = Machine(LAB, NumpyMacro(Die.sample(LAB, options["params"])))
        _, run = predict(machine, replace(job, slots=alone.job.slots))
        given = [[retired.result for retired in which.retired if retired.instruction >> 27 in (INV.opcode, MAT.opcode)]
                 for which in (alone.run, run)]
        assert given[0] == given[1] and len(given[0]) > 2
        assert run.halt_code == alone.run.halt_code
        looks.add((run.halt_code, len(given[0]) - 2 * alone.found.iterations))
    assert looks == {"solved": {(0, 1)}, "at the floor": {(3, 3)}, "right angles": {(0, 1)}, "limit": {(2, 0)},
                     "stagnated": {(3, 1)}}.get(case, looks)
    assert case != "looked at twice" or (0, 2) in looks


def counts(run: Run) -> list[int]:
    """Iterations of each right-hand side of a run of ``multi_rhs``: the count before each reset, and the last."""
    found: list[int] = []
    for retired in run.retired:
        if retired.result is not None and retired.result.register == f"k{K_COUNT}":
            assert retired.result.mantissas is not None
            count = iterations_of(Scalar(retired.result.mantissas[0], retired.result.exponent))
            found = [*found, 0] if count == 0 else [*found[:-1], count]
    return found


def test_the_stream_stops_at_the_first_that_is_not_solved():
    """The first two are solved in one iteration, since their codes are exact; the third is not."""
    plan = plan_system(np.eye(4), TINY, IDEAL)
    sides = [np.array([0.5, 0, 0, 0]), np.array([0, 0.5, 0, 0.5]), np.array([0.5, 0.3123, 0.2718, 0.1414]), np.ones(4)]
    job = stream_job(plan, np.eye(4), [scale_rhs(b, TINY) for b in sides], TINY, limit=1)
    machine = Machine(TINY, NumpyMacro(Die.sample(TINY, IDEAL)))
    outcome, run = predict(machine, job)
    assert (outcome.status.trap, outcome.status.halt_code) == (TrapCause.NONE, 2)
    assert len(outcome.objects) == 2 and counts(run) == [1, 1, 1]
    assert len(machine.source) == 2 * 5  # the fourth, and the end
    assert iterations_of(outcome.scalars[K_LONGEST]) == 1


def test_an_empty_stream_and_a_zero_right_hand_side():
    plan = plan_system(np.eye(4), TINY, IDEAL)
    outcome, _ = predict(Machine(TINY, NumpyMacro(Die.sample(TINY, IDEAL))), stream_job(plan, np.eye(4), [], TINY))
    assert (outcome.status.trap, outcome.status.halt_code, outcome.objects) == (TrapCause.NONE, 0, ())
    with pytest.raises(InputError, match="^right-hand side 1: zero, its solution is zero; leave it out of the stream$"):
        stream_job(plan, np.eye(4), [scale_rhs(np.ones(4), TINY), scale_rhs(np.zeros(4), TINY)], TINY)


@pytest.mark.parametrize(("matrix", "config", "params"), [
    (heat(64), CHIP, REFERENCE), (7.0 * heat(16), LAB, REFERENCE), (ensemble("wishart", 13, 6.0, 1), LAB, REFERENCE),
    (ensemble("spdlog", 4, 5.0, 2), TINY, REFERENCE)])
def test_smallest_eigenvalue(matrix: np.ndarray, config: ChipConfig, params: AnalogParams):
    start = np.random.default_rng(0).standard_normal(len(matrix))
    plan = plan_preconditioner(matrix, config, params)
    done = run_program("power_iteration", matrix, start, config, params=params, plan=plan, tolerance=2.0 ** -18,
                       limit=400)
    ended(done, 0)
    values, vectors = np.linalg.eigh(done.matrix)
    assert eigenvalue(plan, done.outcome) == pytest.approx(values[0], rel=1e-6)
    v = np.ldexp(done.outcome.vectors[2][0][:len(matrix)].astype(float), -31)
    gap = (values[1] - values[0]) / values[0]
    assert abs(v @ vectors[:, 0]) / np.linalg.norm(v) > 1 - (2.0 ** -17 / gap) ** 2
    # The loop alone would end at the eigenvector of the codes.
    held = np.linalg.eigvalsh(plan.matrix(config))[0]
    assert plan.rounding_error < 1e-12 or abs(held / values[0] - 1) > 1e-3


def test_eigenvalue_limits_and_a_start_of_zero():
    done = run_program("power_iteration", heat(16), np.ones(16), LAB, limit=2, tolerance=2.0 ** -20)
    ended(done, 2)
    assert done.found.iterations == 2
    done = run_program("power_iteration", heat(16), np.zeros(16), LAB)
    ended(done, 3)


def test_chop_takes_the_offset_out():
    """Offsets of 2 mV are worth many codes; what is left of them is what rounding leaves."""
    params = replace(IDEAL, offset_sigma_V=2e-2, seed=5)
    matrix = heat(16)
    b = matrix @ (0.3 * np.random.default_rng(2).standard_normal(16))
    plan, rhs = plan_system(matrix, LAB, params), scale_rhs(b, LAB)
    machine = Machine(LAB, NumpyMacro(Die.sample(LAB, params)))
    answers, exponents = {}, {}
    for name, job in (("solve", solve_job(plan, rhs, LAB)), ("chop", chop_job(plan, rhs, LAB))):
        outcome, run = predict(machine, job)
        assert (outcome.status.trap, outcome.status.halt_code) == (TrapCause.NONE, 0)
        answers[name] = np.ldexp(outcome.vectors[2][0].astype(float), outcome.vectors[2][1] - 31)
        exponents[name] = machine.settings.drive_range
    drive = np.clip(np.rint(rhs.mantissas / 2.0 ** 24), -127, 127) / 128
    exact = np.linalg.solve(plan.codes / LAB.code_max, drive)
    lsb = 2.0 ** (exponents["chop"] - 7)
    left = {name: np.abs(x - exact).max() / lsb for name, x in answers.items()}
    assert 3 < left["solve"] < 0.5 * np.abs(exact).max() / lsb and left["chop"] < 0.51


# Scalars and slots


@pytest.mark.parametrize("value", [1.0, -1.0, 0.5, 2.0 ** 48, 2.0 ** -60, 3.0, 1e-5, -7e9, 1 - 2.0 ** -30, 2.0 ** -480])
def test_scalars_are_the_nearest_to_a_number(value: float):
    scalar = scalar_of(value)
    assert 1 << 22 <= abs(scalar.mantissa) < 1 << 23
    assert scalar_value(scalar) == pytest.approx(value, rel=2.0 ** -23)
    assert scalar_value(scalar_of(scalar_value(scalar))) == scalar_value(scalar)


def test_powers_of_two_and_counts():
    assert power_of_two(0) == ONE and scalar_value(power_of_two(-1)) == 0.5
    assert scalar_value(power_of_two(60)) == 2.0 ** 60
    assert [iterations_of(power_of_two(count)) for count in (0, 1, LIMIT_MAX)] == [0, 1, LIMIT_MAX]
    assert scalar_value(Scalar(0, 5)) == 0.0


@pytest.mark.parametrize(("tolerance", "limit", "said"), [
    (0.0, 60, "tolerance must be at least 2e-77 and below 1, not 0.0"),
    (1.0, 60, "tolerance must be at least 2e-77 and below 1, not 1.0"),
    (0.1, -1, "limit must be 0 to 500 iterations, not -1"), (0.1, 501, "limit must be 0 to 500 iterations, not 501")])
def test_refused_limits(tolerance: float, limit: int, said: str):
    with pytest.raises(InputError, match=f"^{said}$"):
        limits(tolerance, limit)


def test_a_program_that_never_began_has_no_answer():
    """A trap of PROG, on a chip where another job left its count and its residual."""
    matrix, b = system(16)
    done = run_program("gcr", matrix, b, LAB)
    assert done.found.solved and done.found.iterations > 0
    machine = Machine(LAB, NumpyMacro(Die.sample(LAB, REFERENCE, stuck=((0, 3, 3, 0),))))
    machine.scalars[K_COUNT], machine.scalars[K_R] = Scalar(1 << 22, 9), Scalar(1 << 22, 3)
    outcome, _ = predict(machine, done.job)
    found = answer(done.plan, scale_rhs(b, LAB), outcome)
    assert outcome.status.trap is TrapCause.VERIFY
    assert not found.solved and found.iterations == 0 and math.isnan(found.relative_residual)


def test_the_count_reaches_its_largest_limit():
    """2^500 is still a scalar; without the loop, on a matrix that conjugate residuals do not get anywhere with."""
    gaussian = 0.2 * np.random.default_rng(0).standard_normal((16, 16))
    done = run_program("digital", heat(16), np.eye(16)[0], LAB, limit=LIMIT_MAX, change=with_slot(
        np.rint(np.ldexp(gaussian, 23)).astype(np.int64)))
    assert done.outcome.status.trap == TrapCause.NONE
    assert (done.outcome.status.halt_code, done.found.iterations) == (2, LIMIT_MAX)


@pytest.mark.parametrize("config", [TINY, LAB, CHIP, CONFIGS["chip64hp"]], ids=lambda c: c.name)
def test_slot_and_codes_are_one_matrix(config: ChipConfig):
    matrix, _ = system(config.size, 8)
    plan = plan_system(matrix, config, REFERENCE)
    elements = slot_elements(matrix, plan, config)
    assert np.abs(elements).max() < 1 << 23
    # One factor for both: apart by half a code, and by half a step of the slot from A.
    assert np.abs(elements / 2.0 ** 23 - plan.codes / config.code_max).max() <= 0.51 / config.code_max
    assert np.abs(slot_matrix(elements, plan) - matrix).max() <= 0.5001 * 2.0 ** -23 * plan.alpha


def test_slots_of_smaller_systems_are_zero_around():
    plan = plan_system(np.eye(3), TINY, REFERENCE)
    elements = slot_elements(np.eye(3), plan, TINY)
    assert not elements[3].any() and not elements[:, 3].any() and elements[0, 0] > 0

"""One system solved on the golden machine with everything recorded: what the page, the trace and the waveform show."""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.energy.digital import Row, digital_rows
from ohmloop.energy.model import Energy
from ohmloop.energy.recorded import energy_of_run
from ohmloop.errors import InputError
from ohmloop.golden.convert import result_mantissas
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.vector import Scalar
from ohmloop.host.job import RESULT, Job, Outcome, predict
from ohmloop.host.system import (
    K_COUNT,
    LIMIT_MAX,
    answer,
    iterations_of,
    iterative_job,
    scalar_value,
    slot_matrix,
    solve_job,
)
from ohmloop.plan.planner import plan_preconditioner, plan_system
from ohmloop.plan.reference import digital_solve, relative_error, relative_residual
from ohmloop.plan.scaling import Plan, ScaledVector, scale_rhs, unscale
from ohmloop.report.main_job import System
from ohmloop.report.timeline import Timeline, timeline_of
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import MANTISSA_BITS
from ohmloop_hdl.isa import INSTRUCTIONS, INV, OPCODE_LOW, PROG
from ohmloop_hdl.sequencer.traps import TrapCause

PROGRAMS = ("solve", "refine", "gcr", "gcr5", "digital")
"""Programs that a report is made of."""

RESIDUALS = {"refine": "k9"}
"""Scalar that holds the square of each new residual, where it is not k7."""

HALTS = {0: "done", 1: "diverged", 2: "limit of iterations", 3: "stagnated"}
"""What the halt codes say."""

ONE_SHOT_BITS, ITERATED_BITS = 8, 32
"""Width of the digital machine that a run is compared with: the converters of one solve, the vectors of a program."""


@dataclass(frozen=True)
class Step:
    """Where an iteration of a program, or a scan of a single solve, had got to.

    ``number``: of the iteration, 0 in front of the first, or of the scan. ``clock``: at which x was written last.
    ``residual``: ||b - A x|| / ||b|| in float64, with the 24-bit matrix of the slot where there is one. ``own``: the
    same as the chip knew it; NaN where it does not.
    """

    number: int
    clock: int
    residual: float
    own: float = math.nan


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """A system, its plan, and the recorded run of one program on it."""

    system: System
    program: str
    die: Die
    plan: Plan
    rhs: ScaledVector
    job: Job
    outcome: Outcome
    run: Run

    @property
    def config(self) -> ChipConfig:
        """Of the chip."""
        return self.die.config

    @property
    def bits(self) -> int:
        """Width of the digital machine to compare with."""
        return ONE_SHOT_BITS if self.program == "solve" else ITERATED_BITS

    @property
    def solved(self) -> bool:
        """It halted, with code 0."""
        return self.run.trap is TrapCause.NONE and self.run.halt_code == 0

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.run.trap is not TrapCause.NONE:
            return f"trap: {self.run.trap.name.lower()}"
        return HALTS.get(self.run.halt_code, f"halt code {self.run.halt_code}")

    @property
    def iterations(self) -> int | None:
        """Iterations that the program counted; None where it does not count."""
        return None if self.program == "solve" else answer(self.plan, self.rhs, self.outcome).iterations

    @cached_property
    def x(self) -> np.ndarray:
        """The answer (n,) in the user's unit."""
        return unscale(self.plan, self.rhs, self.outcome.mantissas, self.outcome.exponent)

    @property
    def residual(self) -> float:
        """||b - A x|| / ||b||, in float64."""
        return relative_residual(self.system.matrix, self.x, self.system.b)

    @property
    def error(self) -> float:
        """||x - exact|| / ||exact||."""
        return relative_error(self.x, self.system.exact)

    @property
    def error_digital(self) -> float | None:
        """The same against a digital solve of the same codes with the same converters; None for programs that go on,
        and where there is no answer."""
        if self.program != "solve" or not self.solved:
            return None
        return relative_error(self.x, digital_solve(self.plan, self.system.b, self.config))

    @property
    def time_s(self) -> float:
        """Time on the chip."""
        return self.run.cycles * self.die.params.clock_s

    @cached_property
    def timeline(self) -> Timeline:
        """Everything over clocks."""
        return timeline_of(self.run, self.job.settings, self.job.codes, self.die)

    @cached_property
    def energy(self) -> Energy:
        """Of the whole run."""
        return self.energy_between(0, self.run.cycles)

    def energy_between(self, start: int, end: int) -> Energy:
        """Of some instructions."""
        return energy_of_run(self.run, self.job.codes, self.config, self.die.params, start=start, end=end)

    @cached_property
    def instructions(self) -> dict[str, tuple[int, int, float]]:
        """Times it ran, clocks and joules by name of instruction, the most expensive first."""
        names = {instruction.opcode: instruction.name for instruction in INSTRUCTIONS}
        sums, start = defaultdict(lambda: np.zeros(3)), 0
        for retired in self.run.retired:
            joules = self.energy_between(start, retired.cycles).total_J
            sums[names[retired.instruction >> OPCODE_LOW]] += (1, retired.cycles - start, joules)
            start = retired.cycles
        ranked = sorted(sums.items(), key=lambda item: -item[1][2])
        return {name: (int(times), int(clocks), float(joules)) for name, (times, clocks, joules) in ranked}

    @property
    def energy_steps(self) -> list[tuple[int, float]]:
        """Clock of each retirement, and joules by then."""
        steps, start = [(0, 0.0)], 0
        for retired in self.run.retired:
            joules = self.energy_between(start, retired.cycles).total_J
            steps.append((retired.cycles, steps[-1][1] + joules))
            start = retired.cycles
        return steps

    @property
    def writing(self) -> tuple[int, float]:
        """Clocks and joules of writing the arrays."""
        _, clocks, joules = self.instructions.get(PROG.name, (0, 0, 0.0))
        return clocks, joules

    @property
    def solves(self) -> int:
        """Times that INV retired."""
        return self.instructions.get(INV.name, (0, 0, 0.0))[0]

    @property
    def digital_rows(self) -> tuple[Row, Row]:
        """What digital machines need for the same system."""
        return digital_rows(self.plan.n, self.bits)

    @cached_property
    def steps(self) -> list[Step]:
        """The residual on its way down, by iteration; by scan where the program solves once."""
        return self._scanned() if self.program == "solve" else self._iterated()

    @cached_property
    def held_matrix(self) -> np.ndarray:
        """The n x n matrix whose residual is made small: that of the slot, to 24 bits; A for a single solve."""
        return slot_matrix(self.job.slots[0], self.plan) if self.job.slots else self.system.matrix

    def _scanned(self) -> list[Step]:
        found, scans = [], self.run.scans
        for closing, behind in zip(self.timeline.closings, [*self.timeline.closings[1:], None], strict=True):
            for number in range(closing.first_scan, behind.first_scan if behind else len(scans)):
                if not scans[number].clipped:
                    x = unscale(self.plan, self.rhs, result_mantissas(scans[number].codes, self.config),
                                self.rhs.exponent + closing.drive_range)
                    found.append(Step(number + 1, closing.closed + scans[number].clock, self._residual(x)))
        return found

    def _iterated(self) -> list[Step]:
        b = np.linalg.norm(np.ldexp(self.rhs.mantissas.astype(float), self.rhs.exponent - (MANTISSA_BITS - 1)))
        steps = [Step(0, 0, 1.0)]
        for retired in self.run.retired:
            result = retired.result
            if result is None or result.mantissas is None:
                continue
            if result.register == f"v{RESULT}":
                x = unscale(self.plan, self.rhs, np.array(result.mantissas), result.exponent)
                steps[-1] = replace(steps[-1], clock=retired.cycles, residual=self._residual(x))
                continue
            scalar = Scalar(result.mantissas[0], result.exponent)
            if result.register == f"k{K_COUNT}" and iterations_of(scalar) > steps[-1].number:
                steps.append(replace(steps[-1], number=iterations_of(scalar), clock=retired.cycles))
            elif result.register == RESIDUALS.get(self.program, "k7"):
                own = math.sqrt(max(0.0, scalar_value(scalar))) / float(b or 1.0)
                steps[-1] = replace(steps[-1], own=own)
        return steps

    def _residual(self, x: np.ndarray) -> float:
        return relative_residual(self.held_matrix, x, self.system.b)


def record_run(system: System, program: str, die: Die) -> RecordedRun:
    """Plan a system, run a program on it, and keep everything.

    Errors: :class:`InputError` for an unknown program and for what the planner refuses.
    """
    if program not in PROGRAMS:
        raise InputError(f"--program must be one of {', '.join(PROGRAMS)}, not {program!r}")
    config = die.config
    if program in ("solve", "digital"):
        plan = plan_system(system.matrix, config, die.params, allow_shift=program == "digital")
    else:
        plan = plan_preconditioner(system.matrix, config, die.params, method="refine" if program == "refine" else "gcr")
    return _run(system, program, die, plan)


def open_loop(recorded: RecordedRun) -> RecordedRun | None:
    """The same system on the same chip with its loop open: program ``digital`` with as many iterations as can be
    counted; None beside a single solve, which it does not compare with."""
    if recorded.program in ("solve", "digital"):
        return None
    return _run(recorded.system, "digital", recorded.die, recorded.plan, LIMIT_MAX)


def _run(system: System, program: str, die: Die, plan: Plan, limit: int = 60) -> RecordedRun:
    rhs = scale_rhs(system.b, die.config)
    job = solve_job(plan, rhs, die.config) if program == "solve" else \
        iterative_job(program, plan, system.matrix, rhs, die.config, limit=limit)
    outcome, run = predict(Machine(die.config, NumpyMacro(die), record=True), job)
    return RecordedRun(system, program, die, plan, rhs, job, outcome, run)

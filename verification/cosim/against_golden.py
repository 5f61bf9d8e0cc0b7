"""A chip in a simulator and the golden machine, given the same jobs: everything that either shows must be equal."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.engines.operations import Read
from ohmloop.engines.simulator import SimulatorEngine
from ohmloop.engines.trace import Trace
from ohmloop.golden.assembler import program
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.settings import Settings
from ohmloop.host.comparison import compare
from ohmloop.host.driver import Driver
from ohmloop.host.job import SOURCE, Job, Outcome, job_script, predict
from ohmloop.host.system import solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import Plan, scale_rhs
from ohmloop_hdl.config import ChipConfig

SOLVE = program("solve")
"""The program whose result v2 is A^-1 v1."""


@dataclass
class Pair:
    """One simulated chip and one golden machine with the same die and the same history."""

    engine: SimulatorEngine
    machine: Machine
    driver: Driver
    codes: int = 0
    """Codes compared so far."""
    ties: int = 0
    """How many of them lay within 1e-6 LSB of a threshold: rounding might have decided those."""

    @property
    def config(self) -> ChipConfig:
        """Configuration of both."""
        return self.machine.config

    def run(self, job: Job, what: str) -> tuple[Outcome, Run]:
        """Run a job on both; codes of every scan, clocks of every phase, status and result must agree."""
        self.engine.take_trace()
        outcome = self.engine.execute(job_script(self.config, job))
        trace = self.engine.take_trace()
        expected, run = predict(self.machine, job)

        seen = compare(outcome, trace, expected, run)
        self.codes += seen.codes_total
        self.ties += seen.ties
        assert seen.agrees, f"{what}: {first_difference(outcome, trace, expected, run)}; {seen}"
        assert not self.register("STATUS.loop_closed"), f"{what}: the loop is still closed"
        assert self.register("RANGES.drive_range") == self.machine.settings.drive_range, what
        assert self.register("RANGES.feedback") == self.machine.settings.feedback, what
        return outcome, run

    def register(self, field: str) -> int:
        """A field of a register."""
        place = self.driver.map.fields[field]

        def script():
            (word,) = yield Read(place.address)
            return (word & place.mask) >> place.low
        return self.engine.execute(script())

    def report(self) -> str:
        """What was compared, for the test's output."""
        return f"{self.engine.name} {self.config.name}: {self.codes} codes equal, {self.ties} of them ties"


def first_difference(outcome: Outcome, trace: Trace, expected: Outcome, run: Run) -> str:
    """In words, what went apart first: a code, the number of scans, a phase, the status, the result."""
    for number, (codes, scan) in enumerate(zip(trace.scans, run.scans, strict=False)):
        wrong = np.flatnonzero(codes != scan.codes)
        if len(wrong):
            return f"scan {number} reads {codes[wrong]} at outputs {wrong}, not {scan.codes[wrong]}"
    if len(trace.scans) != len(run.scans):
        return f"{len(trace.scans)} scans, not {len(run.scans)}"
    if trace.phases != run.phases:
        return f"clocks by phase {trace.phases}, not {run.phases}"
    return f"{outcome}, not {expected}"


@contextmanager
def pair(engine: str, die: Die, work: Path) -> Iterator[Pair]:
    """Both machines; leaving checks the contract checker inside the simulation and prints what was compared."""
    machine = Machine(die.config, NumpyMacro(die))
    with SimulatorEngine(engine, die, work) as simulated:
        both = Pair(simulated, machine, Driver(die.config))
        yield both
    print(both.report())


def planned_job(plan: Plan, b: np.ndarray, config: ChipConfig, words: list[int] = SOLVE, **changes: int) -> Job:
    """The job of a plan and a right-hand side (n,), with another program or changed settings."""
    job = solve_job(plan, scale_rhs(b, config), config)
    return replace(job, program=words, settings=replace(job.settings, **changes))


def job_of(matrix: np.ndarray, b: np.ndarray, die: Die, **changes: int) -> Job:
    """The job of a system that the planner accepts for this die."""
    return planned_job(plan_system(matrix, die.config, die.params), b, die.config, SOLVE, **changes)


def driven_job(codes: np.ndarray, mantissas: np.ndarray, settings: Settings, exponent: int = 0) -> Job:
    """The job that solves for a vector as it stands, whatever a planner would say of the codes."""
    return Job(codes, settings, SOLVE, {SOURCE: (mantissas, exponent)})


def driven(job: Job, config: ChipConfig) -> np.ndarray:
    """What v1 of a job puts on the inputs, over 2^exponent: its mantissas rounded to input codes."""
    half = 1 << config.dac_bits - 1
    mantissas, _ = job.vectors[SOURCE]
    levels = np.clip(np.rint(mantissas / (1 << 32 - config.dac_bits)), 1 - half, half - 1) / half
    levels[job.settings.vector_size:] = 0
    return levels


def solution(job: Job, config: ChipConfig) -> np.ndarray:
    """What INV of v1 is to return, over 2^exponent: (codes/C)^-1 times the input, in real numbers."""
    return np.linalg.solve(job.codes / config.code_max, driven(job, config))


def product(job: Job, config: ChipConfig) -> np.ndarray:
    """What MUL of v1 is to return, likewise."""
    return job.codes / config.code_max @ driven(job, config)


def error_lsb(job: Job, outcome: Outcome, exact: np.ndarray, config: ChipConfig) -> float:
    """Largest distance of a result from the exact one, in LSB of the range that gave it."""
    scale = outcome.exponent - job.vectors[SOURCE][1]
    if not outcome.mantissas.any():
        # A zero has the exponent of a zero, whatever range it was too small for.
        scale = max(job.settings.drive_range, config.size.bit_length() - 1 + 2 * 3 - 4)
    values, lsb = outcome.mantissas * 2.0 ** (scale - 31), 2.0 ** (scale - (config.adc_bits - 1))
    return float(np.abs(values - exact)[:job.settings.vector_size].max() / lsb)

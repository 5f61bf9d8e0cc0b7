"""A job: one program on one system, as a script for any engine."""

from dataclasses import dataclass

import numpy as np

from ohmloop.engines.operations import Script
from ohmloop.golden.assembler import program
from ohmloop.golden.machine import Machine, Run, Settings
from ohmloop.host.device import Device, Status
from ohmloop.plan.scaling import Plan, ScaledVector
from ohmloop_hdl.config import ChipConfig

SOURCE, RESULT = 1, 2
"""Vector registers that a job drives from and reads back."""


@dataclass(frozen=True)
class Job:
    """A system and the program that works on it.

    ``codes`` (N, N) signed cell codes; ``mantissas`` (N,) and ``exponent`` of v1; ``program`` instruction words from
    address 0; the result is read from v2.
    """

    codes: np.ndarray
    mantissas: np.ndarray
    exponent: int
    settings: Settings
    program: list[int]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: status, mantissas (N,) and exponent of v2."""

    status: Status
    mantissas: np.ndarray
    exponent: int


def solve_job(plan: Plan, rhs: ScaledVector, config: ChipConfig) -> Job:
    """The job that runs ``solve`` once with a plan's codes, waiting times and sizes."""
    settings = Settings.reset(
        config, loop_size=plan.n, vector_size=plan.n, solve_interval=plan.interval_cycles,
        timeout=plan.timeout_cycles, tolerance=plan.tolerance, bandwidth=plan.bandwidth)
    return Job(np.asarray(plan.codes), rhs.mantissas, rhs.exponent, settings, program("solve"))


def job_script(config: ChipConfig, job: Job) -> Script[Outcome]:
    """Load everything, run, read back."""
    device = Device(config)
    yield from device.identify()
    yield from device.configure(job.settings)
    yield from device.load_program(job.program)
    yield from device.load_codes(job.codes)
    yield from device.load_vector(SOURCE, job.mantissas, job.exponent)
    status = yield from device.run()
    mantissas, exponent = yield from device.read_vector(RESULT)
    return Outcome(status, mantissas, exponent)


def predict(machine: Machine, job: Job) -> tuple[Outcome, Run]:
    """What the golden machine says that the chip will do with the job."""
    machine.settings = job.settings.copy()
    machine.program[:len(job.program)] = job.program
    machine.codes[:] = job.codes
    machine.mantissas[SOURCE], machine.exponents[SOURCE] = job.mantissas, job.exponent
    run = machine.run()
    status = Status(run.trap, run.halt_code, run.pc, run.cycles, int(machine.bad_map.sum()))
    return Outcome(status, machine.mantissas[RESULT].copy(), int(machine.exponents[RESULT])), run

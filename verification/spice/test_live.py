"""The chip in both simulators around ngspice in lock-step, and around the numpy macro on its pins."""

from pathlib import Path

import numpy as np
import pytest
from verification.cosim.against_golden import driven_job, planned_job
from verification.cosim.conftest import installed

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.simulator import SimulatorEngine
from ohmloop.ensembles import ENSEMBLES, ensemble
from ohmloop.errors import InputError
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.host.comparison import Comparison, compare
from ohmloop.host.job import Job, job_script, predict
from ohmloop.plan.planner import plan_system
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.sequencer.traps import TrapCause

WORK = Path(__file__).resolve().parents[2] / "build" / "cosim"

SOLVE, MULTIPLY = assemble("PROG\nINV v2, v1\nHALT 0"), assemble("PROG\nMUL v2, v1\nHALT 0")
"""One instruction a job: where a code at the edge of settled asks for a scan more, later loops would not line up."""


def runs(engine: str, die: Die, body: str, jobs: list[Job]) -> list[tuple[Comparison, TrapCause]]:
    """Jobs one after the other on the chip and on the golden machine."""
    machine, found = Machine(die.config, NumpyMacro(die)), []
    with SimulatorEngine(installed(engine), die, WORK, body=body) as chip:
        for job in jobs:
            outcome = chip.execute(job_script(die.config, job))
            found.append((compare(outcome, chip.take_trace(), *predict(machine, job)), outcome.status.trap))
    return found


def solves(config: ChipConfig, params: AnalogParams, count: int, first: int) -> list[Job]:
    """Planned systems of all ensembles in turn with random right-hand sides, small enough that no output passes a rail
    on its way: the golden machine looks at rails in samples only."""
    rng, jobs = np.random.default_rng(first), []
    for k in range(first, first + count):
        matrix = ensemble(list(ENSEMBLES)[k % len(ENSEMBLES)], config.size, 10.0, k)
        plan = plan_system(matrix, config, params, allow_shift=True)
        program = MULTIPLY if k % 5 == 4 else SOLVE
        jobs.append(planned_job(plan, 0.5 * rng.uniform(-1, 1, config.size), config, program, drive_range=3))
    return jobs


@pytest.mark.parametrize(("engine", "config", "count", "first"), [
    ("icarus", "tiny", 8, 0), ("verilator", "tiny", 12, 8), ("icarus", "lab", 2, 0), ("verilator", "lab", 3, 2)])
def test_codes_of_ngspice_are_those_predicted(engine: str, config: str, count: int, first: int):
    """In scans that do not clip every code is as predicted or next to it; nearly all are equal."""
    params = AnalogParams.reference()
    die = Die.sample(CONFIGS[config], params)
    found = runs(engine, die, "spice", solves(die.config, params, count, first))
    assert len(found) == count and all(trap == TrapCause.NONE for _, trap in found)
    for seen, _ in found:
        assert seen.codes_judged >= 2 * die.config.size and seen.near, seen
    print(f"{engine} {config}: {sum(seen.codes_equal for seen, _ in found)} of "
          f"{sum(seen.codes_total for seen, _ in found)} codes equal, "
          f"{sum(seen.codes_near for seen, _ in found)} of {sum(seen.codes_judged for seen, _ in found)} within 1 LSB")


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
def test_runaways_and_clips_end_in_the_trap(engine: str):
    """A loop that grows, with and without drive and however soon it is looked at, and one that no range can hold."""
    die = Die.sample(CONFIGS["tiny"], AnalogParams.reference())
    identity, chip = 15 * np.eye(4, dtype=np.int64), die.config
    grows, steep = identity.copy(), identity.copy()
    grows[2:, 2:] = [[5, 10], [10, 5]]
    steep[0, 0] = 0  # no feedback around the first amplifier: its open gain
    full = np.array([1, -1, 1, -1]) * (1 << 30)
    jobs = [driven_job(codes, drive, Settings.reset(chip, solve_interval=interval, drive_range=6))
            for codes, drive in ((grows, full), (grows, 0 * full), (steep, full)) for interval in (2, 60)]
    jobs.append(driven_job(identity, full, Settings.reset(chip)))
    *wrong, (sound, trap) = runs(engine, die, "spice", jobs)
    assert all(cause == TrapCause.CLIP for _, cause in wrong), wrong
    assert all(seen.same_trap for seen, _ in wrong)
    assert trap == TrapCause.NONE and sound.near


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
def test_numpy_on_the_pins_is_what_was_predicted(engine: str):
    """Bit for bit and clock for clock: the shell and what drives it lose no edge."""
    params = AnalogParams.reference()
    die = Die.sample(CONFIGS["tiny"], params)
    for seen, _ in runs(engine, die, "numpy", solves(die.config, params, 5, 0)):
        assert seen.agrees, seen


def test_another_body_is_refused():
    die = Die.sample(CONFIGS["tiny"], AnalogParams.ideal())
    with pytest.raises(InputError, match="body must be one of numpy, spice"):
        SimulatorEngine("icarus", die, WORK, body="verilog")

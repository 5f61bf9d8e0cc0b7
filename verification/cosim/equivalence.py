"""The equivalence campaign: many systems through the generated Verilog, every code and clock against prediction.

Run as ``make equivalence`` (the whole campaign) or ``make equivalence ARGS=--quick``. Named ensembles, structured
integer matrices and loops that end on exact ties are planned, programmed and solved one after the other in one
simulation; the golden machine runs the same jobs. Prints a line a simulator and configuration, and a last line that
sums up. Exit code 1 where anything differs that a tie does not explain.
"""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.engines.simulator import SimulatorEngine, builds_folder
from ohmloop.ensembles import ENSEMBLES, STRUCTURED, ensemble, structured
from ohmloop.errors import InputError
from ohmloop.golden.assembler import program
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.host.comparison import compare
from ohmloop.host.job import SOURCE, Job, job_script, predict
from ohmloop.host.system import solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import CONFIGS, ChipConfig

ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = (10.0, 30.0)

CAMPAIGN = {
    "verilator": {"tiny": 200, "lab": 200, "chip64": 20, "chip64hp": 5},
    "icarus": {"tiny": 200, "lab": 50, "chip64": 3},
}
"""Systems of each ensemble, by simulator and configuration."""

QUICK = {
    "verilator": {"tiny": 4, "lab": 4, "chip64": 1},
    "icarus": {"tiny": 4, "lab": 2},
}


@dataclass
class Tally:
    """Sums over the jobs of one simulator and configuration."""

    engine: str
    config: str
    systems: int = 0
    refused: int = 0
    codes: int = 0
    equal: int = 0
    ties: int = 0
    tied_differences: int = 0
    cycles_differ: int = 0
    unexplained: int = 0
    clocks: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (f"{self.engine:9} {self.config:8} {self.systems:5} systems ({self.refused} refused by the planner): "
                f"{self.equal} of {self.codes} codes equal, {self.ties} ties, {self.tied_differences} differences "
                f"at ties, {self.cycles_differ} cycle counts differ, {self.unexplained} unexplained; "
                f"{self.clocks} clocks of programs, {self.seconds:.0f} s")


def jobs(config: ChipConfig, params: AnalogParams, count: int, seed: int, tally: Tally) -> Iterator[Job]:
    """``count`` planned systems of every ensemble and every structured matrix once, with random right-hand sides.

    The diagonal may be shifted: what counts is that the loop is stable and signed, not whose system it is. What the
    planner refuses all the same is counted and left out.
    """
    rng = np.random.default_rng(seed)
    named = [(name, k) for k in range(count) for name in ENSEMBLES]
    for name, k in [*((name, -1) for name in STRUCTURED), *named]:
        if k < 0:
            matrix = structured(name, config.size).astype(float)
        else:
            matrix = ensemble(name, config.size, CONDITIONS[k % len(CONDITIONS)], seed + k)
        b = matrix @ rng.integers(-8, 9, config.size) if k < 0 else matrix @ rng.normal(size=config.size)
        try:
            plan = plan_system(matrix, config, params, allow_shift=True)
        except InputError:
            tally.refused += 1
            continue
        yield solve_job(plan, scale_rhs(b, config), config)


def tie_jobs(config: ChipConfig, seed: int) -> Iterator[Job]:
    """Loops whose settled outputs lie exactly halfway between two codes: V = -3/2 d, alone and in pairs.

    The diagonal code is 2/3 of C, so an odd input code ends on a threshold, but for the 2^-20 LSB by which every body
    keeps its thresholds low. Exact ties only appear when the loop has had time to settle to that.
    """
    rng = np.random.default_rng(seed)
    diagonal = 2 * config.code_max // 3
    settings = Settings.reset(config, solve_interval=600, timeout=6000)
    below = np.eye(config.size, k=-1, dtype=np.int64)
    below[::2] = 0
    for codes in (np.eye(config.size, dtype=np.int64), np.eye(config.size, dtype=np.int64) + below):
        inputs = 2 * rng.integers(-10, 10, config.size) + 1
        drive = inputs << 32 - config.dac_bits
        yield Job(diagonal * codes, settings, program("solve"), {SOURCE: (drive, 0)})


def run(engine: str, config_name: str, count: int, seed: int, params: AnalogParams) -> Tally:
    """One simulator and configuration."""
    config = CONFIGS[config_name]
    tally, started = Tally(engine, config_name), time.monotonic()
    die = Die.sample(config, params)
    machine = Machine(config, NumpyMacro(die))
    with SimulatorEngine(engine, die, builds_folder()) as chip:
        for job in (*tie_jobs(config, seed), *jobs(config, params, count, seed, tally)):
            outcome = chip.execute(job_script(config, job))
            predicted, expected = predict(machine, job)
            found = compare(outcome, chip.take_trace(), predicted, expected)
            tally.systems += 1
            tally.codes += found.codes_total
            tally.equal += found.codes_equal
            tally.ties += found.ties
            tally.tied_differences += found.tied_differences
            tally.cycles_differ += not found.same_cycles
            tally.unexplained += not found.explained
            tally.clocks += outcome.status.cycles
    tally.seconds = time.monotonic() - started
    return tally


def campaign(plan: dict[str, dict[str, int]], seed: int, params: AnalogParams, workers: int = 2) -> list[Tally]:
    """All simulators and configurations of ``plan``, two at a time; prints each as it ends."""
    tallies = []
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(run, engine, config, count, seed, params)
                   for engine, configs in plan.items() for config, count in configs.items()]
        for future in as_completed(futures):
            tallies.append(future.result())
            print(tallies[-1], flush=True)
    return tallies


def main() -> int:
    """Parse the options, run, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few systems of each ensemble")
    parser.add_argument("--reference", action="store_true", help="the reference analogue half instead of the ideal one")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    params = AnalogParams.reference() if options.reference else AnalogParams.ideal()
    print(f"seed {options.seed}", flush=True)
    tallies = campaign(QUICK if options.quick else CAMPAIGN, options.seed, params)
    total, equal = sum(t.codes for t in tallies), sum(t.equal for t in tallies)
    unexplained = sum(t.unexplained for t in tallies)
    print(f"{sum(t.systems for t in tallies)} systems on {len({t.engine for t in tallies})} simulators: "
          f"{equal} of {total} codes equal, {sum(t.ties for t in tallies)} ties, {unexplained} systems unexplained")
    return int(unexplained > 0)


if __name__ == "__main__":
    ends("equivalence", main)

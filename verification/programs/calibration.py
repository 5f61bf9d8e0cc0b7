"""How much digital calibration mends: solves through the RTL on chips whose amplifiers and converters are far off.

A chip has 5 mV of raw offset and converters with 5 % gain error; cells, gain and noise are those of the reference. For
each system and chip, errors against the exact solution of what was programmed and driven:

* *neither*: the same chip with neither error;
* *raw*: no auto-zero (one that leaves all of the offset), nothing corrected;
* *zeroed*: auto-zero alone, which leaves a tenth;
* *calibrated*: auto-zero, and the correction memory as :func:`ohmloop.host.calibration.calibrate` fills it;
* *INV cal*: the same gains, but offsets as the instruction measures them;
* *chop*: the same gains, no offsets: +b and -b.

A solve that traps has an infinite error. The table shows medians over chips.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.linalg import toeplitz

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.engines.cosim import ENGINES
from ohmloop.engines.operations import Script
from ohmloop.engines.simulator import SimulatorEngine, builds_folder
from ohmloop.ensembles import heat, tridiagonal
from ohmloop.errors import NotSolvedError
from ohmloop.golden.assembler import assemble
from ohmloop.golden.convert import input_codes
from ohmloop.host.calibration import Corrections, calibrate
from ohmloop.host.driver import Driver
from ohmloop.host.job import Job, job_script
from ohmloop.host.system import chop_job, solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.reference import relative_error
from ohmloop.plan.scaling import scale_rhs, unscale
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named

OFFSET_V, GAIN_ERROR = 5e-3, 0.05

SYSTEMS: dict[str, Callable[[], np.ndarray]] = {
    "heat plate 64": lambda: heat(64),
    "Toeplitz 64": lambda: toeplitz(0.5 ** np.arange(64)),
    "Poisson 16": lambda: tridiagonal(16),
}
"""Name to matrix; a smaller chip gets the leading block."""

CASES = ("neither", "raw", "zeroed", "calibrated", "INV cal", "chop")
BETTER, NEAR = 8.0, 1.3
"""What calibration must reach: raw over calibrated at least, calibrated over neither at most."""

_MEASURED_BY_INV = assemble("        PROG\n        INV v0, v0, cal\n        INV v2, v1\n        HALT 0\n")


@dataclass(frozen=True)
class Outcome:
    """Median errors of a system by case."""

    system: str
    errors: dict[str, float]

    @property
    def better(self) -> float:
        """Raw over calibrated."""
        return self.errors["raw"] / self.errors["calibrated"]

    @property
    def near(self) -> float:
        """Calibrated over neither."""
        return self.errors["calibrated"] / self.errors["neither"]

    @property
    def reached(self) -> bool:
        """Both goals."""
        return self.better >= BETTER and self.near <= NEAR


class Bench:
    """One system on one chip after another, all through one engine.

    Parameters
    ----------
    engine : str
        ``icarus`` or ``verilator``.
    config : ChipConfig
        Sizes and widths.
    matrix : np.ndarray
        The system, (n, n).
    """

    def __init__(self, engine: str, config: ChipConfig, matrix: np.ndarray):
        self.engine, self.config = engine, config
        n = min(len(matrix), config.size)
        self.matrix = matrix[:n, :n]

    def errors(self, seed: int) -> dict[str, float]:
        """Errors of one chip by case."""
        neither = AnalogParams(seed=seed, offset_sigma_V=0.0)
        zeroed = replace(neither, offset_sigma_V=OFFSET_V, adc_gain_sigma=GAIN_ERROR)
        raw = replace(zeroed, autozero_residue=1.0)
        self.plan = plan_system(self.matrix, self.config, neither)
        x = np.random.default_rng(seed).standard_normal(len(self.matrix))
        self.rhs = scale_rhs(self.matrix @ x, self.config)
        solve = solve_job(self.plan, self.rhs, self.config)
        found = {"neither": self._solve(neither, solve), "raw": self._solve(raw, solve)}
        with self._chip(zeroed) as chip:
            found["zeroed"] = self._error(chip, solve)
            corrections = chip.execute(calibrate(Driver(self.config), self.plan, neither))
            found["calibrated"] = self._error(chip, solve)
            chip.execute(self._load(Corrections(Corrections.none(self.config).offsets, corrections.gains)))
            found["chop"] = self._error(chip, chop_job(self.plan, self.rhs, self.config))
            found["INV cal"] = self._error(chip, replace(solve, program=_MEASURED_BY_INV))
        return found

    def _chip(self, params: AnalogParams) -> SimulatorEngine:
        return SimulatorEngine(self.engine, Die.sample(self.config, params), builds_folder())

    def _solve(self, params: AnalogParams, job: Job) -> float:
        with self._chip(params) as chip:
            return self._error(chip, job)

    def _load(self, corrections: Corrections) -> Script[None]:
        yield from corrections.load(Driver(self.config))

    def _error(self, chip: SimulatorEngine, job: Job) -> float:
        outcome = chip.execute(job_script(self.config, job))
        if outcome.status.trap:
            return math.inf
        return relative_error(unscale(self.plan, self.rhs, outcome.mantissas, outcome.exponent), self._exact())

    def _exact(self) -> np.ndarray:
        """The solution of the programmed matrix for the driven codes."""
        n, plan = self.plan.n, self.plan
        levels = input_codes(self.rhs.mantissas[:n], self.config) / (1 << self.config.dac_bits - 1)
        return np.linalg.solve(plan.codes[:n, :n] / self.config.code_max, levels) * self.rhs.factor / plan.alpha


def measure(engine: str, config: ChipConfig, system: str, chips: int, seed: int = 1,
            progress: Progress | None = None) -> Outcome:
    """Medians over ``chips`` chips of seeds from ``seed`` on."""
    bench = Bench(engine, config, SYSTEMS[system]())
    task = progress.add_task(system, total=chips) if progress else None
    found = []
    for k in range(chips):
        found.append(bench.errors(seed + k))
        if progress and task is not None:
            progress.advance(task)
    return Outcome(system, {case: float(np.median([errors[case] for errors in found])) for case in CASES})


def main():
    """Arguments in, table out; exit code 3 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="make calibration", description="Digital calibration through the RTL.")
    parser.add_argument("--engine", choices=ENGINES, default="verilator")
    parser.add_argument("--config", choices=CONFIGS, default="chip64")
    parser.add_argument("--chips", type=int, default=8, metavar="N", help="chips a system (default 8)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    console = Console()
    with Progress(console=console, transient=True) as progress:
        outcomes = [measure(options.engine, config_named(options.config), system, options.chips, options.seed, progress)
                    for system in SYSTEMS]
    table = Table("system", *CASES, "raw / calibrated", "calibrated / neither",
                  title=f"Median error of a solve over {options.chips} chips, {options.config} on {options.engine}",
                  title_justify="left")
    for outcome in outcomes:
        table.add_row(outcome.system, *(f"{outcome.errors[case]:.2%}" for case in CASES), f"{outcome.better:.1f}",
                      f"{outcome.near:.2f}")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({o.system: o.errors for o in outcomes}, indent=2) + "\n")
    missed = [outcome.system for outcome in outcomes if not outcome.reached]
    if missed:
        raise NotSolvedError(f"calibration mends less than {BETTER:g} times, or leaves more than {NEAR:g} times the "
                             f"error of a good chip: {', '.join(missed)}")


if __name__ == "__main__":
    ends("calibration", main)

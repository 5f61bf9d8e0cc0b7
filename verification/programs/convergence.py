"""The convergence campaign: how many iterations and clocks the programs need on the named ensembles.

Run as ``make convergence``; ``ARGS="--only 'spdlog 64, cond (10|30)$$' --count 4"`` for a part of it. Every system is
planned, loaded and solved to a relative residual of 2^-24 against its 24-bit matrix: by refinement, by conjugate
residuals with the loop as preconditioner (one direction kept, and five), and without the loop. The golden machine runs
the programs; with ``--engine verilator`` the generated Verilog runs them too, and everything that either shows must be
equal. Prints a line a family and condition, then where bits were gained, then a line that sums up. Exit code 1 where
engines differ.

Clocks are the median over the solved, from start to halt without writing the arrays, which is done once for any number
of right-hand sides. The chips have mismatch and offsets that the planner has not seen.
"""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.engines.simulator import SimulatorEngine, builds_folder
from ohmloop.ensembles import CONDITIONED, ensemble
from ohmloop.errors import InputError
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.vector import Scalar
from ohmloop.host.comparison import compare
from ohmloop.host.job import Job, Outcome, job_script, predict
from ohmloop.host.system import K_COUNT, TOLERANCE, answer, iterative_job, scalar_value, slot_matrix
from ohmloop.plan.planner import plan_preconditioner, plan_system
from ohmloop.plan.reference import relative_residual
from ohmloop.plan.scaling import Plan, scale_rhs
from ohmloop.readers import read_matrix
from ohmloop.report.pictures import convergence_picture
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from ohmloop_hdl.events import Phase
from verification.matrices import MATRICES

PROGRAMS = ("refine", "gcr", "gcr5", "digital")
CONDITIONS = (10.0, 30.0, 100.0, 300.0)
COUNT = 12
"""Systems of each kind."""

LIMIT = 60
"""Iterations after which a program gives up."""

CHIP_SEED = 100
"""The first chip; the planner looks at chips with small seeds."""

RESIDUALS = {"refine": "k9"}
"""Scalar that holds the square of each residual, where it is not k7."""

SLACK = 1.0 + 2.0 ** -18
"""What scalars of 24 bits, and dot products of as many, may add to a tolerance."""

MESH = MATRICES / "mesh1e1.mtx"
"""A finite-element mesh, 48 x 48, cond 5.2."""

BINS = (-math.inf, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, math.inf)
"""Edges of the histogram of bits gained in an iteration."""


@dataclass(frozen=True)
class Case:
    """A system: family, n, condition number (0 where the family has its own), number of draw, cell codes an element."""

    family: str
    n: int
    cond: float
    number: int
    digits: int = 1

    @property
    def title(self) -> str:
        """How the table calls it and its like."""
        cond = f", cond {self.cond:g}" if self.cond else ""
        return f"{self.family} {self.n}{cond}{', two digits' if self.digits == 2 else ''}"

    @property
    def matrix(self) -> np.ndarray:
        """A, n x n."""
        return read_matrix(MESH) if self.family == MESH.stem else ensemble(self.family, self.n, self.cond or 30.0,
                                                                           self.number)


@dataclass(frozen=True)
class Solve:
    """One program on one system: how it ended, and how it got there.

    ``history``: clocks and ||r|| / ||b|| at the start and after each iteration. ``clocks`` and ``history`` do not count
    writing the arrays, ``array_clocks`` does nothing else. ``equal``: engines agreed.
    """

    title: str
    number: int
    program: str
    solved: bool
    end: str
    iterations: int
    relative_residual: float
    clocks: int
    array_clocks: int
    history: tuple[tuple[int, float], ...]
    plan: str
    equal: bool = True

    @property
    def bits(self) -> list[float]:
        """Bits of the residual that each iteration gained."""
        return [math.log2(before / after) if after else math.inf for (_, before), (_, after) in pairwise(self.history)]


Runner = Callable[[Job, int], tuple[Outcome, Run, bool]]
"""Runs a job on a chip, by number: outcome, what the golden machine did, whether engines agreed."""


def cases(config: ChipConfig, count: int = COUNT, only: str = "") -> Iterator[Case]:
    """The systems of the campaign, ``count`` of each kind in whose title the expression ``only`` is found."""
    n = config.size
    kinds = [(family, n, cond, 1) for family in CONDITIONED for cond in CONDITIONS]
    kinds.append(("heat", n, 0.0, 1))
    if n >= 48 and MESH.exists():
        kinds.append((MESH.stem, 48, 0.0, 1))
    kinds += [("wishart", n // 2, 30.0, digits) for digits in (1, 2)]
    for family, size, cond, digits in kinds:
        of_kind = [Case(family, size, cond, number, digits) for number in range(count)]
        yield from (case for case in of_kind if re.search(only, case.title))


def model_runner(config: ChipConfig, params: AnalogParams) -> Runner:
    """A golden machine of its own for each job, and another chip for each number."""
    def run(job: Job, number: int) -> tuple[Outcome, Run, bool]:
        machine = Machine(config, NumpyMacro(Die.sample(config, replace(params, seed=CHIP_SEED + number))))
        return *predict(machine, job), True
    return run


def chip_runner(engine: SimulatorEngine) -> Runner:
    """One simulated chip for all jobs, and a golden machine with the same history."""
    config = engine.die.config
    machine = Machine(config, NumpyMacro(engine.die))

    def run(job: Job, number: int) -> tuple[Outcome, Run, bool]:
        engine.take_trace()
        outcome = engine.execute(job_script(config, job))
        predicted, expected = predict(machine, job)
        return outcome, expected, compare(outcome, engine.take_trace(), predicted, expected).explained
    return run


def plans(case: Case, matrix: np.ndarray, config: ChipConfig, params: AnalogParams,
          nearest: bool) -> dict[str, Plan]:
    """A plan for each program; one for all with ``nearest`` rounding, shifted where no loop is stable without."""
    if nearest:
        plan = plan_system(matrix, config, params, allow_shift=case.digits == 1, digits=case.digits)
        return dict.fromkeys(PROGRAMS, plan)
    refine, gcr = (plan_preconditioner(matrix, config, params, method=method, digits=case.digits)
                   for method in ("refine", "gcr"))
    return {"refine": refine, "gcr": gcr, "gcr5": gcr, "digital": gcr}


def solve_case(case: Case, config: ChipConfig, params: AnalogParams, nearest: bool, runner: Runner,
               programs: tuple[str, ...] = PROGRAMS) -> list[Solve]:
    """Programs on one system."""
    matrix = case.matrix
    b = matrix @ np.random.default_rng([case.number, 1]).standard_normal(case.n)
    rhs, found = scale_rhs(b, config), []
    try:
        planned = plans(case, matrix, config, params, nearest)
    except InputError as refusal:
        return [Solve(case.title, case.number, program, False, "refused", 0, 1.0, 0, 0, (), str(refusal))
                for program in programs]
    for program in programs:
        plan = planned[program]
        job = iterative_job(program, plan, matrix, rhs, config, limit=LIMIT)
        outcome, run, equal = runner(job, case.number)
        answered = answer(plan, rhs, outcome)
        given = rhs.factor * np.ldexp(rhs.mantissas[:case.n].astype(float), -31)
        residual = relative_residual(slot_matrix(job.slots[0], plan), answered.x, given)
        end = outcome.status.trap.name.lower() if outcome.status.trap else f"halt {outcome.status.halt_code}"
        found.append(Solve(
            case.title, case.number, program, end == "halt 0" and residual <= SLACK * TOLERANCE, end,
            answered.iterations, residual, run.cycles - run.phases[Phase.PROGRAM], run.phases[Phase.PROGRAM],
            tuple(history(run, RESIDUALS.get(program, "k7"))), "; ".join(plan.reasons), equal))
    return found


def history(run: Run, scalar: str) -> Iterator[tuple[int, float]]:
    """Clocks and relative residuals at the start and after every iteration, from what instructions wrote."""
    steps: list[tuple[int, float]] = []
    for retired in run.retired:
        result = retired.result
        if result is None or result.mantissas is None:
            continue
        value = scalar_value(Scalar(result.mantissas[0], result.exponent))
        if result.register == f"k{K_COUNT}" and value > 1.0:
            steps.append(steps[-1])
        elif not steps and result.register == "k7":
            steps.append((retired.cycles, value))
        elif result.register == scalar:
            steps[-1] = retired.cycles, value
    for clocks, square in steps:
        yield clocks - run.phases[Phase.PROGRAM], math.sqrt(square / (steps[0][1] or 1.0))


def run_model(case: Case, config: ChipConfig, params: AnalogParams, nearest: bool,
              programs: tuple[str, ...]) -> list[Solve]:
    """One system on the golden machine, in a process of its own."""
    return solve_case(case, config, params, nearest, model_runner(config, params), programs)


def campaign(todo: list[Case], config: ChipConfig, params: AnalogParams, *, engine: str, nearest: bool,
             programs: tuple[str, ...]) -> list[Solve]:
    """Systems, with progress on the terminal."""
    found = []
    if engine == "model":
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            run = partial(run_model, config=config, params=params, nearest=nearest, programs=programs)
            results = pool.map(run, todo)
            for solves in track(results, "systems", len(todo), console=Console(stderr=True)):
                found += solves
        return found
    die = Die.sample(config, replace(params, seed=CHIP_SEED))
    with SimulatorEngine(engine, die, builds_folder()) as chip:
        runner = chip_runner(chip)
        for case in track(todo, "systems", console=Console(stderr=True)):
            found += solve_case(case, config, params, nearest, runner, programs)
    return found


def summary(solves: list[Solve], config: ChipConfig) -> Table:
    """A row a family and condition."""
    once = median([solve.array_clocks for solve in solves if solve.array_clocks] or [0])
    table = Table(title=f"{config.name}: iterations to a relative residual of 2^-24, median (worst), and clocks; "
                        f"writing the arrays takes {once:g} once", title_justify="left")
    table.add_column("systems")
    table.add_column("of", justify="right")
    programs = dict.fromkeys(solve.program for solve in solves)
    for program in programs:
        table.add_column(program, justify="right")
    for program in programs:
        table.add_column(f"{program} clocks", justify="right")
    for title in dict.fromkeys(solve.title for solve in solves):
        rows = {program: [s for s in solves if (s.title, s.program) == (title, program)] for program in programs}
        table.add_row(title, str(len(next(iter(rows.values())))), *(_iterations(row) for row in rows.values()),
                      *(_clocks(row) for row in rows.values()))
    return table


def _iterations(row: list[Solve]) -> str:
    counts, failed = [s.iterations for s in row if s.solved], sum(not s.solved for s in row)
    text = f"{median(counts):g} ({max(counts)})" if counts else "-"
    return f"{text}, {failed} fail" if failed else text


def _clocks(row: list[Solve]) -> str:
    solved = [s.clocks for s in row if s.solved]
    return f"{median(solved):.0f}" if solved else "-"


def histogram(solves: list[Solve]) -> Table:
    """How many iterations gained how many bits, a column a program."""
    table = Table(title="iterations by bits of the residual that they gained", title_justify="left")
    table.add_column("bits", justify="right")
    counts, programs = {}, dict.fromkeys(solve.program for solve in solves)
    for program in programs:
        table.add_column(program, justify="right")
        bits = np.minimum([bit for s in solves if s.program == program for bit in s.bits], BINS[-2] + 1)
        counts[program], _ = np.histogram(bits, BINS)
    for place, (low, high) in enumerate(pairwise(BINS)):
        ends = f"below {high:g}" if low == -math.inf else f"{low:g} and more"
        table.add_row(f"{low:g}-{high:g}" if math.isfinite(high - low) else ends,
                       *(str(counts[program][place]) for program in programs))
    return table


def pictures(solves: list[Solve], config: ChipConfig, folder: Path) -> None:
    """A picture a family: residuals against clocks, a panel a condition."""
    for family in dict.fromkeys(solve.title.partition(",")[0] for solve in solves):
        panels = {title: {program: [np.array(s.history) for s in solves if (s.title, s.program) == (title, program)
                                    and s.history] for program in dict.fromkeys(s.program for s in solves)}
                  for title in dict.fromkeys(s.title for s in solves if s.title.partition(",")[0] == family)}
        convergence_picture(folder / f"{family.replace(' ', '-')}-{config.name}.png", panels,
                            f"{family} on {config.name}", wanted=TOLERANCE)


def main() -> int:
    """Parse the options, run, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"systems of each kind ({COUNT})")
    parser.add_argument("--only", default="", metavar="REGEX", help="kinds with such a title: 'heat|cond 30$'")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="all by default")
    parser.add_argument("--engine", choices=("model", "verilator", "icarus"), default="model",
                        help="golden machine alone, or beside the generated Verilog")
    parser.add_argument("--config", default="chip64", metavar="NAME", help=f"{', '.join(CONFIGS)}")
    parser.add_argument("--nearest", action="store_true", help="plans that round to nearest, shifted where they must")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every solve, with its plan")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw residuals against clocks")
    options = parser.parse_args()
    config, started = config_named(options.config), monotonic()
    try:
        todo = list(cases(config, options.count, options.only))
    except re.error as error:
        parser.error(f"--only must be a regular expression: {error}")
    if not MESH.exists():
        print(f"left out: {MESH.stem}, which would be in {MATRICES}", file=sys.stderr)
    if not todo:
        parser.error(f"no system: --count is {options.count} and --only is {options.only!r}; titles are "
                     + "; ".join(case.title for case in cases(config, 1)))
    for folder in filter(None, (options.json and options.json.parent, options.pictures)):
        folder.mkdir(parents=True, exist_ok=True)
    solves = campaign(todo, config, AnalogParams.reference(), engine=options.engine, nearest=options.nearest,
                      programs=tuple(options.programs))
    if options.json:
        options.json.write_text(json.dumps([asdict(solve) for solve in solves], indent=1) + "\n")
    if options.pictures:
        pictures(solves, config, options.pictures)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(summary(solves, config))
    console.print(histogram(solves))
    families = tuple(f"{family} {config.size}," for family in CONDITIONED)
    five, programs = [s for s in solves if s.title.startswith(families)], options.programs
    differ = sum(not s.equal for s in solves)
    solved = ", ".join(f"{program} {sum(s.solved for s in five if s.program == program)}" for program in programs)
    engines = "" if options.engine == "model" else f"; {differ} of {len(solves)} runs differ from the golden machine"
    print(f"solved of {len(five) // len(programs)} systems of {len(CONDITIONED)} ensembles in {LIMIT} iterations: "
          f"{solved}{engines}; {monotonic() - started:.0f} s")
    return int(differ > 0)


if __name__ == "__main__":
    ends("convergence", main)

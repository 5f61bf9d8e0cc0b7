"""The campaign for systems above the array: what every method needs by ensemble and size, and which one is chosen.

Run as ``make large``; ``ARGS="--only 'heat 256' --chips 2"`` for a part of it. Each system is split in every way that
the planner knows and solved by flexible GMRES to a relative residual of 1e-10 on settled models of chips that no plan
has seen, a right-hand side a chip. Beside it stand the counts without a chip: no preconditioner, Jacobi, ILU(0).
Prints a table of iterations with the best split of each method, solves and writings of the array in brackets, and a
table of what was chosen for one right-hand side, for many, and for many with several arrays. Exit code 1 where a solve
count is not what the formula of the method says, and where no method solves a system on every chip.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.ensembles import ensemble
from ohmloop.plan.cost import writings
from ohmloop.readers import read_matrix
from ohmloop.solvers import large, partition
from ohmloop.solvers.baselines import BASELINES, baseline_counts
from ohmloop.solvers.blocks import elimination_solves
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from verification.matrices import MATRICES

CHIPS = 5
"""Chips that a count is the mean of."""

CHIP_SEED = 100
"""The first of them; plans are ranked on, and methods chosen with, chips of small seeds."""

SETTINGS = {"one right-hand side": (1, 1), "1000 of them": (1000, 1), "1000 of them, 8 arrays": (1000, 8)}
"""What is chosen for: right-hand sides that share a set-up, and arrays that hold a matrix each."""

SIZES = {
    "heat": (65, 66, 100, 128, 200, 256, 512),
    "oscillator": (66, 128, 256, 512),
    "skew": (128, 256),
    "impedance": (128, 256),
    "wishart": (65, 100, 128, 200, 256, 512),
    "spdlog": (256,),
    "diagdom": (256,),
    "svdlog": (256,),
    "sparse5": (65, 100, 128, 200, 256, 512),
}
"""Ensembles and the sizes that they are drawn at, condition number 30 where it is free."""

REAL = {"bcsstk02": 66, "ash219": 85}
"""Files, with the unknowns; of a matrix that is not square the normal equations."""


@dataclass(frozen=True)
class Case:
    """A system: a family of :data:`SIZES` or a file of :data:`REAL`, its size, the number of the draw."""

    family: str
    n: int
    seed: int = 0

    @property
    def title(self) -> str:
        """How the tables call it."""
        return f"{self.family} {self.n}"

    @property
    def matrix(self) -> np.ndarray:
        """A, n x n."""
        if self.family not in REAL:
            return ensemble(self.family, self.n, 30.0, self.seed)
        x = read_matrix(MATRICES / f"{self.family}.mtx")
        return x if x.shape[0] == x.shape[1] else x.T @ x


@dataclass(frozen=True)
class Result:
    """One method on one system with its best split, on all chips."""

    method: str
    split: str
    iterations: tuple[int, ...]
    solved: bool
    solves: int
    """In one application."""
    changes: int
    """Writings in one application after the first."""
    clocks: int
    """Of one right-hand side, iterations rounded up from the mean."""
    setup_clocks: int
    formula: bool
    """Whether the solves of an application are what the formula says."""

    @property
    def mean(self) -> float:
        """Iterations, mean over chips."""
        return sum(self.iterations) / len(self.iterations)


@dataclass(frozen=True)
class Choice:
    """What the fewest clocks decide for: method and split, clocks a right-hand side with its share of what is done
    once, all reasons."""

    name: str
    clocks: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """All of one system."""

    title: str
    without: dict[str, float | str]
    """Iterations without a chip, mean over the right-hand sides, or why there are none; "LU" for an ILU(0) that is the
    whole factorisation of a dense matrix."""
    results: tuple[Result, ...]
    chosen: dict[str, Choice]
    """By the name of the setting; empty where everything was refused."""
    refused: tuple[str, ...]


def cases(only: str = "", seed: int = 0) -> list[Case]:
    """The systems in whose title the expression ``only`` is found; files only where they are."""
    all_of_them = [Case(family, n, seed) for family, sizes in SIZES.items() for n in sizes]
    all_of_them += [Case(name, n) for name, n in REAL.items() if (MATRICES / f"{name}.mtx").exists()]
    return [case for case in all_of_them if re.search(only, case.title)]


def formula_solves(method: str, blocks: int) -> int:
    """Solves of an application of a method over so many blocks."""
    if method == large.BORDER:
        return 1
    return elimination_solves(blocks, *large.ELIMINATIONS.get(method, ("kept", "chain")))


def run(case: Case, config: ChipConfig, params: AnalogParams, chips: int = CHIPS,
        methods: Sequence[str] = large.METHODS) -> Row:
    """One system: all methods on their best splits, on chips that were not looked at before."""
    matrix = case.matrix
    ranking = large.ranked(matrix, config, params, methods=methods, exhaustive=True, seed=case.seed)
    best: dict[str, large.Measured] = {}
    for measured in ranking.measured:
        best.setdefault(measured.candidate.method, measured)
    results = []
    for method in methods:
        if method in best:
            candidate, inverse = best[method].candidate, best[method].inverse
            again = large.measure(candidate, inverse, matrix, config, params, seed=case.seed,
                                  chips=range(CHIP_SEED, CHIP_SEED + chips))
            asked = large.calls(inverse)
            results.append(Result(
                method, candidate.split, again.iterations, again.solved, len(asked),
                writings(asked, times=2) - writings(asked), again.cost.clocks, again.setup_clocks,
                len(asked) == formula_solves(method, inverse.blocks)))
    chosen = {}
    for name, (count, arrays) in SETTINGS.items() if ranking.measured else ():
        costs = [large.charged(found.candidate, found.inverse, found.iterations, found.solved, matrix, config, params,
                               arrays) for found in ranking.measured]
        costs.sort(key=lambda found: found.clocks(count))
        reasons = large.explanation(large.Ranking(tuple(costs), ranking.refused, ()), matrix, params, count)
        chosen[name] = Choice(costs[0].candidate.name, round(costs[0].clocks(count)), reasons)
    sides = [matrix @ np.random.default_rng([case.seed, CHIP_SEED + chip]).standard_normal(case.n)
             for chip in range(chips)]
    counted = [baseline_counts(matrix, b) for b in sides]
    without = {name: _mean([counts[name] for counts in counted]) for name in BASELINES}
    if not partition.is_sparse(matrix):
        without["ILU(0)"] = "LU"
    return Row(case.title, without, tuple(results), chosen,
               tuple(f"{candidate.name}: {why}" for candidate, why in ranking.refused))


def _mean(counts: Sequence[int | str]) -> float | str:
    numbers = [count for count in counts if not isinstance(count, str)]
    return sum(numbers) / len(numbers) if len(numbers) == len(counts) else next(c for c in counts if isinstance(c, str))


def iterations_table(rows: Sequence[Row], config: ChipConfig) -> Table:
    """Iterations of every method, solves and writings in brackets."""
    table = Table(title=f"{config.name}: iterations to 1e-10, mean; in brackets solves / writings of the array",
                  title_justify="left")
    table.add_column("system")
    methods = [method for method in large.METHODS if any(r.method == method for row in rows for r in row.results)]
    for name in (*BASELINES, *methods):
        table.add_column(name, justify="right")
    for row in rows:
        results = {result.method: result for result in row.results}
        table.add_row(row.title, *(_count(row.without[name]) for name in BASELINES),
                      *(_result(results.get(method)) for method in methods))
    return table


def choice_table(rows: Sequence[Row]) -> Table:
    """What is chosen, and the clocks that decide."""
    table = Table(title="chosen, and thousands of clocks a right-hand side, its share of what is done once in them",
                  title_justify="left")
    table.add_column("system")
    for name in SETTINGS:
        table.add_column(f"for {name}")
        table.add_column("clocks", justify="right")
    for row in rows:
        cells = [cell for choice in row.chosen.values()
                 for cell in (choice.name, f"{choice.clocks / 1e3:.0f}")]
        table.add_row(row.title, *(cells or ["refused"]))
    return table


def _count(value: float | str) -> str:
    return f"{value:.3g}" if not isinstance(value, str) else (value if value == "LU" else "-")


def _result(result: Result | None) -> str:
    if result is None:
        return ""
    if not result.solved:
        return "-"
    times = result.mean
    return f"{times:.3g} ({times * result.solves:.3g} / {1 + times * result.changes:.3g})"


def main() -> int:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", metavar="REGEX", help="systems with such a title: 'heat|wishart 256'")
    parser.add_argument("--chips", type=int, default=CHIPS, metavar="N", help=f"chips of a mean ({CHIPS})")
    parser.add_argument("--seed", type=int, default=0, help="of matrices and right-hand sides (0)")
    parser.add_argument("--config", default="chip64", metavar="NAME", help=f"{', '.join(CONFIGS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything, with all reasons")
    options = parser.parse_args()
    config, started = config_named(options.config), monotonic()
    todo = [case for case in cases(options.only, options.seed) if case.n > config.size]
    if not todo:
        parser.error(f"no system: --only is {options.only!r}; titles are " + "; ".join(c.title for c in cases()))
    work = partial(run, config=config, params=AnalogParams.reference(), chips=options.chips)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = list(track(pool.map(work, todo), "systems", len(todo), console=Console(stderr=True)))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    console = Console(width=None if sys.stdout.isatty() else 220)
    console.print(iterations_table(rows, config))
    console.print(choice_table(rows))
    for row in rows:
        for refusal in row.refused:
            print(f"{row.title}: refused {refusal}")
    wrong = [f"{row.title} {result.method}" for row in rows for result in row.results if not result.formula]
    unsolved = [row.title for row in rows if not any(result.solved for result in row.results)]
    print(f"{len(rows)} systems, {options.chips} chips from seed {CHIP_SEED}, matrices and right-hand sides from seed "
          f"{options.seed}; solve counts that are not the formula's: {', '.join(wrong) or 'none'}; "
          f"not solved by any method: {', '.join(unsolved) or 'none'}; "
          f"{monotonic() - started:.0f} s")
    return int(bool(wrong or unsolved))


if __name__ == "__main__":
    ends("large", main)

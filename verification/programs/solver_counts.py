"""Iterations to a relative residual of 1e-10 with the chip as preconditioner, beside none, Jacobi and ILU(0).

Every system is planned once and solved on chips that the planner has not seen, for a few right-hand sides b = A x with
x Gaussian, the later of which recycle directions of the first. Least squares count iterations on the normal equations.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmloop.command import ends
from ohmloop.ensembles import ensemble
from ohmloop.readers import read_matrix
from ohmloop.solvers.baselines import baseline_counts
from ohmloop.solvers.solve import solve
from ohmloop_hdl.config import CONFIGS
from verification.matrices import MATRICES

CHIPS = 5
"""Chips unless told otherwise."""

RIGHT_HAND_SIDES = 3
"""On each chip."""

FIRST_CHIP = 100
"""Seed of the first chip."""

REAL = ("mesh1e1", "LFAT5", "bfwa62", "bcsstk02", "ash219")
"""Files of :data:`verification.matrices.MATRICES`."""

DRAWN = (("oscillator", 64, 0.0), ("heat", 64, 0.0), ("skew", 64, 0.0), ("impedance", 64, 0.0),
         ("wishart", 64, 30.0), ("spdlog", 64, 30.0), ("diagdom", 64, 30.0), ("svdlog", 64, 30.0),
         ("sparse5", 64, 30.0), ("wishart", 32, 30.0))
"""Ensembles: name, size, condition number where there is a choice."""


@dataclass(frozen=True)
class Counts:
    """One system."""

    name: str
    size: str
    none: int | str
    jacobi: int | str
    ilu0: int | str
    iterations: list[float]
    """A right-hand side each, mean over chips."""

    worst: int
    """Of all."""

    solves: float
    """Analogue solves for the first right-hand side: those of the whole run in proportion to iterations."""

    reprogrammings: float
    residual: float
    """Largest."""

    bound: float
    """Largest forward bound."""

    reasons: tuple[str, ...]


def systems(only: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Name and matrix of those whose name contains ``only``."""
    for name in REAL:
        path = MATRICES / f"{name}.mtx"
        if only in name and path.exists():
            yield name, read_matrix(path)
    for name, n, cond in DRAWN:
        title = f"{name} {n}" + (f", cond {cond:g}" if cond else "")
        if only in title:
            yield title, ensemble(name, n, cond or 30.0, 0)


def counted(name: str, matrix: np.ndarray, *, config: str = "chip64", engine: str = "static",
            chips: int = CHIPS) -> Counts:
    """Plan once, solve on every chip."""
    m, n = matrix.shape
    square = matrix if m == n else matrix.T @ matrix
    x = np.random.default_rng(0).standard_normal(n)
    baselines = baseline_counts(scipy.sparse.csr_array(square), square @ x)
    planned: Any = None
    found = []
    for chip in range(chips):
        b = matrix @ np.random.default_rng([chip, 5]).standard_normal((n, RIGHT_HAND_SIDES))
        solution = solve(matrix, b, config=config, engine=engine, seed=FIRST_CHIP + chip, planned=planned)
        planned = replace(solution.planned, space=None)   # every chip starts without directions
        found.append(solution)
    iterations = np.array([solution.iterations for solution in found])
    each = [solution.analogue_solves / sum(solution.iterations) for solution in found]
    return Counts(
        name, f"{m} x {n}", baselines["none"], baselines["Jacobi"], baselines["ILU(0)"],
        iterations.mean(axis=0).tolist(), int(iterations.max()),
        float(np.mean(iterations[:, 0] * each)),
        float(np.mean([s.reprogrammings for s in found])) / RIGHT_HAND_SIDES,
        max(max(s.relative_residuals) for s in found), max(s.certificate.forward_bound for s in found),
        found[0].reasons)


def table(rows: list[Counts], config: str) -> Table:
    """A row a system."""
    shown = Table(title=f"{config}: iterations to 1e-10, mean over chips", title_justify="left")
    for title in ("system", "size", "none", "Jacobi", "ILU(0)", "chip, first", "later", "worst", "solves, first",
                  "forward bound"):
        shown.add_column(title, justify="left" if title == "system" else "right")
    for row in rows:
        first, *later = row.iterations
        shown.add_row(row.name, row.size, *(str(v) if isinstance(v, int) else "-" for v in
                                            (row.none, row.jacobi, row.ilu0)), f"{first:.1f}", f"{np.mean(later):.1f}",
                      str(row.worst), f"{row.solves:.1f}", f"{row.bound:.0e}")
    return shown


def main() -> int:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", default="chip64", choices=CONFIGS)
    parser.add_argument("--only", default="", metavar="TEXT", help="systems whose name contains it")
    parser.add_argument("--engine", default="static", help="static (settled model), model (golden machine), rtl")
    parser.add_argument("--chips", type=int, default=CHIPS, metavar="N", help=f"chips ({CHIPS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every count, with the plan's reasons")
    options = parser.parse_args()
    todo = list(systems(options.only))
    if not MATRICES.is_dir():
        print(f"left out: {', '.join(REAL)}, which would be in {MATRICES}", file=sys.stderr)
    rows = [counted(name, matrix, config=options.config, engine=options.engine, chips=options.chips)
            for name, matrix in track(todo, "systems", console=Console(stderr=True))]
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    Console(width=None if sys.stdout.isatty() else 140).print(table(rows, options.config))
    return 0


if __name__ == "__main__":
    ends("solver counts", main)

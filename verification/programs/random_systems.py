"""Random systems of many kinds through the front door: each is solved to the tolerance or refused with a reason.

A system is drawn from its number: size, kind, condition number, scaling of rows and columns. ``b = A x`` with x
Gaussian, so that the true error is known and held against the forward bound. Beside every count stand those of the same
iteration with nothing and with Jacobi. Refused is also what no inverse solves on models, before a chip is asked. What
is neither solved nor refused, an answer whose residual is above the
tolerance, and a bound below the true error are failures, printed with the number that reproduces them.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmloop.command import ends
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.solvers.baselines import baseline_counts
from ohmloop.solvers.large import UnreachedError
from ohmloop.solvers.remap import realified, stacked
from ohmloop.solvers.solve import solve

COUNT = 500
"""Systems unless told otherwise."""

SIZE_MAX = 300
"""Largest size unless told otherwise."""

TOL = 1e-10
"""Relative residual to reach."""

KINDS = ("dense symmetric positive", "dense symmetric indefinite", "dense unsymmetric", "dense positive real",
         "sparse symmetric positive", "sparse unsymmetric", "complex")
"""What is drawn; every kind comes in every scaling."""

SCALINGS = ("even", "rows 1e+-8", "columns 1e+-8", "both 1e+-4")
"""How rows and columns are scaled afterwards, by factors log-uniform in that range."""


@dataclass(frozen=True)
class Outcome:
    """What became of one system."""

    number: int
    kind: str
    scaling: str
    size: int
    condition: float
    end: str
    """solved, refused, or what went wrong."""

    iterations: int
    without: int | str
    jacobi: int | str
    solves: int
    residual: float
    error: float
    """True relative error, infinity norm."""

    bound: float
    """Forward bound of the certificate."""

    message: str
    seconds: float


def drawn(number: int, size_max: int = SIZE_MAX) -> tuple[str, str, Any, np.ndarray]:
    """Kind, scaling, matrix and solution of a system, all from its number."""
    rng = np.random.default_rng([number, 77])
    kind = KINDS[number % len(KINDS)]
    scaling = SCALINGS[rng.integers(len(SCALINGS))]
    n = int(np.exp(rng.uniform(0.0, np.log(size_max / 2 if kind == "complex" else size_max))))
    n = max(1, min(n, size_max))
    condition = 10.0 ** rng.uniform(0.0, 6.0) if n > 1 else 1.0
    matrix = _matrix(kind, n, condition, rng)
    low_row, low_column = {"even": (0, 0), "rows 1e+-8": (8, 0), "columns 1e+-8": (0, 8), "both 1e+-4": (4, 4)}[scaling]
    rows, columns = 10.0 ** rng.uniform(-low_row, low_row, n), 10.0 ** rng.uniform(-low_column, low_column, n)
    if scipy.sparse.issparse(matrix):
        matrix = scipy.sparse.csr_array(scipy.sparse.diags_array(rows) @ matrix @ scipy.sparse.diags_array(columns))
    else:
        matrix = rows[:, None] * matrix * columns
    x = rng.standard_normal(n) + (1j * rng.standard_normal(n) if kind == "complex" else 0.0)
    return kind, scaling, matrix, x / columns


def _matrix(kind: str, n: int, condition: float, rng: np.random.Generator) -> Any:
    spectrum = np.geomspace(1.0, 1.0 / condition, n)
    if kind.startswith("sparse"):
        pattern = scipy.sparse.random_array((n, n), density=min(1.0, 4.0 / n), rng=rng,
                                            data_sampler=lambda size: rng.standard_normal(size))
        if kind == "sparse symmetric positive":
            held = scipy.sparse.csr_array(pattern + pattern.T)
            low, high = np.linalg.eigvalsh(held.toarray())[[0, -1]]
            shift = (high - condition * low) / (condition - 1.0) if condition > 1.01 and high > low else 1.0 - low
            return scipy.sparse.csr_array(held + shift * scipy.sparse.eye_array(n))
        return scipy.sparse.csr_array(pattern + scipy.sparse.diags_array(
            rng.choice([-1.0, 1.0], n) * (0.3 + np.abs(rng.standard_normal(n)) + 4.0 * spectrum)))
    q, p = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    if kind == "dense symmetric positive":
        return _even(q * spectrum @ q.T)
    if kind == "dense symmetric indefinite":
        return _even(q * (spectrum * rng.choice([-1.0, 1.0], n)) @ q.T)
    if kind == "dense unsymmetric":
        return q * spectrum @ p
    if kind == "dense positive real":
        skew = rng.standard_normal((n, n)) / np.sqrt(n)
        return _even(q * spectrum @ q.T) + (skew - skew.T) / 2
    u = np.linalg.qr(rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n)))[0]
    return u * spectrum @ (u.conj().T if rng.random() < 0.5 else q)


def _even(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def outcome(number: int, size_max: int = SIZE_MAX, engine: str = "static") -> Outcome:
    """One system through the front door, on a chip of its own."""
    kind, scaling, matrix, x = drawn(number, size_max)
    b, started = matrix @ x, monotonic()
    dense = matrix.toarray() if scipy.sparse.issparse(matrix) else matrix
    real = realified(dense)
    rows = np.abs(real).max(axis=1)
    common: dict[str, Any] = dict(number=number, kind=kind, scaling=scaling, size=len(real),
                                  condition=float(np.linalg.cond(real)))
    baselines = baseline_counts(real / rows[:, None], (stacked(b) if np.iscomplexobj(b) else b) / rows, tol=TOL)
    common |= dict(without=baselines["none"], jacobi=baselines["Jacobi"])
    nothing: dict[str, Any] = dict(iterations=0, solves=0, residual=np.inf, error=np.inf, bound=np.inf)
    try:
        found = solve(matrix, b, engine=engine, tol=TOL, seed=1000 + number)
    except (InputError, NotSolvedError) as error:
        end = "refused" if isinstance(error, (InputError, UnreachedError)) else "not solved"
        return Outcome(**common, **nothing, end=end, message=str(error), seconds=monotonic() - started)
    residual = float(np.linalg.norm(b - matrix @ found.x) / np.linalg.norm(b))
    stack = (lambda v: np.concatenate([v.real, v.imag])) if np.iscomplexobj(matrix) else (lambda v: v)
    error = float(np.abs(stack(found.x) - stack(x)).max() / np.abs(stack(found.x)).max())
    bound = found.certificate.forward_bound
    end = "wrong" if residual > TOL * (1 + 1e-6) else "bound" if error > bound else "solved"
    return Outcome(**common, end=end, iterations=found.iterations[0], solves=found.analogue_solves, residual=residual,
                   error=error, bound=bound, message="; ".join(found.warnings), seconds=monotonic() - started)


def summary(outcomes: Iterable[Outcome]) -> Table:
    """A row a kind."""
    outcomes = list(outcomes)
    table = Table(title=f"{len(outcomes)} random systems to a relative residual of {TOL:g}", title_justify="left")
    for name in ("kind", "of", "solved", "refused", "failed", "iterations, median (worst)", "none", "Jacobi",
                 "bound / error, median"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind in (*KINDS, "all"):
        rows = [o for o in outcomes if kind in ("all", o.kind)]
        solved = [o for o in rows if o.end in ("solved", "bound")]
        counts = [o.iterations for o in solved]
        slack = [o.bound / o.error for o in solved if o.error > 0.0]
        table.add_row(kind, str(len(rows)), str(len(solved)), str(sum(o.end == "refused" for o in rows)),
                      str(sum(o.end not in ("solved", "refused") for o in rows)),
                      f"{median(counts):g} ({max(counts)})" if counts else "-",
                      *(_counts([o.without for o in solved]), _counts([o.jacobi for o in solved])),
                      f"{median(slack):.1f}" if slack else "-")
    return table


def _counts(values: list[int | str]) -> str:
    """The median, those that did not get there counted as never."""
    numbers = [value if isinstance(value, int) else 10 ** 9 for value in values]
    middle = median(numbers) if numbers else 0
    return "-" if not numbers or middle >= 10 ** 8 else f"{middle:g}"


def main() -> int:
    """Parse the options, run, sum up; 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"systems ({COUNT})")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one (0)")
    parser.add_argument("--size", type=int, default=SIZE_MAX, metavar="N", help=f"largest size ({SIZE_MAX})")
    parser.add_argument("--engine", default="static", help="static (settled model) or model (golden machine)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every outcome, a line each, as it comes")
    options = parser.parse_args()
    run = partial(outcome, size_max=options.size, engine=options.engine)
    numbers, found = range(options.first, options.first + options.count), []
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text("")
    with ProcessPoolExecutor(options.jobs) as pool:
        for result in track(pool.map(run, numbers), "systems", len(numbers), console=Console(stderr=True)):
            found.append(result)
            if options.json:
                with options.json.open("a") as lines:
                    lines.write(json.dumps(asdict(result)) + "\n")
    Console(width=None if sys.stdout.isatty() else 160).print(summary(found))
    failed = [o for o in found if o.end not in ("solved", "refused")]
    for o in failed:
        print(f"number {o.number}: {o.end}: {o.kind}, {o.scaling}, size {o.size}, condition {o.condition:.1e}: "
              f"{o.message}")
    reasons: dict[str, list[int]] = {}
    for o in found:
        if o.end == "refused":
            reasons.setdefault(o.message.split(",")[0][:60], []).append(o.number)
    for reason, where in reasons.items():
        print(f"refused {len(where)}: {reason}; numbers {', '.join(map(str, where[:8]))}")
    return int(bool(failed))


if __name__ == "__main__":
    ends("random systems", main)

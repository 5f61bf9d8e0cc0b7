"""``ohmloop solve``: a system from files, solved on an engine, with what it took and what it is worth."""

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.padding import Padding
from rich.status import Status
from rich.table import Table
from rich.text import Text

from ohmloop import readers
from ohmloop.energy.counted import energy_of_counters
from ohmloop.energy.digital import digital_rows
from ohmloop.errors import InputError, InterruptedWorkError, NotSolvedError, OhmloopError
from ohmloop.host.device import Device
from ohmloop.report.rivals import si
from ohmloop.solvers import remap
from ohmloop.solvers.baselines import BASELINES, baseline_counts
from ohmloop.solvers.krylov import OnIteration
from ohmloop.solvers.problem import checked_matrix
from ohmloop.solvers.solve import Solution, solve
from ohmloop_hdl.config import ChipConfig

SEED = 1
"""Of the x that is solved for where no right-hand side is given."""

DIGITAL_BITS = 32
"""Width of the digital machine that a solution to many digits is compared with."""


@dataclass
class Outcome:
    """What ``--json`` writes. Numbers are None where there is none."""

    status: str
    """``solved``, ``not solved``, ``refused``, or ``failed`` where an engine did."""
    engine: str
    config: str
    size: int | None = None
    message: str = ""
    residual_of: str = "A x = b"
    """What the relative residual is of: ``A x = b`` or ``normal equations``."""
    relative_residual: float | None = None
    backward_error: float | None = None
    forward_bound: float | None = None
    condition: float | None = None
    relative_error: float | None = None
    iterations: int | None = None
    analogue_solves: int | None = None
    reprogrammings: int | None = None
    clock_cycles: int | None = None
    chip_time_s: float | None = None
    energy_J: float | None = None
    compared: Mapping[str, int | str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: list[float | None] = field(default_factory=list)
    """Relative residuals before the first iteration and after each; None where only the chip knows."""


@dataclass(frozen=True)
class Request:
    """What is to be solved, and how; the fields are the options of the command."""

    matrix: Path
    rhs: Path | None = None
    engine: str = "model"
    chip: str = "reference"
    seed: int | None = None
    tol: float = 1e-10
    method: str = "fgmres"
    limit: int | None = None
    ridge: float = 0.0
    compare: bool = False
    explain: bool = False
    json_file: Path | None = None
    answer: Path | None = None


def run_solve(config: ChipConfig, request: Request) -> Outcome:
    """Solve, print, write.

    Errors: :class:`InputError` for files and options, and for a matrix that cannot be planned, with the reason;
    :class:`NotSolvedError` with the best residual; :class:`InterruptedWorkError` on Ctrl-C, with how far it was. But
    for the last, the JSON file is written whatever happens, never in part.
    """
    console = Console(markup=False)
    _writable(request)
    outcome = Outcome("refused", request.engine, config.name)
    try:
        matrix = readers.read_matrix(request.matrix, complex_allowed=True)
        checked_matrix(matrix)
        outcome.size = matrix.shape[1]
        if matrix.shape[0] > matrix.shape[1] or request.ridge:
            outcome.residual_of = "normal equations"
        b, known = _right_hand_side(matrix, request)
        found = _solve(console, config, request, matrix, b, outcome)
        if known is not None:
            outcome.relative_error = float(np.linalg.norm(found.x - known) / np.linalg.norm(known))
        if request.compare:
            outcome.compared = _compared(matrix, b, found, request.tol, console)
    except InterruptedWorkError:
        raise
    except OhmloopError as error:
        outcome.status = "refused" if isinstance(error, InputError) else \
            "not solved" if isinstance(error, NotSolvedError) else "failed"
        outcome.message = str(error).partition("\n")[0]
        _write_json(request, outcome)
        raise
    if request.answer:
        _write_answer(request.answer, found.x)
    _write_json(request, outcome)
    _print(console, request, outcome, matrix.shape, len(found.planned.scaled))
    return outcome


def _solve(console: Console, config: ChipConfig, request: Request, matrix: np.ndarray, b: np.ndarray,
           outcome: Outcome) -> Solution:
    """The solution; what the chip was asked for is in ``outcome`` whether or not there is one."""
    with _progress(console, request, outcome) as (status, seen), \
            Device(config, request.engine, request.chip, seed=request.seed) as device:
        status.update(f"planning for {outcome.size} unknowns")
        try:
            found = solve(matrix, b, device=device, tol=request.tol, method=request.method, limit=request.limit,
                          ridge=request.ridge, on_iteration=seen)
        finally:
            with suppress(OhmloopError):
                _count(outcome, device)
        _fill(outcome, found)
    return found


def _right_hand_side(matrix: np.ndarray, request: Request) -> tuple[np.ndarray, np.ndarray | None]:
    """b, and x where it is known: without a file b is A x with x drawn from :data:`SEED`."""
    if request.rhs is not None:
        return readers.read_vector(request.rhs, complex_allowed=True), None
    # Not all ones: on a symmetric grid these have no share in half of the eigenvectors, and any iteration is quick.
    x = np.random.default_rng(SEED).standard_normal(matrix.shape[1])
    # Fewer equations than unknowns, or a ridge: the answer is another one.
    return matrix @ x, x if matrix.shape[0] >= matrix.shape[1] and not request.ridge else None


@contextmanager
def _progress(console: Console, request: Request, outcome: Outcome) -> Iterator[tuple[Status, OnIteration]]:
    """Shows iteration and residual as they come, keeps them, and says how far it was when Ctrl-C ends the work."""
    status = console.status("loading" if request.engine == "model" else f"building or loading {request.engine}")

    class Planning(logging.Handler):
        """What the planner is at, behind what the console shows."""

        def emit(self, record: logging.LogRecord) -> None:
            status.update(f"planning for {outcome.size} unknowns: {record.getMessage()}")

    def seen(iteration: int, residual: float) -> None:
        if not outcome.history:
            # It starts from zero, so that all of b is left.
            outcome.history.append(1.0)
        outcome.iterations, outcome.relative_residual = iteration, _finite(residual)
        outcome.history.append(_finite(residual))
        status.update(f"iteration {iteration}, relative residual {residual:.1e}")

    planner, handler = logging.getLogger("ohmloop.solvers"), Planning()
    planner.setLevel(logging.INFO)
    planner.addHandler(handler)
    try:
        with status:
            yield status, seen
    except KeyboardInterrupt:
        where = f"at iteration {outcome.iterations}, relative residual {outcome.relative_residual:.1e}" \
            if outcome.relative_residual is not None else f"while {status.status}"
        raise InterruptedWorkError(f"interrupted {where}; nothing was written") from None
    finally:
        planner.removeHandler(handler)


def _count(outcome: Outcome, device: Device) -> None:
    """What the chip was asked for, refused or not."""
    counters, params = device.counters, device.params
    outcome.analogue_solves, outcome.reprogrammings = counters.analogue_solves, counters.reprogrammings
    outcome.clock_cycles = counters.clock_cycles
    outcome.chip_time_s = counters.clock_cycles * params.clock_s
    outcome.energy_J = energy_of_counters(counters.events, counters.clock_cycles, device.config, params).total_J


def _fill(outcome: Outcome, found: Solution) -> None:
    certificate = found.certificate
    outcome.status = "solved"
    outcome.relative_residual = max(found.relative_residuals)
    outcome.backward_error, outcome.forward_bound = certificate.backward_error, _finite(certificate.forward_bound)
    outcome.condition = _finite(certificate.condition)
    outcome.iterations = max(found.iterations)
    outcome.reasons, outcome.warnings = found.reasons, found.warnings
    outcome.history = [_finite(residual) for residual in found.histories[0]]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _compared(matrix: np.ndarray, b: np.ndarray, found: Solution, tol: float,
              console: Console) -> Mapping[str, int | str]:
    """Iterations without the chip on the square real system that was iterated on with it."""
    posed = found.planned.posed
    real = remap.stacked(b[:, None])[:, 0] if np.iscomplexobj(matrix) else np.real(b)
    with console.status("comparing with " + ", ".join(BASELINES)):
        return baseline_counts(scipy.sparse.csr_array(posed.matrix), posed.rhs(real), tol=tol)


def _print(console: Console, request: Request, outcome: Outcome, shape: tuple[int, ...], unknowns: int) -> None:
    """The table; ``unknowns`` of the real system that was iterated on."""
    m, n = shape
    if request.explain:
        reasons = Table.grid(padding=(0, 1))
        for reason in outcome.reasons:
            reasons.add_row("-", Text(reason))
        console.print(reasons)
    console.print(f"{request.matrix.name}, {m} x {n}, on {outcome.config} ({outcome.engine})", highlight=False)
    table = Table(show_header=False)
    assert outcome.relative_residual is not None and outcome.energy_J is not None
    assert outcome.backward_error is not None and outcome.chip_time_s is not None
    of = f" of the {outcome.residual_of}" if outcome.residual_of == "normal equations" else ""
    table.add_row(f"relative residual{of}", f"{outcome.relative_residual:.1e}")
    table.add_row("backward error", f"{outcome.backward_error:.1e}")
    table.add_row("condition number, about", "infinite" if outcome.condition is None else f"{outcome.condition:.2g}")
    table.add_row("error of x at most", "infinite" if outcome.forward_bound is None else f"{outcome.forward_bound:.1e}")
    if outcome.relative_error is not None:
        table.add_row("error against the known x", f"{outcome.relative_error:.1e}")
    table.add_row("iterations", str(outcome.iterations))
    for name, count in outcome.compared.items():
        table.add_row(_part(f"without the chip, {name}"), str(count))
    table.add_row("analogue solves", str(outcome.analogue_solves))
    table.add_row("arrays written", str(outcome.reprogrammings))
    table.add_row("clock cycles on the chip", f"{outcome.clock_cycles:,}")
    table.add_row("time on the chip", si(outcome.chip_time_s, "s"))
    table.add_row("energy on the chip, estimated", si(outcome.energy_J, "J"))
    for row in digital_rows(unknowns, DIGITAL_BITS):
        table.add_row(_part(f"{row.name}, with memory"), si(row.with_memory_J, "J"))
    console.print(table)
    for warning in outcome.warnings:
        console.print(f"warning: {warning}", highlight=False)


def _part(label: str) -> Padding:
    """A label under the one above it, indented in all its lines."""
    return Padding(label, (0, 0, 0, 2))


def _writable(request: Request) -> None:
    """Refuses early what could not be written at the end."""
    for path in filter(None, (request.json_file, request.answer)):
        if path.is_dir():
            raise InputError(f"{path}: is a folder, a file is written there")
        path.parent.mkdir(parents=True, exist_ok=True)
    if request.answer and request.answer.suffix.lower() not in (".npy", ".csv"):
        raise InputError(f"{request.answer}: the answer is written as .npy or .csv")


def _write_json(request: Request, outcome: Outcome) -> None:
    if request.json_file:
        text = json.dumps(asdict(outcome), indent=2, default=str, allow_nan=False)
        _replace(request.json_file, lambda path: path.write_text(text + "\n"))


def _write_answer(path: Path, x: np.ndarray) -> None:
    def write(place: Path) -> None:
        with place.open("wb") as file:
            if path.suffix.lower() == ".npy":
                np.save(file, x)
            else:
                np.savetxt(file, x, delimiter=",", fmt="%.17g" if not np.iscomplexobj(x) else "%.17g%+.17gj")

    _replace(path, write)


def _replace(path: Path, write: Any) -> None:
    """Writes beside the place and moves it there, so that no part of a file is ever seen."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

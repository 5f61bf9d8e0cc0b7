"""The main job: one system through the generated Verilog on every simulator at hand, checked against prediction."""

import json
import math
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ohmloop import readers
from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.measured import die_named
from ohmloop.engines import tools
from ohmloop.engines.cosim import ENGINES
from ohmloop.engines.simulator import BODIES, SimulatorEngine, builds_folder
from ohmloop.engines.trace import Trace
from ohmloop.ensembles import grid_of, heat
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.golden.machine import Machine
from ohmloop.host.comparison import compare
from ohmloop.host.job import Job, Outcome, job_script, predict
from ohmloop.host.system import solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.reference import digital_solve, relative_error
from ohmloop.plan.scaling import check_magnitude, scale_rhs, unscale
from ohmloop.report.pictures import solution_picture
from ohmloop.report.timeline import OUTPUTS_SHOWN, settling_of, shown_outputs, timeline_of
from ohmloop.report.waveform import write_view
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase

HOT_EDGE, SOURCE_TERM = 1.0, 0.1
"""Heat plate: temperature of the left edge (the others are at 0) and heat put into the middle, in the same unit."""

MACROS = ("sv", *BODIES)
"""Bodies of the macro: SystemVerilog, or a Python body on the pins."""


@dataclass(frozen=True)
class System:
    """A x = b with a name; ``grid`` when the unknowns are a plate of that many rows and columns."""

    name: str
    matrix: np.ndarray
    b: np.ndarray
    grid: tuple[int, int] | None = None

    @property
    def exact(self) -> np.ndarray:
        """The float64 solution."""
        return np.linalg.solve(self.matrix, self.b)


@dataclass(frozen=True)
class EngineRun:
    """One row of the table; the errors are None where the chip trapped."""

    engine: str
    config: str
    size: int
    codes_equal: int
    codes_total: int
    codes_near: int
    codes_judged: int
    ties: int
    relative_error: float | None
    relative_error_digital: float | None
    clock_cycles: int
    phases: dict[str, int]
    agrees: bool


def heat_plate(config: ChipConfig) -> System:
    """Heat in a plate of N cells (8 x 8 at N = 64): 2-D Poisson, left edge hot, a source in the middle."""
    rows, columns = grid_of(config.size)
    b = np.zeros((rows, columns))
    b[:, 0] += HOT_EDGE
    b[rows // 2, columns // 2] += SOURCE_TERM
    return System(f"heat plate {rows} x {columns}", heat(config.size), b.ravel(), (rows, columns))


def system_from_file(path: Path) -> System:
    """The matrix of a file with the right-hand side A 1, so that the exact solution is all ones."""
    matrix = readers.read_matrix(path)
    readers.require_square(matrix, str(path))
    check_magnitude(matrix, str(path))
    return System(path.name, matrix, matrix @ np.ones(len(matrix)))


def system_asked_for(matrix: Path | None, config: ChipConfig) -> System:
    """The system of a file, or the heat plate. Errors: :class:`InputError`, also for one above the array."""
    if matrix is None:
        return heat_plate(config)
    system = system_from_file(matrix)
    if len(system.b) > config.size:
        raise InputError(f"{matrix}: {len(system.b)} unknowns are more than one array of {config.name} holds, at most "
                         f"{config.size}; `ohmloop solve` takes larger systems")
    return system


def run_main_job(config: ChipConfig, matrix: Path | None, out: Path, *, chip: str = "reference",
                 json_file: Path | None = None, macro: str = "sv") -> list[EngineRun]:
    """Solve a system on Icarus and on Verilator, print the table, write waveform, saved view and picture to ``out``.

    ``matrix``: a file, or the heat plate. ``chip``: a design or a measured chip
    (:func:`~ohmloop.analog.measured.die_named`). ``macro``: the body in the simulators, one of :data:`MACROS`; the
    golden machine predicts with the numpy macro whatever it is. Codes within one LSB are accepted from ngspice, and
    from the SystemVerilog body on a chip with wires or slew, which it takes as an effective matrix or not at all. A
    simulator that is not installed is named in one line and left out.

    Errors: :class:`InputError` for a matrix that cannot be planned, :class:`NotSolvedError` when the chip traps or a
    simulator disagrees with the golden machine, after the table.
    """
    console = Console(markup=False)
    if macro not in MACROS:
        raise InputError(f"macro must be one of {', '.join(MACROS)}, not {macro!r}")
    if macro == "spice":
        tools.find("libngspice")
    die = die_named(chip, config)
    params = die.params
    system = system_asked_for(matrix, config)
    plan = plan_system(system.matrix, config, params)
    engines = _engines(console)
    rhs = scale_rhs(system.b, config)
    job = solve_job(plan, rhs, config)
    predicted, run = predict(Machine(config, NumpyMacro(die), record=True), job)
    digital = digital_solve(plan, system.b, config)
    console.print(f"{system.name} on {config.name}: {plan.n} unknowns; " + "; ".join(plan.reasons), highlight=False)

    for folder in (out, *([json_file.parent] if json_file else [])):
        folder.mkdir(parents=True, exist_ok=True)
    with console.status("building and simulating on " + " and ".join(engines)):
        results = _simulate_all(engines, die, job, out, macro)

    near = macro == "spice" or macro == "sv" and (params.wire_ohm > 0 or math.isfinite(params.slew_V_per_s))
    solution = unscale(plan, rhs, predicted.mantissas, predicted.exponent)
    rows, failures = [], []
    for name, (outcome, trace) in zip(engines, results, strict=True):
        comparison = compare(outcome, trace, predicted, run)
        agrees = comparison.near if near else comparison.explained
        x = None if outcome.status.trap else unscale(plan, rhs, outcome.mantissas, outcome.exponent)
        rows.append(EngineRun(
            engine=name,
            config=config.name,
            size=plan.n,
            codes_equal=comparison.codes_equal,
            codes_total=comparison.codes_total,
            codes_near=comparison.codes_near,
            codes_judged=comparison.codes_judged,
            ties=comparison.ties,
            relative_error=None if x is None else relative_error(x, system.exact),
            relative_error_digital=None if x is None else relative_error(x, digital),
            clock_cycles=outcome.status.cycles,
            phases={phase.name.lower(): trace.phases[phase] for phase in Phase if phase != Phase.IDLE},
            agrees=agrees,
        ))
        if not agrees:
            failures.append(f"{name} does not do what the golden machine predicts")
        elif outcome.status.trap:
            failures.append(f"{name} trapped: {outcome.status.trap.name.lower()}")
    console.print(_table(system, rows))
    if json_file:
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False) + "\n")
    if failures:
        raise NotSolvedError("; ".join(failures))
    picture = out / "solution.png"
    settling = settling_of(timeline_of(run, job.settings, job.codes, die), shown_outputs(plan.n, OUTPUTS_SHOWN))
    solution_picture(picture, solution, system.exact, f"{system.name} on {config.name}", grid=system.grid,
                     settling=settling)
    console.print(f"picture {picture}, waveform and view " + ", ".join(
        str(path) for path in sorted(out.glob("waves.*"))), highlight=False, soft_wrap=True)
    return rows


def _engines(console: Console) -> list[str]:
    found = []
    for name in ENGINES:
        try:
            tools.find(name)
            found.append(name)
        except tools.ToolMissing as missing:
            console.print(f"left out: {missing}", highlight=False)
    if not found:
        raise tools.ToolMissing("no simulator found; `make doctor` says what to install")
    return found


def _simulate_all(names: list[str], die: Die, job: Job, out: Path, macro: str) -> list[tuple[Outcome, Trace]]:
    """The job on all engines at once, a waveform from the first; when one fails, or on Ctrl-C, all end."""
    body = None if macro == "sv" else macro
    engines = [SimulatorEngine(name, die, builds_folder(), waves=name == names[0], body=body,
                               effective_codes=job.codes if die.params.wire_ohm else None) for name in names]
    with ThreadPoolExecutor(len(engines)) as pool:
        futures = [pool.submit(_simulate, engine, job) for engine in engines]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            results = [future.result() for future in futures if future.done()]
        except BaseException:
            for engine in engines:
                engine.cancel()
            raise
    waveform = engines[0].waveform
    assert waveform is not None
    for stale in out.glob("waves.*"):
        stale.unlink()
    write_view(waveform.replace(out / f"waves{waveform.suffix}"), die.config)
    return results


def _simulate(engine: SimulatorEngine, job: Job) -> tuple[Outcome, Trace]:
    with engine:
        return engine.execute(job_script(engine.die.config, job)), engine.take_trace()


def _percent(error: float | None) -> str:
    return "-" if error is None else f"{error:.2%}"


def _table(system: System, rows: list[EngineRun]) -> Table:
    table = Table(title=system.name, title_justify="left")
    table.add_column("engine")
    for row in rows:
        table.add_column(row.engine, justify="right")
    table.add_row("codes equal to golden", *(f"{row.codes_equal} of {row.codes_total}" for row in rows))
    if any(row.codes_equal < row.codes_total for row in rows):
        table.add_row("  within 1 LSB, without scans that clip",
                      *(f"{row.codes_near} of {row.codes_judged}" for row in rows))
    table.add_row("relative error against float64", *(_percent(row.relative_error) for row in rows))
    table.add_row("  against a digital solve at equal precision",
                  *(_percent(row.relative_error_digital) for row in rows))
    table.add_row("clock cycles", *(str(row.clock_cycles) for row in rows))
    for phase in (name for name in rows[0].phases if any(row.phases[name] for row in rows)):
        table.add_row(f"  {phase}", *(str(row.phases[phase]) for row in rows))
    return table

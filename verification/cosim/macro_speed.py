"""The real-number macro alone, Verilated, its arithmetic in SystemVerilog and in C, and ngspice: what a task takes.

``python -m verification.cosim.macro_speed``. The clock runs inside the model (``macro_speed.sv``), so that nothing but
the macro is timed. Both bodies run in turn, several times; the shortest time of each counts, since whatever else runs
on the machine only adds. Both must give the same codes.
"""

import argparse
import json
import math
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ohmloop.analog.buses import pack
from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.spice.batch import transient
from ohmloop.analog.spice.netlist import Setting, circuit, outputs
from ohmloop.bench import SLOW_TAU, best_time, slow_design
from ohmloop.engines.conformance.check import macro_parameters
from ohmloop.engines.tools import find, run_environment
from ohmloop.ensembles import ensemble, tridiagonal
from ohmloop.plan.planner import plan_system
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from ohmloop_hdl.verilog import REAL_FLAGS, macro_build

HERE = Path(__file__).resolve().parent
MACRO = HERE.parents[1] / "hdl/ohmloop_hdl/macro"
TOP = "macro_speed"
BODIES = {"SystemVerilog": False, "C": True}


@dataclass(frozen=True)
class System:
    """What is solved: a matrix, a design, and clocks before each of the two conversions."""

    matrix: np.ndarray
    params: AnalogParams
    settle: int


def systems(config: ChipConfig) -> dict[str, System]:
    """A dense system that has settled after 40 clocks, and two that need 9 ln 2 time constants of 1,000 clocks."""
    n, settle = config.size, round((config.adc_bits + 1) * math.log(2.0) * SLOW_TAU / 2)
    dense = ensemble("diagdom", n, 10.0, 1)
    return {"dense": System(dense, AnalogParams.reference(), 40)} | {
        f"{name}, time constant {SLOW_TAU:g} clocks": System(matrix, slow_design(matrix, config), settle)
        for name, matrix in (("1-D Poisson", tridiagonal(n)), ("dense", dense))}


@dataclass(frozen=True)
class Timed:
    """One body."""

    tables_s: float
    """Factors and tables of a system, operating point included."""

    solve_s: dict[str, float]
    """A solve with its two conversions, tables known, by system."""

    clocks: dict[str, int]
    codes: dict[str, str]
    """What was converted, for comparison."""


def build(config: ChipConfig, dpi: bool, folder: Path) -> None:
    """Verilate the macro under its clock with one of the arithmetics."""
    macro = macro_build(dpi)
    command = [
        str(find("verilator").path), "--cc", "--exe", "--build", "-Wall", "-O3", "--unroll-count", "1",
        "--converge-limit", "1000000", "-CFLAGS", " ".join(["-march=native", *REAL_FLAGS]),
        "-Mdir", str(folder), "--top-module", TOP, "--prefix", f"V{TOP}", "-o", TOP,
        *(f"-D{name}" for name in macro.defines),
        *(f"-G{name}={value}" for name, value in macro_parameters(config).items()),
        *(str(MACRO / name) for name in macro.sources), str(HERE / f"{TOP}.sv"), str(HERE / f"{TOP}.cpp")]
    done = subprocess.run(command, env=run_environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def run(program: Path, die_file: Path, rows: Path, bandwidth: int, settle: int,
        repeats: int) -> tuple[float, float, int, str]:
    """Seconds of the tables and of a solve, clocks of a solve, codes."""
    done = subprocess.run(
        [program, f"+ohmloop_macro={die_file}", f"+macro_speed={rows}", f"+bandwidth={bandwidth}", f"+settle={settle}",
         f"+repeats={repeats}"],
        capture_output=True, text=True, check=True)
    tables_s, solve_s, clocks, codes = done.stdout.split()
    return float(tables_s), float(solve_s), int(clocks), codes


def measure(config: ChipConfig, repeats: int, rounds: int) -> tuple[dict[str, Timed], dict[str, float]]:
    """Both bodies on the planned systems, and seconds of ngspice at its default tolerance, as long as the solve."""
    spice_s: dict[str, float] = {}
    found: dict[tuple[str, str], list[tuple[float, float, int, str]]] = {}
    with tempfile.TemporaryDirectory(prefix="ohmloop-") as place:
        folder = Path(place)
        for body, dpi in BODIES.items():
            build(config, dpi, folder / body)
        for name, system in systems(config).items():
            die = Die.sample(config, system.params)
            plan = plan_system(system.matrix, config, system.params)
            planes = planes_of(plan.codes, config)
            die_file, rows = die.write_file(folder / "die.hex"), folder / "rows.hex"
            rows.write_text("".join(f"{pack(row, config.cell_bits):x}\n" for plane in planes for row in plane))
            for _ in range(rounds):
                for body in BODIES:
                    found.setdefault((name, body), []).append(
                        run(folder / body / TOP, die_file, rows, plan.bandwidth, system.settle, repeats))
            clocks = found[name, "C"][0][2]
            spice_s[name] = best_time(partial(in_ngspice, die, planes, plan.bandwidth, clocks), 3)
    first = next(iter(spice_s))
    return {body: Timed(
        min(tables_s for tables_s, *_ in found[first, body]),
        {name: min(solve_s for _, solve_s, *_ in found[name, body]) for name in spice_s},
        {name: found[name, body][0][2] for name in spice_s},
        {name: found[name, body][0][3] for name in spice_s}) for body in BODIES}, spice_s


def in_ngspice(die: Die, planes: np.ndarray, bandwidth: int, clocks: int) -> None:
    """The same loop with the same input codes from closing on, default tolerance."""
    dac = np.array([3 + i % 7 if i % 2 == 0 else -5 - i % 3 for i in range(die.config.size)])
    setting = Setting(codes=planes, level_V=die.input_V(dac), offset_V=die.zeroed_V,
                      bandwidth=bandwidth)
    stop_s = clocks * die.params.clock_s
    transient(find("ngspice").path, circuit(die, setting, clamped=False), outputs(die.config.size), stop_s,
              stop_s / 100, "method=trap")


def main():
    """Arguments in, table out; exit code 3 where codes or clocks differ."""
    parser = argparse.ArgumentParser(prog="python -m verification.cosim.macro_speed",
                                     description="The macro's arithmetic in SystemVerilog and in C.")
    parser.add_argument("--config", choices=CONFIGS, default="chip64")
    parser.add_argument("--repeats", type=int, default=30, help="tasks a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each body, in turn")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    timed, spice_s = measure(config_named(options.config), options.repeats, options.rounds)
    in_sv, in_c = timed.values()
    table = Table("task", *(f"{body}, ms" for body in timed), "ratio", "ngspice, ms", "over C", title_justify="left",
                  title=f"real-number macro alone, {options.config}, Verilated")
    tasks = {"factors and tables": (in_sv.tables_s, in_c.tables_s)}
    tasks |= {name: (in_sv.solve_s[name], in_c.solve_s[name]) for name in spice_s}
    for task, (sv_s, c_s) in tasks.items():
        beside = (f"{spice_s[task] * 1e3:.0f}", f"{spice_s[task] / c_s:.0f}") if task in spice_s else ()
        label = f"solve, {task}, {in_c.clocks[task]} clocks" if task in spice_s else task
        table.add_row(label, f"{sv_s * 1e3:.3f}", f"{c_s * 1e3:.3f}", f"{sv_s / c_s:.1f}", *beside)
    Console().print(table)
    if options.json:
        found = {body: asdict(times) for body, times in timed.items()} | {"ngspice": spice_s}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if (in_sv.codes, in_sv.clocks) != (in_c.codes, in_c.clocks):
        raise SystemExit(3)


if __name__ == "__main__":
    main()

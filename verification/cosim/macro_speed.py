"""The real-number macro alone, Verilated, its arithmetic in SystemVerilog and in C: what a task takes, as ratios.

``python -m verification.cosim.macro_speed``. The clock runs inside the model (``macro_speed.sv``), so that nothing but
the macro is timed. Both bodies run in turn, several times; the shortest time of each counts, since whatever else runs
on the machine only adds. Both must give the same codes.
"""

import argparse
import json
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ohmloop.analog.buses import pack
from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.conformance.check import macro_parameters
from ohmloop.engines.tools import find, run_environment
from ohmloop.ensembles import ensemble
from ohmloop.plan.planner import plan_system
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from ohmloop_hdl.verilog import macro_build

HERE = Path(__file__).resolve().parent
MACRO = HERE.parents[1] / "hdl/ohmloop_hdl/macro"
TOP = "macro_speed"
BODIES = {"SystemVerilog": False, "C": True}
SETTLE = (40, 10_000)
"""Clocks before each of the two conversions: a dense system, and ten time constants of 1,000 clocks."""


@dataclass(frozen=True)
class Timed:
    """One body."""

    build_s: float
    tables_s: float
    """Factors and tables of a system, operating point included."""

    solve_s: dict[int, float]
    """A solve with its two conversions, tables known, by clocks of settling."""

    clocks: dict[int, int]
    codes: dict[int, str]
    """What was converted, for comparison."""


def build(config: ChipConfig, dpi: bool, folder: Path) -> float:
    """Verilate the macro under its clock with one of the arithmetics; returns the processor time, s."""
    macro = macro_build(dpi)
    command = [
        str(find("verilator").path), "--cc", "--exe", "--build", "-Wall", "-O3", "--unroll-count", "1",
        "--converge-limit", "1000000", "-CFLAGS", " ".join(["-march=native", *macro.compiler_flags]),
        "-Mdir", str(folder), "--top-module", TOP, "--prefix", f"V{TOP}", "-o", TOP,
        *(f"-D{name}" for name in macro.defines),
        *(f"-G{name}={value}" for name, value in macro_parameters(config).items()),
        *(str(MACRO / name) for name in macro.sources), str(HERE / f"{TOP}.sv"), str(HERE / f"{TOP}.cpp")]
    before = os.times()
    done = subprocess.run(command, env=run_environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    after = os.times()
    return after.children_user - before.children_user


def run(program: Path, die_file: Path, rows: Path, bandwidth: int, settle: int,
        repeats: int) -> tuple[float, float, int, str]:
    """Seconds of the tables and of a solve, clocks of a solve, codes."""
    done = subprocess.run(
        [program, f"+ohmloop_macro={die_file}", f"+macro_speed={rows}", f"+bandwidth={bandwidth}", f"+settle={settle}",
         f"+repeats={repeats}"],
        capture_output=True, text=True, check=True)
    tables_s, solve_s, clocks, codes = done.stdout.split()
    return float(tables_s), float(solve_s), int(clocks), codes


def measure(config: ChipConfig, settle: tuple[int, ...], repeats: int, rounds: int) -> dict[str, Timed]:
    """Both bodies on one planned system of the reference chip."""
    die = Die.sample(config, AnalogParams.reference())
    plan = plan_system(ensemble("diagdom", config.size, 10.0, 1), config, die.params)
    with tempfile.TemporaryDirectory(prefix="ohmloop-") as place:
        folder = Path(place)
        die_file, rows = die.write_file(folder / "die.hex"), folder / "rows.hex"
        rows.write_text("".join(f"{pack(row, config.cell_bits):x}\n" for plane in planes_of(plan.codes, config)
                                for row in plane))
        built = {body: build(config, dpi, folder / body) for body, dpi in BODIES.items()}
        found = {(body, clocks, turn): run(folder / body / TOP, die_file, rows, plan.bandwidth, clocks, repeats)
                 for clocks in settle for turn in range(rounds) for body in BODIES}
        return {body: Timed(
            build_s,
            min(tables_s for (name, _, _), (tables_s, *_) in found.items() if name == body),
            {n: min(found[body, n, turn][1] for turn in range(rounds)) for n in settle},
            {n: found[body, n, 0][2] for n in settle},
            {n: found[body, n, 0][3] for n in settle}) for body, build_s in built.items()}


def main():
    """Arguments in, table out; exit code 3 where codes or clocks differ."""
    parser = argparse.ArgumentParser(prog="python -m verification.cosim.macro_speed",
                                     description="The macro's arithmetic in SystemVerilog and in C.")
    parser.add_argument("--config", choices=CONFIGS, default="chip64")
    parser.add_argument("--repeats", type=int, default=30, help="tasks a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each body, in turn")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    timed = measure(config_named(options.config), SETTLE, options.repeats, options.rounds)
    in_sv, in_c = timed.values()
    table = Table("task", *(f"{body}, ms" for body in timed), "ratio", title_justify="left",
                  title=f"real-number macro alone, {options.config}, Verilated")
    tasks = {"factors and tables": (in_sv.tables_s, in_c.tables_s)}
    tasks |= {f"solve, {in_sv.clocks[n]} clocks": (in_sv.solve_s[n], in_c.solve_s[n]) for n in SETTLE}
    for task, (sv_s, c_s) in tasks.items():
        table.add_row(task, f"{sv_s * 1e3:.3f}", f"{c_s * 1e3:.3f}", f"{sv_s / c_s:.1f}")
    table.add_row("building it, processor time", f"{in_sv.build_s * 1e3:.0f}", f"{in_c.build_s * 1e3:.0f}",
                  f"{in_sv.build_s / in_c.build_s:.1f}")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps({body: asdict(times) for body, times in timed.items()}, indent=2) + "\n")
    if (in_sv.codes, in_sv.clocks) != (in_c.codes, in_c.clocks):
        raise SystemExit(3)


if __name__ == "__main__":
    main()

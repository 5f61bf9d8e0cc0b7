"""The command line: arguments in, exit codes out; every command is one call into the packages below.

Errors and exit codes: :mod:`ohmloop.command`.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from ohmloop.command import ends
from ohmloop.engines import tools
from ohmloop.errors import InputError
from ohmloop_hdl.config import CONFIGS, config_named

app = typer.Typer(name="ohmloop", no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Ohmloop: an open, cycle-accurate closed-loop analogue in-memory solver.")

FLAG = ""
"""What stands behind an option that takes no value."""

Config = Annotated[str, typer.Option(help=f"Chip configuration: {', '.join(CONFIGS)}.", metavar="NAME")]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if missing.", metavar="DIR")]


@app.command()
def solve(
    matrix: Annotated[Path, typer.Argument(help="Matrix file (.mtx .npy .npz .csv), real or complex, any shape.",
                                           metavar="FILE", show_default=False)],
    rhs: Annotated[Path | None, typer.Option(help="Right-hand side file; A x with a random x when left out, so that "
                                                  "the error is known.", metavar="FILE")] = None,
    config: Config = "chip64",
    engine: Annotated[str, typer.Option(help="model: golden machine and numpy; rtl: the generated Verilog at full "
                                             "speed; icarus, verilator: the same in a simulator.")] = "model",
    analog: Annotated[str, typer.Option("--chip", help="The analogue chip: reference, detailed or ideal; a .csv of "
                                        "parameters; a measured chip (.npz or folder).",
                                        metavar="NAME|PATH")] = "reference",
    seed: Annotated[int | None, typer.Option(help="Draw another chip of a design.", min=0)] = None,
    tol: Annotated[float, typer.Option(help="Relative residual to reach.")] = 1e-10,
    method: Annotated[str, typer.Option(help="Iteration on the host around the chip: fgmres, or fcg for symmetric "
                                             "positive definite systems; on the chip: refine, gcr, gcr5, or digital "
                                             "with its loop open.")] = "fgmres",
    limit: Annotated[int | None, typer.Option(help="Most iterations.", min=1)] = None,
    ridge: Annotated[float, typer.Option(help="Least squares with this times ||x||^2 added.", min=0.0)] = 0.0,
    compare: Annotated[bool, typer.Option("--compare", help="Count iterations without the chip too: with no "
                                          "preconditioner, Jacobi, ILU(0).", metavar=FLAG)] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why the system is solved this way.",
                                          metavar=FLAG)] = False,
    answer: Annotated[Path | None, typer.Option("--answer", help="Write x there, .npy or .csv.",
                                                metavar="FILE")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything for a machine to read.", metavar="FILE")] = None,
):
    """Solve a system of your own to the tolerance you ask for, and say what the answer is worth.

    Exit code 0: solved; 2: refused, with the reason; 3: not solved, with the best residual; 130: interrupted.
    """
    chip = config_named(config)
    from ohmloop.report.solve_run import Request, run_solve

    run_solve(chip, Request(matrix=matrix, rhs=rhs, engine=engine, chip=analog, seed=seed, tol=tol, method=method,
                            limit=limit, ridge=ridge, compare=compare, explain=explain, json_file=json, answer=answer))


@app.command()
def sim(
    matrix: Annotated[Path | None, typer.Argument(help="Matrix file (.mtx .npy .npz .csv); the heat plate when "
                                                       "left out.")] = None,
    config: Config = "chip64",
    out: Out = Path("build/sim"),
    analog: Annotated[str, typer.Option("--chip", help="The analogue chip: reference, detailed (with wires and slew) "
                                        "or ideal; a .csv of parameters; a measured chip (.npz or folder).",
                                        metavar="NAME|PATH")] = "reference",
    macro: Annotated[str, typer.Option(help="Body of the analogue half: sv (in the simulator itself), numpy, or spice "
                                            "(ngspice in lock-step; codes within 1 LSB agree).")] = "sv",
    json: Annotated[Path | None, typer.Option(help="Also write the table as a list of runs.", metavar="FILE")] = None,
):
    """Solve a system on the simulated chip, on every simulator found, and compare with the golden machine."""
    chip = config_named(config)
    from ohmloop.report.main_job import run_main_job

    run_main_job(chip, matrix, out, chip=analog, json_file=json, macro=macro)


@app.command()
def report(
    matrix: Annotated[Path | None, typer.Argument(help="Matrix file (.mtx .npy .npz .csv), solved for A 1; the heat "
                                                       "plate when left out.")] = None,
    config: Config = "chip64",
    out: Out = Path("build/report"),
    program: Annotated[str, typer.Option(help="Program on the chip: solve, refine, gcr, gcr5 or digital.")] = "solve",
    analog: Annotated[str, typer.Option("--chip", help="The analogue chip, as for sim.",
                                        metavar="NAME|PATH")] = "reference",
):
    """Solve on the golden machine and write what happened: a page, a trace for Perfetto, a waveform."""
    chip = config_named(config)
    from ohmloop.report.run_report import run_report

    run_report(chip, matrix, out, program=program, chip=analog)


@app.command()
def verilog(
    config: Config = "chip64",
    out: Out = Path("build/verilog"),
    host: Annotated[str, typer.Option(help="Host bus: axil, wishbone or spi.")] = "axil",
):
    """Write the Verilog of a chip: sources, macro bodies, file list."""
    chip = config_named(config)
    from ohmloop_hdl.chip import HOSTS
    from ohmloop_hdl.verilog import write_project

    if host not in HOSTS:
        raise InputError(f"--host must be one of {', '.join(HOSTS)}, not {host!r}")
    write_project(chip, out, host)
    print(f"Verilog of {chip.name} with {host} in {out}")


@app.command("macro-check")
def macro_check(
    macro: Annotated[Path, typer.Argument(help="SystemVerilog file with a module ohmloop_macro.", metavar="FILE.sv",
                                          show_default=False)],
    config: Config = "tiny",
    engine: Annotated[str, typer.Option(help="Simulator: icarus, verilator or both; every one found when left out.",
                                        show_default=False)] = "",
    reference: Annotated[bool, typer.Option("--reference", help="Check as the reference chip: the body must load the "
                                            "parameter file of the plusarg +ohmloop_macro=FILE.",
                                            metavar=FLAG)] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random part of the stimulus.", min=0)] = 1,
    timeout: Annotated[float, typer.Option(help="Longest that a single step may take, seconds.", metavar="S")] = 120.0,
    further: Annotated[list[Path] | None, typer.Option("--with", help="What else the body is made of, such as a C file "
                                                       "with its DPI functions.", metavar="FILE")] = None,
    define: Annotated[list[str] | None, typer.Option(help="Name that the preprocessor knows.", metavar="NAME")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write all verdicts.", metavar="FILE")] = None,
):
    """Say rule by rule where a macro body of your own breaks the macro contract.

    Exit code 0: it breaks none; 3: it breaks one, hangs or ends the simulation; 2: the file holds no such macro.
    """
    chip = config_named(config)
    from ohmloop.report.macro_check import run_macro_check

    run_macro_check(macro, chip, engine=engine, reference=reference, seed=seed, timeout_s=timeout,
                    further=further or (), defines=define or (), json_file=json)


@app.command()
def budget(
    out: Out = Path("build/budget"),
    systems: Annotated[int, typer.Option(help="Systems a family.", min=1)] = 10,
    size: Annotated[int, typer.Option(help="Size of the systems, a power of two.", min=16)] = 64,
    cond: Annotated[float, typer.Option(help="Their condition number, where the family takes one.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Seed of systems and chips.", min=0)] = 1,
    json: Annotated[Path | None, typer.Option(help="Also write the table as effect, family, error.",
                                              metavar="FILE")] = None,
):
    """What each imperfection of the analogue half costs in one solve: a table, and a picture that adds it up."""
    from ohmloop.report.budget import run_budget

    run_budget(out, systems=systems, size=size, cond=cond, seed=seed, json_file=json)


@app.command()
def sweep(
    matrix: Annotated[Path | None, typer.Argument(help="Matrix file (.mtx .npy .npz .csv), solved for A 1; the heat "
                                                       "plate when left out.")] = None,
    config: Annotated[str, typer.Option(help=f"Configurations: {', '.join(CONFIGS)}.", metavar="A,B")] = "chip64",
    set_: Annotated[list[str] | None, typer.Option("--set", help="An analogue parameter or a field of the "
                    "configuration, and its values; give it again for the full grid.", metavar="NAME=A,B")] = None,
    ensemble: Annotated[str | None, typer.Option(help="A family of matrices instead of a file.",
                                                 metavar="NAME")] = None,
    cond: Annotated[str, typer.Option(help="Their condition numbers.", metavar="A,B")] = "",
    systems: Annotated[int, typer.Option(help="Members of the ensemble a point.")] = 1,
    chips: Annotated[int, typer.Option(help="Chips a point and system.")] = 100,
    seed: Annotated[int, typer.Option(help="Picks the population of chips, and the members of an ensemble.")] = 1,
    base: Annotated[str, typer.Option(help="Design to start from: reference, ideal or detailed.")] = "reference",
    metric: Annotated[str, typer.Option(help="static: settled outputs, thousands of chips a second; chip: the whole "
                                             "chip bit by bit.")] = "static",
    stability: Annotated[bool | None, typer.Option("--stability/--no-stability", help="Look at every loop of static "
                         "for growing modes, or at none; else where some of a point's first loops come near.",
                         metavar=FLAG)] = None,
    allow_shift: Annotated[bool, typer.Option("--allow-shift", help="Let the planner shift the diagonal, which solves "
                                                                    "another matrix.", metavar=FLAG)] = False,
    yield_limit: Annotated[float, typer.Option(help="Largest relative error of a chip that passes.")] = 0.05,
    workers: Annotated[int | None, typer.Option(help="Worker processes; as many as processors when left out.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler to use instead of own processes.",
                                                  metavar="tcp://HOST:PORT")] = None,
    out: Out = Path("build/sweep"),
    table: Annotated[Path | None, typer.Option(help="Also write the table of chips there, .csv or .parquet.",
                                               metavar="FILE")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the table of points as a list.", metavar="FILE")] = None,
):
    """Monte Carlo over many chips: errors and yield over any parameters, as tables and pictures. Goes on where it was
    stopped."""
    from ohmloop.sweep.run import Request, run_sweep

    request = Request(config=config, sets=tuple(set_ or ()), matrix=matrix, ensemble=ensemble, cond=cond,
                      systems=systems, chips=chips, seed=seed, base=base, metric=metric, stability=stability,
                      allow_shift=allow_shift, yield_limit=yield_limit)
    run_sweep(request, out, workers=workers, scheduler=scheduler, json_file=json, table_file=table)


@app.command()
def bench(config: Config = "chip64"):
    """Measure speed as ratios: populations of chips, ngspice against numpy macro and rtl engine, engines against each
    other."""
    from ohmloop.bench import run_bench_table

    run_bench_table(config_named(config))


@app.command()
def doctor(
    require: Annotated[str, typer.Option(help="Tools that must be there, separated by commas; exit code 3 if one is "
                                              "missing.", metavar="A,B")] = "",
):
    """Show which tools were found, in which version, and where they come from."""
    required = [name for name in require.split(",") if name]
    for name in required:
        if name not in tools.NAMES:
            raise InputError(f"--require must name tools out of {', '.join(tools.NAMES)}, not {name!r}")
    table = Table("tool", "version", "from", Column("path", overflow="fold"))
    missing: list[str] = []
    for name in tools.NAMES:
        try:
            tool = tools.find(name)
            table.add_row(name, tool.version, tool.origin, str(tool.path))
        except tools.ToolMissing as error:
            table.add_row(name, "-", "missing", str(error).partition(": ")[2])
            if name in required:
                missing.append(str(error))
    Console().print(table)
    if missing:
        raise tools.ToolMissing("; ".join(missing))


def main():
    """Entry point of ``ohmloop``."""
    ends("ohmloop", app)

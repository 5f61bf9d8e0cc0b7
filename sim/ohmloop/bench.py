"""Speed as ratios, each of two things timed in the same run on the same machine.

Absolute times depend on the machine; the ratio of two of them much less. Each side runs several times, and the ratio
is that of the best times.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.chips import Chips
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.spice.batch import TRAN_OPTIONS, transient
from ohmloop.analog.spice.netlist import Setting, circuit, outputs
from ohmloop.energy.model import CLOSED
from ohmloop.engines import tools
from ohmloop.engines.named import ENGINES
from ohmloop.engines.operations import Script, WaitHalt, Write
from ohmloop.ensembles import ensemble, heat, tridiagonal
from ohmloop.golden.convert import input_codes
from ohmloop.golden.machine import RUN_LIMIT_CLOCKS
from ohmloop.host.device import Device
from ohmloop.host.job import Job
from ohmloop.host.system import iterative_job
from ohmloop.plan.planner import plan_preconditioner, plan_system
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import ChipConfig

CHIPS = 1000
SETTLE_CLOCKS = 150

SLOW_TAU = 1000.0
"""Time constant in clocks of a loop that settles slowly."""

TAUS = (30.0, 100.0, 300.0, SLOW_TAU, 3000.0)
"""Time constants at which the whole chip is held against a circuit simulator."""


@dataclass(frozen=True)
class Ratio:
    """One line: what is measured, how many times longer the first takes than the second, and the goal."""

    name: str
    ratio: float
    goal: str


def best_time(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the quickest of some runs, after one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def monte_carlo(config: ChipConfig, matrix: np.ndarray) -> float:
    """Static answers of :data:`CHIPS` chips over as many bare ``numpy.linalg.solve``."""
    codes = np.rint(matrix / np.abs(matrix).max() * config.code_max).astype(np.int64)
    A, u_V = codes / config.code_max, np.random.default_rng(1).uniform(-0.1, 0.1, config.size)

    def chips():
        Chips(config, AnalogParams.reference(), codes, CHIPS).outputs_V(u_V)

    def bare():
        for _ in range(CHIPS):
            np.linalg.solve(A, u_V)

    return best_time(chips) / best_time(bare)


def against_ngspice(config: ChipConfig, matrix: np.ndarray, options: str) -> float:
    """ngspice with some tolerances over the numpy macro: one solve from closing to a settled sample.

    The numpy side builds its tables and factors anew each time, as after programming.
    """
    codes = np.rint(matrix / np.abs(matrix).max() * (config.code_max - config.code_max % 4)).astype(np.int64)
    die = Die.sample(config, AnalogParams(read_noise_V=0.0))
    dac = np.random.default_rng(1).integers(-8, 9, config.size)
    planes = planes_of(codes, config)
    setting = Setting(codes=planes, level_V=die.input_V(dac), offset_V=die.zeroed_V)
    stop_s = SETTLE_CLOCKS * die.params.clock_s
    netlist, ngspice = circuit(die, setting, clamped=False), tools.find("ngspice").path
    macro = NumpyMacro(die)
    for plane, rows in enumerate(planes):
        for row, held in enumerate(rows):
            macro.write_row(plane, row, held)

    def solve():
        macro._cells_changed()
        macro.autozero()
        macro.close(False, dac)
        macro.advance(SETTLE_CLOCKS)
        macro.hold()
        macro.open()

    def spice():
        transient(ngspice, netlist, outputs(config.size), stop_s, stop_s / 100, options)

    return best_time(spice, 3) / best_time(solve)


def rtl_against_ngspice(config: ChipConfig, matrix: np.ndarray, params: AnalogParams) -> float:
    """ngspice at its default tolerance over one INV of the ``rtl`` engine, for as long as the chip keeps it closed.

    The whole chip is simulated on one side, the analogue circuit alone on the other. Tables are known, as from the
    second right-hand side on.
    """
    die = Die.sample(config, replace(params, read_noise_V=0.0))
    plan = plan_system(matrix, config, die.params)
    b = matrix @ np.random.default_rng(1).standard_normal(config.size)
    with Device(config, "rtl", die) as device:
        device.load(plan)
        device.invert(b)
        before = device.counters.events
        device.invert(b)
        after = device.counters.events
        # As long in all as the runs of ngspice: what disturbs the machine lasts longer than one INV.
        times = [_waited(device) for _ in range(300)]
    closed = sum(after[event] - before[event] for event in CLOSED)
    dac = input_codes(scale_rhs(b, config).mantissas, config)
    netlist = circuit(die, Setting(codes=planes_of(plan.codes, config), level_V=die.input_V(dac),
                                   offset_V=die.zeroed_V, bandwidth=plan.bandwidth), clamped=False)
    stop_s, ngspice = closed * die.params.clock_s, tools.find("ngspice").path
    spice_s = best_time(lambda: transient(ngspice, netlist, outputs(config.size), stop_s, stop_s / 100,
                                          "method=trap"), 3)
    return spice_s / min(times)


def _waited(device: Device) -> float:
    """Seconds from the start of an INV to the interrupt."""
    table = device.driver.map

    def start() -> Script[None]:
        yield Write(table.registers["INTR_STATE"], (table.fields["INTR_STATE.done"].mask,))
        yield Write(table.registers["CONTROL"], (table.fields["CONTROL.start"].mask,))

    def wait() -> Script[None]:
        yield WaitHalt(RUN_LIMIT_CLOCKS)

    device.engine.execute(start())
    began = time.perf_counter()
    device.engine.execute(wait())
    return time.perf_counter() - began


@dataclass(frozen=True)
class EngineSpeeds:
    """Engines beside ``rtl``."""

    ratios: dict[str, float]
    """Time of ``refine`` over that of ``rtl``, programming and transfers included."""

    analogue: float
    """Share of ``rtl`` that is not the digital half: what a clock takes beyond one of ``digital``, whose loop stays
    open."""

    clocks_per_s: float
    """Clocks of ``refine`` that ``rtl`` simulates in a second, on this machine."""

    def lines(self) -> list[Ratio]:
        """As lines of the table."""
        return [*(Ratio(f"engine {name} / engine rtl, refine on the heat plate", ratio, "")
                  for name, ratio in self.ratios.items()),
                Ratio("analogue part of the rtl engine's time, refine on the heat plate", self.analogue, "at most 0.5")]


def engines_against_rtl(config: ChipConfig, matrix: np.ndarray) -> EngineSpeeds:
    """``refine`` on each engine that can run here, and ``digital`` on ``rtl``."""
    params = AnalogParams()
    plan = plan_preconditioner(matrix, config, params)
    rhs = scale_rhs(matrix @ np.random.default_rng(1).standard_normal(config.size), config)
    die, seconds = Die.sample(config, params), {}
    for name in ENGINES:
        if name in ("icarus", "verilator") and not tools.available(name):
            continue
        with Device(config, name, die) as device:
            for program in ("refine", "digital") if name == "rtl" else ("refine",):
                job, clocks = iterative_job(program, plan, matrix, rhs, config), []
                repeats = 5 if name in ("model", "rtl") else 1
                seconds[name, program] = best_time(partial(_run, device, job, clocks), repeats)
                seconds[name, program, "clock"] = seconds[name, program] / clocks[-1]
    whole = seconds["rtl", "refine"]
    clock_s = seconds["rtl", "refine", "clock"]
    return EngineSpeeds(
        {name: seconds[name, "refine"] / whole for name in ENGINES if name != "rtl" and (name, "refine") in seconds},
        1.0 - seconds["rtl", "digital", "clock"] / clock_s, 1.0 / clock_s)


def _run(device: Device, job: Job, clocks: list[int]) -> None:
    clocks.append(device.run(job).status.cycles)


def even_design() -> AnalogParams:
    """Cells that match, without which no plan of a very slow loop is sure of its stability."""
    return AnalogParams(mismatch_sigma=0.0)


def slow_design(matrix: np.ndarray, config: ChipConfig, clocks: float = SLOW_TAU) -> AnalogParams:
    """The same with amplifiers with which the loop of this matrix has a time constant of so many clocks."""
    even = even_design()
    tau = plan_system(matrix, config, even).slowest_time_constant_cycles
    return replace(even, gbw_Hz=even.gbw_Hz * tau / clocks)


def measured(config: ChipConfig) -> Iterator[Ratio]:
    """Ratios that circuit simulators and numpy have a part in, one after the other."""
    n = config.size
    dense, plate = ensemble("wishart", n, 10), heat(n)
    for name, matrix in (("dense", dense), ("heat plate", plate)):
        yield Ratio(f"1000 chips, static, {name} / 1000 bare numpy solves", monte_carlo(config, matrix), "at most 3")
    for name, matrix in (("heat plate", plate), ("dense", dense)):
        for how, options in (("default tolerance", "method=trap"), ("as exact", TRAN_OPTIONS)):
            yield Ratio(f"ngspice, {how} / numpy macro, one solve, {name}",
                        against_ngspice(config, matrix, options), "")
    for name, matrix, params, goal in (
            ("dense", dense, even_design(), "at least 1000"), ("heat plate", plate, even_design(), ""),
            *((f"{name}, time constant {clocks:g} clocks", matrix, slow_design(matrix, config, clocks), "at least 50")
              for name, matrix in (("1-D Poisson", tridiagonal(n)), ("dense", dense)) for clocks in TAUS)):
        yield Ratio(f"ngspice, default tolerance / rtl engine, one INV, {name}",
                    rtl_against_ngspice(config, matrix, params), goal)


def run_bench_table(config: ChipConfig) -> list[Ratio]:
    """Measure and print all ratios."""
    console = Console()
    with console.status("measuring"):
        speeds = engines_against_rtl(config, heat(config.size))
        ratios = [*measured(config), *speeds.lines()]
    table = Table("what", "ratio", "goal", title=f"Ratios of times, {config.name}", title_justify="left")
    for line in ratios:
        table.add_row(line.name, f"{line.ratio:.3g}", line.goal)
    console.print(table)
    console.print(f"the rtl engine simulated {speeds.clocks_per_s:,.0f} clocks a second on this machine, refine on the "
                  "heat plate")
    return ratios

"""Speed as ratios, each of two things timed in the same run on the same machine.

Absolute times depend on the machine; the ratio of two of them much less. Each side runs several times, and the ratio
is that of the best times.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.chips import Chips
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.spice.batch import TRAN_OPTIONS, transient
from ohmloop.analog.spice.netlist import Setting, circuit, outputs
from ohmloop.engines import tools
from ohmloop.ensembles import ensemble, heat
from ohmloop_hdl.config import ChipConfig

CHIPS = 1000
SETTLE_CLOCKS = 150


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


def run_bench_table(config: ChipConfig) -> list[Ratio]:
    """Measure and print all ratios."""
    console = Console()
    n = config.size
    with console.status("measuring"):
        ratios = [
            Ratio("1000 chips, static, dense / 1000 bare numpy solves", monte_carlo(config, ensemble("wishart", n, 10)),
                  "at most 3"),
            Ratio("1000 chips, static, heat plate / 1000 bare numpy solves", monte_carlo(config, heat(n)), "at most 3"),
            *(Ratio(f"ngspice, {how} / numpy macro, one solve, {name}", against_ngspice(config, matrix, options), "")
              for name, matrix in (("heat plate", heat(n)), ("dense", ensemble("wishart", n, 10)))
              for how, options in (("default tolerance", "method=trap"), ("as exact", TRAN_OPTIONS))),
        ]
    table = Table("what", "ratio", "goal", title=f"Ratios of times, {config.name}", title_justify="left")
    for line in ratios:
        table.add_row(line.name, f"{line.ratio:.3g}", line.goal)
    console.print(table)
    return ratios

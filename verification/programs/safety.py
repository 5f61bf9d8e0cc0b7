"""Does a chip ever give a wrong answer without a word? Thousands of chips that should fail, on the golden machine.

Classes of samples, on a configuration, with the reference macro:

* *unstable*: random matrices whose loop has a growing mode, closed anyway, with a random interval;
* *barely stable*: matrices moved along their diagonal until the slowest mode decays, in fifty clocks or more,
  closed with the interval that the planner asks for, which knows the nominal chip and its draws, not the chip at hand;
  those that do not settle on every draw with its margin are left out, since no plan is made for them;
* *stuck cells*: matrices that a plan holds well, on chips with one to a tenth of N stuck cells.

Each runs ``solve``. An answer is *wrong* where some code is further from the settled outputs of this very chip, or of
the chip without its stuck cells, than the settling rule allows, (tolerance + 1) LSB / (e^(D/tau) - 1) with the tau of
the design, and :data:`SLACK_LSB` for rounding, noise and mismatch; or where there is no settled output at all. A wrong
answer is *flagged* by a trap, by the count of bad cells in the status, or by a residual b - A x that is more than
:data:`RESIDUAL` times that of a digital system of equal precision (which the host computes in any case). Anything
wrong and not flagged is *silent*, and there must be none.
"""

import argparse
import json
import math
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ohmloop.analog.cells import Die, faults, loop_matrices, planes_of
from ohmloop.analog.loop import static_solve
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.errors import NotSolvedError
from ohmloop.golden.assembler import program
from ohmloop.golden.convert import input_codes
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.host.job import SOURCE, Job, predict
from ohmloop.plan.stability import (
    interval_cycles,
    keeps_margin,
    mismatched_loops,
    nominal_loop,
    settling,
    timeout_cycles,
)
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from ohmloop_hdl.fixed import MANTISSA_BITS
from ohmloop_hdl.sequencer.traps import TrapCause

CLASSES = ("unstable", "barely stable", "stuck cells")
SLACK_LSB = 2.0
RESIDUAL = 4.0
REFERENCE = AnalogParams.reference()


class Sample:
    """One chip, one matrix, one right-hand side.

    Parameters
    ----------
    kind : str
        One of :data:`CLASSES`.
    config : ChipConfig
        Sizes and widths.
    seed : int
        Draws everything.
    """

    def __init__(self, kind: str, config: ChipConfig, seed: int):
        self.config, self.kind = config, kind
        self.rng = rng = np.random.default_rng([seed, CLASSES.index(kind)])
        n, c = config.size, config.code_max
        self.params = replace(REFERENCE, seed=int(rng.integers(1 << 32)))
        stuck: tuple[tuple[int, int, int, int], ...] = ()
        self.bandwidth = int(rng.integers(4))
        if kind == "unstable":
            self.codes = next(codes for codes in self._random() if self._slowest(codes, self.bandwidth) > 1e-7)
        elif kind == "barely stable":
            self.codes = self._barely_stable()
        else:
            off = rng.integers(-2, 3, (n, n))
            self.codes = np.clip(off + np.diag(np.full(n, c) - np.diag(off)), -c, c)
            count = int(rng.integers(1, max(2, n // 10) + 1))
            stuck = tuple((int(rng.integers(2)), int(rng.integers(n)), int(rng.integers(n)), int(rng.integers(c + 1)))
                          for _ in range(count))
        self.die = Die.sample(config, self.params, stuck)
        taus = self._taus(self.codes)
        self.tau = max(taus) if math.isfinite(max(taus)) else float(rng.integers(1, 3000))
        self.mantissas = rng.integers(-(1 << MANTISSA_BITS - 1) + 1, 1 << MANTISSA_BITS - 1, n)
        self.mantissas[rng.integers(n)] = (1 << MANTISSA_BITS - 1) - 1
        interval = interval_cycles(self.tau, 1)
        self.settings = Settings.reset(config, loop_size=n, vector_size=n, bandwidth=self.bandwidth, tolerance=1,
                                       solve_interval=interval, timeout=timeout_cycles(self.tau, interval, config),
                                       # Half of the chips go on with bad cells: the count is what tells then.
                                       bad_limit=int(rng.integers(2)) * 2 * n)

    def verdict(self) -> str:
        """``right``, what flagged it, or ``silent``."""
        machine = Machine(self.config, NumpyMacro(self.die))
        job = Job(self.codes, self.settings, program("solve"), {SOURCE: (self.mantissas, 0)})
        outcome, run = predict(machine, job)
        if outcome.status.trap is not TrapCause.NONE:
            return f"trap {outcome.status.trap.name.lower()}"
        # Ranging down after the result does not touch it: the exponent says at which range it was taken, unless the
        # result is zero, which has none.
        drive_range = max(machine.settings.drive_range, outcome.exponent)
        answer = outcome.mantissas >> MANTISSA_BITS - self.config.adc_bits
        if not self._wrong(answer, drive_range):
            return "right"
        if outcome.status.bad_cells:
            return "bad cells"
        return "residual" if self._residual_tells(answer, drive_range) else "silent"

    def _wrong(self, answer: np.ndarray, drive_range: int) -> bool:
        settled = self._settled_lsb(self.die, drive_range)
        wanted = self._settled_lsb(replace(self.die, stuck=()), drive_range)
        if settled is None or wanted is None:
            return True
        rest = (self.settings.tolerance + 1) / math.expm1(self.settings.solve_interval / self.tau)
        allowed = SLACK_LSB + rest
        return bool(np.abs(answer - settled).max() > allowed or np.abs(answer - wanted).max() > allowed)

    def _settled_lsb(self, die: Die, drive_range: int) -> np.ndarray | None:
        """What the loop of a die settles to, as a result in LSB; None if it does not settle."""
        A, L = loop_matrices(faults(die.stuck, planes_of(self.codes, self.config)), die)
        if not settling(A, L, self.params, self.bandwidth).stable:
            return None
        u_V = die.input_V(input_codes(self.mantissas, self.config), drive_range)
        lsb_V = self.params.full_scale_V / (1 << self.config.adc_bits - 1)
        return -static_solve(A, L, u_V, self.params.inverse_gain, die.zeroed_V) / lsb_V

    def _residual_tells(self, answer: np.ndarray, drive_range: int) -> bool:
        A = self.codes / self.config.code_max
        half_out, half_in = 1 << self.config.adc_bits - 1, 1 << self.config.dac_bits - 1
        b = input_codes(self.mantissas, self.config) / half_in
        x = answer / half_out * 2.0 ** drive_range
        # A digital system is half an LSB off in x: its residual is at most the largest row sum of that.
        digital = 0.5 * 2.0 ** drive_range / half_out * np.linalg.norm(A, 2) * math.sqrt(len(b))
        return bool(np.linalg.norm(b - A @ x) > RESIDUAL * digital)

    def _random(self) -> Iterator[np.ndarray]:
        """Dense random codes, with and without a diagonal that helps, and skew ones."""
        n, c = self.config.size, self.config.code_max
        while True:
            codes = self.rng.integers(-c, c + 1, (n, n))
            if self.rng.random() < 0.3:
                codes = np.triu(codes, 1) - np.triu(codes, 1).T
            if self.rng.random() < 0.5:
                np.fill_diagonal(codes, self.rng.integers(0, c + 1, n))
            yield codes

    def _barely_stable(self) -> np.ndarray:
        """Symmetric codes whose slowest mode just decays, in 50 clocks or more on the nominal chip."""
        n, c = self.config.size, self.config.code_max
        while True:
            off = np.triu(self.rng.integers(-4, 5, (n, n)), 1)
            codes = off + off.T
            for diagonal in range(c + 1):
                np.fill_diagonal(codes, diagonal)
                slowest = self._slowest(codes)
                if slowest < 0.0:
                    break
            if -1.0 / 50 < slowest < -1e-6 and keeps_margin(self._taus(codes)):
                return codes

    def _taus(self, codes: np.ndarray) -> list[float]:
        """Slowest time constants of the chip without mismatch and of the draws of the planner, clocks."""
        loops = [nominal_loop(codes, self.config, REFERENCE),
                 *mismatched_loops(codes, self.config, REFERENCE)]
        return [settling(A, L, REFERENCE, self.bandwidth).time_constant_cycles for A, L in loops]

    def _slowest(self, codes: np.ndarray, bandwidth: int = 0) -> float:
        """Largest real part of a mode, a clock, on the chip without mismatch."""
        return settling(*nominal_loop(codes, self.config, REFERENCE), REFERENCE, bandwidth).slowest.real


def verdict_of(task: tuple[str, ChipConfig, int]) -> tuple[str, str, int]:
    """Class, verdict and seed of one sample."""
    kind, config, seed = task
    return kind, Sample(kind, config, seed).verdict(), seed


def campaign(config: ChipConfig, count: int, seed: int, workers: int = 1,
             progress: Progress | None = None) -> tuple[dict[str, Counter[str]], list[tuple[str, int]]]:
    """Verdicts of ``count`` samples by class, and class and seed of those that were silent."""
    tasks = [(CLASSES[k % len(CLASSES)], config, seed + k) for k in range(count)]
    tally: dict[str, Counter[str]] = {kind: Counter() for kind in CLASSES}
    silent = []
    task = progress.add_task("samples", total=count) if progress else None
    pool = multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else None
    try:
        for kind, verdict, at in (pool.imap(verdict_of, tasks, 8) if pool else map(verdict_of, tasks)):
            tally[kind][verdict] += 1
            if verdict == "silent":
                silent.append((kind, at))
            if progress and task is not None:
                progress.advance(task)
    finally:
        if pool:
            pool.terminate()
    return tally, silent


def main():
    """Arguments in, table out; exit code 3 if an answer was silently wrong."""
    parser = argparse.ArgumentParser(prog="make safety", description="Chips that should fail must say so.")
    parser.add_argument("--config", choices=CONFIGS, default="lab")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    console = Console()
    with Progress(console=console, transient=True) as progress:
        tally, silent = campaign(config_named(options.config), options.count, options.seed, options.workers, progress)
    verdicts = sorted({verdict for counts in tally.values() for verdict in counts} | {"silent"})
    table = Table("class", *verdicts, title=f"{options.count} samples on {options.config}, seed {options.seed}",
                  title_justify="left")
    for kind, counts in tally.items():
        table.add_row(kind, *(str(counts[verdict]) for verdict in verdicts))
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(tally, indent=2) + "\n")
    if silent:
        kind, at = silent[0]
        raise NotSolvedError(f"{len(silent)} answers were silently wrong, the first: {kind}, seed {at}")


if __name__ == "__main__":
    ends("safety", main)

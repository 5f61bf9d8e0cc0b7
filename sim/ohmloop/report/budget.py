"""The error budget of a solve: what each imperfection alone costs, family of matrices by family.

A system is a member of a family with its codes at 8 bits, except in the rows about cells, and a drive whose exact
answer reaches :data:`PEAK_V`. An entry is the median over systems and chips of the relative error
||V - V0|| / ||V0||, V0 the answer of a chip without that imperfection.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ohmloop.analog.cells import Die
from ohmloop.analog.chips import Chips
from ohmloop.analog.converters import convert
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.errors import InputError
from ohmloop.plan.scaling import rank_candidates
from ohmloop.plan.stability import rests
from ohmloop.report.analog_pictures import waterfall_picture
from ohmloop_hdl.config import REFERENCE, ChipConfig

FAMILIES = ("spdlog", "wishart", "diagdom", "svdlog", "sparse5", "heat")
"""Columns of the budget."""

PEAK_V = 0.28
"""Largest output of every system, volts."""

MISSES = 200
"""Members of a family in a row without a stable loop, after which there are none to be expected."""

IDEAL = AnalogParams.ideal()
CELL_BITS, DAC_BITS, ADC_BITS = 8, 8, 8


@dataclass(frozen=True)
class Problem:
    """One system: real matrix with a largest entry of one, its codes, and the exact outputs in volts."""

    config: ChipConfig
    matrix: np.ndarray
    codes: np.ndarray
    outputs_V: np.ndarray

    @property
    def quantised(self) -> np.ndarray:
        """The matrix that the codes hold, at the scale of ``matrix``."""
        return self.codes / self.config.code_max

    @property
    def drive_V(self) -> np.ndarray:
        """The drive whose answer on a perfect chip with these codes is ``outputs_V``."""
        return -self.quantised @ self.outputs_V


Effect = Callable[[Problem, int], np.ndarray]
"""(system, seed) to outputs in volts, (chips, N), that the imperfection gives in place of the exact ones."""


def on_chips(chips: int, **changes: float) -> Effect:
    """The outputs of ``chips`` chips with these parameters, everything else ideal."""
    def outputs(problem: Problem, seed: int) -> np.ndarray:
        params = replace(IDEAL, seed=seed, **changes)
        return Chips(problem.config, params, problem.codes, chips).outputs_V(problem.drive_V)
    return outputs


def coarse_cells(bits: int) -> Effect:
    """The outputs with codes of fewer bits; nothing where that loop is not stable."""
    def outputs(problem: Problem, seed: int) -> np.ndarray:
        config = replace(REFERENCE, size=len(problem.matrix), cell_bits=bits)
        best = rank_candidates(problem.matrix, config, most=1)[0]
        if not rests(best.codes, config, IDEAL):
            return np.full((1, config.size), np.nan)
        drive_V = -problem.matrix @ problem.outputs_V
        return -np.linalg.solve(best.codes / best.c_max, drive_V)[None]
    return outputs


def coarse_dac(ranges: bool) -> Effect:
    """The outputs with a drive rounded to DAC codes; with ``ranges`` the drive range that leaves the least headroom."""
    def outputs(problem: Problem, seed: int) -> np.ndarray:
        return -np.linalg.solve(problem.quantised, rounded_drive_V(problem, ranges))[None]
    return outputs


def rounded_drive_V(problem: Problem, ranges: bool) -> np.ndarray:
    """The drive as DAC codes give it, in volts."""
    step = IDEAL.full_scale_V / (1 << DAC_BITS - 1)
    if ranges:
        # No range is wider than 0, whatever the drive.
        step /= 2.0 ** max(0.0, np.floor(-np.log2(np.abs(problem.drive_V).max() / IDEAL.full_scale_V)))
    return np.rint(problem.drive_V / step) * step


def coarse_adc(problem: Problem, seed: int) -> np.ndarray:
    """The outputs as ADC codes say them."""
    config = replace(problem.config, adc_bits=ADC_BITS)
    codes, _ = convert(problem.outputs_V, Die(config, IDEAL).adc_V)
    return codes[None] * (IDEAL.full_scale_V / (1 << ADC_BITS - 1))


def noisy(problem: Problem, seed: int) -> np.ndarray:
    """The outputs with the read noise of the reference design."""
    noise = np.random.default_rng(seed).standard_normal(len(problem.outputs_V))
    return (problem.outputs_V + AnalogParams.reference().read_noise_V * noise)[None]


CHIPS = 4

EFFECTS: dict[str, Effect] = {
    "4-bit cells": coarse_cells(4),
    "6-bit cells": coarse_cells(6),
    "8-bit cells": coarse_cells(8),
    "8-bit DAC, range 0": coarse_dac(False),
    "8-bit DAC, best range": coarse_dac(True),
    "8-bit ADC": coarse_adc,
    "read noise 0.3 mV": noisy,
    "offset 1 mV": on_chips(CHIPS, offset_sigma_V=1e-3, autozero_residue=1.0),
    "offset 0.1 mV": on_chips(CHIPS, offset_sigma_V=1e-3),
    "mismatch 1 %": on_chips(CHIPS, mismatch_sigma=0.01),
    "mismatch 0.5 %": on_chips(CHIPS, mismatch_sigma=0.005),
    "gradient 0.5 %": on_chips(CHIPS, gradient_sigma=0.005),
    "bits 1 %": on_chips(CHIPS, bit_sigma=0.01),
    "gain 60 dB": on_chips(1, gain_dB=60.0),
    "gain 70 dB": on_chips(1, gain_dB=70.0),
    "gain 80 dB": on_chips(1, gain_dB=80.0),
    "wires 2 ohm a cell": on_chips(1, wire_ohm=2.0),
    "wires 3 ohm a cell": on_chips(1, wire_ohm=3.0),
    "negative rail 1 %": on_chips(CHIPS, inverter_sigma=0.01),
    "40 degrees warmer": on_chips(1, temperature_C=67.0, offset_drift_V_per_C=0.0),
}
"""Rows of the budget."""

ALL = "reference design with wires, all at once"
"""Last row of the budget: outputs as the codes say them."""


def problems(family: str, count: int, size: int, cond: float, seed: int) -> Iterator[Problem]:
    """Systems of a family that are stable in 8-bit codes; :class:`InputError` where :data:`MISSES` in a row are not."""
    config = replace(REFERENCE, size=size, cell_bits=CELL_BITS)
    rng, found, member, misses = np.random.default_rng(seed), 0, seed, 0
    while found < count:
        if misses == MISSES:
            raise InputError(f"ensemble {family}: of {MISSES} members of size {size} and condition number {cond:g} "
                             f"none is stable in {CELL_BITS}-bit codes; choose a smaller condition number")
        matrix = ensemble(family, size, cond, member)
        member, misses = member + 1, misses + 1
        matrix = matrix / np.abs(matrix).max()
        codes = rank_candidates(matrix, config, most=1)[0].codes
        outputs = rng.standard_normal(size)
        if rests(codes, config, IDEAL):
            found, misses = found + 1, 0
            yield Problem(config, matrix, codes, outputs * (PEAK_V / np.abs(outputs).max()))


def error_budget(systems: int = 8, size: int = 64, cond: float = 30.0, seed: int = 1, *,
                 families: Sequence[str] = FAMILIES, progress: Progress | None = None) -> dict[str, dict[str, float]]:
    """Median relative errors by effect and family; not a number where no system has a stable loop."""
    budget: dict[str, dict[str, float]] = {effect: {} for effect in (*EFFECTS, ALL)}
    task = progress.add_task("error budget", total=len(families) * systems) if progress else None
    for family in families:
        errors: dict[str, list[float]] = {effect: [] for effect in budget}
        for place, problem in enumerate(problems(family, systems, size, cond, seed)):
            for effect, outputs in {**EFFECTS, ALL: everything_at_once}.items():
                difference = outputs(problem, seed + place) - problem.outputs_V
                errors[effect] += (np.linalg.norm(difference, axis=-1) / np.linalg.norm(problem.outputs_V)).tolist()
            if progress and task is not None:
                progress.advance(task)
        for effect, values in errors.items():
            stable = np.array(values)[np.isfinite(values)]
            budget[effect][family] = float(np.median(stable)) if len(stable) > len(values) / 2 else float("nan")
    return budget


def budget_table(budget: dict[str, dict[str, float]]) -> Table:
    """The budget in percent."""
    table = Table("effect", *FAMILIES, title="Median relative error of one solve, each effect alone, %",
                  title_justify="left")
    for effect, row in budget.items():
        table.add_row(effect, *(_percent(row[f]) for f in FAMILIES))
    return table


def _percent(error: float) -> str:
    """An error in percent; one of float64's own rounding is none."""
    if np.isnan(error):
        return "unstable"
    return "0" if error < 1e-12 else f"{100 * error:.2g}"


WATERFALL = ("8-bit DAC, best range", "8-bit ADC", "read noise 0.3 mV", "offset 0.1 mV", "mismatch 0.5 %",
             "gain 70 dB", "wires 2 ohm a cell")
"""Effects of the reference design with wires, in the order in which the picture adds them."""


def everything_at_once(problem: Problem, seed: int) -> np.ndarray:
    """The outputs, as codes say them, of chips with all of :data:`WATERFALL`."""
    chips = Chips(problem.config, replace(AnalogParams.reference(), wire_ohm=2.0, seed=seed), problem.codes, CHIPS)
    outputs_V = chips.outputs_V(rounded_drive_V(problem, ranges=True))
    return chips.codes(outputs_V, np.random.default_rng(seed)) * (IDEAL.full_scale_V / (1 << ADC_BITS - 1))


def run_budget(out: Path, *, systems: int = 10, size: int = 64, cond: float = 30.0, seed: int = 1,
               json_file: Path | None = None) -> dict[str, dict[str, float]]:
    """Compute the budget, print it, write ``budget.png`` to ``out``; returns it.

    The picture adds the effects of the reference design up as independent ones, and shows beside them what chips have
    that have them all.
    """
    console = Console(markup=False)
    for folder in (out, *([json_file.parent] if json_file else [])):
        folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as progress:
        budget = error_budget(systems, size, cond, seed, progress=progress)
    console.print(budget_table(budget))
    if json_file:
        # Without a stable loop there is no number: null.
        numbers = {effect: {f: None if np.isnan(v) else v for f, v in row.items()} for effect, row in budget.items()}
        json_file.write_text(json.dumps(numbers, indent=2) + "\n")
    waterfall_picture(out / "budget.png", {f: [(effect, budget[effect][f]) for effect in WATERFALL] for f in FAMILIES},
                      {f: budget[ALL][f] for f in FAMILIES}, f"Error of one solve, N = {size}, cond {cond:g}")
    console.print(f"picture {out / 'budget.png'}", highlight=False)
    return budget

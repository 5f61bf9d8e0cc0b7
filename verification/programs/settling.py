"""Settling as it is, against what the planner predicts and what the settling rule promises.

For members of families over condition numbers and bandwidths, on the reference chip without mismatch and noise, with
codes of 8 bits and drives whose largest output is 0.28 V; outputs at random, or those of the slowest mode, the worst
that a drive can do:

* *time*: clocks until no output is further than half an LSB of 8 bits from its end, over the prediction
  (B + 1) ln 2 tau, tau from the slowest eigenvalue;
* *rule*: scans every D; what is left, in LSB, when two agree within the tolerance, over D/tau. The bound for a single
  mode is (tolerance + 1) / (e^(D/tau) - 1), and half an LSB of rounding belongs to neither.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ohmloop.analog.cells import Die, loop_matrices, planes_of
from ohmloop.analog.loop import LoopRates, StepTables, jacobian
from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.ensembles import CONDITIONED, ensemble
from ohmloop.errors import InputError
from ohmloop.plan.scaling import rank_candidates
from ohmloop.plan.stability import interval_cycles, settling
from ohmloop.report.analog_pictures import RulePoint, settling_rule_picture
from ohmloop_hdl.config import CONFIGS, ChipConfig

PARAMS = replace(AnalogParams.reference(), mismatch_sigma=0.0, offset_sigma_V=0.0, read_noise_V=0.0)
PEAK_V, BITS = 0.28, 8
LSB_V = PARAMS.full_scale_V / (1 << BITS - 1)
FAMILIES, CONDITIONS = (*CONDITIONED, "heat", "oscillator", "skew"), (10.0, 30.0, 100.0, 300.0)
SPACINGS = (0.25, 0.5, 0.75, 1.0, 1.1, 1.25, 1.6, 2.0, 3.0)
TOLERANCES = (0, 1)
LONGEST_CLOCKS = 60_000


@dataclass(frozen=True)
class Transient:
    """Deviation (T, N) in LSB of all outputs from their ends, clock by clock; ``worst``: in the slowest mode."""

    family: str
    cond: float
    bandwidth: int
    tau: float
    worst: bool
    deviation_lsb: np.ndarray
    end_lsb: np.ndarray

    @property
    def time_ratio(self) -> float:
        """Measured settling to half an LSB over the predicted."""
        late = np.nonzero(np.abs(self.deviation_lsb).max(axis=1) > 0.5)[0]
        return float((late[-1] + 1 if len(late) else 0) / ((BITS + 1) * np.log(2.0) * self.tau))

    def left(self, spacing: float, tolerance: int) -> float:
        """LSB left at the scan that agrees with the one before, scans every ``spacing`` tau."""
        interval = max(1, round(spacing * self.tau))
        samples = self.deviation_lsb[interval - 1::interval]
        codes = np.floor(samples + self.end_lsb + 0.5)
        agrees = np.abs(np.diff(codes, axis=0)).max(axis=1) <= tolerance
        return float(np.abs(samples[1 + int(np.argmax(agrees))]).max()) if agrees.any() else 0.0


def transients(config: ChipConfig, members: int, seed: int) -> Iterator[Transient]:
    """Every family at every condition number and stable bandwidth."""
    rng = np.random.default_rng(seed)
    for family in FAMILIES:
        for cond in CONDITIONS if family in CONDITIONED else (0.0,):
            for member in range(members):
                matrix = ensemble(family, config.size, cond or 30.0, seed + member)
                codes = rank_candidates(matrix, config, most=1)[0].codes
                A, L = loop_matrices(planes_of(codes, config), Die(config, PARAMS))
                random = rng.standard_normal(config.size)
                for bandwidth in range(4):
                    tau = settling(A, L, PARAMS, bandwidth).time_constant_cycles
                    if tau * 12 < LONGEST_CLOCKS:
                        for worst, outputs in ((False, random), (True, slowest_mode(A, L, bandwidth))):
                            end_V = outputs * (PEAK_V / np.abs(outputs).max())
                            yield _transient(family, cond, A, L, end_V, bandwidth, tau, worst)


def slowest_mode(A: np.ndarray, L: np.ndarray, bandwidth: int) -> np.ndarray:
    """Outputs (N,) of the mode that decays last."""
    modes, shapes = np.linalg.eig(jacobian(A, L, LoopRates.of(PARAMS, bandwidth)))
    outputs = shapes[-len(L):, np.argmax(modes.real)]
    # A mode that rings has two shapes, of which either real combination will do.
    return outputs.real if np.linalg.norm(outputs.real) > np.linalg.norm(outputs.imag) else outputs.imag


def _transient(family: str, cond: float, A: np.ndarray, L: np.ndarray, end_V: np.ndarray, bandwidth: int, tau: float,
               worst: bool) -> Transient:
    tables = StepTables(A, L, LoopRates.of(PARAMS, bandwidth))
    e, V = end_V * PARAMS.inverse_gain, -end_V
    rows = []
    for _ in range(int(12 * tau) + 8):
        e, V = tables.jump(e, V, 1)
        rows.append(V)
    return Transient(family, cond, bandwidth, tau, worst, np.array(rows) / LSB_V, end_V / LSB_V)


def measure(config: ChipConfig, members: int, seed: int, progress: Progress | None = None) -> list[Transient]:
    """All transients."""
    task = progress.add_task("loops", total=None) if progress else None
    found = []
    for transient in transients(config, members, seed):
        found.append(transient)
        if progress and task is not None:
            progress.advance(task)
    return found


def bound(spacing: float, tolerance: int) -> float:
    """LSB that the rule lets be left, for one mode."""
    return float((tolerance + 1) / np.expm1(spacing))


def rule_points(found: list[Transient]) -> list[RulePoint]:
    """Median, 99th percentile and worst of what is left, over spacing and tolerance."""
    points = []
    for tolerance in TOLERANCES:
        for spacing in SPACINGS:
            left = np.array([transient.left(spacing, tolerance) for transient in found])
            points.append(RulePoint(tolerance, spacing, bound(spacing, tolerance), float(np.median(left)),
                                    float(np.quantile(left, 0.99)), float(left.max())))
    return points


def main():
    """Arguments in; two tables and a picture out."""
    parser = argparse.ArgumentParser(prog="make settling", description="Settling against prediction and bound.")
    parser.add_argument("--config", choices=CONFIGS, default="chip64hp")
    parser.add_argument("--members", type=int, default=3, metavar="N", help="members of a family (default 3)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/settling"))
    options = parser.parse_args()
    if options.members < 1:
        raise InputError(f"--members must be at least 1, not {options.members}")
    console = Console()
    with Progress(console=console, transient=True) as progress:
        found = measure(CONFIGS[options.config], options.members, options.seed, progress)
    times = Table("family", "cond", "transients", "tau, clocks", "random drive", "slowest mode", "worst of all",
                  title=f"Settling to half an LSB of {BITS} bits over the prediction, medians, {options.config}",
                  title_justify="left")
    for family, cond in dict.fromkeys((t.family, t.cond) for t in found):
        group = [t for t in found if (t.family, t.cond) == (family, cond)]
        ratios = {worst: [t.time_ratio for t in group if t.worst == worst] for worst in (False, True)}
        taus = [t.tau for t in group]
        times.add_row(family, f"{cond:g}" if cond else "-", str(len(group)), f"{min(taus):.0f} to {max(taus):.0f}",
                      *(f"{np.median(ratios[worst]):.2f}" for worst in (False, True)),
                      f"{max(map(max, ratios.values())):.2f}")
    console.print(times)
    rule = Table("tolerance", "D / tau", "bound, LSB", "median left", "99 %", "worst", title_justify="left",
                 title=f"What the settling rule leaves over {len(found)} transients, LSB")
    points = rule_points(found)
    for p in points:
        rule.add_row(str(p.tolerance), f"{p.spacing:g}", f"{p.bound:.2f}", f"{p.median:.2f}", f"{p.high:.2f}",
                     f"{p.worst:.2f}")
    console.print(rule)
    heat = next(t for t in found if t.family == "heat" and t.bandwidth == 0)
    console.print(f"the planner's D: {interval_cycles(heat.tau, 1)} clocks at tau = {heat.tau:.1f}, tolerance 1")
    options.out.mkdir(parents=True, exist_ok=True)
    ratios = [[t.time_ratio for t in found if t.worst == worst] for worst in (False, True)]
    settling_rule_picture(options.out / "settling.png", points, ratios,
                          f"Settling of {len(found)} loops, N = {CONFIGS[options.config].size}")
    (options.out / "settling.json").write_text(json.dumps([vars(p) for p in points], indent=2) + "\n")
    console.print(f"picture {options.out / 'settling.png'}", highlight=False)


if __name__ == "__main__":
    ends("settling", main)

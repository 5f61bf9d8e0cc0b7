"""One circuit measured twice, by ngspice and by the numpy macro, and what of it is compared.

A loop *settles*; or it *clips*, when its operating point lies outside the rails; or it *runs away*, when the operating
point lies inside and it gets to a rail all the same. Settling is told by the unclamped circuit: the last moment at
which an output is half an LSB of 8 bits away from where it ends. The numpy macro gets a clock as fine as a step.
"""

import hashlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from verification.spice.cases import Case

from ohmloop.analog.body import start_V
from ohmloop.analog.cells import loop_matrices
from ohmloop.analog.loop import LoopRates, jacobian
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.spice.batch import operating_point, transient
from ohmloop.analog.spice.netlist import circuit, outputs

Array = NDArray[np.floating]

HALF_LSB = 0.5 / 128
"""Of full scale."""

STEPS = 1500
"""Steps of a transient."""

POINTS = 8
"""Points of a trajectory that are kept, at most :data:`OUTPUTS` outputs each."""

OUTPUTS = 8

DC_LIMIT_V, SETTLING_LIMIT, TRAJECTORY_LIMIT_V = 10e-6, 0.02, 1e-3
"""What the two may differ by."""


@dataclass(frozen=True)
class Measured:
    """What is compared: ``kind``; DC outputs (N,); settling time; ``trajectory_V`` [point][output] at ``times_s``.

    A loop that does not settle has no settling time and no trajectory; one that runs away no DC outputs either.
    """

    kind: str
    dc_V: list[float]
    settling_s: float | None
    times_s: list[float]
    trajectory_V: list[list[float]]


@dataclass(frozen=True)
class Difference:
    """How far two are apart; all 0 and ``same_kind`` when they are equal."""

    same_kind: bool
    dc_V: float
    settling: float
    trajectory_V: float

    @property
    def within(self) -> bool:
        """Whether the bodies agree."""
        return (self.same_kind and self.dc_V <= DC_LIMIT_V and self.settling <= SETTLING_LIMIT
                and self.trajectory_V <= TRAJECTORY_LIMIT_V)


def netlist_of(case: Case, clamped: bool = False) -> str:
    """The circuit of a case."""
    return circuit(case.die, case.setting, clamped=clamped)


def netlist_hash(case: Case) -> str:
    """SHA-256 of the circuit with its clamps."""
    return hashlib.sha256(netlist_of(case, clamped=True).encode()).hexdigest()


def by_spice(case: Case, ngspice: Path) -> Measured:
    """What ngspice says."""
    params, nodes = case.die.params, outputs(case.size)
    stop_s, step_s = _times(case)
    dc_V = operating_point(ngspice, netlist_of(case), nodes)
    _, clamped_V = transient(ngspice, netlist_of(case, clamped=True), nodes, stop_s, step_s)
    if np.abs(dc_V).max() >= params.swing_V:
        return _unsettled("clips", dc_V)
    # A limit cycle leaves the rails now and then.
    late_V = clamped_V[len(clamped_V) // 2:]
    if np.abs(late_V).max() >= params.swing_V:
        return _unsettled("runs away", None)
    times_s, volts = transient(ngspice, netlist_of(case), nodes, stop_s, step_s)
    # ngspice begins with a first step, not with the start.
    times_s, volts = np.concatenate([[0.0], times_s]), np.concatenate([start_V(case.size)[None], volts])
    grid_s = np.arange(STEPS + 1) * step_s
    on_grid = np.stack([np.interp(grid_s, times_s, column) for column in volts.T], axis=1)
    return _settled(case, dc_V, grid_s, on_grid, settling(times_s, volts, dc_V, params.full_scale_V))


def by_numpy(case: Case) -> Measured:
    """What the numpy macro says."""
    stop_s, step_s = _times(case)
    swing_V = case.die.params.swing_V

    def closed(rail_V: float) -> NumpyMacro:
        params = replace(case.die.params, clock_Hz=1.0 / step_s, rail_V=rail_V)
        macro = NumpyMacro(replace(case.die, params=params))
        for plane, rows in enumerate(case.codes):
            for row, codes in enumerate(rows):
                macro.write_row(plane, row, codes)
        macro.set_bandwidth(case.bandwidth)
        if case.zeroed:
            macro.autozero()
        macro.close(case.multiply, case.dac, case.drive_range, case.feedback)
        return macro

    limited, free = closed(case.die.params.rail_V), closed(1e9)
    limited.advance(1 << 24)
    held_V, clipped = limited.hold()
    if not np.isfinite(held_V).all():
        return _unsettled("runs away", None)
    free.advance(1 << 24)
    dc_V = free.hold()[0]
    if clipped.any():
        assert np.abs(dc_V).max() >= swing_V
        return _unsettled("clips", dc_V)
    moving, volts = closed(1e9), [start_V(case.size)]
    for _ in range(STEPS):
        moving.advance(1)
        volts.append(moving.hold()[0])
    grid_s = np.arange(STEPS + 1) * step_s
    return _settled(case, dc_V, grid_s, np.array(volts),
                    settling(grid_s, np.array(volts), dc_V, case.die.params.full_scale_V))


def settling(times_s: Array, volts: Array, dc_V: Array, full_scale_V: float) -> float:
    """The last time at which an output is half an LSB away from its end, between two points by a straight line."""
    off = np.abs(volts - dc_V).max(axis=1) - HALF_LSB * full_scale_V
    late = np.flatnonzero(off > 0)
    if not len(late):
        return 0.0
    k = late[-1]
    if k + 1 == len(off):
        return math.inf
    return float(times_s[k] + (times_s[k + 1] - times_s[k]) * off[k] / (off[k] - off[k + 1]))


def difference(one: Measured, other: Measured) -> Difference:
    """Between two measurements of a case."""
    if one.kind != other.kind:
        return Difference(False, math.inf, math.inf, math.inf)

    def apart(left: list, right: list) -> float:
        return float(np.abs(np.subtract(left, right)).max(initial=0.0))

    settling_part = 0.0
    if one.settling_s is not None and other.settling_s is not None and one.settling_s != other.settling_s:
        settling_part = abs(one.settling_s - other.settling_s) / max(one.settling_s, other.settling_s)
    return Difference(True, apart(one.dc_V, other.dc_V), settling_part, apart(one.trajectory_V, other.trajectory_V))


def as_json(measured: Measured) -> dict:
    """To nanovolts and to a millionth of the settling time."""
    found = asdict(measured)
    found["dc_V"] = [round(v, 9) for v in measured.dc_V]
    found["trajectory_V"] = [[round(v, 9) for v in point] for point in measured.trajectory_V]
    found["times_s"] = [float(f"{t:.9g}") for t in measured.times_s]
    if measured.settling_s is not None:
        found["settling_s"] = float(f"{measured.settling_s:.6g}")
    return found


def _times(case: Case) -> tuple[float, float]:
    """End and step of the transient: 18 time constants of the slowest eigenvalue, or of growth; longer if it slews."""
    die, setting = case.die, case.setting
    A, L = loop_matrices(setting.codes, die)
    if setting.gf is not None:
        one = np.ones(len(L)) if L.ndim == 1 else np.eye(len(L))
        A, L = setting.gf * np.eye(len(L)), L + setting.gf * one
    rates = np.linalg.eigvals(jacobian(A, L, LoopRates.of(die.params, setting.bandwidth))).real
    rate = rates.max() if rates.max() > 0 else -rates.max()
    stop_s = 18.0 / rate * die.params.clock_s
    if math.isfinite(die.params.slew_V_per_s):
        stop_s += 2.0 * die.params.full_scale_V / die.params.slew_V_per_s
    step_s = float(f"{stop_s / STEPS:.2g}")
    return STEPS * step_s, step_s


def _unsettled(kind: str, dc_V: Array | None) -> Measured:
    return Measured(kind, [] if dc_V is None else dc_V.tolist(), None, [], [])


def _settled(case: Case, dc_V: Array, grid_s: Array, volts: Array, settling_s: float) -> Measured:
    """The points that are kept lie close together where the loop is quick."""
    points = np.unique(np.rint(STEPS * np.linspace(0.1, 0.9, POINTS) ** 2).astype(int))
    shown = np.linspace(0, case.size - 1, min(OUTPUTS, case.size)).astype(int)
    return Measured("settles", dc_V.tolist(), settling_s, grid_s[points].tolist(), volts[points][:, shown].tolist())

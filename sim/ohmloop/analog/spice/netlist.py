"""The loop of one chip as a SPICE netlist: resistors, amplifiers, rails, wires, input branches.

Nothing here knows the loop equations or the effective matrices of :mod:`ohmloop.analog.loop`: each resistor of the
arrays is an element of its own, so that ngspice finds by itself what the other bodies compute.

One amplifier is a transconductance into a capacitor, with w = 2 pi GBW / 2^bandwidth and gm = w Ca::

    Ca dV/dt = clip(gm (Vos - e), -s Ca, s Ca) - (gm/A0) V - clamp(V)

The clip stands only where the slew rate s is finite, the clamp only where rails are asked for: it draws
CLAMP gm (|V| - rail) beyond the rail and nothing inside. So an output that would rest past a rail rests past it by
little, reads as clipped, and a runaway stays finite. Everything else is linear.

Nodes: ``x_i`` output of amplifier i, ``e_i`` summing node, ``p_j`` and ``n_j`` positive and negative drivers of column
j, ``d_i`` DAC of row i in solve mode; with wires the crossings ``cp_i_j rp_i_j`` of G+ and ``cn_i_j rn_i_j`` of G-,
on the column wire and on the row wire. In multiply mode the DACs are ``p_j``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import start_V
from ohmloop.analog.cells import Die, conductances

Array = NDArray[np.floating]

AMPLIFIER_F = 1e-12
"""Ca, the capacitor that integrates inside an amplifier; any value gives the same voltages."""

CLAMP = 20.0
"""Conductance of the clamp beyond a rail over gm: at full scale on its input an output goes past by a twentieth."""


@dataclass(frozen=True)
class Setting:
    """Everything about a closed loop that the chip's pins choose."""

    codes: NDArray
    """Magnitude codes 0..C of the cells, (2, N, N): plane, row, column."""

    level_V: Array
    """Levels of the DACs in volts, (N,), before the drive range."""

    offset_V: Array
    """Input offset of each amplifier in volts, (N,), as auto-zero left it."""

    bandwidth: int = 0
    """Gain-bandwidth product over 2^bandwidth."""

    drive_range: int = 0
    """Solve mode: Gin = G0 / 2^drive_range; the rest of the input branch goes to the reference."""

    gf: float | None = None
    """Multiply mode with feedback Gf = gf G0; solve mode without it."""


def circuit(die: Die, setting: Setting, *, clamped: bool = True, external: bool = False) -> str:
    """The netlist of a closed loop: elements only, no title, no analysis.

    Parameters
    ----------
    die : Die
        The chip.
    setting : Setting
        Cells, drive and switches.
    clamped : bool
        Amplifiers stop just past their rails; without it they know no limit.
    external : bool
        DACs are EXTERNAL sources, whose voltages a program that holds ngspice supplies; :func:`source` names them.
    """
    lines = [*_arrays(die, setting), *_inputs(die, setting, external), *_amplifiers(die, setting, clamped)]
    return "".join(f"{line}\n" for line in lines)


def source(setting: Setting, i: int) -> str:
    """Name of the voltage source that is DAC i."""
    return f"vd_{i}" if setting.gf is None else f"vp_{i}"


def outputs(size: int) -> list[str]:
    """Names of the nodes that are the amplifiers' outputs."""
    return [f"x_{i}" for i in range(size)]


def _arrays(die: Die, setting: Setting) -> Iterator[str]:
    """Cells of both arrays, and their wires if they have resistance."""
    params = die.params
    for sign, ratio in zip("pn", conductances(setting.codes, die), strict=True):
        cells = list(zip(*np.nonzero(ratio), strict=True))
        wired = params.wire_ohm > 0.0
        if wired:
            yield from _wires(sign, cells, params.wire_ohm)
        for i, j in cells:
            ends = (f"c{sign}_{i}_{j}", f"r{sign}_{i}_{j}") if wired else (f"{sign}_{j}", f"e_{i}")
            yield _resistor(f"g{sign}_{i}_{j}", *ends, 1.0 / (ratio[i, j] * params.g0_S))


def _wires(sign: str, cells: list[tuple[int, int]], ohm: float) -> Iterator[str]:
    """Row and column wires of one array, from their ends to the last cell; the geometry is that of
    :mod:`ohmloop.analog.wires`. Stretches with no cell between them are one resistor of the same sum."""
    reached: dict[str, tuple[int, str]] = {}
    for i, j in cells:  # row by row, so ascending on every wire
        for wire, end, place, kind in ((f"r{sign}_{i}", f"e_{i}", j, "r"), (f"c{sign}_{j}", f"{sign}_{j}", i, "c")):
            last, node = reached.get(wire, (-1, end))
            crossing = f"{kind}{sign}_{i}_{j}"
            yield _resistor(f"w{crossing}", node, crossing, (place - last) * ohm)
            reached[wire] = place, crossing


def _inputs(die: Die, setting: Setting, external: bool) -> Iterator[str]:
    """DACs, the input branch of each summing node, and in multiply mode the feedback."""
    g0_S, gpar_S, k = die.params.g0_S, die.params.gpar_S, setting.drive_range
    for i, volts in enumerate(setting.level_V):
        level = "external" if external else f"dc {_number(volts)}"
        if setting.gf is None:
            yield f"vd_{i} d_{i} 0 {level}"
            yield _resistor(f"in_{i}", f"d_{i}", f"e_{i}", 2.0 ** k / g0_S)
            to_reference_S = g0_S * (1.0 - 0.5 ** k) + gpar_S
        else:
            yield f"vp_{i} p_{i} 0 {level}"
            yield _resistor(f"f_{i}", f"x_{i}_out", f"e_{i}", 1.0 / (setting.gf * g0_S))
            to_reference_S = g0_S + gpar_S
        if to_reference_S:
            yield _resistor(f"ref_{i}", f"e_{i}", "0", 1.0 / to_reference_S)


def _amplifiers(die: Die, setting: Setting, clamped: bool) -> Iterator[str]:
    """Amplifiers, drivers of the columns, capacitors of the summing nodes."""
    params = die.params
    gm_S = 2.0 * math.pi * params.warm_gbw_Hz / 2 ** setting.bandwidth * AMPLIFIER_F
    slew_A = params.slew_V_per_s * AMPLIFIER_F
    for i, start in enumerate(start_V(die.config.size)):
        offset_V = float(setting.offset_V[i])
        yield f"vo_{i} z_{i} 0 dc {_number(offset_V)}"
        if math.isinf(slew_A):
            yield f"ga_{i} 0 x_{i} z_{i} e_{i} {_number(gm_S)}"
        else:
            drive = f"{_number(gm_S)}*(v(z_{i})-v(e_{i}))"
            yield f"ba_{i} 0 x_{i} i=max(min({drive},{_number(slew_A)}),{_number(-slew_A)})"
        if params.inverse_gain:
            yield _resistor(f"a_{i}", f"x_{i}", "0", 1.0 / (gm_S * params.inverse_gain))
        if clamped:
            rail = _number(params.swing_V)
            yield f"bc_{i} x_{i} 0 i={_number(CLAMP * gm_S)}*(max(v(x_{i})-{rail},0)+min(v(x_{i})+{rail},0))"
        yield f"ca_{i} x_{i} 0 {_number(AMPLIFIER_F)} ic={_number(start)}"
        if params.node_capacitance_F:
            yield f"ce_{i} e_{i} 0 {_number(params.node_capacitance_F)} ic={_number(offset_V)}"
        if setting.gf is None:
            yield f"ep_{i} p_{i} 0 x_{i} 0 1"
        else:
            yield f"eo_{i} x_{i}_out 0 x_{i} 0 1"
        yield f"en_{i} n_{i} 0 p_{i} 0 {_number(-die.rail_gain[i])}"


def _resistor(name: str, start: str, end: str, ohm: float) -> str:
    return f"r{name} {start} {end} {_number(ohm)}"


def _number(value: float) -> str:
    """All digits of a double: the text is the same on every machine."""
    return repr(float(value))

"""The circuits that are kept as fixtures: which chip, which codes, which drive, which switches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import feedback_ratio
from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.spice.netlist import Setting
from ohmloop.ensembles import ensemble
from ohmloop_hdl.config import ChipConfig

QUIET = AnalogParams(read_noise_V=0.0)
"""The reference design without read noise, which a circuit does not have."""


@dataclass(frozen=True)
class Case:
    """One circuit: N, what its matrix is (:func:`codes_of`), where its parameters leave :data:`QUIET`, its switches.

    ``drive``: largest DAC code of a random vector, 0 for none. ``zeroed``: offsets after auto-zero.
    """

    name: str
    size: int
    matrix: str = "wishart"
    params: dict[str, Any] = field(default_factory=dict)
    multiply: bool = False
    feedback: int = 1
    bandwidth: int = 0
    drive_range: int = 0
    drive: int = 30
    zeroed: bool = True

    @property
    def die(self) -> Die:
        """The chip."""
        config = ChipConfig(size=self.size, adcs=2, lanes=1)
        return Die.sample(config, replace(QUIET, **self.params))

    @property
    def codes(self) -> NDArray[np.int64]:
        """Magnitude codes (2, N, N)."""
        config = self.die.config
        return planes_of(codes_of(self.matrix, config), config)

    @property
    def dac(self) -> NDArray[np.int64]:
        """DAC codes (N,)."""
        dac = np.random.default_rng(self.size).integers(-self.drive, self.drive + 1, self.size)
        return np.where(np.arange(self.size) < 2, dac, 0) if self.matrix == "two unknowns" else dac

    @property
    def setting(self) -> Setting:
        """The closed loop as the netlist needs it."""
        die = self.die
        return Setting(
            codes=self.codes, level_V=die.input_V(self.dac),
            offset_V=die.zeroed_V if self.zeroed else die.offset_V, bandwidth=self.bandwidth,
            drive_range=self.drive_range, gf=feedback_ratio(self.size, self.feedback) if self.multiply else None)


def codes_of(matrix: str, config: ChipConfig) -> NDArray[np.int64]:
    """Signed codes (N, N): an ensemble of condition number 10, or one of the loops that go wrong.

    A chip has at least four rows, so that the smallest loop is two unknowns in it, as the host embeds them.
    """
    n, top = config.size, config.code_max
    identity = top * np.eye(n, dtype=np.int64)
    if matrix == "two unknowns":
        identity[:2, :2] = [[12, -7], [5, 14]]
        return identity
    if matrix == "negative":  # one eigenvalue below zero
        identity[-2:, -2:] = [[5, 10], [10, 5]]
        return identity
    if matrix == "dense":  # every cell of one array or the other
        values = np.random.default_rng(n).integers(1, top + 1, (n, n)) * np.where(np.indices((n, n)).sum(0) % 2, 1, -1)
        return values
    real = ensemble(matrix, n, cond=10.0, seed=1)
    return np.rint(real / np.abs(real).max() * (12 if matrix == "heat" else top)).astype(np.int64)


def cases() -> Iterator[Case]:
    """All of them."""
    yield Case("two-unknowns", 4, "two unknowns")
    ideal = dict(gain_dB=math.inf, node_capacitance_F=0.0, offset_sigma_V=0.0, mismatch_sigma=0.0)
    for n in (4, 8, 16, 64):
        for k in range(4):
            yield Case(f"solve-{n}-bandwidth-{k}", n, bandwidth=k)
        for k in (0, 3):
            yield Case(f"multiply-{n}-bandwidth-{k}", n, "dense", multiply=True, bandwidth=k)
        yield Case(f"solve-{n}-no-node-pole", n, params=dict(node_capacitance_F=0.0))
        yield Case(f"solve-{n}-ideal", n, "heat", params=ideal)
    for n in (8, 16):
        yield Case(f"multiply-{n}-no-node-pole", n, "dense", multiply=True, params=dict(node_capacitance_F=0.0))
        yield Case(f"solve-{n}-rails", n, params=dict(inverter_sigma=0.01))
        yield Case(f"multiply-{n}-rails", n, "dense", multiply=True, params=dict(inverter_sigma=0.01))
        yield Case(f"solve-{n}-raw-offset", n, zeroed=False)
    yield from (Case(f"solve-{n}-wires", n, matrix, params=dict(wire_ohm=20.0))
                for n, matrix in ((4, "wishart"), (8, "wishart"), (16, "wishart"), (64, "heat")))
    yield from (Case(f"multiply-{n}-wires", n, "dense", multiply=True, params=dict(wire_ohm=20.0)) for n in (4, 8))
    for n, node_F in ((4, 0.5e-12), (8, 0.0), (16, 0.5e-12)):
        yield Case(f"solve-{n}-slew", n, params=dict(slew_V_per_s=2e5, node_capacitance_F=node_F))
    yield Case("multiply-8-slew", 8, "dense", multiply=True, params=dict(slew_V_per_s=2e5))
    yield Case("solve-16-detailed", 16, params=dict(
        gradient_sigma=0.002, bit_sigma=0.005, inverter_sigma=0.001, wire_ohm=2.0, slew_V_per_s=20e6,
        dac_element_sigma=0.01))
    yield Case("solve-8-low-gain", 8, params=dict(gain_dB=40.0, gpar_S=2e-6))
    yield Case("solve-8-warm", 8, params=dict(temperature_C=85.0, supply_V=1.3))
    for n, k in ((4, 3), (16, 1)):
        yield Case(f"solve-{n}-range-{k}", n, drive_range=k, drive=100)
    yield Case("solve-16-oscillator", 16, "oscillator", bandwidth=2)
    yield Case("runaway-16-node-poles", 16, "oscillator", drive=0)
    for n, node_F in ((4, 0.5e-12), (16, 0.0)):
        yield Case(f"runaway-{n}-negative", n, "negative", drive=0, params=dict(node_capacitance_F=node_F))
    for n in (4, 16):
        yield Case(f"clip-{n}", n, drive=127)
    yield Case("clip-8-slew", 8, drive=127, params=dict(slew_V_per_s=2e6))
    yield Case("clip-8-multiply", 8, "dense", multiply=True, feedback=0, drive=100)

"""Analogue parameters: every physical figure the macro models use, with its unit and where it comes from."""

import math
from dataclasses import dataclass, fields


class ParamsError(ValueError):
    """An analogue parameter that no macro can be made of; the message names the field and what is allowed."""


@dataclass(frozen=True)
class AnalogParams:
    """Electrical figures of one macro design; the defaults are the reference design.

    All are choices of this project, not figures of any fabricated chip. A value that breaks a ``Requires:`` line
    raises :class:`ParamsError`. Effects that no field names are not modelled.
    """

    g0_S: float = 15e-6
    """g0_S, siemens: conductance G0 of a cell at its largest code, and of the whole input branch.

    Source: own design parameter. Requires: above 0, finite."""

    gpar_S: float = 0.0
    """gpar_S, siemens: parasitic conductance from each summing node to the reference.

    Source: own design parameter. Requires: 0 or above, finite."""

    gain_dB: float = 70.0
    """gain_dB, decibels: DC gain A0 of an amplifier; ``math.inf`` makes it an ideal integrator.

    Source: own design parameter. Requires: above 0; infinity allowed."""

    gbw_Hz: float = 20e6
    """gbw_Hz, hertz: gain-bandwidth product of an amplifier at bandwidth setting 0; setting k divides it by 2^k.

    Source: own design parameter. Requires: above 0, finite."""

    node_capacitance_F: float = 0.5e-12
    """node_capacitance_F, farads: capacitance of each summing node; 0 makes the node voltage follow at once.

    Source: own design parameter. Requires: 0 or above, finite."""

    full_scale_V: float = 0.4
    """full_scale_V, volts: input and output level of the code 2^(B-1), one above the largest code.

    Source: own design parameter. Requires: above 0, finite."""

    rail_V: float = 0.4
    """rail_V, volts: an amplifier output that is not strictly inside +-rail_V reads as clipped.

    Source: own design parameter. Requires: above 0, finite."""

    offset_sigma_V: float = 1e-4
    """offset_sigma_V, volts: standard deviation of what auto-zero leaves of each amplifier's input offset.

    Source: own design parameter. Requires: 0 or above, finite."""

    mismatch_sigma: float = 0.005
    """mismatch_sigma, a ratio: standard deviation of a cell's conductance about its nominal value.

    Source: own design parameter. Requires: from 0 to 0.1, so that no conductance turns negative."""

    read_noise_V: float = 0.3e-3
    """read_noise_V, volts rms: noise added to each held output at each sample, independent between samples.

    Source: own design parameter. Requires: 0 or above, finite."""

    clock_Hz: float = 50e6
    """clock_Hz, hertz: rate of the clock on which the digital half drives the macro.

    Source: own design parameter. Requires: above 0, finite."""

    seed: int = 1
    """seed, an integer: picks the chip (offsets, mismatch) and its noise sequence.

    Source: own design parameter. Requires: from 0 to 2^64 - 1."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "seed":
                if type(value) is not int or not 0 <= value < 1 << 64:
                    raise ParamsError(f"seed must be an int from 0 to 2^64 - 1, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ParamsError(f"{field.name} must be a number, not {value!r}")
        for name in ("g0_S", "gbw_Hz", "full_scale_V", "rail_V", "clock_Hz"):
            value = getattr(self, name)
            self._require(value > 0 and math.isfinite(value), name, "above 0 and finite")
        for name in ("gpar_S", "node_capacitance_F", "offset_sigma_V", "read_noise_V"):
            value = getattr(self, name)
            self._require(value >= 0 and math.isfinite(value), name, "0 or above and finite")
        self._require(self.gain_dB > 0, "gain_dB", "above 0 (math.inf allowed)")
        self._require(0 <= self.mismatch_sigma <= 0.1, "mismatch_sigma", "from 0 to 0.1")

    def _require(self, holds: bool, name: str, allowed: str):
        if not holds:
            raise ParamsError(f"{name} must be {allowed}, not {getattr(self, name)!r}")

    @property
    def inverse_gain(self) -> float:
        """1/A0 as a ratio; exactly 0.0 for infinite gain."""
        return 0.0 if math.isinf(self.gain_dB) else 10.0 ** (-self.gain_dB / 20.0)

    @property
    def clock_s(self) -> float:
        """Clock period T in seconds."""
        return 1.0 / self.clock_Hz

    @classmethod
    def reference(cls) -> "AnalogParams":
        """The reference design with every modelled imperfection."""
        return cls()

    @classmethod
    def ideal(cls) -> "AnalogParams":
        """No mismatch, offset or noise, infinite gain, no node capacitance; bandwidth, rails and converters stay."""
        return cls(gain_dB=math.inf, node_capacitance_F=0.0, offset_sigma_V=0.0, mismatch_sigma=0.0, read_noise_V=0.0)

"""Analogue parameters: every physical figure the macro models use, with its unit and where it comes from."""

import math
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

from ohmloop.analog.tables import number, numbered_lines, open_archive
from ohmloop.errors import InputError


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

    offset_sigma_V: float = 1e-3
    """offset_sigma_V, volts: standard deviation of an amplifier's input offset before auto-zero.

    Source: own design parameter. Requires: 0 or above, finite."""

    autozero_residue: float = 0.1
    """autozero_residue, a ratio: part of its offset that an amplifier keeps after auto-zero.

    Source: own design parameter. Requires: from 0 to 1."""

    mismatch_sigma: float = 0.005
    """mismatch_sigma, a ratio: standard deviation of a cell's conductance about its nominal value.

    Source: own design parameter. Requires: from 0 to 0.1, so that no conductance turns negative."""

    gradient_sigma: float = 0.0
    """gradient_sigma, a ratio: standard deviation of the linear change of conductance from the centre of an array to
    its edge, along rows and along columns, the same in both arrays.

    Source: own design parameter. Requires: from 0 to 0.1."""

    bit_sigma: float = 0.0
    """bit_sigma, a ratio: standard deviation of the smallest resistor of a cell about G_LSB; bit b, 2^b of them side by
    side, has bit_sigma / sqrt(2^b).

    Source: own design parameter. Requires: from 0 to 0.1."""

    inverter_sigma: float = 0.0
    """inverter_sigma, a ratio: standard deviation of the gain error of each column's negative rail.

    Source: own design parameter. Requires: from 0 to 0.1."""

    wire_ohm: float = 0.0
    """wire_ohm, ohms: resistance of a row or column wire from one cell to the next, and to its driver.

    Source: own design parameter. Requires: 0 or above, finite."""

    slew_V_per_s: float = math.inf
    """slew_V_per_s, volts a second: fastest that an amplifier's input stage moves its output.

    Source: own design parameter. Requires: above 0; infinity allowed."""

    dac_element_sigma: float = 0.0
    """dac_element_sigma, a ratio: standard deviation of a DAC's unit element; bit b has this times sqrt(2^b) LSB.

    Source: own design parameter. Requires: from 0 to 0.1."""

    adc_element_sigma: float = 0.0
    """adc_element_sigma, a ratio: the same for the converter inside an ADC.

    Source: own design parameter. Requires: from 0 to 0.1."""

    adc_gain_sigma: float = 0.0
    """adc_gain_sigma, a ratio: standard deviation of the gain error of an ADC.

    Source: own design parameter. Requires: from 0 to 0.1."""

    comparator_offset_V: float = 0.0
    """comparator_offset_V, volts: standard deviation of the offset of an ADC's comparator.

    Source: own design parameter. Requires: 0 or above, finite."""

    comparator_noise_V: float = 0.0
    """comparator_noise_V, volts rms: noise of each single decision of a comparator.

    Source: own design parameter. Requires: 0 or above, finite."""

    read_noise_V: float = 0.3e-3
    """read_noise_V, volts rms: noise added to each held output at each sample, independent between samples.

    Source: own design parameter. Requires: 0 or above, finite."""

    upset_probability: float = 0.0
    """upset_probability, a ratio: chance that a bit of a cell flips between two closings of the loop.

    Source: own design parameter. Requires: from 0 to 1."""

    temperature_C: float = 27.0
    """temperature_C, degrees Celsius: temperature of the chip; all other figures are those at 27.

    Source: own design parameter. Requires: from -55 to 150."""

    supply_V: float = 1.2
    """supply_V, volts: supply of the amplifiers; all other figures are those at 1.2.

    Source: own design parameter. Requires: from 0.9 to 1.5."""

    cell_drift_per_C: float = 5e-5
    """cell_drift_per_C, a ratio a degree: change of the cells' conductance against the input branch.

    Source: own design parameter. Requires: from -1e-3 to 1e-3."""

    gbw_drift_per_C: float = -3e-3
    """gbw_drift_per_C, a ratio a degree: change of the gain-bandwidth product.

    Source: own design parameter. Requires: from -5e-3 to 5e-3, so that it stays positive."""

    offset_drift_V_per_C: float = 5e-6
    """offset_drift_V_per_C, volts a degree: standard deviation of the drift of an amplifier's offset.

    Source: own design parameter. Requires: 0 or above, finite."""

    offset_per_supply: float = 1e-3
    """offset_per_supply, volts a volt: standard deviation of an offset's change with the supply (60 dB of rejection).

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
            elif field.name in _RANGES:
                low, high = _RANGES[field.name]
                self._require(low <= value <= high, field.name, f"from {low:g} to {high:g}")
        for name in ("g0_S", "gbw_Hz", "full_scale_V", "rail_V", "clock_Hz"):
            value = getattr(self, name)
            self._require(value > 0 and math.isfinite(value), name, "above 0 and finite")
        for name in ("gpar_S", "node_capacitance_F", "offset_sigma_V", "read_noise_V", "wire_ohm",
                     "comparator_offset_V", "comparator_noise_V", "offset_drift_V_per_C", "offset_per_supply"):
            value = getattr(self, name)
            self._require(value >= 0 and math.isfinite(value), name, "0 or above and finite")
        for name in ("gain_dB", "slew_V_per_s"):
            self._require(getattr(self, name) > 0, name, "above 0 (math.inf allowed)")
        self._require(self.swing_V > 0, "rail_V", "large enough to leave a swing at this supply")

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

    @property
    def warmth_C(self) -> float:
        """Degrees above the temperature at which the figures hold."""
        return self.temperature_C - NOMINAL_C

    @property
    def warm_gbw_Hz(self) -> float:
        """Gain-bandwidth product at this temperature, hertz."""
        return self.gbw_Hz * (1.0 + self.gbw_drift_per_C * self.warmth_C)

    @property
    def swing_V(self) -> float:
        """Rails at this supply, volts: each moves by half of what the supply does."""
        return self.rail_V + (self.supply_V - NOMINAL_SUPPLY_V) / 2.0

    @property
    def warm_cells(self) -> float:
        """Conductance of all cells against the input branch at this temperature, a ratio."""
        return 1.0 + self.cell_drift_per_C * self.warmth_C

    @property
    def drifted_offset_V(self) -> float:
        """Standard deviation in volts of what temperature and supply add to an offset."""
        return math.hypot(self.offset_drift_V_per_C * self.warmth_C,
                          self.offset_per_supply * (self.supply_V - NOMINAL_SUPPLY_V))

    @classmethod
    def reference(cls) -> "AnalogParams":
        """The reference design with the imperfections that every body models."""
        return cls()

    @classmethod
    def detailed(cls) -> "AnalogParams":
        """The reference design with wires, slew, imperfect converters and rails as well; only the numpy body and
        the SPICE body compute all of it."""
        return cls(gradient_sigma=0.002, bit_sigma=0.005, inverter_sigma=0.001, wire_ohm=2.0, slew_V_per_s=20e6,
                   dac_element_sigma=0.01, adc_element_sigma=0.01, adc_gain_sigma=0.002, comparator_offset_V=0.5e-3,
                   comparator_noise_V=0.2e-3)

    @classmethod
    def from_file(cls, path: str | Path) -> "AnalogParams":
        """Figures of a design from a ``.csv`` of name,value lines or the numbers of that name in an ``.npz``; the rest
        as by default. Errors: :class:`~ohmloop.errors.InputError`, one line."""
        path = Path(path)
        names = [field.name for field in fields(cls)]
        values: dict[str, float | int] = {}
        if path.suffix == ".npz":
            with open_archive(path) as archive:
                for name in set(names) & set(archive.files):
                    try:
                        values[name] = archive[name].item()
                    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
                        raise InputError(f"{path}: {name} must be one number") from None
        elif path.suffix == ".csv":
            for line, (name, text) in numbered_lines(path, ("name", "value")):
                if name not in names:
                    raise InputError(f"{path}, line {line}: no parameter {name!r}; there are {', '.join(names)}")
                values[name] = number(path, line, text)
        else:
            raise InputError(f"{path}: parameters come from a .csv or an .npz file")
        try:
            return cls(**values)  # type: ignore[arg-type]
        except ParamsError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def ideal(cls) -> "AnalogParams":
        """No mismatch, offset or noise, infinite gain, no node capacitance; bandwidth, rails and converters stay."""
        return cls(gain_dB=math.inf, node_capacitance_F=0.0, offset_sigma_V=0.0, mismatch_sigma=0.0, read_noise_V=0.0)


PRESETS = {"reference": AnalogParams.reference, "ideal": AnalogParams.ideal, "detailed": AnalogParams.detailed}
"""Designs by name."""

NOMINAL_C, NOMINAL_SUPPLY_V = 27.0, 1.2
"""Temperature and supply at which all figures hold."""

_RANGES = {
    "autozero_residue": (0.0, 1.0), "mismatch_sigma": (0.0, 0.1), "gradient_sigma": (0.0, 0.1),
    "bit_sigma": (0.0, 0.1), "inverter_sigma": (0.0, 0.1), "dac_element_sigma": (0.0, 0.1),
    "adc_element_sigma": (0.0, 0.1), "adc_gain_sigma": (0.0, 0.1), "upset_probability": (0.0, 1.0),
    "temperature_C": (-55.0, 150.0), "supply_V": (0.9, 1.5), "cell_drift_per_C": (-1e-3, 1e-3),
    "gbw_drift_per_C": (-5e-3, 5e-3),
}
"""Least and largest value of the fields that have both."""

"""Energy of a run: event counters times joules, plus power times the clocks in which something is on.

With N amplifiers, B_adc bits, clock T, bandwidth setting k, figures of ``figures.toml`` in brackets::

    adc         CONVERTED [adc_conversion] 2^(B_adc - 8) + SAMPLED N [hold_capacitor] V_dd^2
    amplifiers  sum_k t_k N [amplifier] (GBW / 20 MHz) / 2^k + LOOP_CLOSED N [switch_capacitance] V_dd^2
    dacs        sum_k t_k N [dac] 2^(B_dac - 8) + DAC_UPDATED words of B_dac bits
    arrays      sum_k CLOSED_CLOCK_k T V_dd I / 2 + (ROW_WRITTEN + ROW_READ) N words of cell_bits
    vector unit MULTIPLIED (3/4 [int_multiply_32] + 2 [int_add_32]) + VECTOR_WRITTEN 2 [int_add_32]
    memories    VECTOR_READ, VECTOR_WRITTEN, CODE_READ, FETCHED, BEAT_IN, BEAT_OUT words of 32 bits, SLOT_READ of 24
    control     clocks [clock_tick]

A word of b bits costs b/32 [sram_word]; everything digital is scaled to 90 nm by [node_scaling]. A product is 24 by 32
bits, 3/4 of a multiplier of 32 by 32, and its sum has 64 bits. t_k is the time in which the loop is in use: closed, and
in front of it the loading of the DACs, dead times and auto-zero. I is the sum of the currents |V_j| G that the outputs
drive through cells; what one output sources another sinks, so that half of it comes from the supply.

How it grows: analogue power with N and the array current with N^2; a conversion doubles with each bit, as a converter
of constant energy a step does; N conversions a scan whatever the number of ADCs, which share the time. Lanes do not
appear: they divide the clocks and not the events, so that only ``control`` falls with them.

Leakage, pads, the host, references and regulators are not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from ohmloop.analog.params import AnalogParams
from ohmloop.energy.figures import figure, in_our_node
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, MANTISSA_BITS

GBW_HZ = 20e6
"""Gain-bandwidth product that the figure of an amplifier is for."""

BITS = 8
"""Width of the converters that the figures of converters are for."""

CLOSED = (Event.CLOSED_CLOCK_0, Event.CLOSED_CLOCK_1, Event.CLOSED_CLOCK_2, Event.CLOSED_CLOCK_3)
"""Clocks with the loop closed, by bandwidth setting."""


@dataclass(frozen=True)
class Energy:
    """Joules by block."""

    adc: float
    amplifiers: float
    dacs: float
    arrays: float
    vector_unit: float
    memories: float
    control: float

    @property
    def blocks(self) -> dict[str, float]:
        """Joules by name of the block."""
        return {field.name.replace("_", " "): getattr(self, field.name) for field in fields(self)}

    @property
    def total_J(self) -> float:
        """Sum over all blocks."""
        return sum(self.blocks.values())

    @property
    def analog_J(self) -> float:
        """Converters, amplifiers and arrays: what a digital chip does not have."""
        return self.adc + self.amplifiers + self.dacs + self.arrays


def energy_of(events: Mapping[Event, int], phases: Mapping[Phase, int], config: ChipConfig, params: AnalogParams, *,
              load_A: float | None = None) -> Energy:
    """Energy of what was counted.

    Parameters
    ----------
    events : Mapping[Event, int]
        Counters of the chip or of the golden machine; what is missing counts as 0.
    phases : Mapping[Phase, int]
        Clocks by phase.
    config : ChipConfig
        Of the chip that counted.
    params : AnalogParams
        Its design: clock, gain-bandwidth, supply, conductance, full scale.
    load_A : float, optional
        Mean I while the loop is closed, from :func:`load_current`; :func:`typical_load` without it.
    """
    n, clock_s, supply_V = config.size, params.clock_s, params.supply_V
    closed = [events.get(event, 0) for event in CLOSED]
    beside = phases.get(Phase.DRIVE, 0) + phases.get(Phase.PREPARE, 0)
    in_use = sum(closed) + beside
    bias = sum(clocks / 2 ** k for k, clocks in enumerate(closed))
    # A run has one bandwidth; preparation is biased like the closings that it prepares.
    bias *= in_use / sum(closed) if sum(closed) else 0.0
    bias += 0.0 if sum(closed) else float(beside)

    def count(*which: Event) -> int:
        return sum(events.get(event, 0) for event in which)

    word = in_our_node("sram_word") / 32
    add, multiply = in_our_node("int_add_32"), in_our_node("int_multiply_32")
    current = typical_load(config, params) if load_A is None else load_A
    words = count(Event.VECTOR_READ, Event.VECTOR_WRITTEN, Event.CODE_READ, Event.FETCHED, Event.BEAT_IN,
                  Event.BEAT_OUT)
    return Energy(
        adc=count(Event.CONVERTED) * figure("adc_conversion") * 2.0 ** (config.adc_bits - BITS)
        + count(Event.SAMPLED) * n * figure("hold_capacitor") * supply_V ** 2,
        amplifiers=bias * clock_s * n * figure("amplifier") * params.gbw_Hz / GBW_HZ
        + count(Event.LOOP_CLOSED) * n * figure("switch_capacitance") * supply_V ** 2,
        dacs=in_use * clock_s * n * figure("dac") * 2.0 ** (config.dac_bits - BITS)
        + count(Event.DAC_UPDATED) * config.dac_bits * word,
        arrays=sum(closed) * clock_s * supply_V * current / 2
        + count(Event.ROW_WRITTEN, Event.ROW_READ) * n * config.cell_bits * word,
        vector_unit=count(Event.MULTIPLIED) * (multiply * ELEMENT_BITS / MANTISSA_BITS + 2 * add)
        + count(Event.VECTOR_WRITTEN) * 2 * add,
        memories=words * MANTISSA_BITS * word + count(Event.SLOT_READ) * ELEMENT_BITS * word,
        control=sum(clocks for phase, clocks in phases.items() if phase is not Phase.IDLE) * figure("clock_tick"),
    )


def load_current(codes: np.ndarray, outputs_V: np.ndarray, config: ChipConfig, params: AnalogParams) -> float:
    """Current I in amperes that outputs (N,) in volts drive through cells with signed codes (N, N)."""
    conductance_S = np.abs(codes).sum(axis=0) * params.g0_S / config.code_max
    return float(np.abs(outputs_V) @ conductance_S)


def typical_load(config: ChipConfig, params: AnalogParams) -> float:
    """I in amperes of a dense matrix and a well-ranged result, where nothing is known about either."""
    conductance_S = config.size ** 2 * params.g0_S * figure("load_utilisation")
    return conductance_S * params.full_scale_V * figure("load_level")

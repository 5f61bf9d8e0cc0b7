"""cocotb bench: a macro body under simulation against the numpy body, clock by clock, at the pins."""

import json
import os
import struct
import sys
import time
from dataclasses import replace
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from ohmloop.analog.body import MacroBody, MacroInputs
from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.conformance.driver import PERIOD_NS, Driver, start
from ohmloop.engines.conformance.stimulus import Stimulus
from ohmloop_hdl.config import config_named
from ohmloop_hdl.macro.pins import MacroPins

PARAMS = {
    "ideal": AnalogParams.ideal(),
    "reference": AnalogParams.reference(),
    "ideal_node": AnalogParams(gain_dB=float("inf"), offset_sigma_V=0.0, mismatch_sigma=0.0, read_noise_V=0.0),
    "reference_slaved": AnalogParams(node_capacitance_F=0.0, seed=2),
    "reference_detailed": replace(AnalogParams.detailed(), wire_ohm=0.0, slew_V_per_s=float("inf"), temperature_C=70.0,
                                  supply_V=1.15, upset_probability=2e-4, seed=3),
}
"""Parameter sets by name: with and without imperfections, with and without node capacitance; and all that the
SystemVerilog body models."""

TOLERANCE_V = 1e-9
"""Largest difference of a held output. A quarter of an LSB is 0.8 mV; rounding alone stays far below this."""


def die_named(config: str, params: str) -> Die:
    """The chip that test and bench both build; imperfect ones have two stuck cells."""
    chip = config_named(config)
    stuck = ((0, 1, 2, chip.code_max), (1, 3, 0, 2)) if params.startswith("reference") else ()
    return Die.sample(chip, PARAMS[params], stuck)


class Comparison(Driver):
    """Drives pins into the simulated body and the numpy body, and compares every output at every clock."""

    def __init__(self, dut, macro: MacroBody):
        super().__init__(dut, macro)
        self.largest_V = 0.0
        self.samples = self.clipped_samples = self.ties = 0

    async def apply(self, pins: MacroInputs, clocks: int) -> None:
        """One step of stimulus, from falling edge to falling edge."""
        before = self.macro.samples
        await self.clock(pins, clocks)
        self.compare("clipped", self.macro.clipped_bits)
        self.compare("sense", self.macro.sense(pins.row, pins.plane, pins.read))
        if self.macro.samples != before:
            self.compare_held()
        self.compare("above", self.macro.above(pins.trial, pins.mux))

    def compare(self, name: str, expected: int) -> None:
        """One output bus, bit for bit."""
        given = getattr(self.dut, name).value.to_unsigned()
        assert given == expected, \
            f"clock {self.clocks}: {name} is {given:#x}, the numpy macro says {expected:#x}; {self.driven}"

    def compare_held(self) -> None:
        """Held voltages of a sample, before conversion."""
        n = self.macro.die.config.size
        raw = self.dut.held_bits.value.to_unsigned().to_bytes(8 * n, "little")
        held_V = np.array(struct.unpack(f"<{n}d", raw))
        assert np.array_equal(np.isnan(held_V), np.isnan(self.macro.held_V)), \
            f"clock {self.clocks}: held {held_V}, the numpy macro says {self.macro.held_V}"
        known = ~np.isnan(held_V)
        error_V = np.abs(held_V[known] - self.macro.held_V[known]).max(initial=0.0)
        size_V = np.abs(held_V[known]).max(initial=0.4)  # far beyond the rails rounding grows with the voltage
        self.largest_V = max(self.largest_V, float(error_V / size_V * 0.4))
        self.samples += 1
        self.clipped_samples += bool(self.macro.clipped.any())
        self.ties += int((self.macro.convert()[1] < 1e-6).sum())
        assert self.largest_V < TOLERANCE_V, f"clock {self.clocks}: held outputs differ by {error_V:.3g} V"


@cocotb.test()
async def equivalence(dut):
    """Same stimulus, same held volts, flags, sense data and comparator bits; no breach of the contract."""
    macro = NumpyMacro(die_named(os.environ["MACRO_CONFIG"], os.environ["MACRO_PARAMS"]))
    seed = int(os.environ["OHMLOOP_SEED"])
    stimulus = Stimulus(macro, np.random.default_rng(seed))
    comparison = Comparison(dut, macro)
    await start(dut)
    begun = time.perf_counter()
    steps = stimulus.few() if os.environ["MACRO_STIMULUS"] == "few" else stimulus.everything(systems=2)
    for pins, clocks in steps:
        await comparison.apply(pins, clocks)
    assert dut.contract.violations.value.to_unsigned() == 0
    assert comparison.samples > comparison.clipped_samples > 0
    report = {"seed": seed, "largest_V": comparison.largest_V, "samples": comparison.samples,
              "clipped_samples": comparison.clipped_samples, "conversions": stimulus.conversions,
              "ties": comparison.ties, "clocks": comparison.clocks, "seconds": time.perf_counter() - begun}
    Path(os.environ["MACRO_REPORT"]).write_text(json.dumps(report))
    print(report, file=sys.stderr)


@cocotb.test()
async def record(dut):
    """Same stimulus, every output into the report: one line a step, held outputs to the last bit."""
    macro = NumpyMacro(die_named(os.environ["MACRO_CONFIG"], os.environ["MACRO_PARAMS"]))
    stimulus = Stimulus(macro, np.random.default_rng(int(os.environ["OHMLOOP_SEED"])))
    driver = Driver(dut, macro)
    await start(dut)
    lines = []
    steps = stimulus.few() if os.environ["MACRO_STIMULUS"] == "few" else stimulus.everything(systems=2)
    for pins, clocks in steps:
        await driver.clock(pins, clocks)
        shown = {name: getattr(dut, name).value.to_unsigned() for name in ("clipped", "sense", "above", "held_bits")}
        lines.append(" ".join([f"clock {driver.clocks}:", *(f"{name} {value:x}" for name, value in shown.items())]))
    Path(os.environ["MACRO_REPORT"]).write_text("\n".join([*lines, ""]))


SOLVE = dict(close_solve=1)
CLIPPED = dict(close_solve=1, clipped=1)
SEQUENCES = [
    (2, 1, [dict(row=3)]),
    (2, 1, [dict(row=1, write=1, read=1)]),
    (2, 1, [dict(write=1)]),
    (2, 1, [dict(read=1)]),
    (2, 1, [dict(row=1, write=1, close_solve=1)]),
    (2, 0, [dict(row=1, write=1, autozero=1), SOLVE]),
    (3, 1, [dict(autozero=1, close_solve=1)]),
    (3, 1, [dict(close_solve=1, close_multiply=1)]),
    (4, 1, [dict(close_multiply=1), dict(close_multiply=1, feedback=1)]),
    (4, 1, [SOLVE, dict(close_solve=1, bandwidth=2)]),
    (4, 0, [dict(close_solve=1, bandwidth=2, feedback=3)]),
    (5, 0, [SOLVE, dict(close_solve=1, sample=1), SOLVE, CLIPPED, CLIPPED, dict(clipped=1)]),
    (5, 1, [SOLVE, CLIPPED, dict(clipped=1)]),
    (5, 1, [SOLVE, dict(close_solve=1, sample=1), SOLVE, CLIPPED, SOLVE]),
    (5, 1, [SOLVE, dict(close_solve=1, sample=1), SOLVE, CLIPPED, dict(close_solve=1, clipped=3), dict(clipped=3)]),
]
"""Rule, how often it is broken, and the pins at one edge after the other; pins not named are low, as they are after."""


async def start_checker(dut) -> None:
    """Two quiet clocks of the checker alone, all its inputs low."""
    for name in MacroPins(config_named("tiny")).members:
        getattr(dut, name).value = 0
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False))
    await ClockCycles(dut.clk, 2, FallingEdge)


@cocotb.test()
async def breaches(dut):
    """The checker counts every breach of a rule once, and nothing else."""
    await start_checker(dut)
    expected = 0
    for rule, count, steps in SEQUENCES:
        for step in [*steps, {}, {}]:
            for name in MacroPins(config_named("tiny")).members:
                getattr(dut, name).value = step.get(name, 0)
            await ClockCycles(dut.clk, 1, FallingEdge)
        expected += count
        given = dut.violations.value.to_unsigned()
        assert given == expected, f"rule {rule}, {steps}: {given} violations so far, not {expected}"


@cocotb.test()
async def unknown_pins(dut):
    """A pin that turns X after all were known is a breach (four-state simulators)."""
    await start_checker(dut)
    dut.trial.value = "X" * len(dut.trial)
    await ClockCycles(dut.clk, 2, FallingEdge)
    assert dut.violations.value.to_unsigned() == 2

"""cocotb bench: the SystemVerilog hash macro against its Python twin, every output at every clock."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import Timer
from verification.cosim.bench_macro import Comparison
from verification.lockstep.hash_macro import HashDie, HashMacro, HashSettings, Kind

from ohmloop.analog.body import MacroInputs
from ohmloop.analog.buses import pack
from ohmloop.engines.conformance.driver import start
from ohmloop.engines.conformance.stimulus import Step, Stimulus
from ohmloop_hdl.config import ChipConfig

CONFIG, SETTINGS, CLOCKS, REPORT, SEED = "HASH_CONFIG", "HASH_SETTINGS", "HASH_CLOCKS", "HASH_REPORT", "OHMLOOP_SEED"
"""Environment variables: configuration and settings as JSON, length, place of the report, seed of the stimulus."""

QUARTER_PERIOD_NS = 5


class HashComparison(Comparison):
    """Compares at every clock, held codes as integers; also before the edge, since ``above`` and ``sense`` must not
    wait for it."""

    def __init__(self, dut, macro: HashMacro):
        super().__init__(dut, macro)
        self.twin = macro
        self.seen: Counter[str] = Counter()

    async def apply(self, pins: MacroInputs, clocks: int) -> None:
        """One step of stimulus, from falling edge to falling edge."""
        for _ in range(clocks):
            self.present(pins)
            await Timer(QUARTER_PERIOD_NS, "ns")
            self.compare("above", self.macro.above(pins.trial, pins.mux))
            self.compare("sense", self.macro.sense(pins.row, pins.plane, pins.read))
            self.compare("clipped", self.macro.clipped_bits)
            samples = self.macro.samples
            await super().apply(pins, 1)
            self.count(pins, self.macro.samples != samples)

    def compare_held(self) -> None:
        """Held codes of a sample."""
        self.compare("held", pack(self.twin.held_codes, self.macro.die.config.adc_bits))

    def count(self, pins: MacroInputs, sampled: bool):
        """What of the rules has been seen."""
        if pins.write:
            right = self.macro.sense(pins.row, pins.plane, read=1) == pins.write_data
            self.seen["taken" if right else "not taken"] += 1
        if sampled and pins.closed:
            self.seen["clipped" if self.macro.clipped.any() else self.twin.fate.kind.name] += 1
            self.seen["all zero"] += not self.macro.held_V.any()


class Walk(Stimulus):
    """Legal pins clock by clock, most of them at random: samples, drives, openings, closings, writes and reads in any
    order, and whatever may coincide."""

    def whole_run(self, clocks: int) -> Iterator[Step]:
        """All lines as they are at power-up and when they are written, before and after some clocks at random."""
        for line in range(2 * self.config.size):
            plane, row = divmod(line, self.config.size)
            yield from self.hold(row=1 << row, plane=plane, read=1)
        yield from self.hold(row=0, read=0)
        yield from self.walk(clocks // 2)
        yield from self.hold(write=0, read=0, close_solve=0, close_multiply=0)
        yield from self.program(self.random(), read_back=True)
        yield from self.walk(clocks // 2)

    def walk(self, clocks: int) -> Iterator[Step]:
        """Some clocks, with a conversion of all outputs now and then."""
        drives = [0, *(self.drive((1 << self.config.dac_bits - 1) - 1) for _ in range(3))]
        for _ in range(clocks):
            self.pins = self.next_pins(drives)
            yield Step(self.pins, 1)
            if self.chance(0.005):
                yield from self.conversion()

    def chance(self, probability: float) -> bool:
        """True that often."""
        return bool(self.rng.random() < probability)

    def next_pins(self, drives: list[int]) -> MacroInputs:
        """Pins of the next clock, after ``self.pins``."""
        last = self.pins
        pins = last._replace(sample=int(self.chance(0.4)))
        if self.chance(0.5):
            pins = pins._replace(mux=int(self.rng.integers(self.config.mux_steps)))
            pins = pins._replace(trial=self.trial(pins.mux))
        if self.chance(0.03):
            pins = pins._replace(dac=drives[self.rng.integers(len(drives))])
        if self.chance(0.03):
            pins = pins._replace(drive_range=int(self.rng.integers(8)))
        if self.chance(0.03 if last.closed else 0.2):
            solve, multiply = ((0, 0), (1, 0), (0, 1))[self.rng.integers(3)]
            pins = pins._replace(close_solve=solve, close_multiply=multiply)
        if not (last.closed and pins.closed) and self.chance(0.3):
            pins = pins._replace(feedback=int(self.rng.integers(4)), bandwidth=int(self.rng.integers(4)))
        return self.with_arrays(pins)

    def with_arrays(self, pins: MacroInputs) -> MacroInputs:
        """Word lines, and what needs an open loop: reads, and write pulses of any length, often on the same line."""
        pins = pins._replace(write=0, read=0, autozero=0)
        if self.chance(0.05):
            pins = pins._replace(row=1 << int(self.rng.integers(3)),
                                 plane=int(self.rng.integers(2)))
        if pins.closed:
            return pins
        if self.chance(0.2):
            data = self.rng.integers(0, self.config.code_max + 1, self.config.size)
            pins = pins._replace(write_data=pack(data, self.config.cell_bits))
        what = self.rng.choice(["write", "read", "autozero", ""]) if pins.row else ""
        return pins._replace(**{what: 1}) if what else pins

    def trial(self, mux: int) -> int:
        """Trial codes, most of them next to what is held."""
        assert isinstance(self.macro, HashMacro)
        config, half = self.config, 1 << self.config.adc_bits - 1
        near = self.macro.held_codes[mux::config.mux_steps] + self.rng.integers(-1, 2, config.adcs)
        far = self.rng.integers(-half, half, config.adcs)
        return pack(np.where(self.rng.random(config.adcs) < 0.8, np.clip(near, -half, half - 1), far), config.adc_bits)


@cocotb.test()
async def equivalence(dut):
    """Same stimulus, same outputs at every clock, no breach of the contract, and every behaviour seen."""
    settings = HashSettings(**json.loads(os.environ[SETTINGS]))
    macro = HashMacro(HashDie.of(ChipConfig(**json.loads(os.environ[CONFIG])), settings))
    walk = Walk(macro, np.random.default_rng(int(os.environ[SEED])))
    comparison = HashComparison(dut, macro)
    await start(dut)
    for pins, clocks in walk.whole_run(int(os.environ[CLOCKS])):
        await comparison.apply(pins, clocks)
    assert dut.contract.violations.value.to_unsigned() == 0
    wanted = {"clipped", "all zero", "taken", *(kind.name for kind in Kind)}
    wanted |= {"not taken"} if settings.weak or settings.stuck else set()
    assert wanted <= {what for what, count in comparison.seen.items() if count}, comparison.seen
    report = {"clocks": comparison.clocks, "conversions": walk.conversions, **comparison.seen}
    Path(os.environ[REPORT]).write_text(json.dumps(report))
    print(report, file=sys.stderr)

"""Looks at the outputs of a simulated macro, beside its reference, and writes down what differs."""

from dataclasses import asdict, dataclass

import numpy as np
from cocotb.triggers import Timer

from ohmloop.analog.body import MacroBody
from ohmloop.analog.buses import unpack
from ohmloop.engines.conformance.driver import PERIOD_NS, Driver
from ohmloop.engines.conformance.looks import EarlyLook, Look
from ohmloop.engines.conformance.readings import Acts
from ohmloop.engines.conformance.rules import Finding, Sighting

OUTPUTS = ("sense", "above", "clipped")


@dataclass
class Judge:
    """Runs scenarios and counts what differs, rule by rule; it never stops at a difference.

    Parameters
    ----------
    driver : Driver
        The body, and its reference.
    """

    driver: Driver

    def __post_init__(self):
        self.findings: dict[str, Finding] = {}

    @property
    def macro(self) -> MacroBody:
        """The reference."""
        return self.driver.macro

    async def run(self, rule: str, acts: Acts) -> None:
        """Carry out the scenario of one rule."""
        finding = self.findings.setdefault(rule, Finding(rule))
        for act in acts:
            match act:
                case Look():
                    for output in act.outputs:
                        self.look(finding, output, act.tolerance_lsb)
                case EarlyLook():
                    self.driver.present(act.pins)
                    await Timer(PERIOD_NS // 4, "ns")
                    for output in act.outputs:
                        self.look(finding, output, act.tolerance_lsb)
                    await self.driver.clock(act.pins, 1)
                case _:
                    await self.driver.clock(act.pins, act.clocks)

    def look(self, finding: Finding, output: str, tolerance_lsb: float) -> None:
        """Compare one output bus."""
        expected, given = self.expected(output), getattr(self.driver.dut, output).value
        unknown = self.findings.setdefault("unknown", Finding("unknown"))
        unknown.looks += 1
        if not given.is_resolvable:
            if unknown is not finding:
                finding.unreadable += 1
            self.blame(unknown, output, expected, str(given).lower())
            return
        if unknown is finding:
            return
        finding.looks += 1
        difference = expected ^ given.to_unsigned()
        if difference and self.counts(output, difference, tolerance_lsb):
            self.blame(finding, output, expected, f"{given.to_unsigned():x}")

    def expected(self, output: str) -> int:
        """What the reference puts on the bus."""
        driven = self.driver.driven
        if output == "sense":
            return self.macro.sense(driven["row"], driven["plane"], driven["read"])
        if output == "above":
            return self.macro.above(driven["trial"], driven["mux"])
        return self.macro.clipped_bits

    def counts(self, output: str, difference: int, tolerance_lsb: float) -> bool:
        """Whether a difference is more than two bodies may differ by."""
        if output == "sense":
            return True
        die, config = self.macro.die, self.macro.die.config
        lsb_V = die.params.full_scale_V / (1 << config.adc_bits - 1)
        if output == "above":
            mux = self.driver.driven["mux"]
            codes = unpack(self.driver.driven["trial"], config.adcs, config.adc_bits, signed=True)
            levels_V = np.broadcast_to(die.adc_V, (config.adcs, die.adc_V.shape[1]))
            level_V = levels_V[np.arange(config.adcs), codes + (levels_V.shape[1] >> 1)]
            distance_V = np.abs(self.macro.held_V[mux::config.mux_steps] - level_V)
        else:
            distance_V = np.abs(np.abs(self.macro.held_V) - die.params.swing_V)
        wrong = unpack(difference, len(distance_V), 1) != 0
        # Not a number is not close to anything.
        return bool((wrong & ~(distance_V <= tolerance_lsb * lsb_V)).any())

    def blame(self, finding: Finding, output: str, expected: int, given: str) -> None:
        """One more breach of a rule."""
        finding.count += 1
        if finding.first is None:
            pins = {name: f"{level:x}" for name, level in self.driver.driven.items() if level}
            finding.first = Sighting(self.driver.clocks, output, f"{expected:x}", given, pins)

    def report(self) -> dict:
        """What was found, as JSON takes it."""
        return {"clocks": self.driver.clocks, "findings": [asdict(finding) for finding in self.findings.values()]}

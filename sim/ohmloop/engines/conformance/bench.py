"""cocotb bench of the conformance kit: all scenarios into one body, findings into a file.

Runs inside the simulator; :mod:`ohmloop.engines.conformance.check` starts it and reads the file. It writes to another
file whenever it gets on, so that a body that never returns is noticed, even one that hangs at time 0.
"""

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Shape

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.conformance.driver import Driver, start
from ohmloop.engines.conformance.judging import Judge
from ohmloop.engines.conformance.rules import IDEAL, RULES
from ohmloop.engines.conformance.scenarios import Scenarios
from ohmloop_hdl.config import ChipConfig, config_named
from ohmloop_hdl.macro.pins import MacroPins

CONFIG, CHIP, SEED, FINDINGS, PROGRESS = "KIT_CONFIG", "KIT_CHIP", "KIT_SEED", "KIT_FINDINGS", "KIT_PROGRESS"
"""Environment variables: names of configuration and chip, seed of the stimulus, places of the two files."""


def die_of(config: ChipConfig, chip: str) -> Die:
    """The chip that a body is checked as; bodies load it from the file that it writes."""
    return Die.sample(config, AnalogParams.ideal() if chip == IDEAL else AnalogParams.reference())


def wrong_widths(dut: Any, config: ChipConfig) -> str:
    """What is wrong with the widths of the ports, as one sentence; empty if nothing is."""
    for name, member in MacroPins(config).members.items():
        wanted, given = Shape.cast(member.shape).width, len(getattr(dut, name))
        if given != wanted:
            return f"port {name} must have {wanted} bits at {config.name}, not {given}"
    return ""


class WatchedDriver(Driver):
    """Says in a file that it gets on."""

    scenario = ""

    async def clock(self, pins, clocks: int) -> None:
        progress(self.scenario)
        await super().clock(pins, clocks)


def progress(scenario: str) -> None:
    """The simulator has come as far as this scenario."""
    if PROGRESS in os.environ:
        Path(os.environ[PROGRESS]).write_text(scenario)


@cocotb.test()
async def conformance(dut):
    """Every scenario in turn; it fails only where the body ends the simulation."""
    config, chip = config_named(os.environ[CONFIG]), os.environ[CHIP]
    findings = Path(os.environ[FINDINGS])
    if wrong := wrong_widths(dut, config):
        findings.write_text(json.dumps({"wrong_ports": wrong}))
        return
    macro = NumpyMacro(die_of(config, chip))
    driver = WatchedDriver(dut, macro)
    judge = Judge(driver)
    await start(dut)
    for number, rule in enumerate(RULES):
        if rule.chip in (None, chip):
            driver.scenario = rule.name
            scenarios = Scenarios(macro, np.random.default_rng([int(os.environ[SEED]), number]))
            await judge.run(rule.name, scenarios.of(rule.name))
    findings.write_text(json.dumps(judge.report()))


# Imported by the simulator before time 0.
progress("power-up")

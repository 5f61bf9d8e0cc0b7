"""The one stimulus list of all macro bodies through the ngspice body, beside the numpy body, at the pins."""

import os
import random
from dataclasses import replace

import numpy as np
import pytest
from verification.spice.cases import QUIET

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.spice.live import SpiceMacro
from ohmloop.engines.conformance.stimulus import Stimulus
from ohmloop.engines.tools import find
from ohmloop_hdl.config import CONFIGS

TRAJECTORY_V = 1e-3
"""Largest difference of a held output, early samples included."""


def compared(config: str, params: AnalogParams, spice_params: AnalogParams, few: bool) -> tuple[int, int, float, int]:
    """Samples, those that clip, worst difference of the others in volts, and samples that clip in one body only."""
    chip = CONFIGS[config]
    numpy_body = NumpyMacro(Die.sample(chip, params))
    spice_body = SpiceMacro(Die.sample(chip, spice_params), find("libngspice").path)
    seed = int(os.environ.get("OHMLOOP_SEED", random.randrange(1 << 31)))
    print(f"OHMLOOP_SEED={seed}")
    stimulus = Stimulus(numpy_body, np.random.default_rng(seed))
    samples = clipped = differ = 0
    worst_V = 0.0
    for pins, clocks in stimulus.few() if few else stimulus.everything(systems=1):
        before = numpy_body.samples
        for _ in range(clocks):
            numpy_body.edge(pins)
            spice_body.edge(pins)
        assert spice_body.sense(pins.row, pins.plane, pins.read) == numpy_body.sense(pins.row, pins.plane, pins.read)
        if numpy_body.samples != before:
            samples += 1
            flags = bool(numpy_body.clipped.any()), bool(spice_body.clipped.any())
            differ += flags[0] != flags[1]
            clipped += any(flags)
            if not any(flags):
                worst_V = max(worst_V, float(np.abs(numpy_body.held_V - spice_body.held_V).max()))
    return samples, clipped, worst_V, differ


@pytest.mark.parametrize("params", [QUIET, replace(QUIET, node_capacitance_F=0.0)], ids=["reference", "no node pole"])
def test_the_whole_list_agrees(params: AnalogParams):
    samples, clipped, worst_V, differ = compared("tiny", params, params, few=False)
    assert samples > 90 and 2 < clipped < samples / 4
    assert differ == 0 and worst_V < TRAJECTORY_V


def test_a_larger_chip_agrees():
    samples, clipped, worst_V, differ = compared("lab", QUIET, QUIET, few=True)
    assert samples > 15 and clipped and differ == 0 and worst_V < TRAJECTORY_V


def test_another_chip_does_not():
    """Amplifiers that are a tenth slower show in the early samples."""
    assert compared("tiny", QUIET, replace(QUIET, gbw_Hz=18e6), few=True)[2] > TRAJECTORY_V

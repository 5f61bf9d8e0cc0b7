"""Slewing amplifiers: a loop that can be written down, the linear limit, and no limit at all."""

import math
from dataclasses import replace

import numpy as np
import pytest
from verification.unit.analog.systems import definite
from verification.unit.analog.test_macro import programmed

from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import CONFIGS

LAB = CONFIGS["lab"]
IDEAL = AnalogParams.ideal()


def outputs(params: AnalogParams, codes: np.ndarray, dac: np.ndarray, clocks: int) -> np.ndarray:
    macro = programmed(codes, LAB, params)
    macro.close(False, dac)
    macro.advance(clocks)
    return macro.hold()[0]


@pytest.mark.parametrize("clocks", [1, 3, 8, 30])
def test_an_identity_slews_then_decays(clocks: int):
    """Without node capacitance V = -u (1 - t s/|u|) while w |V + u| / L > s, then exponentially."""
    slew = 2e6
    dac = np.full(16, 100)
    u = dac[0] / 128 * 0.4
    w, load, t = 2 * math.pi * 20e6, 2.0, clocks / 50e6
    turn = (u - slew * load / w) / slew
    rest = u - slew * t if t < turn else slew * load / w * math.exp(-(t - turn) * w / load)
    held = outputs(replace(IDEAL, slew_V_per_s=slew), 15 * np.eye(16, dtype=int), dac, clocks)
    assert held == pytest.approx(-(u - rest), abs=3e-6)  # loops start 2^-20 V off zero


@pytest.mark.parametrize("node_F", [0.0, 0.5e-12])
def test_a_limit_far_away_changes_nothing(node_F: float):
    params = replace(IDEAL, node_capacitance_F=node_F)
    codes, dac = definite(16, 15, seed=1), np.random.default_rng(2).integers(-20, 21, 16)
    for clocks in (1, 5, 40):
        fast = outputs(replace(params, slew_V_per_s=1e9), codes, dac, clocks)
        assert fast == pytest.approx(outputs(params, codes, dac, clocks), abs=1e-9)


def test_a_slewing_loop_is_late_and_arrives_at_the_same_place():
    params = replace(AnalogParams.reference(), read_noise_V=0.0)
    codes, dac = definite(16, 15, seed=1), np.random.default_rng(2).integers(-20, 21, 16)
    slow = replace(params, slew_V_per_s=0.3e6)
    assert np.abs(outputs(slow, codes, dac, 10) - outputs(params, codes, dac, 10)).max() > 5e-3
    assert outputs(slow, codes, dac, 5000) == pytest.approx(outputs(params, codes, dac, 5000), abs=1e-9)


def test_clocks_may_be_taken_in_any_portions():
    params = replace(AnalogParams.reference(), read_noise_V=0.0, slew_V_per_s=0.5e6)
    codes, dac = definite(16, 15, seed=1), np.random.default_rng(2).integers(-20, 21, 16)
    macro = programmed(codes, LAB, params)
    macro.close(False, dac)
    for clocks in (3, 1, 2, 11):
        macro.advance(clocks)
        held = macro.hold()[0]
    assert held == pytest.approx(outputs(params, codes, dac, 17), abs=1e-8)

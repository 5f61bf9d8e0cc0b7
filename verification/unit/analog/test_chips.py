"""Populations of chips: each is a die that the numpy macro agrees with, and none depends on how many there are."""

from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import planes_of
from ohmloop.analog.chips import CHUNK, Chips
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import heat
from ohmloop_hdl.config import CONFIGS

LAB = CONFIGS["lab"]
PLATE = (heat(16) * 3).astype(int)
DENSE = np.random.default_rng(0).integers(1, 3, (16, 16)) * np.random.default_rng(1).choice([-1, 1], (16, 16)) \
    + 14 * np.eye(16, dtype=int) * np.array(1)
np.fill_diagonal(DENSE, 15)
DAC = np.random.default_rng(2).integers(-20, 21, 16)
REFERENCE = replace(AnalogParams.reference(), read_noise_V=0.0)
DETAILED = replace(AnalogParams.detailed(), read_noise_V=0.0, comparator_noise_V=0.0, slew_V_per_s=float("inf"),
                   temperature_C=60.0, supply_V=1.1)


def on_macro(chips: Chips, codes: np.ndarray, chip: int, feedback: int | None) -> NumpyMacro:
    """The numpy macro of one chip out of many, settled and held."""
    macro = NumpyMacro(chips.die(chip))
    for plane, rows in enumerate(planes_of(codes, LAB)):
        for row, data in enumerate(rows):
            macro.write_row(plane, row, data)
    macro.autozero()
    macro.close(feedback is not None, DAC, 0, feedback or 0)
    macro.advance(1 << 20)
    macro.hold()
    return macro


@pytest.mark.parametrize("params", [AnalogParams.ideal(), REFERENCE, DETAILED], ids=["ideal", "reference", "detailed"])
@pytest.mark.parametrize("codes", [PLATE, DENSE], ids=["plate", "dense"])
def test_every_chip_is_a_die(params: AnalogParams, codes: np.ndarray):
    chips = Chips(LAB, params, codes, 3, CHUNK)
    u_V = chips.input_V(DAC)
    solved = chips.outputs_V(np.broadcast_to(u_V[:, None], (3, 1, 16)))[:, 0]
    multiplied = chips.products_V(np.broadcast_to(u_V[:, None], (3, 1, 16)), 2)[:, 0]
    read = chips.codes(solved)
    for k in range(3):
        macro = on_macro(chips, codes, k, None)
        assert solved[k] == pytest.approx(macro.held_V, abs=1e-12)
        assert np.array_equal(read[k], macro.convert()[0])
        assert multiplied[k] == pytest.approx(on_macro(chips, codes, k, 2).held_V, abs=1e-12)


def test_a_chip_does_not_depend_on_how_many_there_are():
    u_V = DAC / 128 * 0.4
    many = Chips(LAB, REFERENCE, PLATE, 2 * CHUNK + 3).outputs_V(u_V)
    assert np.array_equal(many[:4], Chips(LAB, REFERENCE, PLATE, 4).outputs_V(u_V))
    assert np.array_equal(many[CHUNK:], Chips(LAB, REFERENCE, PLATE, CHUNK + 3, CHUNK).outputs_V(u_V))
    assert len(np.unique(many[:, 0])) == len(many)


def test_right_hand_sides_are_independent():
    sides = np.random.default_rng(4).uniform(-0.1, 0.1, (5, 16))
    chips = Chips(LAB, REFERENCE, DENSE, 6)
    together = chips.outputs_V(sides)
    for place, side in enumerate(sides):
        assert together[:, place] == pytest.approx(chips.outputs_V(side), abs=1e-13)


def test_the_spread_is_that_of_the_parameters():
    chips = Chips(LAB, replace(REFERENCE, mismatch_sigma=0.01), DENSE, 400)
    spread = chips.A / (DENSE / 15) - 1
    assert spread.std() == pytest.approx(0.01, rel=0.01)
    assert abs(spread.mean()) < 1e-4
    assert chips.offset_V.std() == pytest.approx(1e-4, rel=0.05)
    assert chips.L[7] == pytest.approx(np.abs(chips.A[7]).sum(axis=1) + 1, abs=1e-13)


def test_noise_of_samples_and_decisions_is_in_the_codes():
    params = replace(AnalogParams.ideal(), read_noise_V=2e-3, comparator_noise_V=3e-3)
    chips = Chips(LAB, params, PLATE, 300)
    held_V = np.full((300, 16), 0.1)
    assert np.ptp(chips.codes(held_V)) == 0
    spread = chips.codes(held_V, np.random.default_rng(1)).std()
    # The last decisions decide: about the noise of one sample and one decision, in LSB of 3.125 mV.
    assert spread == pytest.approx(np.hypot(2, 3) / 3.125, rel=0.25)


def test_stability_is_judged_chip_by_chip():
    marginal = PLATE - 2 * np.eye(16, dtype=int)
    settles = Chips(LAB, replace(REFERENCE, mismatch_sigma=0.1), marginal, 100).stable(0)
    assert 0 < settles.sum() < 100
    assert Chips(LAB, REFERENCE, PLATE, 3).stable(0).all()

"""The SPICE body beside the numpy body, event by event: modes, ranges, drives that change, rails, runaways."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from verification.spice.cases import QUIET, codes_of

from ohmloop.analog.body import MacroBody
from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.spice.batch import SpiceError
from ohmloop.analog.spice.live import SpiceMacro
from ohmloop.engines.tools import find
from ohmloop_hdl.config import CONFIGS, ChipConfig

NEAR_V = 2e-4
"""A sixteenth of an LSB of 8 bits."""


def both(config: ChipConfig, params: AnalogParams, codes: NDArray) -> tuple[NumpyMacro, SpiceMacro]:
    """A body of either kind with the same chip and cells."""
    die = Die.sample(config, params)
    bodies = NumpyMacro(die), SpiceMacro(die, find("libngspice").path)
    for body in bodies:
        for plane, rows in enumerate(planes_of(codes, config)):
            for row, cells in enumerate(rows):
                body.write_row(plane, row, cells)
    return bodies


def held(bodies: tuple[MacroBody, ...], clocks: int) -> list[tuple[NDArray, NDArray]]:
    """Let clocks pass and hold, in each body."""
    for body in bodies:
        body.advance(clocks)
    return [body.hold() for body in bodies]


def assert_near(found: list[tuple[NDArray, NDArray]], what: str) -> None:
    (numpy_V, numpy_clipped), (spice_V, spice_clipped) = found
    assert not numpy_clipped.any() and not spice_clipped.any(), what
    assert np.abs(numpy_V - spice_V).max() < NEAR_V, what


@pytest.mark.parametrize("params", [QUIET, replace(QUIET, node_capacitance_F=0.0, gain_dB=math.inf),
                                    replace(AnalogParams.detailed(), read_noise_V=0.0)])
@pytest.mark.parametrize("config", ["tiny", "lab"])
def test_samples_agree(config: str, params: AnalogParams):
    """Both modes, every bandwidth, new drives and ranges while the loop is closed, samples early and late."""
    chip = CONFIGS[config]
    rng = np.random.default_rng(3)
    bodies = both(chip, params, codes_of("wishart", chip))
    for k in range(4):
        multiply, drive_range = k == 3, 0 if k == 3 else k
        dac = rng.integers(-20, 21, chip.size)
        for body in bodies:
            body.set_bandwidth(k)
            body.autozero()
            body.close(multiply, dac, drive_range, feedback=2)
        for clocks in (1, 3, 40):
            assert_near(held(bodies, clocks), f"bandwidth {k}, after {clocks} more clocks")
        for body in bodies:
            body.drive(-dac, 0 if multiply else drive_range + 1)
        for clocks in (1, 3, 40):
            assert_near(held(bodies, clocks), f"bandwidth {k}, after {clocks} more clocks of another drive")
        for body in bodies:
            body.open()


def test_a_sample_at_the_closing_and_an_open_loop():
    chip = CONFIGS["tiny"]
    bodies = both(chip, QUIET, codes_of("heat", chip))
    for body in bodies:
        body.close(False, np.full(4, 20))
    assert_near(held(bodies, 0), "no clock yet")
    for body in bodies:
        body.open()
    assert_near(held(bodies, 5), "open")


@pytest.mark.parametrize("clocks", [1, 10, 1000])
@pytest.mark.parametrize("drive", [0, 40])
@pytest.mark.parametrize(("matrix", "params"), [("negative", QUIET), ("negative", replace(QUIET, gain_dB=math.inf)),
                                                ("oscillator", QUIET)])
def test_a_runaway_clips_at_its_first_sample(matrix: str, params: AnalogParams, drive: int, clocks: int):
    """However short the wait and with nothing driven; and then the state is frozen."""
    chip = CONFIGS["lab"]
    spice = both(chip, params, codes_of(matrix, chip))[1]
    spice.close(False, np.full(16, drive))
    spice.advance(clocks)
    held_V, clipped = spice.hold()
    assert clipped.any()
    spice.advance(1000)
    again_V, again = spice.hold()
    assert np.array_equal(again_V, held_V) and np.array_equal(again, clipped)
    spice.open()
    assert not spice.clipped.any()


def test_outputs_past_a_rail_clip_and_stay_near_it():
    chip = CONFIGS["lab"]
    bodies = both(chip, QUIET, 3 * np.eye(16, dtype=np.int64))
    for body in bodies:
        body.close(False, np.where(np.arange(16) == 5, 60, 10))
    (_, numpy_clipped), (spice_V, spice_clipped) = held(bodies, 1000)
    assert np.array_equal(np.flatnonzero(spice_clipped), [5]) and np.array_equal(numpy_clipped, spice_clipped)
    assert QUIET.rail_V < -spice_V[5] < 1.1 * QUIET.rail_V


def test_thirty_closings_and_two_bodies_in_turn():
    """The circuit belongs to the body that closed its loop last; the other one is told so and may close again."""
    chip = CONFIGS["tiny"]
    numpy, first = both(chip, QUIET, codes_of("heat", chip))
    _, second = both(chip, QUIET, codes_of("heat", chip))
    for _ in range(15):
        for body in (first, second):
            for one in (numpy, body):
                one.close(False, np.array([10, 20, -30, 5]))
            assert_near(held((numpy, body), 30), "closed again")
            numpy.open()
    with pytest.raises(SpiceError, match="another one has taken it"):
        held((first,), 1)


def test_what_ngspice_refuses_is_one_line():
    with pytest.raises(SpiceError, match=r"^libngspice[^\n]+$"):
        SpiceMacro(Die.sample(CONFIGS["tiny"], QUIET), "libno-such.so")


def test_an_output_that_passes_a_rail_between_samples():
    """The one known difference: ngspice stops at a rail at any time, numpy only looks there at samples. On the way over
    the rail the two part, and both end at the same outputs."""
    chip = CONFIGS["tiny"]
    codes = np.array([[4, -14, 0, 0], [14, 4, 0, 0], [0, 0, 15, 0], [0, 0, 0, 15]])
    bodies = both(chip, QUIET, codes)
    for body in bodies:
        body.set_bandwidth(3)
        body.close(False, np.array([100, 0, 0, 0]))
    early, late = held(bodies, 60), held(bodies, 3000)
    assert not any(clipped.any() for _, clipped in (*early, *late))
    assert np.abs(early[0][0] - early[1][0]).max() > 10 * NEAR_V
    assert np.abs(late[0][0] - late[1][0]).max() < NEAR_V

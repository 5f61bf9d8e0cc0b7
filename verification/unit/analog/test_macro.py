"""The numpy macro: operating points, runaways, clipping, and the contract at its pins."""

import math

import numpy as np
import pytest
from verification.unit.analog.systems import definite, oscillator, scaled

from ohmloop.analog.body import ContractError, MacroInputs, feedback_ratio
from ohmloop.analog.buses import pack
from ohmloop.analog.cells import Die, loop_matrices, planes_of
from ohmloop.analog.loop import static_multiply, static_solve
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import CONFIGS

TINY, LAB, CHIP64 = CONFIGS["tiny"], CONFIGS["lab"], CONFIGS["chip64"]
QUIET = AnalogParams(read_noise_V=0.0)
NODE_ONLY = AnalogParams(gain_dB=math.inf, offset_sigma_V=0.0, mismatch_sigma=0.0, read_noise_V=0.0)


def programmed(codes, config, params, stuck=()):
    """A macro whose arrays hold the signed codes."""
    macro = NumpyMacro(Die.sample(config, params, stuck))
    for plane, rows in enumerate(planes_of(codes, config)):
        for row, data in enumerate(rows):
            macro.write_row(plane, row, data)
    return macro


@pytest.mark.parametrize("params", [AnalogParams.ideal(), QUIET], ids=["ideal", "reference"])
@pytest.mark.parametrize("drive_range", [0, 3])
def test_a_settled_solve_is_the_static_solution(params, drive_range):
    codes = definite(16, 15, seed=1)
    macro = programmed(codes, LAB, params)
    dac = np.random.default_rng(2).integers(-20, 21, 16)
    macro.autozero()
    macro.close(False, dac, drive_range)
    macro.advance(3000)
    held_V, clipped = macro.hold()
    A, L = loop_matrices(planes_of(codes, LAB), macro.die)
    b = macro.die.input_V(dac, drive_range)
    assert held_V == pytest.approx(static_solve(A, L, b, params.inverse_gain, macro.die.zeroed_V), abs=1e-12)
    assert not clipped.any()


@pytest.mark.parametrize("params", [AnalogParams.ideal(), QUIET], ids=["ideal", "reference"])
@pytest.mark.parametrize("feedback", range(4))
def test_a_settled_multiplication_is_the_static_one(params, feedback):
    codes = np.random.default_rng(3).integers(-15, 16, (16, 16))
    macro = programmed(codes, LAB, params)
    dac = np.random.default_rng(4).integers(-3, 4, 16)
    macro.autozero()
    macro.close(True, dac, drive_range=5, feedback=feedback)
    macro.advance(1000)
    held_V, _ = macro.hold()
    A, L = loop_matrices(planes_of(codes, LAB), macro.die)
    gf = feedback_ratio(16, feedback)
    u = macro.die.input_V(dac)
    assert held_V == pytest.approx(static_multiply(A, L, u, gf, params.inverse_gain, macro.die.zeroed_V), abs=1e-12)
    if params.inverse_gain == 0.0:
        assert held_V == pytest.approx(-A @ u / gf)


def test_clocks_may_be_taken_in_any_portions():
    dac = np.arange(-8, 8)
    held = []
    for portions in ([37], [1] * 37, [20, 17]):
        macro = programmed(definite(16, 15, seed=1), LAB, QUIET)
        macro.autozero()
        macro.close(False, dac)
        for clocks in portions:
            macro.advance(clocks)
            macro.hold()
        held.append(macro.held_V)
    assert held[1] == pytest.approx(held[0], abs=1e-14) and held[2] == pytest.approx(held[0], abs=1e-14)


def test_a_new_drive_acts_from_its_own_clock_on_and_leaves_the_state_continuous():
    first, second = np.full(4, 20), np.full(4, -20)
    macro = programmed(definite(4, 15, seed=1), TINY, QUIET)
    macro.autozero()
    macro.close(False, first)
    macro.advance(9)
    before, _ = macro.hold()
    macro.drive(second)
    assert macro.hold()[0] == pytest.approx(before, abs=1e-15)
    macro.advance(5000)
    A, L = loop_matrices(planes_of(definite(4, 15, seed=1), TINY), macro.die)
    b = macro.die.input_V(second)
    assert macro.hold()[0] == pytest.approx(static_solve(A, L, b, QUIET.inverse_gain, macro.die.zeroed_V), abs=1e-12)


SKEW = scaled(np.array([[0, 1, -0.5, 0.2], [-1, 0, 0.3, 0.7], [0.5, -0.3, 0, 1], [-0.2, -0.7, -1, 0]]), 15)
SPIRAL = scaled(np.array([[-0.1, 1, 0, 0], [-1, -0.1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), 15)


@pytest.mark.parametrize("codes, params", [
    (np.diag([15, 15, -15, 15]), AnalogParams.ideal()),
    (np.diag([15, 15, -15, 15]), AnalogParams.reference()),
    (SPIRAL, AnalogParams.ideal()),
    (SPIRAL, NODE_ONLY),
    (np.full((4, 4), 15), AnalogParams.ideal()),
    (np.full((4, 4), 15), NODE_ONLY),
    (np.zeros((4, 4), dtype=int), AnalogParams.ideal()),
    (SKEW, AnalogParams.ideal()),
    (SKEW, NODE_ONLY),
], ids=["negative", "negative-node", "spiral", "spiral-node", "singular", "singular-node", "empty", "undamped",
        "undamped-node"])
@pytest.mark.parametrize("clocks", [1, 10, 10_000])
@pytest.mark.parametrize("largest", [0, 10])
def test_a_runaway_clips_at_its_first_sample(codes, params, clocks, largest):
    macro = programmed(codes, TINY, params)
    macro.autozero()
    macro.close(False, np.array([1, -1, 1, 0]) * largest)
    macro.advance(clocks)
    held_V, clipped = macro.hold()
    assert clipped.all()
    assert macro.above(pack([127, 127], 8), 0) == 0b11, "a runaway must read the top code"


def test_an_oscillator_chain_runs_away_at_full_bandwidth_and_settles_two_steps_lower():
    codes = oscillator(64, 15)
    macro = programmed(codes, CHIP64, AnalogParams())
    dac = np.random.default_rng(0).integers(-10, 11, 64)
    macro.autozero()
    macro.close(False, dac)
    macro.advance(1)
    assert macro.hold()[1].all()
    macro.open()
    macro.set_bandwidth(2)
    macro.autozero()
    macro.close(False, dac)
    macro.advance(400)
    assert not macro.hold()[1].any()


def test_the_first_clip_freezes_the_loop_until_it_opens():
    macro = programmed(np.diag([1, 15, 15, 15]), TINY, AnalogParams.ideal())
    macro.autozero()
    macro.close(False, np.array([30, 10, 10, 10]))
    macro.advance(1)
    assert not macro.hold()[1].any()
    macro.advance(2000)
    held_V, clipped = macro.hold()
    assert clipped.tolist() == [True, False, False, False]
    macro.drive(np.zeros(4, dtype=int))
    macro.advance(5000)
    frozen_V, still = macro.hold()
    assert np.array_equal(frozen_V, held_V) and np.array_equal(still, clipped)
    macro.open()
    assert not macro.clipped.any()
    macro.autozero()
    macro.close(False, np.zeros(4, dtype=int))
    macro.advance(1)
    assert not macro.hold()[1].any()


def test_the_rail_itself_counts_as_clipped():
    params = AnalogParams(gain_dB=math.inf, node_capacitance_F=0.0, offset_sigma_V=0.0, mismatch_sigma=0.0,
                          read_noise_V=0.0, rail_V=0.25)
    macro = programmed(np.diag([15] * 4), TINY, params)
    macro.autozero()
    macro.close(False, np.array([79, 80, -80, 81]))
    macro.advance(100_000)
    assert macro.hold()[1].tolist() == [False, True, True, True]


def test_an_open_loop_holds_noise_about_zero_and_counts_the_sample():
    macro = NumpyMacro(Die.sample(LAB, AnalogParams()))
    first, second = macro.hold()[0], macro.hold()[0]
    assert macro.samples == 2 and not np.array_equal(first, second)
    assert np.abs(first).max() < 6 * 0.3e-3


def test_stuck_cells_ignore_writes():
    macro = programmed(np.full((4, 4), 9), TINY, AnalogParams(), stuck=((0, 1, 2, 3), (1, 3, 3, 15)))
    assert macro.read_row(0, 1).tolist() == [9, 9, 3, 9]
    assert macro.read_row(1, 3).tolist() == [0, 0, 0, 15]


def pins(**levels):
    return MacroInputs(**levels)


def settled_pins(macro, **levels):
    for _ in range(3000):
        macro.edge(pins(close_solve=1, **levels))


def test_pins_and_events_are_one_macro():
    codes, dac = definite(4, 15, seed=1), np.array([10, -20, 30, 5])
    by_events = programmed(codes, TINY, AnalogParams())
    by_pins = NumpyMacro(Die.sample(TINY, AnalogParams()))
    for plane, rows in enumerate(planes_of(codes, TINY)):
        for row, data in enumerate(rows):
            by_pins.edge(pins(row=1 << row, plane=plane, write=1, write_data=pack(data, 4)))
    assert by_pins.sense(0b0100, 0, 1) == pack(planes_of(codes, TINY)[0, 2], 4)
    assert by_pins.sense(0b0100, 0, 0) == 0
    by_pins.edge(pins(autozero=1))
    packed = pack(dac, 8)
    for sample in (0, 0, 1, 1):
        by_pins.edge(pins(close_solve=1, dac=packed, sample=sample))
    held_before = by_pins.held_V
    by_pins.edge(pins(close_solve=1, dac=packed))
    by_events.autozero()
    by_events.close(False, dac)
    by_events.advance(4)  # the loop moves until the last edge that sees sample high
    assert not held_before.any()
    assert np.array_equal(by_pins.held_V, by_events.hold()[0])
    by_pins.edge(pins(close_solve=1, dac=0))
    by_pins.edge(pins(close_solve=1, dac=0, sample=1))
    by_pins.edge(pins(close_solve=1, dac=0))
    by_events.advance(1)
    by_events.drive(np.zeros(4, dtype=int))
    by_events.advance(2)
    assert np.array_equal(by_pins.held_V, by_events.hold()[0])


def test_comparators_follow_the_multiplexer():
    macro = programmed(np.diag([15] * 4), TINY, AnalogParams.ideal())
    macro.autozero()
    macro.close(False, np.array([-40, -20, 20, 40]))
    macro.advance(10_000)
    macro.hold()
    assert macro.above(pack([30, -30], 8), 0) == 0b11
    assert macro.above(pack([30, -30], 8), 1) == 0b00
    assert macro.above(pack([20, -40], 8), 1) == 0b11


@pytest.mark.parametrize("first, second, message", [
    (pins(), pins(row=0b101), "rule 2: row must be one-hot or zero, not 0x5"),
    (pins(), pins(row=1, write=1, read=1), "rule 2: write and read must not both be high"),
    (pins(), pins(read=1), "rule 2: write and read need one word line, none is high"),
    (pins(), pins(row=1, write=1, close_solve=1), "rule 2: write and read need an open loop, a close switch is high"),
    (pins(), pins(autozero=1, close_multiply=1), "rule 3: at most one of autozero, close_solve, close_multiply may be "
                                                 "high, not 1, 0, 1"),
    (pins(close_multiply=1), pins(close_multiply=1, feedback=2), "rule 4: feedback and bandwidth must stay while the "
                                                                 "loop is closed, not change from 0, 0 to 2, 0"),
])
def test_breaking_a_rule_raises_its_number(first, second, message):
    macro = NumpyMacro(Die.sample(TINY, AnalogParams.ideal()))
    macro.edge(first)
    with pytest.raises(ContractError) as breach:
        macro.edge(second)
    assert str(breach.value) == message
    assert breach.value.rule == int(message[5])


def test_bandwidth_may_change_at_the_edge_that_closes():
    macro = programmed(np.diag([15] * 4), TINY, AnalogParams.ideal())
    macro.edge(pins())
    macro.edge(pins(close_solve=1, bandwidth=3))
    with pytest.raises(ContractError, match="rule 2: cannot write while the loop is closed; open it first"):
        macro.write_row(0, 0, np.zeros(4, dtype=int))

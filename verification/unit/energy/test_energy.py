"""Energy: numbers by hand, sums over a recorded run, and the comparison within the figures it was made of."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.energy.digital import digital_rows
from ohmloop.energy.figures import KINDS, Figure, figure, figures
from ohmloop.energy.model import energy_of, load_current, typical_load
from ohmloop.energy.recorded import energy_of_run
from ohmloop.ensembles import ensemble, heat
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.host.job import predict
from ohmloop.host.system import iterative_job, solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Event, Phase

CHIP64, PARAMS = CONFIGS["chip64"], AnalogParams()


def warm_solve(matrix: np.ndarray) -> tuple[Run, np.ndarray]:
    """A matrix written once and solved twice, and its codes: the second time the range is known."""
    plan = plan_system(matrix, CHIP64, PARAMS)
    job = solve_job(plan, scale_rhs(matrix @ np.ones(len(matrix)), CHIP64), CHIP64)
    machine = Machine(CHIP64, NumpyMacro(Die.sample(CHIP64, PARAMS)), record=True)
    _, run = predict(machine, replace(job, program=assemble("PROG\nINV v2, v1\nINV v2, v1\nHALT 0\n")))
    return run, plan.codes


def test_every_figure_has_a_unit_a_kind_and_a_source():
    for name, entry in figures().items():
        assert entry.kind in KINDS and entry.unit in ("J", "W", "F", "1") and len(entry.source) > 20, name
    with pytest.raises(ValueError, match="a figure needs a value above 0"):
        Figure(1.0, "J", "guessed", "somewhere")


def test_a_closed_loop_by_hand():
    """1,000 clocks of 20 ns at 64 x (120 + 20) uW and half of 1 mA from 1.2 V; twice the time at half the bandwidth."""
    energy = energy_of({Event.CLOSED_CLOCK_0: 1000}, {}, CHIP64, PARAMS, load_A=1e-3)
    assert energy.amplifiers == pytest.approx(64 * 120e-6 * 20e-6)
    assert energy.dacs == pytest.approx(64 * 20e-6 * 20e-6)
    assert energy.arrays == pytest.approx(1.2 * 0.5e-3 * 20e-6)
    slower = energy_of({Event.CLOSED_CLOCK_1: 2000}, {}, CHIP64, PARAMS, load_A=1e-3)
    assert slower.amplifiers == pytest.approx(energy.amplifiers) and slower.dacs == pytest.approx(2 * energy.dacs)
    prepared = energy_of({Event.CLOSED_CLOCK_0: 1000}, {Phase.PREPARE: 500}, CHIP64, PARAMS, load_A=1e-3)
    assert prepared.amplifiers == pytest.approx(1.5 * energy.amplifiers) and prepared.arrays == energy.arrays
    only = energy_of({}, {Phase.PREPARE: 500}, CHIP64, PARAMS, load_A=0.0)
    assert only.amplifiers == pytest.approx(0.5 * energy.amplifiers)


def test_converters_and_words_by_hand():
    one = energy_of({Event.CONVERTED: 1, Event.FETCHED: 2, Event.SLOT_READ: 4}, {Phase.ISSUE: 3}, CHIP64, PARAMS)
    assert one.adc == pytest.approx(8e-12) and one.control == pytest.approx(30e-12)
    assert one.memories == pytest.approx((2 + 3) * 3.6 * 5e-12)
    wide = replace(CHIP64, adc_bits=10)
    assert energy_of({Event.CONVERTED: 1}, {}, wide, PARAMS).adc == pytest.approx(32e-12)
    product = energy_of({Event.MULTIPLIED: 1}, {}, CHIP64, PARAMS).vector_unit
    assert product == pytest.approx(3.6 * (0.75 * 3.1e-12 + 2 * 0.1e-12))


def test_idle_costs_nothing_and_the_total_is_the_sum():
    assert energy_of({}, {Phase.IDLE: 10 ** 6}, CHIP64, PARAMS).total_J == 0.0
    energy = energy_of(Counter(dict.fromkeys(Event, 7)), Counter(dict.fromkeys(Phase, 3)), CHIP64, PARAMS)
    assert energy.total_J == pytest.approx(sum(energy.blocks.values())) and min(energy.blocks.values()) > 0
    assert energy.analog_J == pytest.approx(energy.adc + energy.amplifiers + energy.dacs + energy.arrays)


def test_scaling_with_the_size():
    """Analogue bias goes with N, array current with N^2, and lanes do not matter."""
    half, closed = replace(CHIP64, size=32), {Event.CLOSED_CLOCK_0: 100}
    small, large = (energy_of(closed, {}, config, PARAMS) for config in (half, CHIP64))
    assert large.amplifiers == pytest.approx(2 * small.amplifiers)
    assert large.arrays == pytest.approx(4 * small.arrays)
    assert energy_of(closed, {}, replace(CHIP64, lanes=8), PARAMS) == large


def test_array_current():
    codes = np.zeros((64, 64), dtype=int)
    codes[3, 5], codes[4, 5] = 15, -15
    outputs_V = np.zeros(64)
    outputs_V[5] = -0.2
    assert load_current(codes, outputs_V, CHIP64, PARAMS) == pytest.approx(0.2 * 2 * 15e-6)
    assert typical_load(CHIP64, PARAMS) == pytest.approx(64 ** 2 * 15e-6 * 0.25 * 0.2)


def test_roll_up_while_a_loop_is_closed():
    """Amplifiers, DACs, arrays and back-to-back conversions of the reference design: about 11 mW, below the 20 mW that
    the design is budgeted for."""
    clocks, scan = 50_000_000, 75
    events = {Event.CLOSED_CLOCK_0: clocks, Event.CONVERTED: 64 * clocks // scan}
    power_W = energy_of(events, {}, CHIP64, PARAMS).analog_J
    assert 0.010 < power_W < 0.012


@pytest.mark.parametrize(("name", "first", "again"), [
    ("heat", 101e-9, 53e-9), ("sparse5", 54e-9, 54e-9), ("diagdom", 60e-9, 60e-9), ("svdlog", 196e-9, 98e-9)])
def test_a_solve_at_chip64(name: str, first: float, again: float):
    """Analogue energy of a solve, range unknown and known: around 70 nJ, more where a loop settles slowly."""
    run, codes = warm_solve(heat(64) if name == "heat" else ensemble(name, 64, 30.0, 1))
    programmed, unknown, known, _ = (retired.cycles for retired in run.retired)
    cold = energy_of_run(run, codes, CHIP64, PARAMS, start=programmed, end=unknown)
    warm = energy_of_run(run, codes, CHIP64, PARAMS, start=unknown, end=known)
    assert cold.analog_J == pytest.approx(first, rel=0.05) and warm.analog_J == pytest.approx(again, rel=0.05)
    assert 55e-9 < warm.total_J < 110e-9
    assert digital_rows(64, 8)[1].arithmetic_J < warm.analog_J < digital_rows(64, 8)[0].with_memory_J


def test_parts_of_a_run_add_up_to_it():
    matrix = heat(64)
    plan = plan_system(matrix, CHIP64, PARAMS)
    job = iterative_job("refine", plan, matrix, scale_rhs(np.ones(64), CHIP64), CHIP64)
    _, run = predict(Machine(CHIP64, NumpyMacro(Die.sample(CHIP64, PARAMS)), record=True), job)
    assert run.halt_code == 0
    whole, ends = energy_of_run(run, plan.codes, CHIP64, PARAMS), [0, *(retired.cycles for retired in run.retired)]
    parts = [energy_of_run(run, plan.codes, CHIP64, PARAMS, start=start, end=end)
             for start, end in zip(ends, ends[1:], strict=False)]
    assert sum(part.total_J for part in parts) == pytest.approx(whole.total_J)
    for block, joules in whole.blocks.items():
        assert sum(part.blocks[block] for part in parts) == pytest.approx(joules)


def test_digital_rows_at_64():
    """A fresh LU about 75 nJ, 1.3 uJ with memory; a cached inverse 3 to 60 nJ, less than any analogue solve above."""
    fresh, cached = digital_rows(64, 8)
    assert fresh.arithmetic_J == pytest.approx(75e-9, rel=0.02)
    assert fresh.with_memory_J == pytest.approx(1.3e-6, rel=0.02)
    assert 3e-9 < cached.arithmetic_J < cached.with_memory_J < 60e-9
    fresh32, cached32 = digital_rows(64, 32)
    assert fresh32.arithmetic_J == pytest.approx(91_477 * 3.6 * 3.2e-12, rel=1e-4)
    assert cached32.with_memory_J == pytest.approx(4096 * 3.6 * (3.2e-12 + 15e-12))
    with pytest.raises(ValueError, match="bits must be one of 8, 32, not 16"):
        digital_rows(64, 16)


def test_figures_are_those_of_the_sources():
    assert (figure("adc_conversion"), figure("amplifier"), figure("dac")) == (8e-12, 120e-6, 20e-6)
    assert (figure("int_add_32"), figure("int_multiply_32"), figure("sram_word")) == (0.1e-12, 3.1e-12, 5e-12)

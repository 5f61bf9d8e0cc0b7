"""The chip in both simulators against the golden machine: random systems, exact ties, defective cells.

Every scan's codes, every phase's clocks, status, ranges and results are compared (``against_golden.Pair.run``). What
must hold besides, whatever the golden machine says: results lie within a few LSB of the exact solution of the
programmed matrix, and ties fall downwards.
"""

from dataclasses import replace

import numpy as np
import pytest
from verification.cosim.against_golden import (
    SOLVE,
    Pair,
    driven_job,
    error_lsb,
    job_of,
    pair,
    planned_job,
    product,
    solution,
)
from verification.cosim.conftest import installed

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ENSEMBLES, STRUCTURED, ensemble, structured
from ohmloop.golden.assembler import assemble
from ohmloop.golden.settings import Settings
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import Plan
from ohmloop.plan.stability import UnstableError
from ohmloop_hdl.config import config_named
from ohmloop_hdl.sequencer.traps import TrapCause

DIES = {"ideal": AnalogParams.ideal(), "reference": AnalogParams.reference()}

WITHIN_LSB = {"ideal": 1.6, "reference": 10.0}
"""Distance from the exact result: half an LSB of the converter, half of settling and some for loops that are not
normal; on a chip with imperfections their effect at a condition number of 10 comes on top."""

BACK_AND_FORTH = assemble("PROG\nINV v3, v1\nMUL v4, v3\nINV v5, v4\nMUL v2, v1\nHALT 5")
"""A v1 in v2, after both modes have moved their ranges on other vectors."""


def plan_of(name: str, n: int, die: Die, rng: np.random.Generator) -> Plan:
    """A plan of a random member of an ensemble; where one rounds to an unstable loop, another is drawn."""
    while True:
        try:
            return plan_system(ensemble(name, n, cond=10.0, seed=int(rng.integers(1 << 32))), die.config, die.params)
        except UnstableError:
            continue


@pytest.mark.parametrize("params", DIES)
@pytest.mark.parametrize("config", ["tiny", "lab"])
def test_random_systems(engine, work, seed, config, params):
    print(f"OHMLOOP_SEED={seed}")
    rng = np.random.default_rng(seed)
    die = Die.sample(config_named(config), DIES[params])
    size = die.config.size
    with pair(engine, die, work) as both:
        for name in ENSEMBLES:
            n = size if rng.random() < 0.5 else int(rng.choice([size // 2, size - 2]))
            plan, b = plan_of(name, n, die, rng), rng.standard_normal(n)
            for program, exact in ((SOLVE, solution), (BACK_AND_FORTH, product)):
                job = planned_job(plan, b, die.config, program, drive_range=int(rng.integers(8)),
                                  feedback=int(rng.integers(4)))
                what = f"{name} {n}: {exact.__name__}"
                outcome, _ = both.run(job, what)
                assert outcome.status.trap == TrapCause.NONE, f"{what}: {outcome.status}"
                assert outcome.status.halt_code == (0 if program is SOLVE else 5)
                assert not outcome.mantissas[n:].any(), what
                assert error_lsb(job, outcome, exact(job, die.config), die.config) < WITHIN_LSB[params], what
        # At least two scans an instruction, five instructions a system.
        assert both.codes >= 10 * size * len(ENSEMBLES)


@pytest.mark.parametrize("config", ["tiny", "lab"])
def test_exact_ties(engine, work, config):
    """Solutions exactly half way between two codes: every body places its thresholds 2^-20 LSB low, so half way rounds
    up before the negation of the converter path, down after it."""
    die = Die.sample(config_named(config), AnalogParams.ideal())
    chip = die.config
    with pair(engine, die, work) as both:
        # C / factor is 3/2, 5/2, 15/2, 15/2: times an odd integer a tie.
        for name, factor in zip(STRUCTURED, (10, 6, 2, 2), strict=True):
            matrix = structured(name, chip.size).astype(np.int64)
            x = np.array([(3, -1, 1, -3, 5, -5, 7)[i % 7] for i in range(chip.size)])
            drive = matrix @ x
            assert np.abs(drive).max() < 1 << chip.dac_bits - 1
            job = driven_job(matrix * factor, drive << 32 - chip.dac_bits, Settings.reset(chip, solve_interval=2000))
            before = both.ties
            outcome, run = both.run(job, name)
            assert both.ties - before == chip.size * len(run.scans) == 2 * chip.size
            halves = 2 * chip.code_max * x // factor
            assert (halves % 2 == 1).all()
            assert np.array_equal(outcome.mantissas >> 32 - chip.adc_bits, (halves - 1) // 2), name
            assert outcome.exponent == 0


def test_what_has_not_settled_traps(engine, work):
    """At an eighth of the bandwidth the heat plate still moves when time is up: no result, an open loop."""
    die = Die.sample(config_named("lab"), AnalogParams.ideal())
    sound = job_of(ensemble("heat", 16), np.linspace(1, -1, 16), die)
    with pair(engine, die, work) as both:
        kept, _ = both.run(sound, "in time")
        assert kept.status.trap == TrapCause.NONE and kept.mantissas.any()
        # Samples at 2, 41, 80 clocks, verdicts 37 clocks later; a verdict at or after the time-out is the last.
        for timeout, scans in ((1, 1), (39, 1), (40, 2), (78, 2), (79, 3)):
            settings = replace(sound.settings, bandwidth=3, tolerance=0, solve_interval=1, timeout=timeout,
                               drive_range=kept.exponent)
            outcome, run = both.run(replace(sound, settings=settings), f"time-out {timeout}")
            assert outcome.status.trap == TrapCause.SETTLE and outcome.status.pc == 1
            assert len(run.scans) == scans, f"time-out {timeout}: {len(run.scans)} scans"
            assert np.array_equal(outcome.mantissas, kept.mantissas) and outcome.exponent == kept.exponent
        again, _ = both.run(sound, "in time again")
        assert again.same(kept)


def test_outputs_outside_the_loop_are_not_judged(engine, work):
    """Two outputs that others push against a rail: outside the loop no clip and no range change, and they read zero."""
    die = Die.sample(config_named("lab"), AnalogParams.ideal())
    codes = np.diag([15] * 14 + [3] * 2)
    codes[14, 0] = codes[15, 1] = -15
    drive = np.array([40, -50] * 8)
    with pair(engine, die, work) as both:
        for loop_size, drive_range in ((14, 0), (15, 2), (16, 2)):
            settings = Settings.reset(die.config, loop_size=loop_size)
            outcome, run = both.run(driven_job(codes, drive << 24, settings), f"{loop_size} in the loop")
            assert outcome.status.trap == TrapCause.NONE and outcome.exponent == drive_range
            assert len(run.scans) == drive_range + 2
            exact = np.linalg.solve(codes / 15, np.where(np.arange(16) < loop_size, drive, 0))
            assert np.abs(exact).max() > 128
            expected = np.where(np.arange(16) < loop_size, exact / 2 ** drive_range, 0)
            assert np.abs((outcome.mantissas >> 24) - expected).max() <= 0.5 + 1e-5
        # The macro stays as it was at the first clip until the loop opens: a slow output is read too early twice.
        codes[2, 2], drive[2] = 1, 4
        settings = Settings.reset(die.config, loop_size=14, solve_interval=8)
        _, run = both.run(driven_job(codes, drive << 24, settings), "clipped early")
        assert [scan.clock for scan in run.scans] == [8, 47]
        assert np.array_equal(run.scans[0].codes, run.scans[1].codes) and run.scans[0].codes[2] < 50


STUCK = ((0, 1, 2, 15), (1, 1, 2, 3), (1, 3, 0, 2), (0, 2, 2, 15), (0, 0, 3, 7))
"""Plane, row, column, code. In an identity the fourth holds what it is given; the first two share a place."""


def test_defective_cells_trap_verify(engine, work):
    die = Die.sample(config_named("lab"), AnalogParams.ideal(), STUCK)
    chip = die.config
    expected = np.zeros((chip.size, chip.size), dtype=bool)
    expected[[1, 3, 0], [2, 0, 3]] = True
    codes = chip.code_max * np.eye(chip.size, dtype=np.int64)
    with pair(engine, die, work) as both:
        for retries, limit in ((0, 2), (3, 0), (15, 2), (1, 3), (0, 0xFFFF)):
            settings = Settings.reset(chip, retries=retries, bad_limit=limit, write_cycles=2)
            what = f"{retries} retries, {limit} bad cells allowed"
            outcome, run = both.run(driven_job(codes, np.full(chip.size, 1 << 29), settings), what)
            assert outcome.status.bad_cells == 3, what
            assert (outcome.status.trap == TrapCause.VERIFY) == (limit < 3), what
            assert (not run.scans) == (limit < 3), what
            check_map(both, expected)
            # A row: two words to load, two clocks, two attempts of 4 + 2; four planes of rows retry in vain.
            if limit < 3:
                assert outcome.status.cycles == 2 + 16 * (2 + 2 + 2 * 6) + 4 * retries * 6 + 1, what


def check_map(both: Pair, expected: np.ndarray):
    """The window of bad cells, the golden machine and what is known must agree."""
    shown = both.engine.execute(both.driver.read_bad_map())
    assert np.array_equal(shown, expected) and np.array_equal(both.machine.bad_map, expected)


def test_defective_cells_at_full_size(work):
    """A row of the map has two words at 64 columns."""
    cells = ((0, 0, 31, 1), (1, 0, 32, 1), (0, 63, 0, 9), (1, 40, 63, 4))
    die = Die.sample(config_named("chip64"), AnalogParams.ideal(), cells)
    expected = np.zeros((64, 64), dtype=bool)
    expected[[0, 0, 63, 40], [31, 32, 0, 63]] = True
    codes = 15 * np.eye(64, dtype=np.int64)
    with pair(installed("verilator"), die, work) as both:
        outcome, _ = both.run(driven_job(codes, np.zeros(64, dtype=np.int64), Settings.reset(die.config)), "stuck")
        assert outcome.status.trap == TrapCause.VERIFY and outcome.status.bad_cells == 4
        check_map(both, expected)


def test_heat_plate_at_full_size(engine, work):
    die = Die.sample(config_named("chip64"), AnalogParams.reference())
    source = np.zeros(64)
    source[[18, 45]] = 1.0, -0.5
    with pair(engine, die, work) as both:
        job = job_of(ensemble("heat", 64), source, die, drive_range=1)
        outcome, _ = both.run(job, "heat plate")
        assert outcome.status.trap == TrapCause.NONE
        assert error_lsb(job, outcome, solution(job, die.config), die.config) < 4


def test_eight_bit_cells_at_full_size(work, seed):
    print(f"OHMLOOP_SEED={seed}")
    rng = np.random.default_rng(seed)
    die = Die.sample(config_named("chip64hp"), AnalogParams.reference())
    with pair(installed("verilator"), die, work) as both:
        plan = plan_of("wishart", 64, die, rng)
        job = planned_job(plan, rng.standard_normal(64), die.config)
        outcome, _ = both.run(job, "wishart")
        assert outcome.status.trap == TrapCause.NONE
        assert error_lsb(job, outcome, solution(job, die.config), die.config) < 6

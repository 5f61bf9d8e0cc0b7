"""Unstable matrices forced onto the chip: every run ends in a clip trap with the loop open, and nothing is stored.

The host refuses such matrices; here their codes are loaded behind its back. At whatever interval the outputs are
looked at, driven or not, a runaway must never pass for settled.
"""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from verification.cosim.against_golden import Pair, driven_job, error_lsb, job_of, pair, solution
from verification.cosim.conftest import installed

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.golden.settings import Settings
from ohmloop.host.job import Job, Outcome
from ohmloop.plan.planner import plan_system
from ohmloop.plan.stability import unstable_eigenvalue
from ohmloop_hdl.config import ChipConfig, config_named
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.sequencer.traps import TrapCause

NODE = AnalogParams(gain_dB=math.inf, offset_sigma_V=0.0, mismatch_sigma=0.0, read_noise_V=0.0)
"""Ideal but for the node capacitance of 0.5 pF."""

BLOCKS = {
    "negative": [[5, 10], [10, 5]],
    "complex": [[-3, 12], [-12, -3]],
    "singular": [[10, 10], [10, 10]],
    "undamped": [[0, 12], [-12, 0]],
    "barely": [[13, 14], [14, 15]],
}
"""Codes in one corner of an identity: eigenvalues -5; -3 +- 12i; 0; +-12i; -0.036, which doubles in 340 clocks."""

WHOLE = [*BLOCKS, "node poles"]
"""With the oscillator chain, which only its node poles make unstable."""

FIRST_RANGE = {10: 0, 100: 0, 1000: 4, 10_000: 6}
"""Drive range to start from at each interval; every range up to 7 is tried and clips."""

GOOD_BANDWIDTH = 2
"""Two steps below the full bandwidth the oscillator chain is stable."""


@cache
def oscillator(config: ChipConfig):
    """The plan of the oscillator chain over the whole array."""
    return plan_system(ensemble("oscillator", config.size), config, NODE)


def codes_of(name: str, config: ChipConfig) -> np.ndarray:
    """N x N codes of a case."""
    if name == "node poles":
        return np.array(oscillator(config).codes)
    codes = config.code_max * np.eye(config.size, dtype=np.int64)
    codes[-2:, -2:] = np.array(BLOCKS[name]) * config.code_max // 15
    return codes


def forced(name: str, config: ChipConfig, interval: int, driven: bool) -> Job:
    """A case at full bandwidth; driven at half of full scale, or with a vector that says zero."""
    mantissas = np.where(np.arange(config.size) % 3, 1, -1) * (1 << 30)
    settings = Settings.reset(config, solve_interval=interval, drive_range=FIRST_RANGE[interval])
    return driven_job(codes_of(name, config), mantissas, settings, 0 if driven else EXPONENT_MIN)


def good(die: Die) -> Job:
    """A heat plate that must be solved, whatever came before."""
    n = die.config.size
    return job_of(ensemble("heat", n), np.linspace(-1, 1, n), die)


def force_all(both: Pair, names: list[str], intervals: list[int], within_lsb: float = 2.0):
    """Every case driven and not, at every interval; then the good system is solved, to ``within_lsb`` of ideal."""
    config, sound = both.config, good(both.machine.macro.die)
    kept = solve(both, sound, "first good solve", within_lsb)
    for name, driven in product(names, (True, False)):
        for interval in intervals:
            what = f"{name} at {interval} clocks, {'driven' if driven else 'not driven'}"
            outcome, run = both.run(forced(name, config, interval, driven), what)
            assert outcome.status.trap == TrapCause.CLIP, f"{what}: ended with {outcome.status}"
            assert outcome.status.pc == 1 and outcome.status.halt_code == 0
            assert len(run.scans) == 8 - FIRST_RANGE[interval], f"{what}: {len(run.scans)} scans"
            assert np.array_equal(outcome.mantissas, kept.mantissas) and outcome.exponent == kept.exponent
            assert both.register("INTR_STATE.done") == 0 and both.register("INTR_STATE.trap") == 1
        kept = solve(both, sound, f"good solve after {name}", within_lsb)


def solve(both: Pair, job: Job, what: str, within_lsb: float) -> Outcome:
    """A run that must end well, with the right result."""
    outcome, _ = both.run(job, what)
    assert outcome.status.trap == TrapCause.NONE, f"{what}: ended with {outcome.status}"
    assert outcome.mantissas.any() and both.register("INTR_STATE.trap") == 0
    assert error_lsb(job, outcome, solution(job, both.config), both.config) < within_lsb, what
    return outcome


def test_every_kind_of_runaway_clips(engine, work):
    die = Die.sample(config_named("lab"), NODE)
    with pair(engine, die, work) as both:
        force_all(both, WHOLE, list(FIRST_RANGE))


def test_runaways_clip_without_node_capacitance(engine, work):
    die = Die.sample(config_named("lab"), AnalogParams.ideal())
    with pair(engine, die, work) as both:
        force_all(both, list(BLOCKS), [10, 1000])


def test_runaways_clip_on_an_imperfect_chip_of_full_size(work):
    die = Die.sample(config_named("chip64"), AnalogParams.reference())
    with pair(installed("verilator"), die, work) as both:
        # Offsets of 0.1 mV, 70 dB and 0.5 % mismatch move the heat plate's solution by up to 3 LSB; noise by one.
        force_all(both, ["negative", "complex", "node poles"], [10, 1000], within_lsb=4.0)


def test_lower_bandwidth_makes_the_node_poles_harmless(engine, work):
    config = config_named("lab")
    plan = oscillator(config)
    assert plan.bandwidth == GOOD_BANDWIDTH
    b = np.random.default_rng(1).standard_normal(config.size)
    with pair(engine, Die.sample(config, NODE), work) as both:
        job = job_of(ensemble("oscillator", config.size), b, both.machine.macro.die)
        job.settings.bandwidth = 0
        outcome, _ = both.run(job, "oscillator at full bandwidth")
        assert outcome.status.trap == TrapCause.CLIP
        job.settings.bandwidth = GOOD_BANDWIDTH
        solve(both, job, "oscillator at a quarter of the bandwidth", within_lsb=2.0)


@pytest.mark.parametrize("config", ["lab", "chip64"])
@pytest.mark.parametrize("name", WHOLE)
def test_the_host_names_the_eigenvalue(name, config):
    chip = config_named(config)
    found = unstable_eigenvalue(codes_of(name, chip), chip, NODE, bandwidth=0)
    assert found is not None
    assert (abs(found.imag) > 0.1) == (name in ("complex", "undamped", "node poles"))
    if name == "node poles":
        assert unstable_eigenvalue(codes_of(name, chip), chip, NODE, bandwidth=GOOD_BANDWIDTH) is None


@pytest.mark.parametrize("name, growth", [
    # -2 pi 20 MHz / 50 MHz times the eigenvalue of the block over its load of 2: -5/30, (-3 +- 12i)/30.
    ("negative", 0.8 * math.pi * 5 / 30), ("complex", 0.8 * math.pi * (3 + 12j) / 30),
    ("singular", 0.0), ("undamped", 0.8 * math.pi * 12j / 27),
])
def test_the_named_eigenvalue_is_that_of_the_circuit(name, growth):
    chip = config_named("lab")
    found = unstable_eigenvalue(codes_of(name, chip), chip, AnalogParams.ideal(), bandwidth=0)
    assert found is not None
    assert found.real == pytest.approx(growth.real, abs=1e-9)
    assert abs(found.imag) == pytest.approx(abs(complex(growth).imag), abs=1e-9)

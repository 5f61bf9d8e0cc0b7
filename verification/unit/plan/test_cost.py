"""The cost of an application: clocks as the golden machine takes them, writings as few as can be."""

import os
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.errors import InputError
from ohmloop.golden import cycles
from ohmloop.golden.machine import Machine
from ohmloop.host.job import predict
from ohmloop.host.system import solve_job
from ohmloop.plan import cost
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Phase
from ohmloop_hdl.macro.pins import DRIVE_RANGES

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
CHIP64, REFERENCE = CONFIGS["chip64"], AnalogParams.reference()


@pytest.mark.parametrize("name, clocks", [("tiny", 95), ("lab", 435), ("chip64", 2627), ("chip64hp", 3651)])
def test_writing_the_arrays_is_prog_from_the_stream(name: str, clocks: int):
    """The row of ``PROG``, from the stream, in the table of latencies."""
    assert cost.writing_cycles(CONFIGS[name]) == clocks


@pytest.mark.parametrize("family", ["heat", "wishart", "oscillator", "impedance", "sparse5"])
def test_clocks_of_a_solve_are_at_most_as_predicted(family: str):
    print(f"OHMLOOP_SEED={SEED}")
    matrix = ensemble(family, 64, 30.0, SEED)
    plan = plan_preconditioner(matrix, CHIP64, REFERENCE)
    rhs = scale_rhs(matrix @ np.random.default_rng(SEED).standard_normal(64), CHIP64)
    job = solve_job(plan, rhs, CHIP64)
    job = replace(job, settings=replace(job.settings, drive_range=DRIVE_RANGES - 2))
    _, run = predict(Machine(CHIP64, NumpyMacro(Die.sample(CHIP64, REFERENCE))), job)
    last = len(run.scans)
    assert all(scan.clock > before.clock for before, scan in pairwise(run.scans)), "one attempt: the range has room"
    assert 2 <= last <= cost.scans(plan, CHIP64) <= last + 3
    spacing = max(plan.interval_cycles, cycles.scan_cycles(CHIP64))
    predicted = cost.inverse_cycles(plan, CHIP64) - (cost.scans(plan, CHIP64) - last) * spacing
    assert run.cycles - run.phases[Phase.PROGRAM] == predicted + 2 * cycles.ISSUE, "PROG's issue, and HALT"


def test_scans_by_a_worked_number():
    """tau 18.8, D 31, 1 LSB: still after 18.8 ln(128 / 1.5) = 84 clocks, so at 106; the third scan ends it."""
    plan = replace(plan_preconditioner(ensemble("heat", 64), CHIP64, REFERENCE), slowest_time_constant_cycles=18.8,
                   interval_cycles=31, tolerance=1)
    assert cost.scans(plan, CHIP64) == 3
    assert cost.scans(replace(plan, slowest_time_constant_cycles=6.9), CHIP64) == 2
    assert cost.scans(replace(plan, slowest_time_constant_cycles=25.0), CHIP64) == 4


def test_a_solve_has_a_vector_in_and_one_out():
    plan = plan_preconditioner(ensemble("heat", 64), CHIP64, REFERENCE)
    assert cost.solve_cycles(plan, CHIP64) == cost.inverse_cycles(plan, CHIP64) + 69 + 68


def fewest(sequence: tuple[int, ...], arrays: int) -> int:
    """Fewest writings, by trying all ways to make room."""
    @cache
    def from_here(place: int, held: frozenset[int]) -> int:
        if place == len(sequence):
            return 0
        k = sequence[place]
        if k in held:
            return from_here(place + 1, held)
        if len(held) < arrays:
            return 1 + from_here(place + 1, held | {k})
        return 1 + min(from_here(place + 1, held - {other} | {k}) for other in held)
    return from_here(0, frozenset())


def test_no_choice_writes_less():
    print(f"OHMLOOP_SEED={SEED}")
    random = np.random.default_rng(SEED)
    for _ in range(60):
        calls = tuple(int(k) for k in random.integers(0, 4, random.integers(1, 7)))
        for arrays in (1, 2, 3, 4):
            assert cost.writings(calls, arrays, times=3) == fewest(3 * calls, arrays), (calls, arrays)
    assert cost.writings((0, 1, 2), arrays=3, times=100) == 3
    with pytest.raises(InputError, match="arrays: must be at least 1, not 0"):
        cost.writings((0, 1), arrays=0)


def test_the_sum():
    plan = plan_preconditioner(ensemble("heat", 64), CHIP64, REFERENCE)
    total = cost.application_cost((0, 1, 0), [plan, plan], CHIP64, REFERENCE, times=4, multiply_adds=4001)
    assert (total.solves, total.writings) == (12, 1 + 4 * 2)
    assert total.solve_clocks == 12 * cost.solve_cycles(plan, CHIP64) and total.writing_clocks == 9 * 2627
    assert total.digital_clocks == 101 == cost.digital_cycles(4001, REFERENCE), "40 multiply-adds in 20 ns"
    assert total.clocks == total.solve_clocks + total.writing_clocks + 101
    assert cost.application_cost((0, 1, 0), [plan, plan], CHIP64, REFERENCE, times=4, arrays=2).writings == 2

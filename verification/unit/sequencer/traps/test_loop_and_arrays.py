"""Traps clip, settle and verify: what comes from the analogue half."""

from dataclasses import replace

import numpy as np
import pytest
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import ChipAndGolden, mantissas_of
from verification.unit.sequencer.traps.traps import (
    CLIP,
    IDEAL,
    ILLEGAL,
    NONE,
    QUICK,
    RUNAWAY,
    SETTLE,
    TINY,
    VERIFY,
    Traps,
)

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.golden import cycles
from ohmloop_hdl.events import Phase


def test_clip_in_the_last_range():
    pair = Traps()

    async def bench(ctx):
        for drive_range in (0, 6, 7):
            await pair.load(ctx, RUNAWAY)
            await pair.fine(ctx, "PROG\nHALT 0")
            run = await pair.trap(ctx, "INV v3, v1", CLIP, drive_range=drive_range, solve_interval=100)
            assert len(run.scans) == 8 - drive_range and not run.phases[Phase.STORE]

    pair.check(bench)


def test_clip_of_a_product_in_the_last_range():
    """With rails so near that the smallest gain is too much."""
    low = Die.sample(TINY, replace(IDEAL, rail_V=0.01))
    pair = ChipAndGolden(low)

    async def bench(ctx):
        await pair.load(ctx, np.full((4, 4), 15), {1: (mantissas_of([120] * 4, TINY), 0), 3: ([1, 2, 3, 4], 7)})
        for feedback in range(4):
            await pair.configure(ctx, **QUICK, feedback=feedback)
            run = await pair.go(ctx, "PROG\nMUL v3, v1\nHALT 0")
            assert (run.trap, run.pc, len(run.scans)) == (CLIP, 1, 4 - feedback)
            assert pair.machine.mantissas[3].tolist() == [1, 2, 3, 4] and pair.machine.settings.feedback == 3
        await pair.load(ctx, vectors={1: ([0] * 4, 0)})
        assert (await pair.go(ctx, "MUL v3, v1\nHALT 0")).trap is NONE

    pair.run(bench)


def test_settle_at_the_time_out():
    """A single scan is never a result; the verdict on the first comes when it is too late for another."""
    pair = Traps()

    async def bench(ctx):
        for program in ("INV v3, v1", "MUL v3, v1", "INV v3, v1, cal"):
            run = await pair.trap(ctx, program, SETTLE, timeout=1)
            interval = QUICK["multiply_interval" if "MUL" in program else "solve_interval"]
            assert len(run.scans) == 1 and run.phases[Phase.SETTLE] == interval - 1 and not run.phases[Phase.STORE]

    pair.check(bench)


def test_settle_of_a_loop_that_never_agrees():
    pair = ChipAndGolden(Die.sample(TINY, AnalogParams(read_noise_V=0.05)))

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of([9, 8, -7, 6], TINY), 0), 3: ([1, 2, 3, 4], 7)})
        await pair.configure(ctx, **QUICK, timeout=300, tolerance=0)
        for program, step in (("PROG\nINV v3, v1", 40), ("PROG\nMUL v3, v1", 30)):
            run = await pair.go(ctx, program)
            assert (run.trap, run.pc) == (SETTLE, 1)
            assert [scan.clock for scan in run.scans] == list(range(step, 300 - 18 + step, step))
            assert pair.machine.mantissas[3].tolist() == [1, 2, 3, 4]

    pair.run(bench)


@pytest.mark.parametrize("retries", [0, 2])
def test_verify(retries: int):
    """Cells that stick at what the good matrix wants, so that only another matrix finds them bad."""
    good = definite(4, 15, seed=3)
    stuck = ((0, 0, 0, int(good[0, 0])), (0, 3, 3, int(good[3, 3])))
    pair = Traps(die=Die.sample(TINY, IDEAL, stuck=stuck))
    other = good - np.diag([1, 0, 0, 1])
    rows = 2 + 4 * cycles.row_cycles(TINY, QUICK["write_cycles"]) + 1
    looks = 2 + 4 * (cycles.load_cycles(TINY) + 2 * cycles.LOOK + cycles.RECORD) + 1
    attempt = cycles.attempt_cycles(QUICK["write_cycles"])

    async def bench(ctx):
        for bad_limit in (0, 1):
            await pair.load(ctx, other)
            await pair.trap(ctx, "PROG", VERIFY, bad_limit=bad_limit, retries=retries,
                            clocks=rows + 2 * retries * attempt)
        await pair.load(ctx, other)
        await pair.fine(ctx, "PROG\nHALT 0", bad_limit=2)
        assert pair.machine.bad_count == 2
        await pair.trap(ctx, "SCRUB", VERIFY, bad_limit=1, retries=retries, clocks=looks + 2 * (retries + 1) * attempt)
        await pair.load(ctx, other)
        await pair.fine(ctx, "PROG\nHALT 0", bad_limit=2)
        # Arrays that a scrub found to be bad are not used.
        await pair.configure(ctx, **QUICK, bad_limit=1)
        assert (await pair.go(ctx, "SCRUB", windows=False)).trap is VERIFY
        for program in ("INV v4, v1", "MUL v4, v1", "SCRUB"):
            await pair.configure(ctx, **QUICK, bad_limit=2)
            assert (await pair.go(ctx, program, windows=False)).trap is ILLEGAL
        await pair.fine(ctx, "PROG\nINV v4, v1\nSCRUB\nHALT 0", bad_limit=2)
        await pair.solve(ctx)

    pair.check(bench)

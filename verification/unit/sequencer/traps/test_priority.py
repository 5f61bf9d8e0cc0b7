"""Which of two causes wins, and what a trap leaves."""

from typing import Any

import numpy as np
import pytest
from verification.unit.sequencer.traps.traps import (
    CLIP,
    DIVIDE,
    IDEAL,
    ILLEGAL,
    ONES,
    PARITY,
    QUICK,
    RANGE,
    RUNAWAY,
    SETTLE,
    TINY,
    VERIFY,
    WATCHDOG,
    Traps,
)

from ohmloop.analog.cells import Die
from ohmloop.golden import cycles
from ohmloop.golden.assembler import assemble
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.isa import COUNTER_BITS, DOT
from ohmloop_hdl.sequencer.traps import TrapCause


@pytest.mark.parametrize(("program", "cause", "settings"), [
    ("DIV k3, k4, k2", DIVIDE, {}), ("AXPY v3, v4, k0, v4", RANGE, {}), ("MAT v3, v4, m0, v4", RANGE, {}),
    ("DOT k3, v4, v4", RANGE, {}), ("DIV k3, k5, k6", RANGE, {}), ("INV v3, v1", SETTLE, dict(timeout=1)),
    ("MUL v3, v1", SETTLE, dict(timeout=1)),
])
def test_watchdog_goes_before(program: str, cause: TrapCause, settings: dict[str, Any]):
    """With the limit in the clock of the other cause; one more, and the other cause is the one that is taken."""
    pair = Traps()

    async def bench(ctx):
        await pair.load_slot(ctx, 0, np.full((4, 4), (1 << 23) - 1))
        await pair.load(ctx, vectors={4: (ONES, 511)})
        for k, scalar in ((2, Scalar(0, 0)), (5, Scalar(1 << 22, 500)), (6, Scalar(1 << 22, -500))):
            await pair.load_scalar(ctx, k, scalar)
        clocks = (await pair.trap(ctx, program, cause, **settings)).cycles
        await pair.trap(ctx, program, WATCHDOG, clocks=clocks, watchdog=clocks, **settings)
        await pair.trap(ctx, program, cause, clocks=clocks, watchdog=clocks + 1, **settings)

    pair.check(bench)


def test_watchdog_goes_before_clip_and_verify():
    pair = Traps(die=Die.sample(TINY, IDEAL, stuck=((0, 0, 0, 15),)))
    pair.good = np.diag([15, 15, 15, 15])

    async def bench(ctx):
        # The scan of the only attempt: issue, preparing, interval, scan.
        clocks = 2 + max(cycles.drive_cycles(TINY), cycles.prepare_cycles(1, 3)) + 99 + cycles.scan_cycles(TINY)
        for watchdog, cause in ((0, CLIP), (clocks + 1, CLIP), (clocks, WATCHDOG)):
            await pair.load(ctx, RUNAWAY)
            await pair.fine(ctx, "PROG\nHALT 0")
            await pair.trap(ctx, "INV v3, v1", cause, clocks=clocks, watchdog=watchdog, drive_range=7,
                            solve_interval=100)
        clocks = 2 + 4 * cycles.row_cycles(TINY, QUICK["write_cycles"]) + 1
        for watchdog, cause in ((0, VERIFY), (clocks + 1, VERIFY), (clocks, WATCHDOG)):
            await pair.load(ctx, np.diag([14, 15, 15, 15]))
            await pair.trap(ctx, "PROG", cause, clocks=clocks, watchdog=watchdog, retries=0)

    pair.check(bench)


@pytest.mark.parametrize(("program", "window", "place"), [
    ("PROG", "CODES", (2, 0)), ("SCRUB", "CODES", (3, 0)), ("MAT v3, v1, m0, v2", "SLOTS", (0, 2, 1)),
    ("INV v3, v1", "OFFSETS", (2,)), ("MUL v3, v1", "GAINS", (1,)),
])
def test_parity_goes_before_watchdog(program: str, window: str, place: tuple[int, ...]):
    """With the limit in the clock of the parity trap; one less, and the watchdog is the one that bites."""
    pair = Traps()

    async def bench(ctx):
        await pair.write_word(ctx, window, place, wrong=True)
        clocks = int((await pair.trap(ctx, program, PARITY)).cycles)
        for watchdog, cause in ((clocks, PARITY), (clocks - 1, WATCHDOG)):
            await pair.write_word(ctx, window, place, wrong=True)
            await pair.trap(ctx, program, cause, watchdog=watchdog, clocks=watchdog)

    pair.check(bench)


def test_a_trap_leaves_what_instructions_before_it_wrote():
    """Each cause behind a row of instructions that all retired."""
    pair = Traps()
    row = "SETC c3, 77\nAXPY v4, v1, k2, v3\nDOT k4, v1, v3\nLOOP c5, l\nl: DIV k5, k2, k3\nINV v6, v1\n"

    async def bench(ctx):
        await pair.load_scalar(ctx, 2, Scalar(1 << 21, 0))
        for program, cause in ((".", ILLEGAL), ("DIV k6, k3, k7", DIVIDE), ("MUL v7, v1", SETTLE)):
            await pair.load_scalar(ctx, 7, Scalar(0, 0))
            words = [*assemble(row), *([0] if program == "." else assemble(program))]
            run = await pair.trap(ctx, words, cause, 6, timeout=110, multiply_interval=500,
                                  fills=("c3", "v4", "k4", "c5", "k5", "v6"))
            assert len(run.retired) == 6

    pair.check(bench)


def test_a_counter_is_not_touched_by_a_trap():
    pair = Traps()

    async def bench(ctx):
        await pair.program(ctx, "LOOP c2, 0")
        await pair.write_word(ctx, "PROGRAM", (0,), wrong=True)
        await pair.trap(ctx, [], PARITY)
        await pair.trap(ctx, [assemble("LOOP c2, 0")[0] | 1 << 12], ILLEGAL)
        await pair.trap(ctx, [assemble("SETC c2, 5")[0] | 1 << 17], ILLEGAL)
        # 0 becomes the largest.
        await pair.fine(ctx, "SETC c2, 0\nLOOP c2, 2\nHALT 0")
        assert pair.machine.counters[2] == (1 << COUNTER_BITS) - 1

    pair.check(bench)


def test_causes_of_a_halt_and_of_a_trap_are_never_mixed():
    """A halt code stays until the next start, a trap cause too; clear forgets both, and not the cycle count."""
    pair = Traps()

    async def bench(ctx):
        run = await pair.fine(ctx, "HALT 9")
        assert await pair.field(ctx, "STATUS.halt_code") == 9
        assert (await pair.go(ctx, [DOT.opcode << 27 | 1], windows=False)).trap is ILLEGAL
        assert await pair.field(ctx, "STATUS.halt_code") == 0
        await pair.fine(ctx, "SETC c1, 2\nHALT 8")
        assert await pair.field(ctx, "STATUS.trap") == 0 and await pair.field(ctx, "STATUS.pc") == 1
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.clear"].mask)
        for name in ("pc", "halt_code", "trap"):
            assert await pair.field(ctx, f"STATUS.{name}") == 0
        assert await pair.field(ctx, "CYCLES.count") == 4 and run.cycles == 2

    pair.check(bench)

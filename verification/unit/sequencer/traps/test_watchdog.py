"""Traps of the watchdog: limits that end in every clock of an instruction."""

from dataclasses import replace

import numpy as np
import pytest
from verification.unit.sequencer.traps.traps import (
    ILLEGAL,
    NONE,
    QUICK,
    TINY,
    WATCHDOG,
    Traps,
    registers,
)

from ohmloop.engines.operations import Connect
from ohmloop.golden import cycles
from ohmloop_hdl.events import Phase


async def every_limit(pair: Traps, ctx, text: str, writing: int, **settings: int) -> None:
    """Every limit below the clocks of the instruction: stopped in its last allowed clock, unless that is one of the
    ``writing`` clocks at the end; nothing is changed then."""
    settings = QUICK | settings
    await pair.configure(ctx, **settings)
    total = (await pair.go(ctx, f"{text}\nHALT 0", windows=False)).retired[0].cycles
    for limit in range(1, total + 2):
        pair.machine.settings = replace(pair.machine.settings, watchdog=limit)
        await pair.put(ctx, "WATCHDOG", limit)
        before = registers(pair.machine)
        status = await pair.chip.execute(ctx, pair.driver.run(limit_clocks=5 * total))
        run = pair.machine.run()
        assert (status.trap, status.pc, status.cycles) == (run.trap, run.pc, run.cycles), limit
        if limit > total - writing:
            assert run.trap is NONE, limit
        else:
            assert (run.trap, run.pc, run.cycles) == (WATCHDOG, 0, max(limit, 3)), limit
            assert registers(pair.machine) == before
        pair.compare_memories(ctx)
    await pair.solve(ctx)


@pytest.mark.parametrize(("text", "writing"), [
    ("INV v3, v1", cycles.store_cycles(TINY)), ("MUL v3, v1", cycles.store_cycles(TINY)),
    ("INV v3, v1, cal", cycles.store_cycles(TINY)), ("SCRUB", cycles.PROGRAM_END),
])
def test_watchdog_in_every_clock_of_the_loop_and_the_arrays(text: str, writing: int):
    pair = Traps()

    async def bench(ctx):
        await every_limit(pair, ctx, text, writing, solve_interval=7, multiply_interval=7, tolerance=15)

    pair.check(bench)


def test_watchdog_in_every_clock_of_a_calculation():
    """The first pass can be stopped, the second, which writes, cannot; SETC, LOOP and HALT are too short for any."""
    pair = Traps()

    async def bench(ctx):
        for text, writing in (("AXPY v3, v1, k2, v2", TINY.block), ("MAT v3, v1, -m0, v2", TINY.block),
                              ("DOT k3, v1, v2", 1), ("DIV k3, k4, k5", 1), ("BLE k0, k0, 0, 1", 1)):
            await every_limit(pair, ctx, text, writing)
        for text in ("SETC c1, 0", "LOOP c1, 1"):
            await pair.fine(ctx, f"{text}\nHALT 0", watchdog=1)

    pair.check(bench)


def test_watchdog_in_every_clock_of_a_scrub_that_repairs():
    """Rows of both arrays were changed. A write pulse that is cut short has written, and takes the arrays; map and
    counts are those of the clock in which it stopped."""
    pair = Traps()

    async def bench(ctx):
        ends = set()
        for limit in range(1, 200):
            await pair.configure(ctx, **QUICK)
            assert (await pair.go(ctx, "PROG\nHALT 0", windows=False)).trap is NONE
            for plane, row in ((0, 0), (1, 2), (1, 3)):
                for macro in (pair.chip.macro, pair.machine.macro):
                    macro.write_row(plane, row, np.full(4, 3))
            await pair.configure(ctx, **QUICK, watchdog=limit)
            run = await pair.go(ctx, "SCRUB\nHALT 0", windows=False)
            for plane, row in np.ndindex(2, 4):
                rows = [macro.read_row(plane, row).tolist() for macro in (pair.chip.macro, pair.machine.macro)]
                assert rows[0] == rows[1], (limit, plane, row)
            ends.add((pair.machine.repairs, pair.machine.valid_arrays, run.trap))
            if run.trap is NONE:
                break
        assert ends == {(0, True, WATCHDOG), (1, True, WATCHDOG), (1, False, WATCHDOG), (2, False, WATCHDOG),
                        (3, False, WATCHDOG), (3, True, NONE)}
        await pair.solve(ctx)

    pair.check(bench)


def test_watchdog_while_programming():
    """In the first row, in the last, in the very last clock but one; arrays that were not finished cannot be used."""
    pair = Traps()
    total = 2 + 4 * cycles.row_cycles(TINY, QUICK["write_cycles"]) + 1

    async def bench(ctx):
        for limit in (1, 3, 4, 9, 21, total // 2, total - 2, total - 1):
            await pair.trap(ctx, "PROG", WATCHDOG, clocks=max(3, limit), watchdog=limit)
            await pair.configure(ctx, **QUICK, watchdog=limit)
            assert (await pair.go(ctx, "PROG", windows=False)).trap is WATCHDOG
            await pair.configure(ctx, **QUICK)
            for unusable in ("INV v3, v1", "MUL v3, v1", "SCRUB"):
                assert (await pair.go(ctx, unusable, windows=False)).trap is ILLEGAL
        for limit in (total, total + 1, 0):
            await pair.fine(ctx, "PROG\nHALT 0", watchdog=limit)

    pair.check(bench)


def test_watchdog_counts_each_instruction_by_itself():
    """A run may take much longer than its longest instruction; a limit of zero is none."""
    pair = Traps()

    async def bench(ctx):
        run = await pair.fine(ctx, "SETC c1, 9\nl: AXPY v4, v4, k2, v3\nLOOP c1, l\nINV v3, v1\nHALT 0")
        longest = run.retired[-2].cycles - run.retired[-3].cycles
        program = "SETC c1, 9\nl: AXPY v4, v4, k2, v3\nLOOP c1, l\nINV v5, v1\nHALT 0"
        await pair.fine(ctx, program, watchdog=longest)
        await pair.fine(ctx, program, watchdog=0)
        shorter = longest - cycles.store_cycles(TINY)
        await pair.trap(ctx, program, WATCHDOG, 3, watchdog=shorter, fills=("v4", "c1"))

    pair.check(bench)


def test_watchdog_does_not_count_waits_for_a_stream():
    """LD, ST and PROG from a stream that pauses for hundreds of clocks, within a limit that has no room for one."""
    pair = Traps()
    words = [0x0102_030F, 0x0405_0F06, 0x070F_0809, 0x0F0A_0B0C]
    total = 2 + 4 * (cycles.REFILL + cycles.fill_cycles(1) + cycles.row_cycles(TINY, QUICK["write_cycles"])) + 1

    async def late(ctx, program: str, *objects: list[int]) -> None:
        """Start, then send each object when the chip has waited for it."""
        await pair.start(ctx, program)
        for words in objects:
            await ctx.tick().repeat(200)
            assert ctx.get(pair.chip.chip.trace.phase) == Phase.WAIT
            await pair.send(ctx, words)
        run = pair.machine.run()
        await pair.finish(ctx, run, windows=False)
        assert run.trap is NONE and await pair.field(ctx, "STREAM_WAITS.count") >= 190 * len(objects)

    async def bench(ctx):
        await pair.configure(ctx, **QUICK, watchdog=3)
        await late(ctx, "LD v5\nLD v6\nHALT 0", [3, 1, 2, 3, 4], [5, 6, 7, 8, 9])
        await late(ctx, "LD m0\nHALT 0", list(range(16)))
        await pair.configure(ctx, **QUICK, watchdog=total)
        await late(ctx, "PROG stream\nHALT 0", words)
        await pair.perform(ctx, Connect(0.95, 0.95, 3))
        await pair.configure(ctx, **QUICK, watchdog=3)
        await pair.start(ctx, "ST v5\nST v6\nST v7\nHALT 0")
        await pair.finish(ctx, pair.machine.run(), windows=False)
        assert await pair.field(ctx, "STREAM_WAITS.count") > 50
        await pair.compare_stream(ctx)
        # The part that is not a wait is watched.
        await pair.configure(ctx, **QUICK, watchdog=total - 1)
        await pair.send(ctx, words)
        run = await pair.go(ctx, "PROG stream\nHALT 0", windows=False)
        assert (run.trap, run.cycles) == (WATCHDOG, total - 1) and await pair.field(ctx, "STREAM_WAITS.count") > 20
        await pair.solve(ctx)

    pair.check(bench)

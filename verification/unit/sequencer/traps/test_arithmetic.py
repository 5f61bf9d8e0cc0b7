"""Traps illegal, divide and range. Operation codes and stray bits are in ``../test_sequencer.py``."""

from typing import Any

import numpy as np
import pytest
from verification.unit.chip_and_golden import SLVERR, ChipAndGolden
from verification.unit.sequencer.traps.traps import (
    DIVIDE,
    IDEAL,
    ILLEGAL,
    ONES,
    QUICK,
    RANGE,
    TINY,
    WIDE,
    Traps,
)

from ohmloop.analog.cells import Die
from ohmloop.golden import cycles
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN
from ohmloop_hdl.isa import LD


def test_a_slot_that_does_not_exist():
    for config in (TINY, WIDE):
        pair = Traps(config)

        async def bench(ctx, pair=pair):
            for slot in range(pair.config.slots, 16):
                run = await pair.go(ctx, f"MAT v3, v1, m{slot}, v2", windows=False)
                assert (run.trap, run.cycles) == (ILLEGAL, 2), slot
                run = await pair.go(ctx, f"LD m{slot}", windows=False)
                assert (run.trap, run.cycles) == (ILLEGAL, 2), slot
            await pair.trap(ctx, f"MAT v3, v1, m{pair.config.slots}, v2", ILLEGAL, clocks=2)

        pair.check(bench)


def test_what_ld_cannot_fill():
    pair = Traps()

    async def bench(ctx):
        await pair.send(ctx, [1, 2, 3, 4, 5])
        for word in [LD.encode(3, d) for d in (0, 1, 15)] + [LD.encode(2, d) for d in (1, 8, 15)] + [LD.encode(1, 1)]:
            await pair.trap(ctx, [word], ILLEGAL, clocks=2)
        # None of them took a beat.
        await pair.fine(ctx, "LD v9\nHALT 0")
        assert pair.machine.mantissas[9].tolist() == [2, 3, 4, 5] and not pair.machine.source

    pair.check(bench)


def test_what_was_never_written_cannot_be_used():
    """Right after reset: matrix, codes and arrays become usable one by one."""
    pair = ChipAndGolden(Die.sample(WIDE, IDEAL))

    async def refuse(ctx, *texts: str):
        for text in texts:
            run = await pair.go(ctx, text, windows=False)
            assert (run.trap, run.cycles, run.pc) == (ILLEGAL, 2, 0), text

    async def bench(ctx):
        await pair.configure(ctx, **QUICK)
        loops = "INV v1, v0", "MUL v1, v0", "INV v0, v0, cal"
        await refuse(ctx, "MAT v1, v0, m0, v0", "MAT v1, v0, m1, v0", *loops, "PROG", "SCRUB")
        await pair.load_slot(ctx, 1, np.ones((8, 8)))
        await refuse(ctx, "MAT v1, v0, m0, v0", *loops, "PROG", "SCRUB")
        await pair.go(ctx, "MAT v1, v0, m1, v0\nHALT 0", windows=False)
        # One byte of one word is enough: the host answers for what it writes.
        pair.machine.valid_codes = True
        await pair.chip.write(ctx, pair.map.windows["CODES"].address + 4 * 31, 0, strobe=0b0100)
        await refuse(ctx, *loops, "SCRUB")
        await pair.load(ctx, np.diag([255] * 8))
        await pair.go(ctx, "PROG\nSCRUB\nINV v1, v0\nMUL v1, v0\nINV v0, v0, cal\nHALT 0", windows=False)
        await refuse(ctx, "MAT v1, v0, m0, v0")
        # A write that is refused or that writes no byte makes nothing valid.
        await pair.chip.write(ctx, pair.map.windows["SLOTS"].address, 1, strobe=0)
        assert await pair.chip.write(ctx, pair.map.windows["SLOTS"].address + 4 * 2 * 64, 1) == SLVERR
        await refuse(ctx, "MAT v1, v0, m0, v0")
        pair.machine.valid_slots[0] = True
        await pair.chip.write(ctx, pair.map.windows["SLOTS"].address + 4 * 63, 0)
        await pair.go(ctx, "MAT v1, v0, m0, v0\nHALT 0")

    pair.run(bench)


def test_division_by_zero():
    """Zero by its mantissa, by its exponent, and by both; whatever the dividend."""
    pair = Traps()

    async def bench(ctx):
        for zero in (Scalar(0, 5), Scalar(1 << 20, EXPONENT_MIN), Scalar(0, EXPONENT_MIN), Scalar(0, EXPONENT_MAX)):
            await pair.load_scalar(ctx, 2, zero)
            for program in ("DIV k3, k4, k2", "DIV k3, k2, k2", "DIV k2, k2, k2", "DIV k0, k0, k2"):
                await pair.trap(ctx, program, DIVIDE, clocks=2 + 1)
            await pair.fine(ctx, "DIV k5, k2, k4\nHALT 0")
            assert pair.machine.scalars[5] == Scalar(0, EXPONENT_MIN)

    pair.check(bench)


def test_range_of_a_sum():
    """Above the largest exponent by the factor, or by the carry of the sum; at it is not above it."""
    pair = Traps()
    clocks = 2 + cycles.axpy_cycles(TINY)[0]

    async def bench(ctx):
        await pair.load(ctx, vectors={4: (ONES, 511), 5: (ONES // 4, 511), 6: (ONES, 500)})
        await pair.load_scalar(ctx, 2, Scalar(1 << 22, 13))
        await pair.load_scalar(ctx, 3, Scalar(1 << 22, 12))
        for program in ("AXPY v3, v4, k0, v4", "AXPY v3, v0, k2, v6", "AXPY v0, v4, k0, v4", "AXPY v4, v4, k0, v4",
                        "AXPY v3, v5, -k2, v6"):
            await pair.trap(ctx, program, RANGE, clocks=clocks)
        await pair.fine(ctx, "AXPY v7, v0, k3, v6\nAXPY v8, v5, k0, v5\nAXPY v9, v4, -k0, v4\nHALT 0")
        assert pair.machine.exponents[[7, 8, 9]].tolist() == [511, 510, EXPONENT_MIN]

    pair.check(bench)


def test_range_of_a_product_with_a_matrix():
    pair = Traps()
    clocks = 2 + cycles.mat_cycles(TINY)[0]

    async def bench(ctx):
        await pair.load_slot(ctx, 0, np.full((4, 4), (1 << 23) - 1))
        await pair.load(ctx, vectors={4: (ONES, 510), 5: (ONES, 509), 6: (-ONES, 511), 7: (ONES, 511)})
        for program in ("MAT v3, v0, m0, v4", "MAT v3, v7, m0, v5", "MAT v3, v6, -m0, v5", "MAT v0, v0, m0, v4"):
            await pair.trap(ctx, program, RANGE, clocks=clocks)
        await pair.fine(ctx, "MAT v3, v0, m0, v5\nMAT v8, v7, -m0, v5\nHALT 0")
        assert pair.machine.exponents[3] == 511

    pair.check(bench)


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
def test_range_of_a_dot_product(config: ChipConfig):
    pair = Traps(config)
    n = config.size
    most = 512 - n.bit_length()
    """Exponents that add up to this, plus log2 N, make the largest."""

    async def bench(ctx):
        ones = np.full(n, (1 << 31) - 1)
        await pair.load(ctx, vectors={4: (ones, 300), 5: (ones, most - 300), 6: (ones, most - 299)})
        for program in ("DOT k3, v4, v6", "DOT k0, v6, v4", "DOT k3, v4, v4"):
            await pair.trap(ctx, program, RANGE, clocks=2 + cycles.dot_cycles(config)[0])
        await pair.fine(ctx, "DOT k3, v4, v5\nDOT k4, v0, v4\nHALT 0")
        assert pair.machine.scalars[3].exponent == 511

    pair.check(bench)


def test_range_of_a_quotient():
    pair = Traps()
    half = 1 << 22

    async def bench(ctx):
        for k, scalar in ((2, Scalar(half, 300)), (3, Scalar(half, -211)), (4, Scalar(half, -210)),
                          (5, Scalar(half - 1, 300)), (6, Scalar(-half, 511)), (7, Scalar(0, 511))):
            await pair.load_scalar(ctx, k, scalar)
        # A half by a half is one, which needs an exponent more.
        for program in ("DIV k1, k2, k3", "DIV k0, k2, k3", "DIV k1, k6, k3"):
            await pair.trap(ctx, program, RANGE, clocks=2 + cycles.DIVIDE)
        await pair.fine(ctx, "DIV k1, k2, k4\nDIV k8, k5, k3\nDIV k9, k7, k3\nHALT 0")
        assert [pair.machine.scalars[k].exponent for k in (1, 8, 9)] == [511, 511, EXPONENT_MIN]

    pair.check(bench)


@pytest.mark.parametrize(("program", "exponent", "settings"), [
    ("INV v3, v1", 511, dict(drive_range=1)), ("INV v3, v1", 505, dict(drive_range=7)),
    ("MUL v3, v1", 511, dict(feedback=3)), ("MUL v3, v1", 508, dict(feedback=3)),
])
def test_range_of_the_loop(program: str, exponent: int, settings: dict[str, Any]):
    """Known only from the last code, so it takes as long as a result; zero is never above the largest."""
    pair = Traps()

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: ([100 << 24, 0, 0, 1 << 24], exponent)})
        await pair.fine(ctx, "PROG\nHALT 0")
        run = await pair.trap(ctx, program, RANGE, **settings)
        assert run.phases[Phase.STORE] == cycles.store_cycles(TINY)
        await pair.load(ctx, np.diag([15] * 4), {1: ([0, 0, 0, 0], exponent)})
        await pair.fine(ctx, f"PROG\n{program}\nHALT 0", **settings)
        assert pair.machine.exponents[3] == EXPONENT_MIN
        await pair.solve(ctx)

    pair.check(bench)

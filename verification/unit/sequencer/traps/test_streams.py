"""Traps of the stream: objects that are too short or too long."""


import numpy as np
import pytest
from verification.unit.sequencer.traps.traps import (
    ILLEGAL,
    QUICK,
    STREAM,
    TINY,
    Traps,
    registers,
)

from ohmloop.engines.operations import Connect
from ohmloop.golden import cycles
from ohmloop_hdl.fixed import EXPONENT_MIN


def beats(count: int, seed: int) -> list[int]:
    return [int(word) for word in np.random.default_rng(seed).integers(0, 1 << 32, count)]


@pytest.mark.parametrize(("program", "length", "fills"), [
    ("LD v5", 5, "v5"), ("LD m0", 16, "m0"), ("LD codes", 4, "codes"), ("LD v0", 5, ""),
])
def test_stream_objects_that_are_too_short_or_too_long(program: str, length: int, fills: str):
    """The mark of the last beat on the first, in the middle, on the last but one, and missing from the last."""
    pair = Traps()

    async def bench(ctx):
        for sent in (1, length // 2, length - 1, length + 3):
            words = [word & 0x0F0F_0F0F for word in beats(sent, sent)]
            await pair.send(ctx, words)
            # Issue, begin, a beat a clock.
            used = min(sent, length)
            await pair.configure(ctx, **QUICK)
            run = await pair.trap(ctx, program, STREAM, clocks=2 + 1 + used, fills=(fills,))
            assert run.retired == [] and len(pair.machine.source) == sent - used
            if program == "LD v5":
                assert pair.machine.exponents[5] == EXPONENT_MIN and not pair.machine.vector(5)[0].any()
            if fills == "m0":
                assert (await pair.go(ctx, "MAT v6, v0, m0, v1", windows=False)).trap is ILLEGAL
                await pair.load_slot(ctx, 0, np.eye(4))
            if sent > length:
                # What is left stays in the buffer, and is an object of three beats for the next LD.
                run = await pair.go(ctx, "LD v7", windows=False)
                assert (run.trap, run.cycles) == (STREAM, 2 + 1 + 3)
                await pair.send(ctx, beats(4, 9))
                await pair.flush(ctx)
            good = beats(5, 5)
            await pair.send(ctx, good)
            await pair.fine(ctx, "LD v8\nHALT 0")
            assert (pair.machine.mantissas[8] & 0xFFFF_FFFF).tolist() == good[1:]

    pair.check(bench)


def test_codes_of_a_load_that_broke_off_cannot_be_programmed():
    pair = Traps()

    async def bench(ctx):
        await pair.send(ctx, [0x0F00_0000, 0x000F_0000])
        await pair.configure(ctx, **QUICK)
        assert (await pair.go(ctx, "LD codes", windows=False)).trap is STREAM
        assert (await pair.go(ctx, "PROG", windows=False)).trap is ILLEGAL
        assert (await pair.go(ctx, "SCRUB", windows=False)).trap is ILLEGAL
        # The arrays are what they were.
        await pair.fine(ctx, "INV v3, v1\nHALT 0")
        await pair.send(ctx, [0x0F, 0x0F00, 0x0F_0000, 0x0F00_0000])
        await pair.fine(ctx, "LD codes\nPROG\nSCRUB\nHALT 0")
        await pair.solve(ctx)

    pair.check(bench)


def test_stream_ends_while_programming():
    """The mark on any row but the last, or missing from the last; codes and arrays cannot be used then."""
    pair = Traps()
    row_clocks = cycles.REFILL + cycles.fill_cycles(1) + cycles.row_cycles(TINY, QUICK["write_cycles"])

    async def bench(ctx):
        for sent in (1, 2, 3, 5):
            row = min(sent, 4) - 1
            words = [word & 0x0F0F_0F0F for word in beats(sent, sent)]
            await pair.send(ctx, words)
            clocks = 2 + row * row_clocks + cycles.REFILL + 1 + 1
            await pair.trap(ctx, "PROG stream", STREAM, clocks=clocks, fills=("codes",))
            await pair.flush(ctx)
            await pair.send(ctx, words)
            await pair.configure(ctx, **QUICK)
            assert (await pair.go(ctx, "PROG stream", windows=False)).trap is STREAM
            for unusable in ("INV v3, v1", "SCRUB", "PROG"):
                assert (await pair.go(ctx, unusable, windows=False)).trap is ILLEGAL
            await pair.flush(ctx)
        await pair.solve(ctx)

    pair.check(bench)


def test_stream_object_may_wait_anywhere():
    """Pauses on both sides change neither cause nor place nor clock."""
    pair = Traps()

    async def bench(ctx):
        await pair.perform(ctx, Connect(0.8, 0.8, 7))
        for sent in (3, 7):
            await pair.send(ctx, beats(sent, 1))
            await pair.trap(ctx, "LD v5", STREAM, clocks=2 + 1 + min(sent, 5), fills=("v5",))
            assert await pair.field(ctx, "STREAM_WAITS.count") == 0, "of the solve"
            await pair.flush(ctx)

    pair.check(bench)


def test_ld_of_the_zero_register_takes_an_object_and_changes_nothing():
    pair = Traps()

    async def bench(ctx):
        await pair.send(ctx, beats(5, 1), beats(5, 2))
        before = registers(pair.machine)
        await pair.fine(ctx, "LD v0\nLD v0\nST v0\nHALT 0")
        assert registers(pair.machine) == before and not pair.machine.source
        assert pair.machine.sink == [(EXPONENT_MIN & 0xFFFF_FFFF, False)] + [(0, i == 3) for i in range(4)]
        await pair.compare_stream(ctx)

    pair.check(bench)

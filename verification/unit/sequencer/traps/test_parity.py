"""Traps of parity: a word of each memory written with wrong parity, and used."""


import numpy as np
import pytest
from verification.unit.chip_and_golden import SLVERR
from verification.unit.sequencer.traps.traps import (
    ILLEGAL,
    NONE,
    PARITY,
    QUICK,
    TINY,
    WIDE,
    Traps,
)

from ohmloop.golden import cycles
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.isa import MAT


def test_a_wrong_word_does_not_read_back():
    """Neither as a whole nor where only one byte of it was written wrong; written again, it does."""
    pair = Traps(WIDE)

    async def bench(ctx):
        for window, marks, granules in (("PROGRAM", pair.machine.wrong_program, 4),
                                        ("SLOTS", pair.machine.wrong_slots, 3), ("CODES", pair.machine.wrong_codes, 4),
                                        ("OFFSETS", pair.machine.wrong_offsets, 2),
                                        ("GAINS", pair.machine.wrong_gains, 2)):
            address, last = pair.map.windows[window].address, marks.size - 1
            for number, strobe in ((0, 0xF), (last, 0xF), *((last // 2, 1 << byte) for byte in range(granules))):
                place = tuple(int(i) for i in np.unravel_index(number, marks.shape))
                await pair.write_word(ctx, window, place, wrong=True, strobe=strobe)
                pair.compare_memories(ctx)
                for other in (number, last - number, (number + 1) % last):
                    response, _ = await pair.chip.read(ctx, address + 4 * other)
                    assert response == (SLVERR if other == number else 0), (window, number, other)
                await pair.write_word(ctx, window, place)
                assert (await pair.chip.read(ctx, address + 4 * number))[0] == 0
        pair.compare_memories(ctx)

    pair.check(bench)


def test_parity_of_an_instruction():
    """Whatever the word, in its decode clock; words that are not executed do not matter."""
    pair = Traps()

    async def bench(ctx):
        for text in ("HALT 3", "SETC c1, 9", "INV v3, v1", "LD v3"):
            await pair.program(ctx, text)
            await pair.write_word(ctx, "PROGRAM", (0,), wrong=True)
            await pair.trap(ctx, [], PARITY, clocks=2)
        for entry in (5, 254):
            await pair.program(ctx, f"SETC c4, 3\nBLE k0, k0, 0, {(entry + 3) % 256}\nHALT 1\nHALT 2", entry)
            await pair.write_word(ctx, "PROGRAM", ((entry + 3) % 256,), wrong=True)
            await pair.trap(ctx, [], PARITY, (entry + 3) % 256, entry=entry, clocks=2 + 4 + 2, fills=("c4",))
        for byte in range(4):
            await pair.program(ctx, "HALT 3")
            await pair.write_word(ctx, "PROGRAM", (0,), wrong=True, strobe=1 << byte)
            await pair.trap(ctx, [], PARITY, clocks=2)
        await pair.program(ctx, "HALT 3\nHALT 4")
        await pair.write_word(ctx, "PROGRAM", (1,), wrong=True)
        assert (await pair.fine(ctx, [])).halt_code == 3

    pair.check(bench)


def test_parity_goes_before_illegal():
    pair = Traps()

    async def bench(ctx):
        for word in (0, 0xFFFF_FFFF, MAT.encode(3, 0, 0, 7, 1)):
            await pair.program(ctx, [word])
            await pair.write_word(ctx, "PROGRAM", (0,), wrong=True)
            await pair.trap(ctx, [], PARITY, clocks=2)
            await pair.trap(ctx, [word], ILLEGAL, clocks=2)

    pair.check(bench)


@pytest.mark.parametrize("program", ["PROG", "SCRUB"])
def test_parity_of_the_code_memory(program: str):
    """First and last word of a row and of the memory, in each lane; of several the first one counts."""
    pair = Traps(WIDE)
    row_clocks = cycles.row_cycles(WIDE, QUICK["write_cycles"])
    if program == "SCRUB":
        row_clocks = cycles.load_cycles(WIDE) + 2 * cycles.LOOK + cycles.RECORD

    async def bench(ctx):
        for places in ([(0, 0)], [(0, 3)], [(7, 2)], [(7, 3)], [(5, 3), (5, 0)], [(4, 0), (1, 3)]):
            for place in places:
                await pair.write_word(ctx, "CODES", place, wrong=True)
            row, word = min((row, word % WIDE.code_words) for row, word in places)
            await pair.trap(ctx, program, PARITY, clocks=2 + row * row_clocks + word + 2)
        await pair.write_word(ctx, "CODES", (4, 0), wrong=True, strobe=0b0100)
        assert (await pair.go(ctx, program, windows=False)).trap is PARITY
        # PROG leaves arrays that cannot be used, SCRUB leaves them as they are.
        run = await pair.go(ctx, "INV v4, v1\nHALT 0", windows=False)
        assert run.trap is (ILLEGAL if program == "PROG" else NONE)
        await pair.solve(ctx)

    pair.check(bench)


def test_a_stream_replaces_wrong_codes():
    pair = Traps()

    async def bench(ctx):
        for program in ("LD codes\nPROG", "PROG stream"):
            for row in range(4):
                await pair.write_word(ctx, "CODES", (row, 0), wrong=True)
            await pair.trap(ctx, "PROG", PARITY)
            for row in range(4):
                await pair.write_word(ctx, "CODES", (row, 0), wrong=True)
            await pair.send(ctx, [0x0102_030F, 0x0405_0F06, 0x070F_0809, 0x0F0A_0B0C])
            await pair.fine(ctx, f"{program}\nHALT 0")
            await pair.solve(ctx)

    pair.check(bench)


def test_parity_of_a_slot():
    """First and last element, each lane, each slot; of several, the one that the lanes come to first."""
    pair = Traps(WIDE)

    async def bench(ctx):
        for slot in (0, 1):
            for places in ([(0, 0)], [(0, 7)], [(7, 7)], [(4, 0)], [(3, 7), (7, 3)], [(3, 2), (7, 2)],
                           [(1, 0), (4, 7)]):
                for row, column in places:
                    await pair.write_word(ctx, "SLOTS", (slot, row, column), wrong=True)
                row, column = min((row % WIDE.block, column) for row, column in places)
                await pair.fine(ctx, f"MAT v4, v2, m{1 - slot}, v3\nHALT 0")
                await pair.trap(ctx, f"MAT v3, v1, -m{slot}, v2", PARITY, clocks=2 + row * 8 + column + 3)
        await pair.write_word(ctx, "SLOTS", (0, 5, 6), wrong=True, strobe=0b010)
        # Elements outside of the vector are read as well.
        await pair.trap(ctx, "MAT v3, v0, m0, v2", PARITY, vector_size=2)

    pair.check(bench)


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
def test_parity_of_offsets_and_gains(config: ChipConfig):
    """MUL does not use offsets, and a calibration uses neither; it writes the offsets anew."""
    pair = Traps(config)
    n, last = config.size, config.adcs - 1

    async def bench(ctx):
        for window, place, element in (
                ("OFFSETS", 0, 0), ("OFFSETS", n - 1, config.block - 1), ("OFFSETS", n // 2, n // 2 % config.block),
                ("GAINS", 0, 0), ("GAINS", last, config.block - config.mux_steps)):
            await pair.write_word(ctx, window, (place,), wrong=True, strobe=1 + place % 2)
            await pair.trap(ctx, "INV v3, v1", PARITY, clocks=2 + element + 2)
            await pair.write_word(ctx, window, (place,), wrong=True)
            if window == "GAINS":
                await pair.trap(ctx, "MUL v3, v1", PARITY, clocks=2 + element + 2)
                await pair.write_word(ctx, window, (place,), wrong=True)
                await pair.fine(ctx, "INV v3, v1, cal\nHALT 0")
                await pair.trap(ctx, "INV v3, v1", PARITY)
            else:
                await pair.fine(ctx, "MUL v3, v1\nINV v3, v1, cal\nINV v3, v1\nHALT 0")
        pair.machine.offsets[:] = 0
        await pair.chip.execute(ctx, pair.driver.load_correction(pair.machine.offsets, pair.machine.gains))

    pair.check(bench)

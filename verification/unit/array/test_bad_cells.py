"""The map of bad cells: every bit in its place, one clock later."""

import pytest
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.array.bad_cells import BadCellMap
from ohmloop_hdl.config import ChipConfig


@pytest.mark.parametrize("size", [4, 16, 32, 64, 128])
def test_a_row_shows_in_its_words(size: int):
    cells, random = BadCellMap(ChipConfig(size=size, adcs=4, lanes=1)), seeded(size)
    words = max(1, size // 32)
    rows = {row: random.getrandbits(size) for row in {0, 1, size // 2, size - 1}}
    rows[0] |= 1
    rows[size - 1] |= 1 << (size - 1)

    async def bench(ctx):
        for row, bad in rows.items():
            ctx.set(cells.write, 1)
            ctx.set(cells.row, row)
            ctx.set(cells.bad, bad)
            await ctx.tick()
        ctx.set(cells.write, 0)
        ctx.set(cells.row, 2)
        ctx.set(cells.bad, (1 << size) - 1)
        for row in range(size):
            for word in range(words):
                ctx.set(cells.window.address, row * words + word)
                await ctx.tick()
                assert ctx.get(cells.window.r_data) == rows.get(row, 0) >> 32 * word & 0xFFFF_FFFF, (row, word)

    simulate(cells, bench)


def test_a_row_is_overwritten_whole():
    cells = BadCellMap(ChipConfig(size=16, adcs=4, lanes=1))

    async def bench(ctx):
        ctx.set(cells.write, 1)
        ctx.set(cells.row, 5)
        for bad in (0xFFFF, 0x8001):
            ctx.set(cells.bad, bad)
            await ctx.tick()
        ctx.set(cells.write, 0)
        ctx.set(cells.window.address, 5)
        await ctx.tick()
        assert ctx.get(cells.window.r_data) == 0x8001

    simulate(cells, bench)


def test_the_window_writes_nothing_and_has_no_parity_to_be_wrong():
    cells = BadCellMap(ChipConfig(size=16, adcs=4, lanes=1))
    window = cells.window

    async def bench(ctx):
        for signal, value in ((cells.write, 1), (cells.row, 3), (cells.bad, 0x1234)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(cells.write, 0)
        for signal, value in ((window.select, 1), (window.address, 3), (window.w_strobe, 0xF), (window.w_data, 0xFFFF)):
            ctx.set(signal, value)
        await ctx.tick()
        await ctx.tick()
        assert (ctx.get(window.r_data), ctx.get(window.r_error)) == (0x1234, 0)

    simulate(cells, bench)

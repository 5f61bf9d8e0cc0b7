"""Matrix slots: lanes, the window, byte strobes, and a parity bit a byte."""

from dataclasses import replace

import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.vector.slots import SlotMemory

SLOT_SHAPES = {**SHAPES, "three_slots": replace(SHAPES["unshared"], slots=3)}
each_shape = pytest.mark.parametrize("config", SLOT_SHAPES.values(), ids=SLOT_SHAPES.keys())


class SlotsBench:
    """Slots with the accesses of the host and of the vector unit."""

    def __init__(self, config: ChipConfig):
        self.config = config
        self.memory = SlotMemory(config)

    def address(self, slot: int, row: int, column: int) -> int:
        return (slot * self.config.size + row) * self.config.size + column

    async def poke(self, ctx, address: int, word: int, strobe: int = 0xF, bad: int = 0):
        window = self.memory.window
        for signal, value in ((window.select, 1), (window.address, address), (window.w_data, word & 0xFFFF_FFFF),
                              (window.w_strobe, strobe), (self.memory.bad_parity, bad)):
            ctx.set(signal, value)
        await ctx.tick()
        for signal in (window.select, window.w_strobe, self.memory.bad_parity):
            ctx.set(signal, 0)

    async def peek(self, ctx, address: int) -> tuple[int, int]:
        """Word and whether its parity is wrong."""
        window = self.memory.window
        ctx.set(window.select, 1)
        ctx.set(window.address, address)
        await ctx.tick()
        ctx.set(window.select, 0)
        ctx.set(window.address, ~address)
        return ctx.get(window.r_data), ctx.get(window.r_error)

    async def read(self, ctx, slot: int, row: int, column: int) -> tuple[list[int], int]:
        """An element of every lane, and whether a parity is wrong."""
        read = self.memory.read
        for signal, value in ((read.slot, slot), (read.row, row), (read.column, column), (read.enable, 1)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(read.enable, 0)
        return [ctx.get(read.elements[lane]) for lane in range(self.config.lanes)], ctx.get(read.parity_error)


@each_shape
def test_what_the_host_writes_the_machine_and_the_host_read(config: ChipConfig):
    bench, random = SlotsBench(config), seeded(config)
    size, block = config.size, config.block
    elements = {(slot, row, column): random.randrange(-(1 << 23), 1 << 23)
                for slot in range(config.slots) for row in range(size) for column in range(size)}

    async def run(ctx):
        for place, element in elements.items():
            await bench.poke(ctx, bench.address(*place), element)
        for (slot, row, column), element in elements.items():
            assert await bench.peek(ctx, bench.address(slot, row, column)) == (element & 0xFFFF_FFFF, 0)
            if row < block:
                expected = [elements[slot, lane * block + row, column] for lane in range(config.lanes)]
                assert await bench.read(ctx, slot, row, column) == (expected, 0)

    simulate(bench.memory, run)


@pytest.mark.parametrize("strobe", range(16))
def test_strobes_choose_the_bytes_and_keep_the_parity(strobe: int):
    bench = SlotsBench(SHAPES["lab"])
    mask = sum(0xFF << 8 * byte for byte in range(3) if strobe >> byte & 1)
    here, other_lane, other_slot = bench.address(1, 3, 5), bench.address(1, 11, 5), bench.address(0, 3, 5)

    async def run(ctx):
        await bench.poke(ctx, here, 0x112233)
        await bench.poke(ctx, here, 0x7FA6C7D9, strobe)
        word = signed(0x112233 & ~mask | 0xA6C7D9 & mask, 24)
        assert await bench.peek(ctx, here) == (word & 0xFFFF_FFFF, 0)
        assert await bench.peek(ctx, other_lane) == (0, 0)
        assert await bench.peek(ctx, other_slot) == (0, 0)
        # The bytes that are not written keep the parity that they had.
        await bench.poke(ctx, here, 0x7FA6C7D9, strobe, bad=1)
        assert await bench.peek(ctx, here) == (word & 0xFFFF_FFFF, int(strobe & 7 != 0))
        await bench.poke(ctx, here, 0, 7 & ~strobe)
        assert (await bench.peek(ctx, here))[1] == int(strobe & 7 != 0)
        await bench.poke(ctx, here, 0, strobe)
        assert await bench.peek(ctx, here) == (0, 0)

    simulate(bench.memory, run)


@pytest.mark.parametrize("byte", range(3))
def test_parity_is_judged_byte_by_byte(byte: int):
    """Each byte alone, with every value it can have: the right parity is never an error, the wrong one always."""
    bench = SlotsBench(SHAPES["unshared"])
    here = bench.address(0, 5, 2)

    async def run(ctx):
        for value in range(256):
            word = 0x5AC396 & ~(0xFF << 8 * byte) | value << 8 * byte
            await bench.poke(ctx, here, word)
            assert await bench.read(ctx, 0, 1, 2) == ([0, signed(word, 24)], 0)
            await bench.poke(ctx, here, word, 1 << byte, bad=1)
            assert await bench.read(ctx, 0, 1, 2) == ([0, signed(word, 24)], 1)

    simulate(bench.memory, run)


@each_shape
def test_a_wrong_word_is_reported_where_it_is_and_nowhere_else(config: ChipConfig):
    bench, random = SlotsBench(config), seeded(config)
    slot, row, column = (random.randrange(count) for count in (config.slots, config.size, config.size))

    async def run(ctx):
        await bench.poke(ctx, bench.address(slot, row, column), 0x7654321, bad=1)
        for place in [(s, r, c) for s in range(config.slots) for r in range(config.size) for c in range(config.size)]:
            _, error = await bench.peek(ctx, bench.address(*place))
            assert error == (place == (slot, row, column))
            if place[1] < config.block:
                _, error = await bench.read(ctx, *place)
                assert error == (place == (slot, row % config.block, column))

    simulate(bench.memory, run)


def test_a_word_stays_until_another_is_wanted():
    bench = SlotsBench(SHAPES["tiny"])
    read = bench.memory.read

    async def run(ctx):
        await bench.poke(ctx, 5, 1234)
        await bench.poke(ctx, 6, 5678)
        assert await bench.read(ctx, 0, 1, 1) == ([1234], 0)
        ctx.set(read.column, 2)
        await ctx.tick()
        assert ctx.get(read.elements[0]) == 1234
        ctx.set(read.enable, 1)
        await ctx.tick()
        assert ctx.get(read.elements[0]) == 5678

    simulate(bench.memory, run)


def test_the_host_has_the_memory_to_itself():
    bench = SlotsBench(SHAPES["tiny"])
    read = bench.memory.read

    async def run(ctx):
        await bench.poke(ctx, 5, 1234)
        await bench.poke(ctx, 6, 5678)
        for signal, value in ((read.row, 1), (read.column, 2), (read.enable, 1)):
            ctx.set(signal, value)
        assert await bench.peek(ctx, 5) == (1234, 0)
        ctx.set(bench.memory.window.w_data, 9999)
        ctx.set(bench.memory.window.w_strobe, 0xF)
        await ctx.tick()
        ctx.set(bench.memory.window.w_strobe, 0)
        for address, element in ((5, 1234), (6, 5678)):
            assert await bench.peek(ctx, address) == (element, 0), "it does not write unless it has the memory"

    simulate(bench.memory, run)

"""Program memory: the window, the fetch port, byte strobes, and a parity bit a byte."""

import pytest
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.isa import PROGRAM_WORDS
from ohmloop_hdl.sequencer.program import ProgramMemory


class OpenProgramMemory(ProgramMemory):
    """A program memory whose stored words a test can reach."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.inside = m.submodules.memory
        return m


class ProgramBench:
    """A program memory with the accesses of the host and of the sequencer."""

    def __init__(self):
        self.memory = OpenProgramMemory()

    async def write(self, ctx, address: int, word: int, strobe: int = 0xF, bad: int = 0):
        window = self.memory.window
        for signal, value in ((window.select, 1), (window.address, address), (window.w_data, word),
                              (window.w_strobe, strobe), (self.memory.bad_parity, bad)):
            ctx.set(signal, value)
        await ctx.tick()
        for signal in (window.select, window.w_strobe, self.memory.bad_parity):
            ctx.set(signal, 0)

    async def read(self, ctx, address: int) -> tuple[int, int]:
        """Word and whether its parity is wrong, through the window; the ``pc`` is elsewhere."""
        window = self.memory.window
        ctx.set(self.memory.pc, ~address & 0xFF)
        ctx.set(window.select, 1)
        ctx.set(window.address, address)
        await ctx.tick()
        ctx.set(window.select, 0)
        return ctx.get(window.r_data), ctx.get(window.r_error)

    async def fetch(self, ctx, pc: int) -> tuple[int, int]:
        """Word and whether its parity is wrong, as the sequencer sees it; the window's address is elsewhere."""
        ctx.set(self.memory.window.address, ~pc & 0xFF)
        ctx.set(self.memory.pc, pc)
        await ctx.tick()
        return ctx.get(self.memory.instruction), ctx.get(self.memory.parity_error)


def test_every_word_reaches_its_address():
    bench, random = ProgramBench(), seeded()
    words = [random.getrandbits(32) for _ in range(PROGRAM_WORDS)]

    async def run(ctx):
        for address, word in enumerate(words):
            await bench.write(ctx, address, word)
        for address, word in enumerate(words):
            assert await bench.read(ctx, address) == (word, 0)
            assert await bench.fetch(ctx, address) == (word, 0)

    simulate(bench.memory, run)


@pytest.mark.parametrize("strobe", range(16))
def test_strobes_choose_the_bytes_and_keep_the_parity(strobe: int):
    bench = ProgramBench()
    mask = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)

    async def run(ctx):
        await bench.write(ctx, 9, 0x1122_3344)
        await bench.write(ctx, 9, 0xA5B6_C7D9, strobe)
        word = 0x1122_3344 & ~mask | 0xA5B6_C7D9 & mask
        assert await bench.read(ctx, 9) == (word, 0)
        assert await bench.read(ctx, 8) == await bench.read(ctx, 10) == (0, 0)
        await bench.write(ctx, 9, 0xA5B6_C7D9, strobe, bad=1)
        assert await bench.read(ctx, 9) == await bench.fetch(ctx, 9) == (word, int(strobe != 0))
        await bench.write(ctx, 9, 0, 0xF & ~strobe)
        assert (await bench.fetch(ctx, 9))[1] == int(strobe != 0)
        await bench.write(ctx, 9, 0, strobe)
        assert await bench.read(ctx, 9) == (0, 0)

    simulate(bench.memory, run)


def test_every_bit_that_flips_is_seen():
    bench = ProgramBench()

    async def run(ctx):
        stored = bench.memory.inside.data[200]
        await bench.write(ctx, 200, 0x7000_0003)
        right = ctx.get(stored)
        for bit in range(36):
            ctx.set(stored, right ^ 1 << bit)
            assert (await bench.fetch(ctx, 200))[1] and (await bench.read(ctx, 200))[1], f"bit {bit}"
            assert await bench.fetch(ctx, 201) == (0, 0)
        ctx.set(stored, right)
        assert await bench.fetch(ctx, 200) == (0x7000_0003, 0)

    simulate(bench.memory, run)


def test_a_window_that_is_not_selected_writes_nothing():
    bench = ProgramBench()

    async def run(ctx):
        await bench.write(ctx, 3, 0x1234_5678)
        window = bench.memory.window
        for signal, value in ((window.address, 3), (window.w_data, 0xFFFF_FFFF), (window.w_strobe, 0xF)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(window.w_strobe, 0)
        assert await bench.fetch(ctx, 3) == (0x1234_5678, 0)

    simulate(bench.memory, run)

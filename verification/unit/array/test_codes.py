"""The code memory: layout of the window for every cell width, byte strobes, sign extension, read port, parity."""

import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop_hdl.array.codes import CodeMemory
from ohmloop_hdl.config import ChipConfig

each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())

WIDTHS = [ChipConfig(size=4, adcs=1, lanes=1, cell_bits=bits) for bits in range(3, 9)]
each_width = pytest.mark.parametrize("config", WIDTHS, ids=lambda config: f"{config.cell_bits} bits")


class OpenCodeMemory(CodeMemory):
    """A code memory whose stored words a test can reach."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.inside = m.submodules.lane0
        return m


class CodesBench:
    """A code memory and what its window must show: the bytes of the bus, of which a code's bits are kept."""

    def __init__(self, config: ChipConfig, memory: type[CodeMemory] = CodeMemory):
        self.config = config
        self.memory = memory(config)
        self.words = config.size * config.size // config.codes_per_word
        self.bytes = bytearray(4 * self.words)

    async def write(self, ctx, address: int, word: int, strobe: int = 0xF, bad: int = 0):
        window = self.memory.window
        for signal, value in ((window.select, 1), (window.address, address), (window.w_data, word),
                              (window.w_strobe, strobe), (self.memory.bad_parity, bad)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(window.w_strobe, 0)
        ctx.set(self.memory.bad_parity, 0)
        for byte in range(4):
            if strobe >> byte & 1:
                self.bytes[4 * address + byte] = word >> 8 * byte & 0xFF

    async def read(self, ctx, address: int) -> int:
        ctx.set(self.memory.window.select, 1)
        ctx.set(self.memory.window.address, address)
        await ctx.tick()
        return ctx.get(self.memory.window.r_data)

    async def error(self, ctx, address: int) -> int:
        """Whether the window says that the word has wrong parity."""
        await self.read(ctx, address)
        return ctx.get(self.memory.window.r_error)

    async def port_error(self, ctx, row: int, word: int) -> int:
        """Whether the read port says so of a word of every lane."""
        memory = self.memory
        for signal, value in ((memory.window.select, 0), (memory.row, row), (memory.word, word)):
            ctx.set(signal, value)
        await ctx.tick()
        return ctx.get(memory.parity_error)

    def code(self, row: int, column: int) -> int:
        """The signed code that the bytes written so far mean."""
        size = 4 // self.config.codes_per_word
        start = (row * self.config.size + column) * size
        return signed(int.from_bytes(self.bytes[start:start + size], "little"), self.config.cell_bits + 1)

    def word(self, address: int) -> int:
        """What the window must show at a word address."""
        config, bits = self.config, 32 // self.config.codes_per_word
        row, word = divmod(address, config.size // config.codes_per_word)
        return sum((self.code(row, word * config.codes_per_word + c) & (1 << bits) - 1) << c * bits
                   for c in range(config.codes_per_word))


@each_width
def test_every_code_reads_back_sign_extended(config: ChipConfig):
    bench, bits = CodesBench(config), 32 // config.codes_per_word
    codes = range(-(1 << config.cell_bits), 1 << config.cell_bits)

    async def run(ctx):
        for place in range(config.codes_per_word):
            for code in codes:
                await bench.write(ctx, 1, (code & (1 << bits) - 1) << place * bits)
                assert await bench.read(ctx, 1) == (code & (1 << bits) - 1) << place * bits
                assert not ctx.get(bench.memory.window.r_error)

    simulate(bench.memory, run)


def test_bytes_up_to_seven_cell_bits_and_halves_above():
    for config, word, shown in ((WIDTHS[4], 0x7F_81_80_01, 0x7F_81_80_01), (WIDTHS[5], 0xFF01_00FF, 0xFF01_00FF),
                                (WIDTHS[0], 0x18_08_F7_07, 0xF8_F8_07_07)):
        bench = CodesBench(config)

        async def run(ctx, bench=bench, word=word, shown=shown):
            await bench.write(ctx, 0, word)
            assert await bench.read(ctx, 0) == shown

        simulate(bench.memory, run)


@each_shape
def test_random_strobes_write_their_bytes_only(config: ChipConfig):
    bench, random = CodesBench(config), seeded(config)

    async def run(ctx):
        for _ in range(300):
            await bench.write(ctx, random.randrange(bench.words), random.getrandbits(32), random.randrange(16))
        for address in range(bench.words):
            assert await bench.read(ctx, address) == bench.word(address)
            assert not ctx.get(bench.memory.window.r_error)

    simulate(bench.memory, run)


@each_width
@pytest.mark.parametrize("strobe", range(16))
def test_each_strobe(config: ChipConfig, strobe: int):
    bench = CodesBench(config)

    async def run(ctx):
        await bench.write(ctx, 2, 0x0102_0301)
        await bench.write(ctx, 2, 0xFEFD_FFFC, strobe)
        assert await bench.read(ctx, 2) == bench.word(2)

    simulate(bench.memory, run)


@each_shape
def test_the_read_port_gives_a_word_of_every_lane(config: ChipConfig):
    bench, random = CodesBench(config), seeded(config)
    memory, cpw = bench.memory, config.codes_per_word

    async def run(ctx):
        for address in range(bench.words):
            await bench.write(ctx, address, random.getrandbits(32))
        ctx.set(memory.window.select, 0)
        ctx.set(memory.window.address, 0)
        for row in range(config.size):
            for word in range(config.code_words):
                ctx.set(memory.row, row)
                ctx.set(memory.word, word)
                await ctx.tick()
                assert [ctx.get(memory.codes[i]) for i in range(config.lanes * cpw)] == [
                    bench.code(row, lane * config.block + word * cpw + c)
                    for lane in range(config.lanes) for c in range(cpw)]
                assert not ctx.get(memory.parity_error)

    simulate(memory, run)


@each_shape
def test_a_window_that_is_not_selected_writes_nothing(config: ChipConfig):
    bench = CodesBench(config)

    async def run(ctx):
        await bench.write(ctx, 0, 0x0101_0101)
        window = bench.memory.window
        ctx.set(window.select, 0)
        ctx.set(window.w_data, 0x0202_0202)
        ctx.set(window.w_strobe, 0xF)
        await ctx.tick()
        ctx.set(window.w_strobe, 0)
        assert [await bench.read(ctx, address) for address in range(bench.words)] == [
            bench.word(address) for address in range(bench.words)]

    simulate(bench.memory, run)


@each_width
@pytest.mark.parametrize("strobe", range(1, 16))
def test_strobes_choose_the_parities_too(config: ChipConfig, strobe: int):
    """A byte keeps the parity that it was written with until it is written again."""
    bench = CodesBench(config)

    async def run(ctx):
        await bench.write(ctx, 2, 0x0102_0301)
        await bench.write(ctx, 2, 0xFEFD_FFFC, strobe, bad=1)
        assert await bench.read(ctx, 2) == bench.word(2), "wrong parity corrects nothing"
        assert await bench.error(ctx, 2)
        await bench.write(ctx, 2, 0x0506_0708, 0xF & ~strobe)
        assert await bench.error(ctx, 2)
        await bench.write(ctx, 2, 0x0506_0708, strobe)
        assert not await bench.error(ctx, 2)

    simulate(bench.memory, run)


@each_shape
def test_a_wrong_word_is_reported_where_it_is_and_nowhere_else(config: ChipConfig):
    bench, random = CodesBench(config), seeded(config)
    wrong = random.randrange(bench.words)
    row, place = divmod(wrong, config.size // config.codes_per_word)

    async def run(ctx):
        for address in range(bench.words):
            await bench.write(ctx, address, random.getrandbits(32))
        await bench.write(ctx, wrong, random.getrandbits(32), 1 << random.randrange(4), bad=1)
        for address in range(bench.words):
            assert await bench.error(ctx, address) == (address == wrong)
        for r in range(config.size):
            for word in range(config.code_words):
                assert await bench.port_error(ctx, r, word) == ((r, word) == (row, place % config.code_words))

    simulate(bench.memory, run)


@each_width
def test_every_bit_that_flips_in_a_stored_word_is_seen(config: ChipConfig):
    bench = CodesBench(config, OpenCodeMemory)
    row, word = divmod(1, config.code_words)

    async def run(ctx):
        stored = bench.memory.inside.data[1]
        await bench.write(ctx, 1, 0x0302_0106)
        right = ctx.get(stored)
        for bit in range(4 * (min(8, config.cell_bits + 1) + 1)):
            ctx.set(stored, right ^ 1 << bit)
            assert await bench.error(ctx, 1) and await bench.port_error(ctx, row, word)
        ctx.set(stored, right)
        assert not await bench.error(ctx, 1) and not await bench.port_error(ctx, row, word)

    simulate(bench.memory, run)

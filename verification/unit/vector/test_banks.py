"""Vector registers: lanes, both readers, both windows, byte strobes, v0, and the exponent that means zero."""

import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import EXPONENT_MIN, VECTORS
from ohmloop_hdl.vector.banks import VectorBanks

each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


class BanksBench:
    """Banks with the accesses of the host and of the machine."""

    def __init__(self, config: ChipConfig):
        self.config = config
        self.banks = VectorBanks(config)

    async def poke(self, ctx, window, address: int, word: int, strobe: int = 0xF):
        for signal, value in ((window.select, 1), (window.address, address), (window.w_data, word),
                              (window.w_strobe, strobe)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(window.w_strobe, 0)
        ctx.set(window.select, 0)

    async def peek(self, ctx, window, address: int) -> int:
        ctx.set(window.select, 1)
        ctx.set(window.address, address)
        await ctx.tick()
        ctx.set(window.select, 0)
        ctx.set(window.address, ~address)
        word = ctx.get(window.r_data)
        return word

    async def store(self, ctx, vector: int, mantissas: list[int], exponent: int):
        """As the machine stores: element by element of every lane, then the exponent."""
        config, w = self.config, self.banks.w
        ctx.set(w.vector, vector)
        ctx.set(w.enable, 1)
        for index in range(config.block):
            ctx.set(w.index, index)
            for lane in range(config.lanes):
                ctx.set(w.mantissas[lane], mantissas[lane * config.block + index])
            await ctx.tick()
        ctx.set(w.enable, 0)
        ctx.set(w.exponent, exponent)
        ctx.set(w.exponent_enable, 1)
        await ctx.tick()
        ctx.set(w.exponent_enable, 0)

    async def load(self, ctx, *vectors: int) -> list[tuple[list[int], int, int]]:
        """As the machine reads, one vector with each reader at the same time: mantissas, exponent, zero."""
        config = self.config
        ports = (self.banks.a, self.banks.s)[:len(vectors)]
        mantissas = [[0] * config.size for _ in ports]
        for port, vector in zip(ports, vectors, strict=True):
            ctx.set(port.vector, vector)
            ctx.set(port.enable, 1)
        for index in range(config.block):
            for port in ports:
                ctx.set(port.index, index)
            await ctx.tick()
            for port, read in zip(ports, mantissas, strict=True):
                read[index::config.block] = [ctx.get(port.mantissas[lane]) for lane in range(config.lanes)]
        for port in ports:
            ctx.set(port.enable, 0)
        return [(read, ctx.get(port.exponent), ctx.get(port.zero)) for port, read in zip(ports, mantissas, strict=True)]


def random_vectors(config: ChipConfig, random) -> dict[int, tuple[list[int], int]]:
    return {vector: ([random.randrange(-(1 << 31), 1 << 31) for _ in range(config.size)], random.randrange(-512, 512))
            for vector in range(1, VECTORS)}


@each_shape
def test_what_the_host_writes_the_machine_reads(config: ChipConfig):
    bench, vectors = BanksBench(config), random_vectors(config, seeded(config))
    banks = bench.banks

    async def run(ctx):
        for vector, (mantissas, exponent) in vectors.items():
            for element, mantissa in enumerate(mantissas):
                await bench.poke(ctx, banks.mantissa_window, vector * config.size + element, mantissa & 0xFFFF_FFFF)
            await bench.poke(ctx, banks.exponent_window, vector, exponent & 0xFFFF_FFFF)
        for vector, (mantissas, _) in vectors.items():
            other = VECTORS - vector
            assert await bench.load(ctx, vector, other) == [
                (vectors[v][0], vectors[v][1], vectors[v][1] == EXPONENT_MIN) for v in (vector, other)]
            for element, mantissa in enumerate(mantissas):
                word = await bench.peek(ctx, banks.mantissa_window, vector * config.size + element)
                assert signed(word, 32) == mantissa

    simulate(banks, run)


@each_shape
def test_what_the_machine_stores_the_host_reads(config: ChipConfig):
    bench, vectors = BanksBench(config), random_vectors(config, seeded(config))
    banks = bench.banks

    async def run(ctx):
        for vector, (mantissas, exponent) in vectors.items():
            await bench.store(ctx, vector, mantissas, exponent)
        for vector, (mantissas, exponent) in vectors.items():
            assert [signed(await bench.peek(ctx, banks.mantissa_window, vector * config.size + element), 32)
                    for element in range(config.size)] == mantissas
            word = await bench.peek(ctx, banks.exponent_window, vector)
            assert word == exponent & 0xFFFF_FFFF, "sign-extended to the word"

    simulate(banks, run)


@each_shape
def test_v0_reads_zero_whatever_is_written(config: ChipConfig):
    """The machine writes nothing; the window reaches the memory, so that a wipe does, and never shows it."""
    bench = BanksBench(config)
    banks, size = bench.banks, config.size

    async def run(ctx):
        await bench.store(ctx, 0, [5] * size, 7)
        assert await bench.load(ctx, 0, 0) == [([0] * size, EXPONENT_MIN, 1)] * 2
        for element in range(size):
            await bench.poke(ctx, banks.mantissa_window, element, 0x7FFF_FFFF)
            await bench.poke(ctx, banks.mantissa_window, size + element, 0x1234_5678)
        await bench.poke(ctx, banks.exponent_window, 0, 5)
        for element in range(size):
            assert await bench.peek(ctx, banks.mantissa_window, element) == 0
            assert await bench.peek(ctx, banks.mantissa_window, size + element) == 0x1234_5678
        assert await bench.peek(ctx, banks.exponent_window, 0) == EXPONENT_MIN & 0xFFFF_FFFF
        assert await bench.load(ctx, 0, 0) == [([0x7FFF_FFFF] * size, EXPONENT_MIN, 1)] * 2

    simulate(banks, run)


@pytest.mark.parametrize(("exponent", "zero"), [(-512, 1), (-511, 0), (0, 0), (511, 0), (-1, 0), (-256, 0)])
def test_the_smallest_exponent_alone_means_zero(exponent: int, zero: int):
    bench = BanksBench(SHAPES["tiny"])

    async def run(ctx):
        await bench.store(ctx, 3, [1, 2, 3, 4], exponent)
        await bench.store(ctx, 4, [5, 6, 7, 8], 9)
        assert await bench.load(ctx, 3, 4) == [([1, 2, 3, 4], exponent, zero), ([5, 6, 7, 8], 9, 0)]
        assert await bench.load(ctx, 4, 3) == [([5, 6, 7, 8], 9, 0), ([1, 2, 3, 4], exponent, zero)]

    simulate(bench.banks, run)


@pytest.mark.parametrize("strobe", range(16))
def test_strobes_choose_the_bytes_of_a_mantissa(strobe: int):
    bench = BanksBench(SHAPES["lab"])
    window = bench.banks.mantissa_window
    mask = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)

    async def run(ctx):
        await bench.poke(ctx, window, 16 + 9, 0x1122_3344)
        await bench.poke(ctx, window, 16 + 9, 0xA5B6_C7D8, strobe)
        assert await bench.peek(ctx, window, 16 + 9) == 0x1122_3344 & ~mask | 0xA5B6_C7D8 & mask
        assert await bench.peek(ctx, window, 16 + 1) == 0, "the same place of the other lane"
        word = signed(0x1122_3344 & ~mask | 0xA5B6_C7D8 & mask, 32)
        assert [mantissas[9] for mantissas, *_ in await bench.load(ctx, 1, 1)] == [word, word], "both copies"

    simulate(bench.banks, run)


@pytest.mark.parametrize("strobe", range(16))
def test_strobes_choose_the_bytes_of_an_exponent(strobe: int):
    bench = BanksBench(SHAPES["lab"])
    window = bench.banks.exponent_window
    mask = (0xFF if strobe & 1 else 0) | (0x300 if strobe & 2 else 0)

    async def run(ctx):
        await bench.poke(ctx, window, 4, 0x0155)
        await bench.poke(ctx, window, 4, 0xFFFF_FEAA, strobe)
        assert await bench.peek(ctx, window, 4) == signed(0x155 & ~mask | 0x2AA & mask, 10) & 0xFFFF_FFFF
        assert await bench.peek(ctx, window, 5) == 0

    simulate(bench.banks, run)


def test_the_machine_cannot_write_while_the_host_owns_the_ports():
    bench = BanksBench(SHAPES["tiny"])
    banks = bench.banks

    async def run(ctx):
        await bench.store(ctx, 2, [1, 2, 3, 4], 6)
        await bench.store(ctx, 3, [5, 6, 7, 8], 7)
        for window, address in ((banks.mantissa_window, 3 * 4 + 1), (banks.exponent_window, 3)):
            ctx.set(window.select, 1)
            ctx.set(window.address, address)
        await bench.store(ctx, 2, [9, 9, 9, 9], 9)
        ctx.set(banks.mantissa_window.select, 0)
        ctx.set(banks.exponent_window.select, 0)
        assert await bench.load(ctx, 2, 3) == [([1, 2, 3, 4], 6, 0), ([5, 6, 7, 8], 7, 0)]
        assert await bench.load(ctx, 3, 2) == [([5, 6, 7, 8], 7, 0), ([1, 2, 3, 4], 6, 0)]

    simulate(banks, run)


def test_the_host_writes_only_while_it_owns_the_ports():
    bench = BanksBench(SHAPES["tiny"])
    banks = bench.banks

    async def run(ctx):
        await bench.store(ctx, 3, [5, 6, 7, 8], 7)
        for window, address in ((banks.mantissa_window, 3 * 4 + 1), (banks.exponent_window, 3)):
            ctx.set(window.address, address)
            ctx.set(window.w_strobe, 0xF)
        ctx.set(banks.w.vector, 3)
        await ctx.tick().repeat(2)
        assert await bench.load(ctx, 3, 3) == [([5, 6, 7, 8], 7, 0)] * 2

    simulate(banks, run)


def test_a_word_stays_until_another_is_wanted():
    bench = BanksBench(SHAPES["tiny"])
    a, s = bench.banks.a, bench.banks.s

    async def run(ctx):
        await bench.store(ctx, 2, [1, 2, 3, 4], 6)
        await bench.load(ctx, 2, 2)
        ctx.set(a.index, 0)
        ctx.set(s.index, 1)
        await ctx.tick()
        assert [ctx.get(a.mantissas[0]), ctx.get(s.mantissas[0])] == [4, 4]
        ctx.set(s.enable, 1)
        await ctx.tick()
        assert [ctx.get(a.mantissas[0]), ctx.get(s.mantissas[0])] == [4, 2]
        ctx.set(a.enable, 1)
        ctx.set(s.enable, 0)
        ctx.set(s.index, 2)
        await ctx.tick()
        assert [ctx.get(a.mantissas[0]), ctx.get(s.mantissas[0])] == [1, 2]

    simulate(bench.banks, run)


def test_the_second_reader_has_its_port_while_the_host_reads():
    bench = BanksBench(SHAPES["tiny"])
    banks = bench.banks

    async def run(ctx):
        await bench.store(ctx, 2, [1, 2, 3, 4], 6)
        await bench.store(ctx, 5, [9, 8, 7, 6], -6)
        ctx.set(banks.s.vector, 5)
        ctx.set(banks.s.index, 1)
        ctx.set(banks.s.enable, 1)
        assert await bench.peek(ctx, banks.mantissa_window, 2 * 4 + 3) == 4
        assert ctx.get(banks.s.mantissas[0]) == 8
        assert await bench.peek(ctx, banks.exponent_window, 2) == 6
        assert ctx.get(banks.s.exponent) == -6

    simulate(banks, run)

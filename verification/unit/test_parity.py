"""Parity of memory words: every word at a small width, every flipped bit, and words made wrong on purpose."""

import pytest
from amaranth.hdl import Cat, Module, Signal

from ohmloop_hdl.parity import checked, with_parity
from verification.unit.simulation import seeded, simulate


class ParityBench:
    """Words of ``count`` granules of ``granule`` bits, and the same words read back from ``stored``."""

    def __init__(self, granule: int, count: int):
        self.granule, self.count = granule, count
        self.word, self.invert = Signal(granule * count), Signal()
        self.made, self.stored = (Signal((granule + 1) * count, name=name) for name in ("made", "stored"))
        self.read, self.error = Signal(granule * count), Signal()
        granules, error = checked(self.stored, granule)
        assert [len(part) for part in granules] == [granule] * count
        self.module = Module()
        self.module.d.comb += [
            self.made.eq(with_parity([self.word.word_select(i, granule) for i in range(count)], self.invert)),
            self.read.eq(Cat(granules)),
            self.error.eq(error),
        ]

    def expected(self, word: int, invert: int = 0) -> int:
        """Each granule, and above it the bit that makes its ones even, or odd."""
        bits = 0
        for i in range(self.count):
            part = word >> i * self.granule & (1 << self.granule) - 1
            bits |= (part | (part.bit_count() % 2 ^ invert) << self.granule) << i * (self.granule + 1)
        return bits


@pytest.mark.parametrize(("granule", "count"), [(1, 1), (1, 4), (2, 3), (3, 2), (7, 1)])
def test_every_word(granule: int, count: int):
    bench = ParityBench(granule, count)

    async def run(ctx):
        for word in range(1 << granule * count):
            for invert in (0, 1):
                ctx.set(bench.word, word)
                ctx.set(bench.invert, invert)
                made = ctx.get(bench.made)
                assert made == bench.expected(word, invert)
                ctx.set(bench.stored, made)
                assert (ctx.get(bench.read), ctx.get(bench.error)) == (word, invert)

    simulate(bench.module, run)


@pytest.mark.parametrize(("granule", "count"), [(3, 2), (2, 2), (4, 1)])
def test_every_stored_pattern(granule: int, count: int):
    """A pattern is wrong where a granule and its bit have an odd number of ones between them."""
    bench = ParityBench(granule, count)

    async def run(ctx):
        for stored in range(1 << (granule + 1) * count):
            parts = [stored >> i * (granule + 1) & (2 << granule) - 1 for i in range(count)]
            ctx.set(bench.stored, stored)
            assert ctx.get(bench.error) == any(part.bit_count() % 2 for part in parts)

    simulate(bench.module, run)


@pytest.mark.parametrize(("granule", "count"), [(8, 4), (8, 3), (8, 2), (5, 4)])
def test_every_single_bit_that_flips_is_seen(granule: int, count: int):
    """The shapes of program, slots, correction and code memory."""
    bench, random = ParityBench(granule, count), seeded((granule, count))

    async def run(ctx):
        for word in (0, (1 << granule * count) - 1, *(random.getrandbits(granule * count) for _ in range(10))):
            ctx.set(bench.word, word)
            made = ctx.get(bench.made)
            assert made == bench.expected(word)
            for bit in range((granule + 1) * count):
                ctx.set(bench.stored, made ^ 1 << bit)
                assert ctx.get(bench.error), f"bit {bit} of {word:#x}"

    simulate(bench.module, run)


def test_two_flips_in_one_granule_are_not_seen_in_two_they_are():
    bench = ParityBench(8, 4)

    async def run(ctx):
        ctx.set(bench.word, 0x0123_4567)
        made = ctx.get(bench.made)
        ctx.set(bench.stored, made ^ 0b11)
        assert not ctx.get(bench.error)
        ctx.set(bench.stored, made ^ (1 | 1 << 9))
        assert ctx.get(bench.error)

    simulate(bench.module, run)

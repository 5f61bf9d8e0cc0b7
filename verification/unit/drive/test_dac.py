"""The DAC bank: rounding, clamping, masking, and which register a code goes to."""

from fractions import Fraction

import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.drive.dac import DacBank

each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


def expected(mantissa: int, bits: int) -> int:
    """Round half to even, then clamp to the symmetric range."""
    top = (1 << (bits - 1)) - 1
    return max(-top, min(top, round(Fraction(mantissa, 1 << (32 - bits)))))


class DacBench:
    """A DAC bank, loaded a vector at a time."""

    def __init__(self, config: ChipConfig):
        self.config = config
        self.dacs = DacBank(config)

    async def load(self, ctx, mantissas: list[int], vector_size: int | None = None, zero: bool = False):
        config, dacs = self.config, self.dacs
        ctx.set(dacs.vector_size, config.size if vector_size is None else vector_size)
        ctx.set(dacs.zero, zero)
        ctx.set(dacs.enable, 1)
        for index in range(config.block):
            ctx.set(dacs.index, index)
            for lane in range(config.lanes):
                ctx.set(dacs.mantissas[lane], mantissas[lane * config.block + index])
            await ctx.tick()
        ctx.set(dacs.enable, 0)

    def codes(self, ctx) -> list[int]:
        bits, bus = self.config.dac_bits, ctx.get(self.dacs.dac)
        return [signed(bus >> i * bits, bits) for i in range(self.config.size)]


@pytest.mark.parametrize("bits", [6, 8, 11, 14])
def test_every_code_boundary(bits: int):
    config = ChipConfig(size=4, adcs=1, lanes=1, dac_bits=bits)
    bench, lsb = DacBench(config), 1 << (32 - bits)
    boundaries = range(-(1 << (bits - 1)), 1 << (bits - 1), 1 if bits < 10 else 37)
    mantissas = [k * lsb + lsb // 2 + d for k in boundaries for d in (-1, 0, 1)]
    mantissas += [-(1 << 31), (1 << 31) - 1, 0, -1, 1]
    mantissas += [0] * (-len(mantissas) % 4)

    async def run(ctx):
        for start in range(0, len(mantissas), 4):
            four = mantissas[start:start + 4]
            await bench.load(ctx, four)
            assert bench.codes(ctx) == [expected(m, bits) for m in four], four

    simulate(bench.dacs, run)


@each_shape
def test_random_vectors_reach_their_lanes(config: ChipConfig):
    bench, random = DacBench(config), seeded(config)

    async def run(ctx):
        for _ in range(30):
            mantissas = [random.randrange(-(1 << 31), 1 << 31) for _ in range(config.size)]
            await bench.load(ctx, mantissas)
            assert bench.codes(ctx) == [expected(m, config.dac_bits) for m in mantissas]

    simulate(bench.dacs, run)


@each_shape
def test_elements_outside_vector_size_drive_zero(config: ChipConfig):
    bench, top = DacBench(config), (1 << (config.dac_bits - 1)) - 1

    async def run(ctx):
        for size in range(config.size + 1):
            await bench.load(ctx, [(1 << 31) - 1] * config.size)
            await bench.load(ctx, [(1 << 31) - 1] * config.size, vector_size=size)
            assert bench.codes(ctx) == [top] * size + [0] * (config.size - size)

    simulate(bench.dacs, run)


@each_shape
def test_a_zero_vector_drives_zero_whatever_its_mantissas(config: ChipConfig):
    bench = DacBench(config)

    async def run(ctx):
        await bench.load(ctx, [-(1 << 31)] * config.size)
        await bench.load(ctx, [1 << 30] * config.size, zero=True)
        assert ctx.get(bench.dacs.dac) == 0

    simulate(bench.dacs, run)


@each_shape
def test_only_the_addressed_element_changes_and_only_when_enabled(config: ChipConfig):
    bench, lsb = DacBench(config), 1 << (32 - config.dac_bits)

    async def run(ctx):
        await bench.load(ctx, [-5 * lsb] * config.size)
        dacs = bench.dacs
        for lane in range(config.lanes):
            ctx.set(dacs.mantissas[lane], (lane + 1) * lsb)
        index = config.block - 1
        ctx.set(dacs.index, index)
        await ctx.tick()
        assert bench.codes(ctx) == [-5] * config.size
        ctx.set(dacs.enable, 1)
        await ctx.tick()
        assert bench.codes(ctx) == [i // config.block + 1 if i % config.block == index else -5
                                    for i in range(config.size)]

    simulate(bench.dacs, run)

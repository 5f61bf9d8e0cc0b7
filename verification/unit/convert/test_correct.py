"""Correction of result codes: exact values, ties, saturation, offsets that are kept, windows, strobes and parity."""

from fractions import Fraction

import numpy as np
import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop.golden.convert import corrected_codes, measured_offsets
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.convert.correct import Correction, CorrectionMemory
from ohmloop_hdl.fixed import GAIN_ONE

CORRECTED = SHAPES | {
    "fine": ChipConfig(size=8, adcs=4, lanes=2, adc_bits=14),
    "coarse": ChipConfig(size=8, adcs=4, lanes=4, cell_bits=8, adc_bits=6),
}
each_shape = pytest.mark.parametrize("config", CORRECTED.values(), ids=CORRECTED.keys())

GAINS = [GAIN_ONE, GAIN_ONE, GAIN_ONE - 1, GAIN_ONE + 1, 0x4000, 0xC000, 0xFFFF, 1, 0]


class CorrectBench:
    """A correction with the accesses of the host and of the loop unit."""

    def __init__(self, config: ChipConfig):
        self.config = config
        self.dut = Correction(config)

    async def poke(self, ctx, window, address: int, word: int, strobe: int = 0xF, bad: int = 0):
        for signal, value in ((window.select, 1), (window.address, address), (window.w_data, word & 0xFFFF_FFFF),
                              (window.w_strobe, strobe), (self.dut.bad_parity, bad)):
            ctx.set(signal, value)
        await ctx.tick()
        for signal in (window.select, window.w_strobe, self.dut.bad_parity):
            ctx.set(signal, 0)

    async def peek(self, ctx, window, address: int) -> tuple[int, int]:
        """Word and whether its parity is wrong."""
        ctx.set(window.select, 1)
        ctx.set(window.address, address)
        await ctx.tick()
        ctx.set(window.select, 0)
        return ctx.get(window.r_data), ctx.get(window.r_error)

    async def load(self, ctx, offsets, gains):
        for address, offset in enumerate(offsets):
            await self.poke(ctx, self.dut.offsets, address, int(offset))
        for address, gain in enumerate(gains):
            await self.poke(ctx, self.dut.gains, address, int(gain))

    def show(self, ctx, codes, index: int):
        """Codes of element ``index`` of every lane's block."""
        for lane in range(self.config.lanes):
            ctx.set(self.dut.codes[lane], int(codes[lane * self.config.block + index]))

    async def correct(self, ctx, codes) -> list[int]:
        """All codes corrected, one index a clock."""
        config, dut = self.config, self.dut
        corrected = [0] * config.size
        for clock in range(config.block + 1):
            if clock:
                self.show(ctx, codes, clock - 1)
                corrected[clock - 1::config.block] = [ctx.get(dut.corrected[lane]) for lane in range(config.lanes)]
            ctx.set(dut.index, clock % config.block)
            await ctx.tick()
        return corrected

    async def errors(self, ctx) -> list[int]:
        """``parity_error`` by index, a clock behind it."""
        found = []
        for index in range(self.config.block):
            ctx.set(self.dut.index, index)
            await ctx.tick()
            found.append(ctx.get(self.dut.parity_error))
        return found


def exact(code: int, offset: int, gain: int, bits: int) -> int:
    """The definition, as a fraction."""
    limit = (1 << (bits - 1)) - 1
    return max(-limit, min(limit, round((code - Fraction(offset, 16)) * Fraction(gain, 1 << 15))))


def random_words(config: ChipConfig, random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, offsets and gains with ends and ties among them."""
    top = (1 << (config.adc_bits - 1)) - 1
    codes = [random.choice([random.randint(-top, top), top, -top, 0, 1]) for _ in range(config.size)]
    offsets = [random.choice([0, 8, -8, 16 * random.randint(-9, 9) + 8, random.randint(-200, 200),
                              random.randint(-32768, 32767), -32768, 32767]) for _ in range(config.size)]
    gains = [random.choice([*GAINS, random.getrandbits(16)]) for _ in range(config.adcs)]
    return np.array(codes), np.array(offsets), np.array(gains)


@each_shape
@pytest.mark.parametrize("multiply", [0, 1])
def test_codes_are_corrected_exactly(config: ChipConfig, multiply: int):
    bench, random = CorrectBench(config), seeded((config, multiply))

    async def run(ctx):
        ctx.set(bench.dut.multiply, multiply)
        for _ in range(12):
            codes, offsets, gains = random_words(config, random)
            await bench.load(ctx, offsets, gains)
            used = 0 * offsets if multiply else offsets
            got = await bench.correct(ctx, codes)
            assert got == corrected_codes(codes, used, gains, config).tolist()
            assert got == [exact(*values, config.adc_bits) for values in zip(
                codes.tolist(), used.tolist(), np.repeat(gains, config.mux_steps).tolist(), strict=True)]
            assert not any(await bench.errors(ctx))

    simulate(bench.dut, run)


@pytest.mark.parametrize("gain", [GAIN_ONE, GAIN_ONE // 2, 3 * GAIN_ONE // 2])
def test_halves_go_to_the_even_code(gain: int):
    """Around every half that small codes and offsets in 1/16 LSB can give, a step of an offset or of the gain aside."""
    bench = CorrectBench(SHAPES["tiny"])
    cases = [(code, offset, near) for code in range(-4, 5) for offset in range(-17, 18) for near in (-1, 0, 1)]

    async def run(ctx):
        ties = 0
        for code, offset, near in cases:
            await bench.poke(ctx, bench.dut.offsets, 2, offset)
            await bench.poke(ctx, bench.dut.gains, 1, gain + near)
            ctx.set(bench.dut.index, 2)
            await ctx.tick()
            ctx.set(bench.dut.codes[0], code)
            assert ctx.get(bench.dut.corrected[0]) == exact(code, offset, gain + near, 8)
            ties += not near and (code * 16 - offset) * gain % (1 << 19) == 1 << 18
        assert ties >= 10, "there are halves among the cases"

    simulate(bench.dut, run)


def test_without_offset_and_with_gain_one_codes_pass():
    config = SHAPES["single"]
    bench = CorrectBench(config)

    async def run(ctx):
        await bench.load(ctx, [0] * 8, [GAIN_ONE] * 2)
        for code in range(-31, 32, 8):
            codes = [max(-31, min(31, code + i)) for i in range(8)]
            assert await bench.correct(ctx, codes) == codes

    simulate(bench.dut, run)


@pytest.mark.parametrize(("code", "offset", "gain", "corrected"), [
    (8191, -32768, 0xFFFF, 8191), (-8191, 32767, 0xFFFF, -8191),     # beyond both ends
    (8191, 32767, GAIN_ONE, 6143), (-8191, -32768, GAIN_ONE, -6143),  # 2,048 LSB and less one sixteenth
    (8191, 0, 0xFFFF, 8191), (-8191, 0, 0xFFFF, -8191), (4096, 0, 0xFFFF, 8191), (4095, 0, 0xFFFF, 8190),
    (8191, -32768, 0, 0),
])
def test_the_ends_of_fourteen_bits(code: int, offset: int, gain: int, corrected: int):
    bench = CorrectBench(CORRECTED["fine"])

    async def run(ctx):
        await bench.load(ctx, [offset] * 8, [gain] * 4)
        assert await bench.correct(ctx, [code] * 8) == [corrected] * 8

    simulate(bench.dut, run)


@each_shape
def test_codes_are_kept_as_offsets(config: ChipConfig):
    bench, random = CorrectBench(config), seeded(config)
    dut, top = bench.dut, (1 << (config.adc_bits - 1)) - 1

    async def run(ctx):
        await bench.load(ctx, [77] * config.size, [GAIN_ONE] * config.adcs)
        codes = np.array([random.choice([random.randint(-top, top), top, -top]) for _ in range(config.size)])
        kept = np.full(config.size, 77)
        for index in random.sample(range(config.block), config.block):
            # The reader is elsewhere; what it sees in this clock does not matter.
            ctx.set(dut.index, (index + 1) % config.block)
            ctx.set(dut.keep_index, index)
            bench.show(ctx, codes, index)
            ctx.set(dut.keep, 1)
            await ctx.tick()
            ctx.set(dut.keep, 0)
            kept[index::config.block] = measured_offsets(codes[index::config.block])
            words = [await bench.peek(ctx, dut.offsets, address) for address in range(config.size)]
            assert words == [(int(offset) & 0xFFFF_FFFF, 0) for offset in kept]
        # Subtracted from themselves, codes give zero, unless the offset did not fit.
        rest = await bench.correct(ctx, codes)
        assert rest == corrected_codes(codes, kept, np.full(config.adcs, GAIN_ONE), config).tolist()
        assert config.adc_bits > 12 or not any(rest)
        assert [await bench.peek(ctx, dut.gains, address) for address in range(config.adcs)] == [
            (GAIN_ONE, 0)] * config.adcs

    simulate(dut, run)


@pytest.mark.parametrize(("code", "offset"), [(2047, 32752), (2048, 32767), (-2047, -32752), (-2048, -32767),
                                              (8191, 32767), (-8191, -32767)])
def test_an_offset_of_fourteen_bits_saturates(code: int, offset: int):
    bench = CorrectBench(CORRECTED["fine"])
    assert measured_offsets(np.array([code])).tolist() == [offset]

    async def run(ctx):
        for lane in range(2):
            ctx.set(bench.dut.codes[lane], code)
        ctx.set(bench.dut.keep_index, 3)
        ctx.set(bench.dut.keep, 1)
        await ctx.tick()
        ctx.set(bench.dut.keep, 0)
        for address in (3, 7):
            assert await bench.peek(ctx, bench.dut.offsets, address) == (offset & 0xFFFF_FFFF, 0)

    simulate(bench.dut, run)


@each_shape
def test_words_are_where_the_window_says(config: ChipConfig):
    bench, random = CorrectBench(config), seeded(config)
    offsets, gains = bench.dut.offsets, bench.dut.gains

    async def run(ctx):
        for window, count, signed_words in ((offsets, config.size, True), (gains, config.adcs, False)):
            words = [random.choice([0x8000, 0x7FFF, 0xFFFF, random.getrandbits(16)]) for _ in range(count)]
            for address, word in enumerate(words):
                await bench.poke(ctx, window, address, random.getrandbits(16) << 16 | word)
            for address, word in enumerate(words):
                shown = signed(word, 16) & 0xFFFF_FFFF if signed_words else word
                assert await bench.peek(ctx, window, address) == (shown, 0)

    simulate(bench.dut, run)


@pytest.mark.parametrize("strobe", range(16))
@pytest.mark.parametrize("name", ["offsets", "gains"])
def test_strobes_choose_the_bytes_and_keep_the_parity(name: str, strobe: int):
    bench = CorrectBench(SHAPES["lab"])
    window = getattr(bench.dut, name)
    mask = (0xFF if strobe & 1 else 0) | (0xFF00 if strobe & 2 else 0)
    word = 0x1122 & ~mask | 0xA6C7 & mask
    shown = signed(word, 16) & 0xFFFF_FFFF if name == "offsets" else word
    wrong = int(strobe & 3 != 0)

    async def run(ctx):
        await bench.poke(ctx, window, 3, 0x1122)
        await bench.poke(ctx, window, 3, 0xFFFF_A6C7, strobe)
        assert await bench.peek(ctx, window, 3) == (shown, 0)
        assert await bench.peek(ctx, window, 1) == (0, 0), "the same place of the other lane, or its neighbour"
        assert await bench.peek(ctx, window, 2) == (0, 0)
        await bench.poke(ctx, window, 3, 0xFFFF_A6C7, strobe, bad=1)
        assert await bench.peek(ctx, window, 3) == (shown, wrong)
        await bench.poke(ctx, window, 3, 0, 3 & ~strobe)
        assert (await bench.peek(ctx, window, 3))[1] == wrong
        await bench.poke(ctx, window, 3, 0, strobe)
        assert await bench.peek(ctx, window, 3) == (0, 0)

    simulate(bench.dut, run)


@each_shape
def test_wrong_words_are_reported_with_the_elements_that_use_them(config: ChipConfig):
    bench, random = CorrectBench(config), seeded(config)
    dut = bench.dut
    output, adc = random.randrange(config.size), random.randrange(config.adcs)
    of_offset = [index == output % config.block for index in range(config.block)]
    of_gain = [index // config.mux_steps == adc % (config.adcs // config.lanes) for index in range(config.block)]

    async def run(ctx):
        await bench.load(ctx, [random.randint(-99, 99) for _ in range(config.size)], [GAIN_ONE] * config.adcs)
        await bench.poke(ctx, dut.offsets, output, 5, 1 << random.randrange(2), bad=1)
        assert await bench.errors(ctx) == of_offset
        ctx.set(dut.multiply, 1)
        assert not any(await bench.errors(ctx)), "offsets are not used"
        await bench.poke(ctx, dut.gains, adc, GAIN_ONE, 1 << random.randrange(2), bad=1)
        assert await bench.errors(ctx) == of_gain
        ctx.set(dut.multiply, 0)
        assert await bench.errors(ctx) == [a or b for a, b in zip(of_offset, of_gain, strict=True)]
        assert [(await bench.peek(ctx, dut.offsets, address))[1] for address in range(config.size)] == [
            address == output for address in range(config.size)]
        assert [(await bench.peek(ctx, dut.gains, address))[1] for address in range(config.adcs)] == [
            address == adc for address in range(config.adcs)]
        # Measured anew, an offset is right again, even while the host's words would be wrong.
        ctx.set(dut.bad_parity, 1)
        ctx.set(dut.keep_index, output % config.block)
        ctx.set(dut.keep, 1)
        await ctx.tick()
        ctx.set(dut.keep, 0)
        ctx.set(dut.bad_parity, 0)
        assert await bench.errors(ctx) == of_gain

    simulate(dut, run)


@pytest.mark.parametrize("signed_words", [False, True])
def test_every_bit_that_flips_in_a_stored_word_is_seen(signed_words: bool):
    class OpenMemory(CorrectionMemory):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            self.inside = m.submodules.lane1
            return m

    memory = OpenMemory(SHAPES["lab"], 16, signed_words=signed_words)

    async def run(ctx):
        window, stored = memory.window, memory.inside.data[3]
        for signal, value in ((window.select, 1), (window.address, 11), (window.w_data, 0x8A51), (window.w_strobe, 3)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(window.w_strobe, 0)
        ctx.set(memory.index, 3)
        right = ctx.get(stored)
        for flip in (0, *(1 << bit for bit in range(18))):
            ctx.set(stored, right ^ flip)
            ctx.set(window.select, 1)
            await ctx.tick()
            assert ctx.get(window.r_error) == (flip != 0)
            ctx.set(window.select, 0)
            await ctx.tick()
            assert ctx.get(memory.parity_error) == (flip != 0)
        ctx.set(stored, right)
        await ctx.tick()
        assert [ctx.get(memory.words[lane]) for lane in (0, 1)] == [0, 0x8A51]

    simulate(memory, run)

"""One successive-approximation register: every input at small widths, ties, both ends, and its latency."""

import math
from collections.abc import Sequence

import pytest
from verification.unit.simulation import signed, simulate

from ohmloop_hdl.convert.sar import Sar

NOT_A_NUMBER = math.nan
"""An input that is below no level: the comparator always says yes."""


def convert(bits: int, inputs: Sequence[float]) -> list[tuple[int, list[int]]]:
    """Result and trial codes of a conversion of every input. Unit of an input: half an LSB; the level of code k lies at
    2k - 1, where a tie counts as above."""
    sar, answers = Sar(bits), []

    async def bench(ctx):
        for held in inputs:
            ctx.set(sar.clear, 1)
            await ctx.tick()
            ctx.set(sar.clear, 0)
            trials = []
            for bit in reversed(range(bits)):
                ctx.set(sar.mask, 1 << bit)
                trial = signed(ctx.get(sar.trial), bits)
                trials.append(trial)
                ctx.set(sar.above, not held < 2 * trial - 1)
                await ctx.tick()
            ctx.set(sar.mask, 0)
            answers.append((ctx.get(sar.result), trials))

    simulate(sar, bench)
    return answers


def expected(bits: int, held: float) -> int:
    """max{k : level(k) <= held}, bottom code below all levels; symmetric; negated."""
    half = 1 << (bits - 1)
    below = [k for k in range(-half, half) if 2 * k - 1 <= held]
    return -max(max(below, default=-half), 1 - half)


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_every_input_reads_the_greatest_code_whose_level_is_not_above_it(bits: int):
    full = 1 << bits
    inputs = list(range(-full - 3, full + 3))
    assert [result for result, _ in convert(bits, inputs)] == [expected(bits, held) for held in inputs]


@pytest.mark.parametrize("bits", [3, 6, 14])
def test_both_ends(bits: int):
    top = (1 << (bits - 1)) - 1
    low, bottom, above_bottom, high, unknown = (result for result, _ in convert(
        bits, [-(1 << 40), -2 * top - 2, -2 * top - 1, 1 << 40, NOT_A_NUMBER]))
    assert (low, bottom, above_bottom) == (top, top, top), "the bottom code is stored as its symmetric neighbour"
    assert (high, unknown) == (-top, -top)


@pytest.mark.parametrize("bits", [3, 6])
def test_the_search_halves_the_range_at_every_trial(bits: int):
    inputs = list(range(-(1 << bits), 1 << bits))
    for held, (_, trials) in zip(inputs, convert(bits, inputs), strict=True):
        low, step, wanted = -(1 << (bits - 1)), 1 << (bits - 1), []
        for _ in range(bits):
            wanted.append(low + step)
            low += step * (held >= 2 * (low + step) - 1)
            step //= 2
        assert trials == wanted


def test_a_result_needs_every_bit_stays_without_a_mask_and_goes_with_clear():
    sar, seen = Sar(4), []

    async def bench(ctx):
        ctx.set(sar.above, 1)
        for mask in (8, 4, 2, 1, 0, 0):
            ctx.set(sar.mask, mask)
            await ctx.tick()
            seen.append(ctx.get(sar.result))
        ctx.set(sar.clear, 1)
        ctx.set(sar.mask, 8)
        await ctx.tick()
        ctx.set(sar.mask, 0)
        seen.append(signed(ctx.get(sar.trial), 4))

    simulate(sar, bench)
    assert seen == [0, -4, -6, -7, -7, -7, -8]

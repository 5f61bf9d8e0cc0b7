"""Auto-ranging: exact thresholds, both modes, every range."""

import pytest
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.loop.ranging import Ranging

SOLVE, MULTIPLY = 0, 1


async def decide(ctx, ranging: Ranging, mode: int, level: int, other: int, **inputs: int) -> tuple[int, int, int]:
    """Next range of the mode, next range of the other mode, exhausted."""
    ports = [(ranging.drive_range, ranging.next_drive_range), (ranging.feedback, ranging.next_feedback)]
    ctx.set(ranging.multiply, mode)
    ctx.set(ports[mode][0], level)
    ctx.set(ports[1 - mode][0], other)
    for name in ("clip", "finish", "peak"):
        ctx.set(getattr(ranging, name), inputs.get(name, 0))
    return ctx.get(ports[mode][1]), ctx.get(ports[1 - mode][1]), ctx.get(ranging.exhausted)


@pytest.mark.parametrize(("mode", "levels", "fraction"), [(SOLVE, 8, 4), (MULTIPLY, 4, 8)])
@pytest.mark.parametrize("bits", [6, 8, 14])
def test_a_result_under_its_fraction_of_full_scale_moves_the_next_run_down(mode: int, levels: int, fraction: int,
                                                                           bits: int):
    ranging, threshold = Ranging(ChipConfig(adc_bits=bits)), (1 << (bits - 1)) // fraction
    peaks = range(1 << (bits - 1)) if bits <= 8 else [0, 1, threshold - 1, threshold, threshold + 1,
                                                      2 * threshold, (1 << (bits - 1)) - 1]

    async def bench(ctx):
        for level in range(levels):
            for peak in peaks:
                next_level, other, _ = await decide(ctx, ranging, mode, level, 2, finish=1, peak=peak)
                assert next_level == (max(0, level - 1) if peak < threshold else level), (level, peak)
                assert other == 2, "the mode that does not run keeps its range"

    simulate(ranging, bench)


@pytest.mark.parametrize(("mode", "levels"), [(SOLVE, 8), (MULTIPLY, 4)])
def test_a_clip_moves_up_until_the_last_range(mode: int, levels: int):
    ranging = Ranging(ChipConfig())

    async def bench(ctx):
        for level in range(levels):
            for peak in (0, 127):
                last = level == levels - 1
                moved = await decide(ctx, ranging, mode, level, 1, clip=1, peak=peak)
                assert moved == (min(level + 1, levels - 1), 1, last)

    simulate(ranging, bench)


@pytest.mark.parametrize(("mode", "levels"), [(SOLVE, 8), (MULTIPLY, 4)])
def test_nothing_moves_between_verdicts(mode: int, levels: int):
    ranging = Ranging(ChipConfig())

    async def bench(ctx):
        for level in range(levels):
            for peak in (0, 127):
                assert await decide(ctx, ranging, mode, level, 3, peak=peak) == (level, 3, level == levels - 1)

    simulate(ranging, bench)


@pytest.mark.parametrize(("mode", "fraction"), [(SOLVE, 4), (MULTIPLY, 8)])
def test_or_of_magnitudes_decides_like_the_largest(mode: int, fraction: int):
    ranging, random = Ranging(ChipConfig()), seeded(fraction)

    async def bench(ctx):
        for _ in range(300):
            codes = [random.randrange(1 << random.randrange(1, 8)) for _ in range(4)]
            peak = codes[0] | codes[1] | codes[2] | codes[3]
            next_level, _, _ = await decide(ctx, ranging, mode, 2, 0, finish=1, peak=peak)
            assert next_level == (1 if max(codes) < 128 // fraction else 2), codes

    simulate(ranging, bench)

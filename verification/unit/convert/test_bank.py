"""The converter bank: order of the multiplexer, stored codes, verdicts on a scan, and its length."""

import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop.golden import cycles
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.convert.bank import ConverterBank

each_shape = pytest.mark.parametrize("config", (CONFIGS | SHAPES).values(), ids=(CONFIGS | SHAPES).keys())
each_small_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


class BankBench:
    """A bank and comparators on held inputs, which are raw codes; ``scan`` converts them all."""

    def __init__(self, config: ChipConfig):
        self.config = config
        self.bank = ConverterBank(config)
        self.held = [0] * config.size

    def run(self, bench):
        simulate(self.bank, bench, self.comparators)

    async def comparators(self, ctx):
        config, bank = self.config, self.bank
        async for trial, mux in ctx.changed(bank.trial, bank.mux):
            above = 0
            for a in range(config.adcs):
                level = signed(trial >> a * config.adc_bits, config.adc_bits)
                above |= (self.held[a * config.mux_steps + mux] >= level) << a
            ctx.set(bank.above, above)

    async def scan(self, ctx, held: list[int]):
        """Convert ``held``; clocks from ``start`` to ``done``, and (clock, mux) of every store."""
        self.held = held
        bank, stores, clocks = self.bank, [], 0
        ctx.set(bank.start, 1)
        await ctx.tick()
        ctx.set(bank.start, 0)
        while True:
            clocks += 1
            if ctx.get(bank.stored):
                stores.append((clocks, ctx.get(bank.mux)))
                latest = [ctx.get(bank.latest[a]) for a in range(self.config.adcs)]
                assert latest == self.stored(held)[stores[-1][1]::self.config.mux_steps]
            done = ctx.get(bank.done)
            await ctx.tick()
            if done:
                return clocks, stores

    def stored(self, held: list[int]) -> list[int]:
        """Codes that a scan of ``held`` stores."""
        top = (1 << (self.config.adc_bits - 1)) - 1
        return [-max(-top, min(top, raw)) for raw in held]

    async def codes(self, ctx) -> list[int]:
        """All stored codes through the read port."""
        config, bank = self.config, self.bank
        codes = [0] * config.size
        for index in range(config.block):
            ctx.set(bank.index, index)
            for lane in range(config.lanes):
                codes[lane * config.block + index] = ctx.get(bank.codes[lane])
        return codes


def random_inputs(random, config: ChipConfig) -> list[int]:
    half = 1 << (config.adc_bits - 1)
    return [random.choice([-half, 1 - half, -1, 0, 1, half - 1, random.randrange(-half, half)])
            for _ in range(config.size)]


@each_shape
def test_a_scan_visits_every_output_once_and_keeps_its_code(config: ChipConfig):
    bench, random = BankBench(config), seeded(config)

    async def run(ctx):
        for _ in range(3):
            held = random_inputs(random, config)
            clocks, stores = await bench.scan(ctx, held)
            step = config.adc_bits + 1
            assert clocks == config.mux_steps * step == cycles.conversion_cycles(config)
            assert stores == [((k + 1) * step, k) for k in range(config.mux_steps)]
            assert await bench.codes(ctx) == bench.stored(held)

    bench.run(run)


@each_shape
def test_verdicts_of_random_scans(config: ChipConfig):
    bench, random = BankBench(config), seeded(config)

    async def run(ctx):
        before = None
        half = 1 << (config.adc_bits - 1)
        for _ in range(12):
            if before is None or random.random() < 0.2:
                held = random_inputs(random, config)
            else:
                held = [max(-half, min(half - 1, raw + random.choice([0, 0, 0, 1, -1, 2, -3]))) for raw in bench.held]
            if random.random() < 0.2:
                held = [0] * config.size
                held[random.randrange(config.size)] = random.choice([0, 1, -1])
            tolerance = random.choice([0, 1, 2, 15])
            loop_size = random.randrange(config.size + 1)
            ctx.set(bench.bank.tolerance, tolerance)
            ctx.set(bench.bank.loop_size, loop_size)
            await bench.scan(ctx, held)
            codes, peak = bench.stored(held), 0
            for code in codes[:loop_size]:
                peak |= abs(code)
            assert ctx.get(bench.bank.peak) == peak
            if before is not None:
                agree = all(abs(n - o) <= tolerance for n, o in zip(codes[:loop_size], before, strict=False))
                assert ctx.get(bench.bank.agree) == agree
            before = codes

    bench.run(run)


@each_small_shape
@pytest.mark.parametrize("tolerance", [0, 1, 7, 15])
def test_agreement_ends_just_beyond_the_tolerance(config: ChipConfig, tolerance: int):
    bench = BankBench(config)
    outputs = {0, 1, config.size // 2, config.size - 1}

    async def run(ctx):
        ctx.set(bench.bank.tolerance, tolerance)
        ctx.set(bench.bank.loop_size, config.size)
        await bench.scan(ctx, [3] * config.size)
        for output in outputs:
            for step in (tolerance, tolerance + 1, -tolerance, -tolerance - 1, (1 << config.adc_bits) - 2):
                start = -((1 << (config.adc_bits - 1)) - 1) if step > 16 else 3
                await bench.scan(ctx, [3] * output + [start] + [3] * (config.size - output - 1))
                moved = [3] * config.size
                moved[output] = start + step
                await bench.scan(ctx, moved)
                assert ctx.get(bench.bank.agree) == (abs(step) <= tolerance), (output, step)

    bench.run(run)


@each_small_shape
def test_outputs_outside_the_loop_are_stored_but_not_judged(config: ChipConfig):
    bench, top = BankBench(config), (1 << (config.adc_bits - 1)) - 1

    async def run(ctx):
        for size in range(config.size):
            ctx.set(bench.bank.loop_size, size)
            await bench.scan(ctx, [0] * config.size)
            for output, inside in ((size, False), (size - 1, True)):
                if output < 0:
                    continue
                held = [0] * config.size
                held[output] = top
                await bench.scan(ctx, held)
                assert ctx.get(bench.bank.agree) == (not inside)
                assert ctx.get(bench.bank.peak) == (top if inside else 0)
                assert (await bench.codes(ctx))[output] == -top
                await bench.scan(ctx, [0] * config.size)

    bench.run(run)


def test_idle_stores_nothing_and_keeps_verdicts():
    bench = BankBench(CONFIGS["tiny"])

    async def run(ctx):
        ctx.set(bench.bank.loop_size, 4)
        await bench.scan(ctx, [5, -9, 2, 1])
        verdict = ctx.get(bench.bank.peak)
        bench.held = [0, 0, 0, 0]
        for _ in range(30):
            assert not ctx.get(bench.bank.stored) and not ctx.get(bench.bank.done)
            await ctx.tick()
        assert ctx.get(bench.bank.peak) == verdict == 5 | 9 | 2 | 1
        assert await bench.codes(ctx) == [-5, 9, -2, -1]

    bench.run(run)


@each_shape
def test_a_wipe_overwrites_the_kept_codes_step_by_step(config: ChipConfig):
    bench = BankBench(config)
    held = [1 + output % 20 for output in range(config.size)]

    async def run(ctx):
        await bench.scan(ctx, held)
        kept = bench.stored(held)
        ctx.set(bench.bank.wipe, 1)
        for step in reversed(range(config.mux_steps)):
            ctx.set(bench.bank.wipe_address, step)
            await ctx.tick()
            kept[step::config.mux_steps] = [0] * config.adcs
            assert await bench.codes(ctx) == kept, f"steps from {step} on"
        ctx.set(bench.bank.wipe, 0)
        assert not any(await bench.codes(ctx))
        await bench.scan(ctx, held)
        assert await bench.codes(ctx) == bench.stored(held), "and it works as before"

    bench.run(run)


def test_a_scan_behind_a_wipe_is_judged_against_zero():
    bench = BankBench(CONFIGS["tiny"])

    async def run(ctx):
        ctx.set(bench.bank.loop_size, 4)
        ctx.set(bench.bank.tolerance, 2)
        await bench.scan(ctx, [9, 9, 9, 9])
        ctx.set(bench.bank.wipe, 1)
        for step in range(2):
            ctx.set(bench.bank.wipe_address, step)
            await ctx.tick()
        ctx.set(bench.bank.wipe, 0)
        await bench.scan(ctx, [2, -2, 0, 1])
        assert ctx.get(bench.bank.agree)
        await bench.scan(ctx, [2, -2, 0, 4])
        assert not ctx.get(bench.bank.agree)

    bench.run(run)

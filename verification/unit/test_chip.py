"""The chip around the numpy macro against the golden machine: codes, clocks of every phase, vectors, ranges, status."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect
from ohmloop.golden import cycles
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.isa import (
    AXPY,
    BLE,
    CAL,
    DIV,
    DOT,
    HALT,
    IMM,
    INV,
    KIND,
    LD,
    LOOP,
    MAT,
    MUL,
    PROG,
    PROGRAM_WORDS,
    SCRUB,
    SETC,
    SLOT,
    ST,
    STREAM,
    TARGET,
    D,
)
from ohmloop_hdl.sequencer.traps import TrapCause
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import ChipAndGolden, mantissas_of
from verification.unit.simulation import SHAPES, seeded

TINY, LAB = CONFIGS["tiny"], CONFIGS["lab"]
IDEAL, REFERENCE = AnalogParams.ideal(), AnalogParams.reference()
LONG = dict(solve_interval=200, multiply_interval=100)
"""Intervals after which the small systems here have settled to a fraction of an LSB."""

each_params = pytest.mark.parametrize("params", [IDEAL, REFERENCE], ids=["ideal", "reference"])
each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


def values(mantissas, exponent: int) -> np.ndarray:
    return np.array(mantissas) * 2.0 ** (exponent - 31)


@each_shape
@each_params
def test_inverse_and_product(config: ChipConfig, params: AnalogParams):
    """Both modes, back to back, and against linear algebra within what the converters can resolve."""
    pair = ChipAndGolden(Die.sample(config, params))
    codes = definite(config.size, config.code_max, seed=5)
    top = 1 << (config.dac_bits - 1)
    source = mantissas_of([(7 * i * i + 3) % (top // 4) - top // 8 for i in range(config.size)], config)

    async def bench(ctx):
        await pair.load(ctx, codes, {1: (source, 3)})
        await pair.configure(ctx, **LONG, tolerance=2, feedback=1)
        run = await pair.go(ctx, "PROG\nINV v2, v1\nMUL v3, v1\nMUL v4, v2\nHALT 0")
        assert run.trap is TrapCause.NONE

    pair.run(bench)
    matrix, driven = codes / config.code_max, values(source, 3)
    machine = pair.machine
    inverse, product = (values(machine.mantissas[v], machine.exponents[v]) for v in (2, 3))
    lsb = [2.0 ** (machine.exponents[v] - config.adc_bits + 1) for v in (2, 3)]
    slack = 1.01 if params is IDEAL else 8
    assert np.abs(inverse - np.linalg.solve(matrix, driven)).max() <= slack * lsb[0]
    assert np.abs(product - matrix @ driven).max() <= slack * lsb[1]


@each_params
def test_an_identity_returns_its_input_exactly(params: AnalogParams):
    quiet = AnalogParams(mismatch_sigma=0.0, offset_sigma_V=0.0, read_noise_V=0.0) if params is REFERENCE else params
    pair = ChipAndGolden(Die.sample(TINY, quiet))
    drive = [100, -64, 1, 0]

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of(drive, TINY), -7)})
        await pair.configure(ctx, **LONG)
        await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")

    pair.run(bench)
    assert (pair.machine.mantissas[2] >> 24).tolist() == drive
    assert pair.machine.exponents[2] == -7


class Programs:
    """Random numbers and short random programs over the whole instruction set, which end by themselves."""

    WEIGHTS = {
        AXPY: 4, DOT: 3, DIV: 2, BLE: 2, LOOP: 1, SETC: 1, MAT: 2, INV: 4, MUL: 3, LD: 3, ST: 2, PROG: 1, SCRUB: 1}

    def __init__(self, config: ChipConfig, random: Random):
        self.config, self.random = config, random

    def vector(self) -> tuple[list[int], int]:
        size = self.random.choice([6, 20, 27, 31])
        exponent = self.random.choice([0, 0, 5, -20, 505, 511, -505, -511, EXPONENT_MIN])
        return [self.random.randrange(-(1 << size), 1 << size) for _ in range(self.config.size)], exponent

    def scalar(self) -> Scalar:
        size = self.random.choice([0, 3, 22, 23])
        return Scalar(self.random.randrange(-(1 << size), 1 << size), self.random.choice([-3, 0, 1, 9, -400, 300]))

    def codes(self):
        n, top = self.config.size, self.config.code_max
        if self.random.random() < 0.7:
            return definite(n, top, seed=self.random.randrange(1000))
        return [[self.random.randint(-top, top) for _ in range(n)] for _ in range(n)]

    def program(self, entry: int) -> tuple[list[int], list[list[int]]]:
        """Words that begin at ``entry``, and the objects that they take from the stream, one of them sometimes of the
        wrong length."""
        random, n = self.random, self.config.size
        words, objects = [PROG.encode(0)] * (random.random() < 0.6), []
        for instruction in random.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()), k=random.randrange(2, 9)):
            values = {operand: random.randint(*operand.limits) for operand in instruction.operands}
            ahead = (entry + len(words) + random.randrange(1, 3)) % PROGRAM_WORDS
            values |= {TARGET: ahead, CAL: int(random.random() < 0.2), STREAM: int(random.random() < 0.4),
                       SLOT: int(random.random() < 0.05), IMM: random.randrange(-3, 4)}
            length = 0
            if instruction is LD:
                values[KIND] = random.choice([0, 0, 0, 1, 2])
                values[D] = random.randrange(16) if values[KIND] == 0 else 0
                length = (n + 1, n * n, n * n // self.config.codes_per_word)[values[KIND]]
            elif instruction is PROG and values[STREAM]:
                length = n * n // self.config.codes_per_word
            if length:
                length += random.choice([0] * 18 + [1, -1])
                objects.append([random.getrandbits(32) for _ in range(length)])
            words.append(instruction.encode(*(values[operand] for operand in instruction.operands)))
        if random.random() < 0.1:
            words.append(random.getrandbits(32))
        return [*words, HALT.encode(random.randrange(256)), HALT.encode(0)], objects


@pytest.mark.parametrize("config", [TINY, LAB], ids=["tiny", "lab"])
@each_params
def test_random_programs(config: ChipConfig, params: AnalogParams):
    """Everything that both show, run after run, with pauses on both streams; arrays, ranges and registers go on."""
    random = seeded((config.size, params.mismatch_sigma))
    programs = Programs(config, random)
    pair = ChipAndGolden(Die.sample(config, params))
    n, ends = config.size, []

    async def bench(ctx):
        await pair.fill(ctx, random.randrange(1000), programs.codes())
        for number in range(12 if config is TINY else 5):
            await pair.perform(ctx, Connect(random.choice([0, 0.5]), random.choice([0, 0.5]), number))
            if random.random() < 0.3:
                await pair.load(ctx, programs.codes())
            await pair.load(ctx, vectors={random.randrange(1, 16): programs.vector() for _ in range(3)})
            await pair.load_scalar(ctx, random.randrange(1, 16), programs.scalar())
            await pair.configure(
                ctx,
                loop_size=random.choice([n, n, random.randrange(n + 1)]),
                vector_size=random.choice([n, n, random.randrange(n + 1)]),
                solve_interval=random.choice([0, 2, 25, 120, 400]),
                multiply_interval=random.choice([0, 3, 30, 100]),
                timeout=random.choice([1, 200, 500, 4000]),
                tolerance=random.choice([0, 1, 2, 15]),
                dead=random.randrange(4), autozero=random.randrange(20),
                write_cycles=random.randrange(5), retries=random.randrange(3),
                bandwidth=random.randrange(4), drive_range=random.randrange(8), feedback=random.randrange(4),
                watchdog=random.choice([0, 0, 0, 40, 400]))
            entry = random.choice([0, 0, 100, 254])
            words, objects = programs.program(entry)
            await pair.send(ctx, *objects)
            ends.append((await pair.go(ctx, words, entry, windows=number % 6 == 5)).trap)
            await pair.compare_stream(ctx)
            await pair.flush(ctx)

    pair.run(bench)
    print(*(end.name for end in ends))


@each_params
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_smaller_system_is_embedded(params: AnalogParams, n: int):
    """Code C on the unused diagonal; the part that is used reads the same as in any other embedding."""
    pair = ChipAndGolden(Die.sample(TINY, params))
    codes = np.diag([15] * 4)
    codes[:n, :n] = definite(n, 15, seed=2)
    drive = [30, -20, 10][:n]

    async def bench(ctx):
        await pair.load(ctx, codes, {1: (mantissas_of(drive, TINY), 0)})
        await pair.configure(ctx, **LONG, loop_size=n, vector_size=n, tolerance=2)
        assert (await pair.go(ctx, "PROG\nINV v2, v1\nMUL v3, v1\nHALT 0")).trap is TrapCause.NONE

    pair.run(bench)
    assert not pair.machine.mantissas[2][n:].any() and pair.machine.mantissas[2][:n].any()
    if params is IDEAL:
        exact = np.linalg.solve(codes[:n, :n] / 15, np.array(drive) / 128)
        got = values(pair.machine.mantissas[2], pair.machine.exponents[2])[:n]
        assert np.abs(got - exact).max() <= 1.01 * 2.0 ** (pair.machine.exponents[2] - 7)


def test_outputs_outside_the_loop_may_clip():
    """Output 3 runs to its rail; with loop_size 3 nobody asks, with 4 the drive ranges down until it fits."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    codes = np.diag([15, 15, 15, 3])

    async def bench(ctx):
        await pair.load(ctx, codes, {1: (mantissas_of([10, 20, 30, 127], TINY), 0)})
        await pair.configure(ctx, **LONG, loop_size=3)
        assert (await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")).trap is TrapCause.NONE
        assert pair.machine.settings.drive_range == 0
        await pair.configure(ctx, **LONG, loop_size=4)
        run = await pair.go(ctx, "INV v2, v1\nHALT 0")
        # 127/128 * 5 fits into the fourth range.
        assert run.trap is TrapCause.NONE and pair.machine.settings.drive_range == 3

    pair.run(bench)


@pytest.mark.parametrize(("loop_size", "vector_size"), [(4, 2), (2, 4), (4, 0), (0, 4)])
def test_vector_size_masks_drive_and_result(loop_size: int, vector_size: int):
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    codes = np.array([[15, 4, 2, 1], [1, 15, 3, 2], [2, 1, 15, 5], [0, 3, 1, 15]])
    drive = [40, -30, 20, 90]

    async def bench(ctx):
        await pair.load(ctx, codes, {1: (mantissas_of(drive, TINY), 0), 2: ([5] * 4, 5)})
        await pair.configure(ctx, **LONG, loop_size=loop_size, vector_size=vector_size)
        assert (await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")).trap is TrapCause.NONE
        counted = min(loop_size, vector_size)
        driven = np.array(drive[:counted] + [0] * (4 - counted)) / 128
        exact = np.linalg.solve(codes / 15, driven)
        got = values(pair.machine.mantissas[2], pair.machine.exponents[2])
        assert np.abs(got - exact)[:counted].max(initial=0) <= 1.01 / 128
        assert not pair.machine.mantissas[2][counted:].any()
        assert (pair.machine.exponents[2] == EXPONENT_MIN) == (counted == 0)

    pair.run(bench)


def test_what_nothing_judges_is_no_result():
    """A runaway whose outputs are all outside the loop is not judged for clipping, so none of it may be a result."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await pair.load(ctx, np.diag([-15, 15, 15, 15]), {1: (mantissas_of([40, 40, 40, 40], TINY), 0)})
        await pair.configure(ctx, **LONG, loop_size=0, vector_size=4)
        assert (await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")).trap is TrapCause.NONE
        assert not pair.machine.mantissas[2].any() and pair.machine.exponents[2] == EXPONENT_MIN
        await pair.configure(ctx, **LONG, loop_size=1, vector_size=4)
        assert (await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")).trap is TrapCause.CLIP

    pair.run(bench)


def test_sizes_above_n_count_as_n():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await pair.load(ctx, definite(4, 15, seed=1), {1: (mantissas_of([80, 120, -120, 120], TINY), 0)})
        for loop_size, vector_size in ((8, 8), (1023, 5), (5, 1023), (512, 512)):
            await pair.configure(ctx, **LONG, loop_size=loop_size, vector_size=vector_size, drive_range=2)
            await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")
            assert pair.machine.mantissas[2].all() and pair.machine.settings.drive_range == 2

    pair.run(bench)


def test_a_solve_ranges_up_within_a_run_and_down_between_runs():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    ranges = []

    async def bench(ctx):
        await pair.load(ctx, np.diag([4] * 4), {
            1: (mantissas_of([120, -120, 60, 0], TINY), 0), 2: (mantissas_of([5, 1, 0, 0], TINY), 0)})
        await pair.configure(ctx, **LONG)
        run = await pair.go(ctx, "PROG\nINV v3, v1\nHALT 0")
        ranges.append(pair.machine.settings.drive_range)
        # 120/128 * 15/4 = 3.5 needs two steps down to fit.
        assert len(run.scans) == 4 and run.phases[Phase.PREPARE] == 3 * (2 * 2 + 16) - cycles.drive_cycles(TINY)
        assert values(pair.machine.mantissas[3], pair.machine.exponents[3]) == pytest.approx(
            np.array([120, -120, 60, 0]) / 128 * 15 / 4, abs=2.1 / 64)
        for _ in range(4):
            await pair.go(ctx, "INV v4, v2\nHALT 0")
            ranges.append(pair.machine.settings.drive_range)

    pair.run(bench)
    assert ranges == [2, 1, 0, 0, 0]


def test_a_multiply_ranges_up_within_a_run_and_down_between_runs():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    ranges = []

    async def bench(ctx):
        await pair.load(ctx, np.full((4, 4), 15), {
            1: (mantissas_of([120] * 4, TINY), 0), 2: (mantissas_of([1, 0, 0, 0], TINY), 0)})
        await pair.configure(ctx, **LONG)
        run = await pair.go(ctx, "PROG\nMUL v3, v1\nHALT 0")
        ranges.append(pair.machine.settings.feedback)
        # 4 * 120/128 = 3.75 G0 against N/16, N/4, N of G0: the third fits.
        assert len(run.scans) == 4 and run.phases[Phase.PREPARE] == 3 * (2 * 2 + 16) - cycles.drive_cycles(TINY)
        assert values(pair.machine.mantissas[3], pair.machine.exponents[3]) == pytest.approx(3.75, abs=4 / 128)
        for _ in range(3):
            await pair.go(ctx, "MUL v4, v2\nHALT 0")
            ranges.append(pair.machine.settings.feedback)

    pair.run(bench)
    assert ranges == [2, 1, 0, 0]


def test_ranges_of_both_modes_stand_apart():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of([1, 0, 0, 0], TINY), 0)})
        await pair.configure(ctx, **LONG, drive_range=5, feedback=3)
        await pair.go(ctx, "PROG\nMUL v2, v1\nMUL v2, v1\nINV v2, v1\nHALT 0")
        assert (pair.machine.settings.drive_range, pair.machine.settings.feedback) == (4, 1)

    pair.run(bench)


def test_stuck_cells_within_the_limit_are_counted_and_mapped():
    die = Die.sample(TINY, IDEAL, stuck=((0, 1, 2, 7), (1, 3, 0, 15), (0, 0, 0, 15)))
    pair = ChipAndGolden(die)

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of([10, 20, 30, 40], TINY), 0)})
        await pair.configure(ctx, **LONG, bad_limit=2, retries=2)
        run = await pair.go(ctx, "PROG\nINV v2, v1\nHALT 0")
        assert run.trap is TrapCause.NONE
        assert np.argwhere(pair.machine.bad_map).tolist() == [[1, 2], [3, 0]]

    pair.run(bench)


def test_the_most_negative_number_is_programmed_as_the_largest_code():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await pair.load(ctx, np.diag([15, 15, 15, 15]) - 16 * np.eye(4, k=1, dtype=int), {
            1: (mantissas_of([10, 20, 30, 40], TINY), 0)})
        await pair.configure(ctx, **LONG)
        assert (await pair.go(ctx, "PROG\nMUL v2, v1\nHALT 0")).trap is TrapCause.NONE
        # Row i of the matrix takes d_i - d_(i+1).
        exponent = pair.machine.exponents[2]
        wanted = np.array([-10, -10, -10, 40]) / 128
        assert values(pair.machine.mantissas[2], exponent) == pytest.approx(wanted, abs=0.51 * 2.0 ** (exponent - 7))

    pair.run(bench)


def test_programming_again_after_the_codes_changed():
    pair = ChipAndGolden(Die.sample(LAB, IDEAL))
    results = []

    async def bench(ctx):
        for seed in (1, 2):
            await pair.load(ctx, definite(16, 15, seed), {1: (mantissas_of([10] * 16, LAB), 0)})
            for source in ("INV v2, v1\nHALT 0", "PROG\nINV v2, v1\nHALT 0"):
                await pair.configure(ctx, **LONG)
                await pair.go(ctx, source)
                results.append(pair.machine.mantissas[2].tolist())

    pair.run(bench)
    # Arrays that were never programmed cannot be used; old codes give the old answer; only PROG brings the new one.
    assert results[0] == [0] * 16 and results[1] == results[2] != results[3]


def test_the_whole_machine_at_most_one_switch_and_no_write_into_a_closed_loop():
    """The macro refuses a broken contract; here the pins are looked at by themselves."""
    pair = ChipAndGolden(Die.sample(TINY, REFERENCE))
    pins, seen = pair.chip.chip.macro, []

    async def bench(ctx):
        await pair.load(ctx, definite(4, 15, seed=9), {1: (mantissas_of([90, -90, 90, 90], TINY), 0)})
        await pair.configure(ctx, solve_interval=100, dead=3, autozero=2)
        await pair.program(ctx, "PROG\nINV v2, v1\nMUL v3, v2\nHALT 0")
        await pair.start(ctx, [])
        while not ctx.get(pair.chip.chip.interrupt):
            seen.append(tuple(ctx.get(pin) for pin in (pins.autozero, pins.close_solve, pins.close_multiply, pins.write,
                                                       pins.read, pins.row, pins.dac)))
            await ctx.tick()

    pair.run(bench)
    switches = [entry[:3] for entry in seen]
    assert {(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)} == set(switches)
    for before, now in pairwise(switches):
        assert before == now or not any(before) or not any(now), "break before make"
    assert any(entry[3] for entry in seen)
    for solve, multiply, write, read, row in ((e[1], e[2], e[3], e[4], e[5]) for e in seen):
        assert row & (row - 1) == 0
        assert not ((solve or multiply) and (write or read or row))
    for before, now in pairwise(seen):
        assert before[6] == now[6] or not (before[1] or before[2]), "input codes stand while the loop is closed"

"""The loop unit alone, with a loop controller that does what a case says: walk in, walk out, exponents and faults."""

from dataclasses import dataclass, field

import pytest
from amaranth.hdl import ResetInserter, Signal
from verification.unit.simulation import SHAPES, seeded, simulate

from ohmloop.golden import cycles
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN
from ohmloop_hdl.loop.unit import LoopUnit
from ohmloop_hdl.sequencer.traps import TrapCause

TINY = CONFIGS["tiny"]
each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


@dataclass(frozen=True)
class Case:
    """One instruction, and what its surroundings say.

    ``ends``: how the loop ends, so many clocks behind the walk in, with which corrected ``codes`` (N,). ``wrong``:
    elements of a lane's block whose correction words have wrong parity. ``exponent``: of vector ``s``; those of all
    other vectors differ.
    """

    config: ChipConfig = TINY
    multiply: int = 0
    calibrate: int = 0
    d: int = 3
    s: int = 5
    vector_size: int | None = None
    exponent: int = 0
    drive_range: int = 0
    feedback: int = 0
    codes: tuple[int, ...] = ()
    wrong: frozenset[int] = frozenset()
    ends: str = "loop_done"
    clocks: int = 6


@dataclass
class Outcome:
    """Clocks from the clock after the start; how it ended; one entry a clock of what the outputs said; mantissas by
    element as they were written; exponents that were written; elements of every lane that were kept."""

    clocks: int = 0
    done: int = 0
    fault: TrapCause = TrapCause.NONE
    phases: list[Phase] = field(default_factory=list)
    loading: list[int] = field(default_factory=list)
    driven: list[tuple[int, int]] = field(default_factory=list)
    mantissas: dict[int, int] = field(default_factory=dict)
    exponents: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)


class UnitBench:
    """A loop unit between vectors, correction, a loop controller and a sequencer that are played; a fault resets it."""

    def __init__(self, config: ChipConfig = TINY):
        self.config = config
        self.unit = LoopUnit(config)
        self.reset = Signal()
        self.case = Case(config)

    def run(self, bench):
        simulate(ResetInserter(self.reset)(self.unit), bench, self.vectors, self.correct, self.parity)

    async def vectors(self, ctx):
        """Exponents, which are combinational."""
        read = self.unit.read
        async for vector, _ in ctx.changed(read.vector, self.unit.control.start):
            exponent = self.case.exponent if vector == self.case.s else 99
            ctx.set(read.exponent, exponent)
            ctx.set(read.zero, exponent == EXPONENT_MIN)

    async def correct(self, ctx):
        """Codes of the element that is stored."""
        async for index, _ in ctx.changed(self.unit.store_index, self.unit.control.phase):
            for lane in range(self.config.lanes):
                place = lane * self.config.block + index
                ctx.set(self.unit.corrected[lane], self.case.codes[place] if self.case.codes else 0)

    async def parity(self, ctx):
        async for _, _, index in ctx.tick().sample(self.unit.index):
            ctx.set(self.unit.parity_error, index in self.case.wrong)

    async def execute(self, ctx, case: Case, limit: int = 10_000) -> Outcome:
        """One instruction; at most ``limit`` clocks of it."""
        config, unit, outcome, left = self.config, self.unit, Outcome(), -1
        control, self.case = unit.control, case
        size = config.size if case.vector_size is None else case.vector_size
        for signal, value in ((unit.multiply, case.multiply), (unit.calibrate, case.calibrate), (unit.d, case.d),
                              (unit.s, case.s), (unit.vector_size, size), (unit.drive_range, case.drive_range),
                              (unit.feedback, case.feedback), (unit.loop_phase, Phase.SETTLE), (control.start, 1)):
            ctx.set(signal, value)
        assert ctx.get(unit.loop_start), "the loop controller prepares from the first clock on"
        await ctx.tick()
        ctx.set(control.start, 0)
        while outcome.clocks < limit:
            outcome.clocks += 1
            loading, phase = ctx.get(unit.loading), Phase(ctx.get(control.phase))
            outcome.loading.append(loading)
            outcome.phases.append(phase)
            assert not ctx.get(unit.loop_start)
            assert ctx.get(control.safe) == (phase is Phase.STORE) and not ctx.get(control.waiting)
            if ctx.get(unit.drive):
                outcome.driven.append((ctx.get(unit.drive_index), ctx.get(unit.drive_zero)))
            left = case.clocks if left < 0 and phase is Phase.SETTLE else left - 1
            ctx.set(getattr(unit, case.ends), left == 0)
            write = unit.write
            assert (ctx.get(unit.read.vector), ctx.get(write.vector)) == (case.s, case.d)
            if ctx.get(write.enable):
                for lane in range(config.lanes):
                    place = lane * config.block + ctx.get(write.index)
                    assert place not in outcome.mantissas
                    outcome.mantissas[place] = ctx.get(write.mantissas[lane])
            if ctx.get(write.exponent_enable):
                outcome.exponents.append(ctx.get(write.exponent))
            if ctx.get(unit.keep):
                outcome.kept.append(ctx.get(unit.store_index))
            outcome.done, outcome.fault = ctx.get(control.done), TrapCause(ctx.get(control.fault))
            ctx.set(self.reset, outcome.fault != TrapCause.NONE)
            await ctx.tick()
            if left == 0:
                # Ranges move, and the loop goes quiet, behind its last clock.
                ctx.set(getattr(unit, case.ends), 0)
                ctx.set(unit.drive_range, 7 - case.drive_range)
                ctx.set(unit.feedback, 3 - case.feedback)
            if outcome.done or outcome.fault:
                break
        ctx.set(self.reset, 0)
        for _ in range(3):
            assert not (outcome.done or outcome.fault) or not any(ctx.get(signal) for signal in (
                unit.drive, unit.loading, control.safe, control.done, control.fault, unit.write.enable, unit.keep,
                unit.write.exponent_enable, unit.read.enable, unit.loop_start))
            await ctx.tick()
        return outcome


def execute(case: Case) -> Outcome:
    """The outcome of one instruction."""
    bench, outcomes = UnitBench(case.config), []

    async def run(ctx):
        outcomes.append(await bench.execute(ctx, case))

    bench.run(run)
    return outcomes[0]


def random_codes(config: ChipConfig, random) -> tuple[int, ...]:
    top = (1 << (config.adc_bits - 1)) - 1
    return tuple(random.choice([0, 1, -1, top, -top, random.randint(-top, top)]) for _ in range(config.size))


@each_shape
@pytest.mark.parametrize("multiply", [0, 1])
def test_a_vector_walks_in_and_its_result_walks_out(config: ChipConfig, multiply: int):
    random = seeded((config, multiply))
    case = Case(config, multiply, codes=random_codes(config, random), exponent=-3, drive_range=2, feedback=1,
                clocks=random.randrange(20))
    outcome = execute(case)
    assert (outcome.done, outcome.fault) == (1, TrapCause.NONE)
    block, loop = config.block, case.clocks + 1
    assert outcome.phases == ([Phase.DRIVE] * cycles.drive_cycles(config) + [Phase.SETTLE] * loop
                              + [Phase.STORE] * cycles.store_cycles(config))
    assert outcome.clocks == block + 1 + loop + block + 1
    assert outcome.loading == [1] * block + [0] * (1 + loop + block + 1), "the last DAC loads as the loop closes"
    assert outcome.driven == [(index, 0) for index in range(block)]
    assert outcome.mantissas == {place: code << (32 - config.adc_bits) for place, code in enumerate(case.codes)}
    shift = config.size.bit_length() - 1 + 2 * 1 - 4 if multiply else 2
    assert outcome.exponents == [shift - 3]
    assert not outcome.kept


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("multiply", [0, 1])
def test_the_ranges_move_the_exponent(size: int, multiply: int):
    config = ChipConfig(size=size, adcs=1, lanes=1)
    bench = UnitBench(config)

    async def run(ctx):
        for drive_range, feedback in ((0, 0), (1, 1), (4, 2), (7, 3)):
            outcome = await bench.execute(ctx, Case(
                config, multiply, exponent=17, drive_range=drive_range, feedback=feedback, codes=(1,) * size))
            log2 = {4: 2, 8: 3, 16: 4, 32: 5, 64: 6, 128: 7}[size]
            assert outcome.exponents == [17 + (log2 + 2 * feedback - 4 if multiply else drive_range)]

    bench.run(run)


@pytest.mark.parametrize(("multiply", "drive_range", "feedback", "exponent", "result"), [
    (0, 0, 0, EXPONENT_MAX, EXPONENT_MAX), (0, 7, 0, EXPONENT_MAX - 7, EXPONENT_MAX), (0, 7, 0, EXPONENT_MIN, -505),
    # N = 4: MUL adds 2 feedback - 2.
    (1, 0, 0, EXPONENT_MAX, EXPONENT_MAX - 2), (1, 7, 3, EXPONENT_MAX - 4, EXPONENT_MAX),
    (1, 0, 0, EXPONENT_MIN + 2, EXPONENT_MIN), (1, 0, 0, EXPONENT_MIN + 1, EXPONENT_MIN),
    (1, 0, 0, EXPONENT_MIN, EXPONENT_MIN), (1, 0, 0, EXPONENT_MIN + 3, EXPONENT_MIN + 1),
])
def test_exponents_at_both_ends(multiply: int, drive_range: int, feedback: int, exponent: int, result: int):
    outcome = execute(Case(multiply=multiply, drive_range=drive_range, feedback=feedback, exponent=exponent,
                           codes=(1, -2, 3, 0)))
    assert (outcome.done, outcome.exponents) == (1, [result])
    assert len(outcome.mantissas) == 4
    assert {zero for _, zero in outcome.driven} == {int(exponent == EXPONENT_MIN)}


@each_shape
@pytest.mark.parametrize(("multiply", "drive_range", "feedback", "over"), [(0, 1, 0, 1), (0, 7, 0, 7), (1, 0, 3, 1)])
def test_an_exponent_above_the_largest_traps_and_writes_nothing(config: ChipConfig, multiply: int, drive_range: int,
                                                                 feedback: int, over: int):
    shift = config.size.bit_length() - 1 + 2 * feedback - 4 if multiply else drive_range
    # The code that is not zero comes first, last, or anywhere.
    for place in {0, config.block - 1, config.size - 1}:
        codes = tuple(int(i == place) for i in range(config.size))
        outcome = execute(Case(config, multiply, drive_range=drive_range, feedback=feedback, codes=codes,
                               exponent=EXPONENT_MAX - shift + over))
        assert (outcome.done, outcome.fault) == (0, TrapCause.RANGE)
        assert not outcome.mantissas and not outcome.exponents
        assert outcome.phases[-1] is Phase.STORE and outcome.phases.count(Phase.STORE) == cycles.store_cycles(config)


@each_shape
def test_all_codes_zero_is_zero_whatever_the_exponent(config: ChipConfig):
    bench, zeros = UnitBench(config), (0,) * config.size

    async def run(ctx):
        outcome = await bench.execute(ctx, Case(config, exponent=EXPONENT_MAX, drive_range=3, codes=zeros))
        assert (outcome.done, outcome.fault, outcome.exponents) == (1, TrapCause.NONE, [EXPONENT_MIN])
        assert not outcome.mantissas, "the walk out does not know yet that all are zero"
        outcome = await bench.execute(ctx, Case(config, exponent=4, drive_range=3, codes=zeros))
        assert (outcome.done, outcome.exponents) == (1, [EXPONENT_MIN])
        assert outcome.mantissas == dict.fromkeys(range(config.size), 0)
        # What was seen in one instruction is not remembered in the next.
        await bench.execute(ctx, Case(config, exponent=4, codes=(5,) * config.size))
        outcome = await bench.execute(ctx, Case(config, exponent=4, codes=zeros))
        assert (outcome.done, outcome.exponents) == (1, [EXPONENT_MIN])

    bench.run(run)


@each_shape
def test_elements_beyond_the_size_read_zero_and_do_not_count(config: ChipConfig):
    bench, random = UnitBench(config), seeded(config)

    async def run(ctx):
        for size in {0, 1, config.block, config.size - 1, config.size}:
            codes = tuple(random.choice([-3, 5]) for _ in range(config.size))
            outcome = await bench.execute(ctx, Case(config, vector_size=size, codes=codes, exponent=7))
            assert outcome.mantissas == {place: code << (32 - config.adc_bits) if place < size else 0
                                         for place, code in enumerate(codes)}
            assert (outcome.done, outcome.exponents) == (1, [7 if size else EXPONENT_MIN])
            # Only elements beyond the size are not zero: no trap either.
            beyond = tuple(int(place >= size) for place in range(config.size))
            outcome = await bench.execute(ctx, Case(
                config, vector_size=size, codes=beyond, exponent=EXPONENT_MAX, drive_range=1))
            assert (outcome.done, outcome.fault, outcome.exponents) == (1, TrapCause.NONE, [EXPONENT_MIN])

    bench.run(run)


@each_shape
@pytest.mark.parametrize("multiply", [0, 1])
def test_a_wrong_correction_word_stops_the_walk_in(config: ChipConfig, multiply: int):
    for element in range(config.block):
        for wrong in ({element}, {element, config.block - 1}):
            outcome = execute(Case(config, multiply, wrong=frozenset(wrong), codes=(1,) * config.size))
            assert (outcome.done, outcome.fault) == (0, TrapCause.PARITY)
            assert outcome.clocks == cycles.drive_parity_cycles(element)
            assert set(outcome.phases) == {Phase.DRIVE} and not outcome.mantissas and not outcome.exponents
            # The loop closes behind the last of these clocks at the earliest.
            assert outcome.clocks <= cycles.drive_cycles(config)


def test_parity_behind_the_walk_in_is_no_matter():
    """Whatever the correction memory shows while the loop settles and while codes walk out."""
    bench = UnitBench()

    async def run(ctx):
        case = Case(codes=(1, 2, 3, 4), exponent=1)
        started = await bench.execute(ctx, case, limit=5)
        assert started.phases == [Phase.DRIVE] * 5
        bench.case = Case(codes=case.codes, exponent=1, wrong=frozenset(range(4)))
        for _ in range(40):
            if ctx.get(bench.unit.control.done):
                return
            assert not ctx.get(bench.unit.control.fault)
            ctx.set(bench.unit.loop_done, 1)
            await ctx.tick()
        raise AssertionError("no end")

    bench.run(run)


@each_shape
def test_calibration_drives_zero_and_keeps_codes(config: ChipConfig):
    """Neither wrong words nor a large exponent stop it, and no vector is written."""
    codes = tuple(range(1, config.size + 1))
    case = Case(config, calibrate=1, codes=codes, exponent=EXPONENT_MAX, drive_range=7,
                wrong=frozenset(range(config.block)))
    outcome = execute(case)
    assert (outcome.done, outcome.fault) == (1, TrapCause.NONE)
    assert outcome.driven == [(index, 1) for index in range(config.block)]
    assert outcome.kept == list(range(config.block))
    assert not outcome.mantissas and not outcome.exponents
    assert outcome.clocks == cycles.drive_cycles(config) + case.clocks + 1 + cycles.store_cycles(config)


@pytest.mark.parametrize(("ends", "fault"), [("clip_trap", TrapCause.CLIP), ("settle_trap", TrapCause.SETTLE)])
@pytest.mark.parametrize("calibrate", [0, 1])
def test_a_loop_that_gives_no_result_writes_nothing(ends: str, fault: TrapCause, calibrate: int):
    outcome = execute(Case(calibrate=calibrate, ends=ends, codes=(1, 2, 3, 4), clocks=9))
    assert (outcome.done, outcome.fault) == (0, fault)
    assert outcome.clocks == cycles.drive_cycles(TINY) + 10
    assert not outcome.mantissas and not outcome.exponents and not outcome.kept


def test_a_reset_stops_it_anywhere_and_the_next_starts_anew():
    bench, case = UnitBench(), Case(codes=(9, -8, 7, -6), exponent=2, drive_range=1, clocks=3)
    expected = execute(case)

    async def run(ctx):
        for clocks in range(expected.clocks):
            await bench.execute(ctx, case, limit=clocks)
            ctx.set(bench.reset, 1)
            await ctx.tick()
            ctx.set(bench.reset, 0)
            ctx.set(bench.unit.loop_done, 0)
            assert await bench.execute(ctx, case) == expected

    bench.run(run)

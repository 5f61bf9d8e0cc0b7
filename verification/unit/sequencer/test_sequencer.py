"""The sequencer inside the chip: illegal words, the program counter, loops and branches, halts, refusals while running,
aborts; what traps do is in ``traps/``."""

import numpy as np
import pytest
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import SLVERR, ChipAndGolden, mantissas_of
from verification.unit.simulation import SHAPES

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect
from ohmloop.golden import cycles
from ohmloop.golden.assembler import assemble
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.isa import HALT, INSTRUCTIONS, PROGRAM_WORDS
from ohmloop_hdl.sequencer.traps import TrapCause

TINY = CONFIGS["tiny"]
IDEAL = AnalogParams.ideal()
CODES = definite(4, 15, seed=3)
DRIVE = [12, -9, 7, 15]
OLD = ([0x0102_0304, -5, 6, 0x7FFF_FFFF], 9)
"""What the destination holds before, to see that it stays."""

QUICK = dict(solve_interval=100, multiply_interval=60)
GOOD = "PROG\nINV v2, v1\nHALT 0"


async def prepare(pair: ChipAndGolden, ctx, **changes: int):
    await pair.load(ctx, CODES, {1: (mantissas_of(DRIVE, TINY), 0), 3: OLD})
    await pair.configure(ctx, **(QUICK | changes))


async def solve_again(pair: ChipAndGolden, ctx):
    """The next run must be right whatever happened before."""
    await prepare(pair, ctx)
    run = await pair.go(ctx, GOOD)
    assert run.trap is TrapCause.NONE
    got = pair.machine.mantissas[2] * 2.0 ** (pair.machine.exponents[2] - 31)
    exact = np.linalg.solve(CODES / 15, np.array(DRIVE) / 128)
    assert np.abs(got - exact).max() <= 1.01 * 2.0 ** (pair.machine.exponents[2] - 7)


def refuses(words: list[int]):
    """Each word traps ``illegal`` in its decode clock and changes nothing; behind them a right solve follows."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    chip = pair.chip.chip

    async def bench(ctx):
        await pair.fill(ctx, 1, CODES)
        for start in range(0, len(words), PROGRAM_WORDS):
            part = words[start:start + PROGRAM_WORDS]
            await pair.program(ctx, part)
            memories = pair.chip.contents(ctx)
            for entry, word in enumerate(part):
                await pair.put(ctx, "ENTRY", entry)
                pair.chip.pulse(ctx, "CONTROL.start")
                await ctx.tick().repeat(3)
                assert ctx.get(chip.sequencer.halted)
                shown = [pair.chip.field(ctx, name) for name in (
                    "STATUS.trap", "STATUS.pc", "CYCLES.count", "STATUS.halt_code")]
                assert shown == [TrapCause.ILLEGAL, entry, 2, 0], hex(word)
            assert pair.chip.contents(ctx) == memories
        assert not pair.chip.trace.retired and pair.chip.trace.phases == {Phase.ISSUE: 2 * len(words)}
        await solve_again(pair, ctx)

    pair.run(bench)


def test_an_operation_code_outside_the_table_is_illegal():
    free = set(range(32)) - {instruction.opcode for instruction in INSTRUCTIONS}
    assert free == {0, *range(15, 32)}
    refuses([opcode << 27 for opcode in free] + [1, 0xFFFF_FFFF])


STRAY = {"AXPY": 10, "MAT": 10, "DOT": 15, "DIV": 15, "INV": 18, "MUL": 19, "PROG": 26, "SCRUB": 27, "LD": 21, "ST": 23,
         "SETC": 7, "LOOP": 15, "BLE": 4, "HALT": 19}
"""Bits below the operation code that each instruction leaves unused."""


def test_a_stray_bit_is_illegal():
    """Every bit that an instruction does not use, alone, in every instruction."""
    words = []
    for instruction in INSTRUCTIONS:
        word = instruction.encode(*(0 for _ in instruction.operands))
        stray = [1 << bit for bit in range(27) if not any(operand.mask >> bit & 1 for operand in instruction.operands)]
        assert len(stray) == STRAY[instruction.name]
        words += [word | bit for bit in stray]
    refuses(words)


def test_the_program_counter_stays_at_the_instruction_that_trapped():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx)
        for entry in (0, 1, 128, 254, 255):
            run = await pair.go(ctx, [*assemble("SETC c1, 1\nAXPY v2, v1, k0, v0"), 0], entry, windows=False)
            assert (run.trap, run.pc) == (TrapCause.ILLEGAL, (entry + 2) % PROGRAM_WORDS)
        await solve_again(pair, ctx)

    pair.run(bench)


def test_empty_memory_is_illegal():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        for entry in (0, 77, 255):
            run = await pair.go(ctx, [], entry, windows=False)
            assert (run.trap, run.pc, run.cycles) == (TrapCause.ILLEGAL, entry, 2)

    pair.run(bench)


def test_loops_nest_and_count():
    """A counter of n runs a loop n times, 0 counts as 65536; sixteen counters are apart from each other."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        run = await pair.go(ctx, """
                    SETC c1, 3
            outer:  SETC c2, 4
            inner:  SETC c3, 1
            once:   LOOP c3, once
                    LOOP c2, inner
                    LOOP c1, outer
                    HALT 5
        """)
        assert run.halt_code == 5 and len(run.retired) == 1 + 3 * (1 + 4 * 3 + 1) + 1
        assert pair.machine.counters[1:4] == [0, 0, 0]
        await pair.go(ctx, "\n".join(f"SETC c{c}, {65535 - c}" for c in range(16)) + "\nHALT 0")
        run = await pair.go(ctx, "SETC c9, 0\nl: LOOP c9, t\nHALT 1\nt: HALT 2")
        assert run.halt_code == 2 and pair.machine.counters[8:11] == [65527, 65535, 65525]
        # Through the end of the memory.
        run = await pair.go(ctx, "SETC c1, 2\nLOOP c1, 255\nHALT 6", 254)
        assert run.halt_code == 6 and [retired.pc for retired in run.retired] == [254, 255, 255, 0]

    pair.run(bench)


def test_branches():
    """On exact comparisons, forwards, backwards, onto itself only where it is not taken, and always with k0, k0."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        one = 1 << 22
        for k, scalar in ((1, Scalar(one, 1)), (2, Scalar(one // 2, 2)), (3, Scalar(one + 1, 1)), (4, Scalar(-one, 5)),
                          (5, Scalar(0, 9))):
            await pair.load_scalar(ctx, k, scalar)
        for i, j, imm, taken in ((1, 2, 0, 1), (3, 1, 0, 0), (1, 3, 0, 1), (4, 5, 0, 1), (5, 4, 0, 0), (3, 1, 1, 1),
                                 (1, 1, -1, 0), (4, 4, -1, 1), (5, 0, -64, 1), (0, 5, 63, 0), (0, 0, 0, 1)):
            run = await pair.go(ctx, f"BLE k{i}, k{j}, {imm}, t\nHALT 1\nt: HALT 2", windows=False)
            assert run.halt_code == 1 + taken, (i, j, imm)
        run = await pair.go(ctx, "BLE k0, k0, 0, b\na: HALT 3\nb: BLE k3, k1, 0, b\nBLE k0, k0, 0, a\nHALT 4")
        assert run.halt_code == 3 and [retired.pc for retired in run.retired] == [0, 2, 3, 1]

    pair.run(bench)


@pytest.mark.parametrize(("exponent", "drive_range", "traps"), [
    (511, 0, False), (511, 1, True), (510, 1, False), (510, 2, True), (505, 7, True), (504, 7, False),
])
def test_the_exponent_of_an_inverse(exponent: int, drive_range: int, traps: bool):
    """Exponent of the source + drive_range, as long as that is not above the largest."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx, drive_range=drive_range)
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of([100, 0, 0, 0], TINY), exponent)})
        run = await pair.go(ctx, "PROG\nINV v3, v1\nHALT 0")
        if traps:
            assert (run.trap, run.pc) == (TrapCause.RANGE, 1)
            assert pair.machine.mantissas[3].tolist() == OLD[0] and pair.machine.exponents[3] == OLD[1]
        else:
            assert run.trap is TrapCause.NONE and pair.machine.exponents[3] == exponent + drive_range

    pair.run(bench)


@pytest.mark.parametrize(("exponent", "feedback", "result"), [
    (511, 3, None), (507, 3, 511), (508, 3, None), (511, 1, 511), (-511, 0, EXPONENT_MIN), (-510, 0, EXPONENT_MIN),
    (-509, 0, -511), (-511, 1, -511),
])
def test_the_exponent_of_a_product(exponent: int, feedback: int, result: int | None):
    """Exponent of the source + log2 4 + 2 feedback - 4; below the smallest it is zero."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx, feedback=feedback)
        await pair.load(ctx, np.full((4, 4), 15), {1: (mantissas_of([20, 5, 1, 3], TINY), exponent)})
        run = await pair.go(ctx, "PROG\nMUL v3, v1\nHALT 0")
        if result is None:
            assert (run.trap, run.pc) == (TrapCause.RANGE, 1)
            assert pair.machine.mantissas[3].tolist() == OLD[0] and pair.machine.exponents[3] == OLD[1]
        else:
            assert run.trap is TrapCause.NONE and pair.machine.exponents[3] == result

    pair.run(bench)


def test_zero_in_gives_zero_out_whatever_the_ranges():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx, drive_range=7, feedback=3)
        await pair.load(ctx, vectors={1: ([0, 0, 0, 0], 511), 4: ([1 << 30] * 4, EXPONENT_MIN)})
        for source in ("v1", "v0", "v4"):
            await pair.go(ctx, f"PROG\nINV v2, {source}\nMUL v3, {source}\nHALT 0")
            assert pair.machine.exponents[2] == pair.machine.exponents[3] == EXPONENT_MIN

    pair.run(bench)


def test_a_destination_of_v0_changes_nothing():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx)
        run = await pair.go(ctx, "PROG\nINV v0, v1\nMUL v0, v1\nHALT 0")
        assert run.phases[Phase.STORE] == 2 * cycles.store_cycles(TINY)

    pair.run(bench)


def test_source_and_destination_may_be_the_same():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx)
        await pair.go(ctx, "PROG\nINV v1, v1\nMUL v1, v1\nHALT 0")
        got = pair.machine.mantissas[1] * 2.0 ** (pair.machine.exponents[1] - 31)
        assert np.abs(got - np.array(DRIVE) / 128).max() < 0.05

    pair.run(bench)


def test_halt_reports_its_code():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        for code in (0, 1, 7, 255):
            run = await pair.go(ctx, f"SETC c1, 1\nHALT {code}", windows=False)
            assert (run.halt_code, run.pc, run.trap) == (code, 1, TrapCause.NONE)
            assert await pair.field(ctx, "STATUS.halt_code") == code
            assert await pair.field(ctx, "INTR_STATE.done") and not await pair.field(ctx, "INTR_STATE.trap")
            assert pair.chip.trace.retired[-1].instruction == HALT.encode(code)

    pair.run(bench)


def test_each_instruction_retires_once_with_its_address_and_word():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    words = assemble("PROG\nINV v2, v1\nMUL v4, v2\nHALT 9")

    async def bench(ctx):
        await prepare(pair, ctx)
        await pair.go(ctx, words, entry=254)
        assert [(r.pc, r.instruction) for r in pair.chip.trace.retired] == [
            ((254 + i) % 256, word) for i, word in enumerate(words)]

    pair.run(bench)


def test_a_trap_is_forgotten_at_the_next_start():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        assert (await pair.go(ctx, [0])).trap is TrapCause.ILLEGAL
        assert (await pair.go(ctx, "HALT 4")).trap is TrapCause.NONE
        assert (await pair.go(ctx, [0])).halt_code == 0

    pair.run(bench)


def test_a_start_while_running_is_ignored():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx)
        await pair.start(ctx, GOOD)
        for _ in range(6):
            await ctx.tick().repeat(37)
            assert not await pair.field(ctx, "STATUS.halted")
            await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.start"].mask)
        await pair.finish(ctx, pair.machine.run())

    pair.run(bench)


def test_windows_and_configuration_refuse_while_running():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    registers = pair.map.registers
    guarded = ["ENTRY", "SIZES", "SOLVE_INTERVAL", "MULTIPLY_INTERVAL", "TIMEOUT", "TOLERANCE", "SWITCHES", "ARRAY",
               "BANDWIDTH", "RANGES", "WATCHDOG", "TEST"]

    async def bench(ctx):
        await prepare(pair, ctx, solve_interval=400)
        before = {name: await pair.words(ctx, registers[name]) for name in guarded}
        await pair.start(ctx, GOOD)
        for window in pair.map.windows.values():
            for word in (0, window.words - 1):
                assert (await pair.chip.read(ctx, window.address + 4 * word))[0] == SLVERR
                assert await pair.chip.write(ctx, window.address + 4 * word, 0x0A0B_0C0D) == SLVERR
        for name in guarded:
            assert await pair.chip.write(ctx, registers[name], 0xFFFF_FFFF) == SLVERR
        for name, register in registers.items():
            assert (await pair.chip.read(ctx, register))[0] == 0, name
        assert not await pair.field(ctx, "STATUS.halted")
        await pair.finish(ctx, pair.machine.run())
        after = {name: await pair.words(ctx, registers[name]) for name in guarded}
        assert after == before

    pair.run(bench)


def test_status_while_running_shows_the_loop_and_the_address():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx, solve_interval=300)
        await pair.start(ctx, GOOD)
        assert await pair.field(ctx, "STATUS.pc") == 0 and not await pair.field(ctx, "STATUS.loop_closed")
        await ctx.tick().until(pair.chip.chip.macro.close_solve)
        assert await pair.field(ctx, "STATUS.pc") == 1 and await pair.field(ctx, "STATUS.loop_closed")
        await pair.finish(ctx, pair.machine.run())

    pair.run(bench)


@pytest.mark.parametrize(("program", "stride", "met"), [
    ("PROG\nINV v2, v1\nMUL v2, v1\nSCRUB\nHALT 0", 7,
     {Phase.ISSUE, Phase.PROGRAM, Phase.DRIVE, Phase.PREPARE, Phase.SETTLE, Phase.CONVERT, Phase.STORE}),
    ("AXPY v2, v1, k0, v3\nMAT v2, v1, -m0, v3\nDOT k2, v1, v3\nDIV k3, k0, k1\nBLE k0, k0, 0, 5\nHALT 0", 4,
     {Phase.ISSUE, Phase.VECTOR, Phase.SCALAR}),
    ("LD v2\nST v1\nST v2\nLD m0\nPROG stream\nHALT 0", 5, {Phase.STREAM, Phase.WAIT, Phase.PROGRAM}),
], ids=["loop", "numbers", "streams"])
def test_an_abort_in_any_clock_stops_and_opens_in_the_next(program: str, stride: int, met: set[Phase]):
    """From every phase. Vectors and scalars that are no destination stay, and so does the program; the status reads as
    after reset, and nobody is interrupted. Behind it the chip does everything anew."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    chip, pins, trace = pair.chip, pair.chip.chip.macro, pair.chip.chip.trace
    phases = set()
    parts = "vectors", "scalar_unit", "program", "correction"

    async def bench(ctx):
        await chip.execute(ctx, pair.driver.ready())
        await pair.configure(ctx, solve_interval=25, timeout=60, multiply_interval=25, dead=3, autozero=5, tolerance=2)
        clocks = 0
        while True:
            await pair.fill(ctx, 1, CODES)
            await pair.program(ctx, program)
            await pair.perform(ctx, Connect(0.6, 0.6, clocks))
            for count in (5, 16, 4) if "LD" in program else ():
                await pair.send(ctx, list(range(0x0101_0101, 0x0101_0101 + count)))
            before = chip.contents(ctx, *parts)
            chip.pulse(ctx, "CONTROL.start")
            await ctx.tick().repeat(clocks + 1)
            if ctx.get(chip.chip.sequencer.halted):
                break
            phases.add(Phase(ctx.get(trace.phase)))
            chip.withdraw()
            chip.pulse(ctx, "CONTROL.abort")
            await ctx.tick()
            for _ in range(3):
                open_pins = (pins.close_solve, pins.close_multiply, pins.autozero, pins.sample, pins.write, pins.row,
                             pins.read)
                assert not any(ctx.get(pin) for pin in open_pins), clocks
                assert ctx.get(trace.phase) == Phase.IDLE
                await ctx.tick()
            assert await pair.words(ctx, pair.map.registers["STATUS"]) == [pair.map.fields["STATUS.halted"].mask]
            for name in ("CYCLES.count", "STREAM_WAITS.count", "INTR_STATE.done", "INTR_STATE.trap"):
                assert not chip.field(ctx, name), name
            assert changed_registers(before, chip.contents(ctx, *parts)) <= {"v2", "k2", "k3"}
            await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.flush"].mask)
            clocks += stride
        pair.machine.source.clear()
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.flush"].mask)
        await pair.fill(ctx, 2, CODES)
        pair.machine.valid_arrays = bool(chip.field(ctx, "VALID.arrays"))
        await solve_again(pair, ctx)

    pair.run(bench)
    assert phases >= met


def changed_registers(before: dict[str, list[int]], after: dict[str, list[int]]) -> set[str]:
    """Registers, and places in other memories, whose contents differ."""
    changed = set()
    for name, words in before.items():
        for row, (old, new) in enumerate(zip(words, after[name], strict=True)):
            if old != new and name.startswith("vectors."):
                changed.add(f"v{row if 'exponents' in name else row // TINY.block}")
            elif old != new:
                changed.add(f"k{row}" if name.startswith("scalar_unit") else f"{name}[{row}]")
    return changed


@pytest.mark.parametrize(("program", "words", "lost"), [
    ("INV v2, v1", 0, ""), ("SCRUB", 0, ""), ("PROG", 0, "arrays"), ("LD v2", 2, ""), ("LD m0", 2, "slots"),
    ("LD codes", 1, "codes"), ("PROG stream", 1, "arrays codes")])
def test_an_abort_leaves_nothing_valid_that_was_under_way(program: str, words: int, lost: str):
    """Arrays while they are programmed, a slot and the code memory while they are filled; a vector that was being
    filled reads zero."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await pair.perform(ctx, Connect())
        await pair.fill(ctx, 1, CODES)
        await pair.configure(ctx, **QUICK)
        await pair.go(ctx, "PROG\nHALT 0", windows=False)
        await pair.program(ctx, program)
        if words:
            await pair.send(ctx, [5] * 6)
        pair.chip.pulse(ctx, "CONTROL.start")
        # In the third clock of work, and where a stream is waited for, not sooner than all of this was taken.
        await ctx.tick().repeat(6)
        pair.chip.withdraw()
        assert not ctx.get(pair.chip.chip.sequencer.halted)
        pair.chip.pulse(ctx, "CONTROL.abort")
        await ctx.tick()
        valid = {name for name in ("slots", "codes", "arrays") if pair.chip.field(ctx, f"VALID.{name}")}
        assert {"slots", "codes", "arrays"} - valid == set(lost.split())
        exponents = await pair.words(ctx, pair.map.windows["EXPONENTS"].address, 16)
        assert (exponents[2] == EXPONENT_MIN & 0xFFFF_FFFF) == (program == "LD v2")
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.flush"].mask)
        pair.machine.source.clear()
        await pair.fill(ctx, 1, CODES)
        await solve_again(pair, ctx)

    pair.run(bench)


def test_a_run_right_behind_an_abort_does_not_meet_the_old_conversion():
    """One converter takes 36 clocks for a scan, the next run needs fewer to its own first sample."""
    config = SHAPES["alone"]
    pair = ChipAndGolden(Die.sample(config, IDEAL))
    control, fields = pair.map.registers["CONTROL"], pair.map.fields

    async def bench(ctx):
        await pair.load(ctx, np.diag([7] * 4), {1: (mantissas_of([10, 100, -50, 2], config), 0)})
        await pair.configure(ctx, solve_interval=2, dead=0, autozero=0)
        await pair.go(ctx, "PROG\nHALT 0")
        for clocks in range(0, 40, 3):
            await pair.start(ctx, "INV v2, v1\nHALT 0")
            await ctx.tick().until(pair.chip.chip.macro.sample)
            await ctx.tick().repeat(clocks + 1)
            await pair.chip.write(ctx, control, fields["CONTROL.abort"].mask)
            pair.restart(ctx)
            await pair.chip.write(ctx, control, fields["CONTROL.start"].mask)
            await pair.finish(ctx, pair.machine.run(), windows=False)

    pair.run(bench)


def test_an_abort_leaves_memories_settings_and_other_vectors():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx, tolerance=3, drive_range=2)
        await pair.start(ctx, GOOD)
        await ctx.tick().until(pair.chip.chip.macro.close_solve)
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.abort"].mask)
        await pair.compare_vectors(ctx)
        assert await pair.field(ctx, "TOLERANCE.lsb") == 3 and await pair.field(ctx, "RANGES.drive_range") == 2
        words = await pair.words(ctx, pair.map.windows["PROGRAM"].address, 3)
        assert words == assemble(GOOD)
        packed = np.array(await pair.words(ctx, pair.map.windows["CODES"].address, 4), dtype="<u4").view(np.int8)
        assert packed.reshape(4, 4).tolist() == CODES.tolist()

    pair.run(bench)


def test_an_abort_while_halted_does_nothing():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx)
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.abort"].mask)
        await solve_again(pair, ctx)

    pair.run(bench)


def test_interrupt_test_raises_the_line_by_software():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        line = pair.chip.chip.interrupt
        await pair.chip.execute(ctx, pair.driver.ready())
        for name in ("done", "trap", "wiped"):
            mask = pair.map.fields[f"INTR_TEST.{name}"].mask
            await pair.put(ctx, "INTR_ENABLE", 0)
            await pair.put(ctx, "INTR_TEST", mask)
            assert await pair.words(ctx, pair.map.registers["INTR_STATE"]) == [mask]
            assert not ctx.get(line)
            await pair.put(ctx, "INTR_ENABLE", mask)
            await ctx.tick()
            assert ctx.get(line)
            await pair.put(ctx, "INTR_STATE", mask)
            await ctx.tick()
            assert not ctx.get(line)

    pair.run(bench)

"""The sequencer inside the chip: traps, halts, refusals while running, aborts; after each of them a right solve."""

import numpy as np
import pytest
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import SLVERR, ChipAndGolden, mantissas_of
from verification.unit.simulation import SHAPES

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.golden import cycles
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Run
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.isa import HALT, INV, MUL, PROG, RESERVED, Instruction
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
    await pair.load(ctx, CODES, {1: (mantissas_of(DRIVE, TINY), 0)})
    await pair.configure(ctx, **QUICK, bad_limit=16)
    run = await pair.go(ctx, GOOD)
    assert run.trap is TrapCause.NONE
    got = pair.machine.mantissas[2] * 2.0 ** (pair.machine.exponents[2] - 31)
    exact = np.linalg.solve(CODES / 15, np.array(DRIVE) / 128)
    assert np.abs(got - exact).max() <= 1.01 * 2.0 ** (pair.machine.exponents[2] - 7)


def trapped(program: str | list[int], cause: TrapCause, pc: int, entry: int = 0, codes=None, exponent: int = 0,
            die: Die | None = None, **changes: int) -> Run:
    """Run a program that traps with v3 as destination, check cause, place and v3, and solve again."""
    pair = ChipAndGolden(die or Die.sample(TINY, IDEAL))
    runs = []

    async def bench(ctx):
        await prepare(pair, ctx, **changes)
        await pair.load(ctx, codes, {1: (mantissas_of(DRIVE, TINY), exponent)})
        run = await pair.go(ctx, program, entry)
        runs.append(run)
        assert (run.trap, run.pc) == (cause, pc)
        assert await pair.field(ctx, "INTR_STATE.trap") and not await pair.field(ctx, "INTR_STATE.done")
        assert await pair.field(ctx, "STATUS.halt_code") == 0
        assert pair.machine.mantissas[3].tolist() == OLD[0] and pair.machine.exponents[3] == OLD[1]
        pins = pair.chip.chip.macro
        assert not any(ctx.get(pin) for pin in (pins.close_solve, pins.close_multiply, pins.autozero, pins.sample))
        if die is None:
            await solve_again(pair, ctx)

    pair.run(bench)
    return runs[0]


def test_empty_memory_is_illegal():
    run = trapped([], TrapCause.ILLEGAL, 0)
    assert run.cycles == 2


def refuses(words: list[int]):
    """Each word alone traps ``illegal`` in its decode clock, behind which a right solve follows."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await pair.load(ctx, vectors={3: OLD})
        for word in words:
            await pair.program(ctx, [word])
            status = await pair.chip.execute(ctx, pair.device.run())
            assert (status.trap, status.pc, status.cycles, status.halt_code) == (TrapCause.ILLEGAL, 0, 2, 0), hex(word)
        assert not pair.chip.retired
        await pair.compare_vectors(ctx)
        await solve_again(pair, ctx)

    pair.run(bench)


def test_an_operation_code_outside_the_table_is_illegal():
    free = set(range(32)) - {INV.opcode, MUL.opcode, PROG.opcode, HALT.opcode}
    assert set(RESERVED.values()) < free
    refuses([opcode << 27 for opcode in free] + [1, 0xFFFF_FFFF])


@pytest.mark.parametrize("instruction", [INV, MUL, PROG, HALT], ids=lambda i: i.name)
def test_a_stray_bit_is_illegal(instruction: Instruction):
    word = instruction.encode(*(1 for _ in instruction.operands))
    stray = [1 << bit for bit in range(27) if not any(operand.mask >> bit & 1 for operand in instruction.operands)]
    assert len(stray) == {"INV": 19, "MUL": 19, "PROG": 27, "HALT": 19}[instruction.name]
    refuses([word | bit for bit in stray])


@pytest.mark.parametrize("entry", [0, 1, 128, 255])
def test_the_program_counter_stays_at_the_instruction_that_trapped(entry: int):
    trapped([*assemble("PROG\nINV v2, v1"), 0], TrapCause.ILLEGAL, (entry + 2) % 256, entry=entry)


@pytest.mark.parametrize(("exponent", "drive_range", "traps"), [
    (511, 0, False), (511, 1, True), (510, 1, False), (510, 2, True), (505, 7, True), (504, 7, False),
])
def test_an_exponent_above_the_largest_traps_before_the_write(exponent: int, drive_range: int, traps: bool):
    source = "PROG\nINV v3, v1\nHALT 0"
    if traps:
        run = trapped(source, TrapCause.RANGE, 1, exponent=exponent, drive_range=drive_range)
        assert run.phases[Phase.STORE] == 0
        return
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        await prepare(pair, ctx, drive_range=drive_range)
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of([100, 0, 0, 0], TINY), exponent)})
        assert (await pair.go(ctx, source)).trap is TrapCause.NONE
        assert pair.machine.exponents[3] == exponent + drive_range

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


RUNAWAY = np.diag([15, 15, -15, 15])


@pytest.mark.parametrize("drive_range", [0, 5, 7])
def test_a_loop_that_always_clips_traps_in_the_last_range(drive_range: int):
    run = trapped("PROG\nINV v3, v1\nHALT 0", TrapCause.CLIP, 1, codes=RUNAWAY, drive_range=drive_range)
    attempts = 8 - drive_range
    # Dead time, auto-zero, dead time; the first one goes on while the DACs are loaded.
    assert run.phases[Phase.PREPARE] == attempts * (2 + 16 + 2) - cycles.drive_cycles(TINY)
    assert [scan.clock for scan in run.scans] == [100] * attempts
    assert run.phases[Phase.STORE] == 0


def test_a_loop_that_does_not_settle_traps_after_the_time_out():
    noisy = Die.sample(TINY, AnalogParams(read_noise_V=0.05))
    run = trapped("PROG\nINV v3, v1\nHALT 0", TrapCause.SETTLE, 1, die=noisy, timeout=700, tolerance=0)
    # Samples at 100, 200, ...; the verdict comes 19 clocks later.
    assert run.scans[-1].clock == 700


def test_one_scan_alone_is_never_a_result():
    run = trapped("PROG\nINV v3, v1\nHALT 0", TrapCause.SETTLE, 1, timeout=1)
    assert len(run.scans) == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_more_bad_cells_than_allowed_trap_verify(retries: int):
    die = Die.sample(TINY, IDEAL, stuck=((0, 0, 1, 14), (1, 3, 2, 9)))
    run = trapped("PROG\nINV v3, v1\nHALT 0", TrapCause.VERIFY, 0, die=die, codes=np.diag([15] * 4), bad_limit=1,
                  retries=retries)
    assert run.phases[Phase.PROGRAM] == (4 * cycles.row_cycles(TINY, 4) + 2 * retries * cycles.attempt_cycles(4)
                                         + cycles.PROGRAM_END)
    assert not run.scans


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_halt_reports_its_code(code: int):
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))

    async def bench(ctx):
        run = await pair.go(ctx, f"PROG\nHALT {code}")
        assert (run.halt_code, run.pc, run.trap) == (code, 1, TrapCause.NONE)
        assert await pair.field(ctx, "STATUS.halt_code") == code
        assert await pair.field(ctx, "INTR_STATE.done") and not await pair.field(ctx, "INTR_STATE.trap")
        assert pair.chip.retired == [(0, PROG.encode()), (1, HALT.encode(code))]

    pair.run(bench)


def test_each_instruction_retires_once_with_its_address_and_word():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    words = assemble("PROG\nINV v2, v1\nMUL v4, v2\nHALT 9")

    async def bench(ctx):
        await prepare(pair, ctx)
        await pair.go(ctx, words, entry=254)
        assert pair.chip.retired == [((254 + i) % 256, word) for i, word in enumerate(words)]

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
               "BANDWIDTH", "RANGES"]

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


@pytest.mark.parametrize("part", range(2))
def test_an_abort_in_any_clock_stops_and_opens_in_the_next(part: int):
    """From every phase; the arrays may be half written, so the run behind it programs them anew."""
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    abort = pair.map.fields["CONTROL.abort"].mask
    pins, trace = pair.chip.chip.macro, pair.chip.chip.trace
    phases = set()

    async def bench(ctx):
        await prepare(pair, ctx, solve_interval=25, timeout=60, multiply_interval=25, dead=3, autozero=5)
        await pair.program(ctx, "PROG\nINV v2, v1\nMUL v2, v1\nHALT 0")
        await pair.put(ctx, "INTR_STATE", 3)
        for clocks in range(part, 200, 2):
            await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.start"].mask)
            await ctx.tick().repeat(clocks + 1)
            # The target takes the write, the register bank stores it, and in the clock after that the abort acts.
            axil = pair.chip.chip.axil
            for name, value in (("awaddr", pair.map.registers["CONTROL"]), ("awvalid", 1), ("wdata", abort),
                                ("wstrb", 1), ("wvalid", 1), ("bready", 1)):
                ctx.set(getattr(axil, name), value)
            await ctx.tick()
            ctx.set(axil.awvalid, 0)
            ctx.set(axil.wvalid, 0)
            await ctx.tick()
            phases.add(Phase(ctx.get(trace.phase)))
            await ctx.tick()
            for _ in range(4):
                open_pins = (pins.close_solve, pins.close_multiply, pins.autozero, pins.sample, pins.write, pins.row,
                             pins.read)
                assert not any(ctx.get(pin) for pin in open_pins), clocks
                assert ctx.get(trace.phase) == Phase.IDLE
                await ctx.tick()
            ctx.set(axil.bready, 0)
            assert await pair.field(ctx, "STATUS.halted") and not await pair.field(ctx, "STATUS.loop_closed")
        await solve_again(pair, ctx)

    pair.run(bench)
    assert phases >= set(Phase) - {Phase.IDLE}


@pytest.mark.parametrize("clocks", range(0, 40, 3))
def test_a_run_right_behind_an_abort_does_not_meet_the_old_conversion(clocks: int):
    """One converter takes 36 clocks for a scan, the next run needs fewer to its own first sample."""
    config = SHAPES["alone"]
    pair = ChipAndGolden(Die.sample(config, IDEAL))
    control, fields = pair.map.registers["CONTROL"], pair.map.fields

    async def bench(ctx):
        await pair.load(ctx, np.diag([7] * 4), {1: (mantissas_of([10, 100, -50, 2], config), 0)})
        await pair.configure(ctx, solve_interval=2, dead=0, autozero=0)
        await pair.go(ctx, "PROG\nHALT 0")
        await pair.start(ctx, "INV v2, v1\nHALT 0")
        await ctx.tick().until(pair.chip.chip.macro.sample)
        await ctx.tick().repeat(clocks + 1)
        await pair.chip.write(ctx, control, fields["CONTROL.abort"].mask)
        pair.chip.restart_trace()
        await pair.chip.write(ctx, control, fields["CONTROL.start"].mask)
        await pair.finish(ctx, pair.machine.run())

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


@pytest.mark.parametrize("name", ["done", "trap"])
def test_interrupt_test_raises_the_line_by_software(name: str):
    pair = ChipAndGolden(Die.sample(TINY, IDEAL))
    mask = pair.map.fields[f"INTR_TEST.{name}"].mask

    async def bench(ctx):
        line = pair.chip.chip.interrupt
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

"""Every trap cause and every way to it: cause, place and clock as the golden machine says, nothing else changed, the
interrupt, an open loop, and behind it a right solve."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import SLVERR, ChipAndGolden, mantissas_of

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect
from ohmloop.golden import cycles
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN
from ohmloop_hdl.isa import COUNTER_BITS, DOT, LD, MAT
from ohmloop_hdl.sequencer.traps import TrapCause

TINY = CONFIGS["tiny"]
WIDE = ChipConfig(size=8, cell_bits=8, adcs=4, lanes=2, slots=2)
"""Two lanes with two words of codes each, two converters a lane, two slots."""

IDEAL = AnalogParams.ideal()
RUNAWAY = np.diag([15, 15, -15, 15])
QUICK = dict(solve_interval=40, multiply_interval=30, dead=1, autozero=3, write_cycles=1)
"""Settings with which small systems are solved in few clocks."""

PARITY, WATCHDOG, ILLEGAL, DIVIDE, RANGE, CLIP, SETTLE, VERIFY, STREAM = (
    TrapCause(value) for value in range(1, len(TrapCause)))
NONE = TrapCause.NONE


def registers(machine: Machine) -> dict[str, object]:
    """All that instructions can change, by the names that programs use."""
    vectors = {f"v{v}": (int(machine.exponents[v]), machine.mantissas[v].tolist()) for v in range(16)}
    scalars = {f"k{k}": scalar for k, scalar in enumerate(machine.scalars)}
    slots = {f"m{slot}": matrix.tolist() for slot, matrix in enumerate(machine.slots)}
    counters = {f"c{c}": count for c, count in enumerate(machine.counters)}
    return vectors | scalars | slots | counters | {
        "codes": machine.codes.tolist(), "offsets": machine.offsets.tolist(), "gains": machine.gains.tolist()}


class Traps(ChipAndGolden):
    """A chip that holds something everywhere, and what must be true behind every trap."""

    def __init__(self, config: ChipConfig = TINY, die: Die | None = None):
        super().__init__(die or Die.sample(config, IDEAL))
        self.good = definite(config.size, config.code_max, seed=3)
        self.source = mantissas_of([12, -9, 7, 15] * (config.size // 4), config)

    def check(self, bench) -> None:
        """Run ``bench`` on the chip, which holds something everywhere and is programmed."""
        async def ready(ctx):
            await self.chip.execute(ctx, self.device.ready())
            await self.perform(ctx, Connect())
            await self.fill(ctx, 1, self.good)
            await self.load(ctx, vectors={1: (self.source, 0)})
            await self.configure(ctx, **QUICK)
            assert (await self.go(ctx, "PROG\nHALT 7", windows=False)).trap is NONE
            await bench(ctx)

        self.run(ready)

    async def trap(self, ctx, program: str | list[int], cause: TrapCause, pc: int = 0, *, clocks: int | None = None,
                   entry: int = 0, fills: tuple[str, ...] = (), **settings: int) -> Run:
        """Run a program that traps and check all that a trap must do and must not do, then solve.

        ``fills`` are the registers that may change; ``clocks`` what the run takes, beside what the golden machine says.
        """
        await self.configure(ctx, **(QUICK | settings))
        await self.program(ctx, program, entry)
        before = registers(self.machine)
        run = await self.go(ctx, [], entry, windows=False)
        assert (run.trap, run.pc, run.halt_code) == (cause, pc, 0)
        assert clocks is None or run.cycles == clocks
        after = registers(self.machine)
        assert {name for name in before if before[name] != after[name]} <= set(fills)
        await self.stopped(ctx)
        await self.solve(ctx)
        return run

    async def stopped(self, ctx) -> None:
        """The loop is open, the interrupt is up, and it can be forgotten how the run ended."""
        pins, fields = self.chip.chip.macro, self.map.fields
        assert not any(ctx.get(pin) for pin in (
            pins.close_solve, pins.close_multiply, pins.autozero, pins.sample, pins.row, pins.write, pins.read))
        assert ctx.get(self.chip.chip.interrupt)
        assert await self.words(ctx, self.map.registers["INTR_STATE"]) == [fields["INTR_STATE.trap"].mask]
        await self.put(ctx, "INTR_STATE", fields["INTR_STATE.trap"].mask)
        await ctx.tick()
        assert not ctx.get(self.chip.chip.interrupt)
        await self.put(ctx, "CONTROL", fields["CONTROL.clear"].mask)
        assert await self.words(ctx, self.map.registers["STATUS"]) == [fields["STATUS.halted"].mask]

    async def solve(self, ctx) -> None:
        """What was made wrong is written again, and the solve that follows is right; without programming the arrays
        where they are as they were."""
        machine = self.machine
        for window, marks in (("OFFSETS", machine.wrong_offsets), ("GAINS", machine.wrong_gains),
                              ("SLOTS", machine.wrong_slots)):
            for place in np.argwhere(marks):
                await self.write_word(ctx, window, tuple(place))
        usable = machine.valid_arrays
        if machine.wrong_codes.any() or not machine.valid_codes or not np.array_equal(machine.codes, self.good):
            await self.load(ctx, self.good)
            usable = False
        if not np.array_equal(machine.mantissas[1], self.source) or machine.exponents[1]:
            await self.load(ctx, vectors={1: (self.source, 0)})
        await self.configure(ctx, **QUICK, bad_limit=16)
        program = "INV v2, v1\nHALT 0" if usable else "PROG\nINV v2, v1\nHALT 0"
        run = await self.go(ctx, program, windows=False)
        assert run.trap is NONE
        got, exponent = machine.mantissas[2] * 2.0 ** (machine.exponents[2] - 31), machine.exponents[2]
        exact = np.linalg.solve(self.good / self.config.code_max, self.source / 2.0 ** 31)
        assert np.abs(got - exact).max() <= 1.2 * 2.0 ** (exponent - self.config.adc_bits + 1)

    async def fine(self, ctx, program: str | list[int], entry: int = 0, **settings: int) -> Run:
        """Run a program that halts."""
        await self.configure(ctx, **(QUICK | settings))
        run = await self.go(ctx, program, entry, windows=False)
        assert run.trap is NONE
        return run


# Parity

def test_a_wrong_word_does_not_read_back():
    """Neither as a whole nor where only one byte of it was written wrong; written again, it does."""
    pair = Traps(WIDE)

    async def bench(ctx):
        for window, marks, granules in (("PROGRAM", pair.machine.wrong_program, 4),
                                        ("SLOTS", pair.machine.wrong_slots, 3), ("CODES", pair.machine.wrong_codes, 4),
                                        ("OFFSETS", pair.machine.wrong_offsets, 2),
                                        ("GAINS", pair.machine.wrong_gains, 2)):
            address, last = pair.map.windows[window].address, marks.size - 1
            for number, strobe in ((0, 0xF), (last, 0xF), *((last // 2, 1 << byte) for byte in range(granules))):
                place = tuple(int(i) for i in np.unravel_index(number, marks.shape))
                await pair.write_word(ctx, window, place, wrong=True, strobe=strobe)
                pair.compare_memories(ctx)
                for other in (number, last - number, (number + 1) % last):
                    response, _ = await pair.chip.read(ctx, address + 4 * other)
                    assert response == (SLVERR if other == number else 0), (window, number, other)
                await pair.write_word(ctx, window, place)
                assert (await pair.chip.read(ctx, address + 4 * number))[0] == 0
        pair.compare_memories(ctx)

    pair.check(bench)


def test_parity_of_an_instruction():
    """Whatever the word, in its decode clock; words that are not executed do not matter."""
    pair = Traps()

    async def bench(ctx):
        for text in ("HALT 3", "SETC c1, 9", "INV v3, v1", "LD v3"):
            await pair.program(ctx, text)
            await pair.write_word(ctx, "PROGRAM", (0,), wrong=True)
            await pair.trap(ctx, [], PARITY, clocks=2)
        for entry in (5, 254):
            await pair.program(ctx, f"SETC c4, 3\nBLE k0, k0, 0, {(entry + 3) % 256}\nHALT 1\nHALT 2", entry)
            await pair.write_word(ctx, "PROGRAM", ((entry + 3) % 256,), wrong=True)
            await pair.trap(ctx, [], PARITY, (entry + 3) % 256, entry=entry, clocks=2 + 4 + 2, fills=("c4",))
        for byte in range(4):
            await pair.program(ctx, "HALT 3")
            await pair.write_word(ctx, "PROGRAM", (0,), wrong=True, strobe=1 << byte)
            await pair.trap(ctx, [], PARITY, clocks=2)
        await pair.program(ctx, "HALT 3\nHALT 4")
        await pair.write_word(ctx, "PROGRAM", (1,), wrong=True)
        assert (await pair.fine(ctx, [])).halt_code == 3

    pair.check(bench)


def test_parity_goes_before_illegal():
    pair = Traps()

    async def bench(ctx):
        for word in (0, 0xFFFF_FFFF, MAT.encode(3, 0, 0, 7, 1)):
            await pair.program(ctx, [word])
            await pair.write_word(ctx, "PROGRAM", (0,), wrong=True)
            await pair.trap(ctx, [], PARITY, clocks=2)
            await pair.trap(ctx, [word], ILLEGAL, clocks=2)

    pair.check(bench)


@pytest.mark.parametrize("program", ["PROG", "SCRUB"])
def test_parity_of_the_code_memory(program: str):
    """First and last word of a row and of the memory, in each lane; of several the first one counts."""
    pair = Traps(WIDE)
    row_clocks = cycles.row_cycles(WIDE, QUICK["write_cycles"])
    if program == "SCRUB":
        row_clocks = cycles.load_cycles(WIDE) + 2 * cycles.LOOK + cycles.RECORD

    async def bench(ctx):
        for places in ([(0, 0)], [(0, 3)], [(7, 2)], [(7, 3)], [(5, 3), (5, 0)], [(4, 0), (1, 3)]):
            for place in places:
                await pair.write_word(ctx, "CODES", place, wrong=True)
            row, word = min((row, word % WIDE.code_words) for row, word in places)
            await pair.trap(ctx, program, PARITY, clocks=2 + row * row_clocks + word + 2)
        await pair.write_word(ctx, "CODES", (4, 0), wrong=True, strobe=0b0100)
        assert (await pair.go(ctx, program, windows=False)).trap is PARITY
        # PROG leaves arrays that cannot be used, SCRUB leaves them as they are.
        run = await pair.go(ctx, "INV v4, v1\nHALT 0", windows=False)
        assert run.trap is (ILLEGAL if program == "PROG" else NONE)
        await pair.solve(ctx)

    pair.check(bench)


def test_a_stream_replaces_wrong_codes():
    pair = Traps()

    async def bench(ctx):
        for program in ("LD codes\nPROG", "PROG stream"):
            for row in range(4):
                await pair.write_word(ctx, "CODES", (row, 0), wrong=True)
            await pair.trap(ctx, "PROG", PARITY)
            for row in range(4):
                await pair.write_word(ctx, "CODES", (row, 0), wrong=True)
            await pair.send(ctx, [0x0102_030F, 0x0405_0F06, 0x070F_0809, 0x0F0A_0B0C])
            await pair.fine(ctx, f"{program}\nHALT 0")
            await pair.solve(ctx)

    pair.check(bench)


def test_parity_of_a_slot():
    """First and last element, each lane, each slot; of several, the one that the lanes come to first."""
    pair = Traps(WIDE)

    async def bench(ctx):
        for slot in (0, 1):
            for places in ([(0, 0)], [(0, 7)], [(7, 7)], [(4, 0)], [(3, 7), (7, 3)], [(3, 2), (7, 2)],
                           [(1, 0), (4, 7)]):
                for row, column in places:
                    await pair.write_word(ctx, "SLOTS", (slot, row, column), wrong=True)
                row, column = min((row % WIDE.block, column) for row, column in places)
                await pair.fine(ctx, f"MAT v4, v2, m{1 - slot}, v3\nHALT 0")
                await pair.trap(ctx, f"MAT v3, v1, -m{slot}, v2", PARITY, clocks=2 + row * 8 + column + 3)
        await pair.write_word(ctx, "SLOTS", (0, 5, 6), wrong=True, strobe=0b010)
        # Elements outside of the vector are read as well.
        await pair.trap(ctx, "MAT v3, v0, m0, v2", PARITY, vector_size=2)

    pair.check(bench)


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
def test_parity_of_offsets_and_gains(config: ChipConfig):
    """MUL does not use offsets, and a calibration uses neither; it writes the offsets anew."""
    pair = Traps(config)
    n, last = config.size, config.adcs - 1

    async def bench(ctx):
        for window, place, element in (
                ("OFFSETS", 0, 0), ("OFFSETS", n - 1, config.block - 1), ("OFFSETS", n // 2, n // 2 % config.block),
                ("GAINS", 0, 0), ("GAINS", last, config.block - config.mux_steps)):
            await pair.write_word(ctx, window, (place,), wrong=True, strobe=1 + place % 2)
            await pair.trap(ctx, "INV v3, v1", PARITY, clocks=2 + element + 2)
            await pair.write_word(ctx, window, (place,), wrong=True)
            if window == "GAINS":
                await pair.trap(ctx, "MUL v3, v1", PARITY, clocks=2 + element + 2)
                await pair.write_word(ctx, window, (place,), wrong=True)
                await pair.fine(ctx, "INV v3, v1, cal\nHALT 0")
                await pair.trap(ctx, "INV v3, v1", PARITY)
            else:
                await pair.fine(ctx, "MUL v3, v1\nINV v3, v1, cal\nINV v3, v1\nHALT 0")
        pair.machine.offsets[:] = 0
        await pair.chip.execute(ctx, pair.device.load_correction(pair.machine.offsets, pair.machine.gains))

    pair.check(bench)


# Watchdog

async def every_limit(pair: Traps, ctx, text: str, writing: int, **settings: int) -> None:
    """Every limit below the clocks of the instruction: stopped in its last allowed clock, unless that is one of the
    ``writing`` clocks at the end; nothing is changed then."""
    settings = QUICK | settings
    await pair.configure(ctx, **settings)
    total = (await pair.go(ctx, f"{text}\nHALT 0", windows=False)).retired[0].cycles
    for limit in range(1, total + 2):
        pair.machine.settings = replace(pair.machine.settings, watchdog=limit)
        await pair.put(ctx, "WATCHDOG", limit)
        before = registers(pair.machine)
        status = await pair.chip.execute(ctx, pair.device.run(limit_clocks=5 * total))
        run = pair.machine.run()
        assert (status.trap, status.pc, status.cycles) == (run.trap, run.pc, run.cycles), limit
        if limit > total - writing:
            assert run.trap is NONE, limit
        else:
            assert (run.trap, run.pc, run.cycles) == (WATCHDOG, 0, max(limit, 3)), limit
            assert registers(pair.machine) == before
        pair.compare_memories(ctx)
    await pair.solve(ctx)


@pytest.mark.parametrize(("text", "writing"), [
    ("INV v3, v1", cycles.store_cycles(TINY)), ("MUL v3, v1", cycles.store_cycles(TINY)),
    ("INV v3, v1, cal", cycles.store_cycles(TINY)), ("SCRUB", cycles.PROGRAM_END),
])
def test_watchdog_in_every_clock_of_the_loop_and_the_arrays(text: str, writing: int):
    pair = Traps()

    async def bench(ctx):
        await every_limit(pair, ctx, text, writing, solve_interval=7, multiply_interval=7, tolerance=15)

    pair.check(bench)


def test_watchdog_in_every_clock_of_a_calculation():
    """The first pass can be stopped, the second, which writes, cannot; SETC, LOOP and HALT are too short for any."""
    pair = Traps()

    async def bench(ctx):
        for text, writing in (("AXPY v3, v1, k2, v2", TINY.block), ("MAT v3, v1, -m0, v2", TINY.block),
                              ("DOT k3, v1, v2", 1), ("DIV k3, k4, k5", 1), ("BLE k0, k0, 0, 1", 1)):
            await every_limit(pair, ctx, text, writing)
        for text in ("SETC c1, 0", "LOOP c1, 1"):
            await pair.fine(ctx, f"{text}\nHALT 0", watchdog=1)

    pair.check(bench)


def test_watchdog_while_programming():
    """In the first row, in the last, in the very last clock but one; arrays that were not finished cannot be used."""
    pair = Traps()
    total = 2 + 4 * cycles.row_cycles(TINY, QUICK["write_cycles"]) + 1

    async def bench(ctx):
        for limit in (1, 3, 4, 9, 21, total // 2, total - 2, total - 1):
            await pair.trap(ctx, "PROG", WATCHDOG, clocks=max(3, limit), watchdog=limit)
            await pair.configure(ctx, **QUICK, watchdog=limit)
            assert (await pair.go(ctx, "PROG", windows=False)).trap is WATCHDOG
            await pair.configure(ctx, **QUICK)
            for unusable in ("INV v3, v1", "MUL v3, v1", "SCRUB"):
                assert (await pair.go(ctx, unusable, windows=False)).trap is ILLEGAL
        for limit in (total, total + 1, 0):
            await pair.fine(ctx, "PROG\nHALT 0", watchdog=limit)

    pair.check(bench)


def test_watchdog_counts_each_instruction_by_itself():
    """A run may take much longer than its longest instruction; a limit of zero is none."""
    pair = Traps()

    async def bench(ctx):
        run = await pair.fine(ctx, "SETC c1, 9\nl: AXPY v4, v4, k2, v3\nLOOP c1, l\nINV v3, v1\nHALT 0")
        longest = run.retired[-2].cycles - run.retired[-3].cycles
        program = "SETC c1, 9\nl: AXPY v4, v4, k2, v3\nLOOP c1, l\nINV v5, v1\nHALT 0"
        await pair.fine(ctx, program, watchdog=longest)
        await pair.fine(ctx, program, watchdog=0)
        shorter = longest - cycles.store_cycles(TINY)
        await pair.trap(ctx, program, WATCHDOG, 3, watchdog=shorter, fills=("v4", "c1"))

    pair.check(bench)


def test_watchdog_does_not_count_waits_for_a_stream():
    """LD, ST and PROG from a stream that pauses for hundreds of clocks, within a limit that has no room for one."""
    pair = Traps()
    words = [0x0102_030F, 0x0405_0F06, 0x070F_0809, 0x0F0A_0B0C]
    total = 2 + 4 * (cycles.REFILL + cycles.fill_cycles(1) + cycles.row_cycles(TINY, QUICK["write_cycles"])) + 1

    async def late(ctx, program: str, *objects: list[int]) -> None:
        """Start, then send each object when the chip has waited for it."""
        await pair.start(ctx, program)
        for words in objects:
            await ctx.tick().repeat(200)
            assert ctx.get(pair.chip.chip.trace.phase) == Phase.WAIT
            await pair.send(ctx, words)
        run = pair.machine.run()
        await pair.finish(ctx, run, windows=False)
        assert run.trap is NONE and await pair.field(ctx, "STREAM_WAITS.count") >= 190 * len(objects)

    async def bench(ctx):
        await pair.configure(ctx, **QUICK, watchdog=3)
        await late(ctx, "LD v5\nLD v6\nHALT 0", [3, 1, 2, 3, 4], [5, 6, 7, 8, 9])
        await late(ctx, "LD m0\nHALT 0", list(range(16)))
        await pair.configure(ctx, **QUICK, watchdog=total)
        await late(ctx, "PROG stream\nHALT 0", words)
        await pair.perform(ctx, Connect(0.95, 0.95, 3))
        await pair.configure(ctx, **QUICK, watchdog=3)
        await pair.start(ctx, "ST v5\nST v6\nST v7\nHALT 0")
        await pair.finish(ctx, pair.machine.run(), windows=False)
        assert await pair.field(ctx, "STREAM_WAITS.count") > 50
        await pair.compare_stream(ctx)
        # The part that is not a wait is watched.
        await pair.configure(ctx, **QUICK, watchdog=total - 1)
        await pair.send(ctx, words)
        run = await pair.go(ctx, "PROG stream\nHALT 0", windows=False)
        assert (run.trap, run.cycles) == (WATCHDOG, total - 1) and await pair.field(ctx, "STREAM_WAITS.count") > 20
        await pair.solve(ctx)

    pair.check(bench)


# Illegal: operation codes and stray bits are in test_sequencer.py

def test_a_slot_that_does_not_exist():
    for config in (TINY, WIDE):
        pair = Traps(config)

        async def bench(ctx, pair=pair):
            for slot in range(pair.config.slots, 16):
                run = await pair.go(ctx, f"MAT v3, v1, m{slot}, v2", windows=False)
                assert (run.trap, run.cycles) == (ILLEGAL, 2), slot
                run = await pair.go(ctx, f"LD m{slot}", windows=False)
                assert (run.trap, run.cycles) == (ILLEGAL, 2), slot
            await pair.trap(ctx, f"MAT v3, v1, m{pair.config.slots}, v2", ILLEGAL, clocks=2)

        pair.check(bench)


def test_what_ld_cannot_fill():
    pair = Traps()

    async def bench(ctx):
        await pair.send(ctx, [1, 2, 3, 4, 5])
        for word in [LD.encode(3, d) for d in (0, 1, 15)] + [LD.encode(2, d) for d in (1, 8, 15)] + [LD.encode(1, 1)]:
            await pair.trap(ctx, [word], ILLEGAL, clocks=2)
        # None of them took a beat.
        await pair.fine(ctx, "LD v9\nHALT 0")
        assert pair.machine.mantissas[9].tolist() == [2, 3, 4, 5] and not pair.machine.source

    pair.check(bench)


def test_what_was_never_written_cannot_be_used():
    """Right after reset: matrix, codes and arrays become usable one by one."""
    pair = ChipAndGolden(Die.sample(WIDE, IDEAL))

    async def refuse(ctx, *texts: str):
        for text in texts:
            run = await pair.go(ctx, text, windows=False)
            assert (run.trap, run.cycles, run.pc) == (ILLEGAL, 2, 0), text

    async def bench(ctx):
        await pair.configure(ctx, **QUICK)
        loops = "INV v1, v0", "MUL v1, v0", "INV v0, v0, cal"
        await refuse(ctx, "MAT v1, v0, m0, v0", "MAT v1, v0, m1, v0", *loops, "PROG", "SCRUB")
        await pair.load_slot(ctx, 1, np.ones((8, 8)))
        await refuse(ctx, "MAT v1, v0, m0, v0", *loops, "PROG", "SCRUB")
        await pair.go(ctx, "MAT v1, v0, m1, v0\nHALT 0", windows=False)
        # One byte of one word is enough: the host answers for what it writes.
        pair.machine.valid_codes = True
        await pair.chip.write(ctx, pair.map.windows["CODES"].address + 4 * 31, 0, strobe=0b0100)
        await refuse(ctx, *loops, "SCRUB")
        await pair.load(ctx, np.diag([255] * 8))
        await pair.go(ctx, "PROG\nSCRUB\nINV v1, v0\nMUL v1, v0\nINV v0, v0, cal\nHALT 0", windows=False)
        await refuse(ctx, "MAT v1, v0, m0, v0")
        # A write that is refused or that writes no byte makes nothing valid.
        await pair.chip.write(ctx, pair.map.windows["SLOTS"].address, 1, strobe=0)
        assert await pair.chip.write(ctx, pair.map.windows["SLOTS"].address + 4 * 2 * 64, 1) == SLVERR
        await refuse(ctx, "MAT v1, v0, m0, v0")
        pair.machine.valid_slots[0] = True
        await pair.chip.write(ctx, pair.map.windows["SLOTS"].address + 4 * 63, 0)
        await pair.go(ctx, "MAT v1, v0, m0, v0\nHALT 0")

    pair.run(bench)


# Divide and range

def test_division_by_zero():
    """Zero by its mantissa, by its exponent, and by both; whatever the dividend."""
    pair = Traps()

    async def bench(ctx):
        for zero in (Scalar(0, 5), Scalar(1 << 20, EXPONENT_MIN), Scalar(0, EXPONENT_MIN), Scalar(0, EXPONENT_MAX)):
            await pair.load_scalar(ctx, 2, zero)
            for program in ("DIV k3, k4, k2", "DIV k3, k2, k2", "DIV k2, k2, k2", "DIV k0, k0, k2"):
                await pair.trap(ctx, program, DIVIDE, clocks=2 + 1)
            await pair.fine(ctx, "DIV k5, k2, k4\nHALT 0")
            assert pair.machine.scalars[5] == Scalar(0, EXPONENT_MIN)

    pair.check(bench)


ONES = np.full(4, (1 << 31) - 1)


def test_range_of_a_sum():
    """Above the largest exponent by the factor, or by the carry of the sum; at it is not above it."""
    pair = Traps()
    clocks = 2 + cycles.axpy_cycles(TINY)[0]

    async def bench(ctx):
        await pair.load(ctx, vectors={4: (ONES, 511), 5: (ONES // 4, 511), 6: (ONES, 500)})
        await pair.load_scalar(ctx, 2, Scalar(1 << 22, 13))
        await pair.load_scalar(ctx, 3, Scalar(1 << 22, 12))
        for program in ("AXPY v3, v4, k0, v4", "AXPY v3, v0, k2, v6", "AXPY v0, v4, k0, v4", "AXPY v4, v4, k0, v4",
                        "AXPY v3, v5, -k2, v6"):
            await pair.trap(ctx, program, RANGE, clocks=clocks)
        await pair.fine(ctx, "AXPY v7, v0, k3, v6\nAXPY v8, v5, k0, v5\nAXPY v9, v4, -k0, v4\nHALT 0")
        assert pair.machine.exponents[[7, 8, 9]].tolist() == [511, 510, EXPONENT_MIN]

    pair.check(bench)


def test_range_of_a_product_with_a_matrix():
    pair = Traps()
    clocks = 2 + cycles.mat_cycles(TINY)[0]

    async def bench(ctx):
        await pair.load_slot(ctx, 0, np.full((4, 4), (1 << 23) - 1))
        await pair.load(ctx, vectors={4: (ONES, 510), 5: (ONES, 509), 6: (-ONES, 511), 7: (ONES, 511)})
        for program in ("MAT v3, v0, m0, v4", "MAT v3, v7, m0, v5", "MAT v3, v6, -m0, v5", "MAT v0, v0, m0, v4"):
            await pair.trap(ctx, program, RANGE, clocks=clocks)
        await pair.fine(ctx, "MAT v3, v0, m0, v5\nMAT v8, v7, -m0, v5\nHALT 0")
        assert pair.machine.exponents[3] == 511

    pair.check(bench)


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
def test_range_of_a_dot_product(config: ChipConfig):
    pair = Traps(config)
    n = config.size
    most = 512 - n.bit_length()
    """Exponents that add up to this, plus log2 N, make the largest."""

    async def bench(ctx):
        ones = np.full(n, (1 << 31) - 1)
        await pair.load(ctx, vectors={4: (ones, 300), 5: (ones, most - 300), 6: (ones, most - 299)})
        for program in ("DOT k3, v4, v6", "DOT k0, v6, v4", "DOT k3, v4, v4"):
            await pair.trap(ctx, program, RANGE, clocks=2 + cycles.dot_cycles(config)[0])
        await pair.fine(ctx, "DOT k3, v4, v5\nDOT k4, v0, v4\nHALT 0")
        assert pair.machine.scalars[3].exponent == 511

    pair.check(bench)


def test_range_of_a_quotient():
    pair = Traps()
    half = 1 << 22

    async def bench(ctx):
        for k, scalar in ((2, Scalar(half, 300)), (3, Scalar(half, -211)), (4, Scalar(half, -210)),
                          (5, Scalar(half - 1, 300)), (6, Scalar(-half, 511)), (7, Scalar(0, 511))):
            await pair.load_scalar(ctx, k, scalar)
        # A half by a half is one, which needs an exponent more.
        for program in ("DIV k1, k2, k3", "DIV k0, k2, k3", "DIV k1, k6, k3"):
            await pair.trap(ctx, program, RANGE, clocks=2 + cycles.DIVIDE)
        await pair.fine(ctx, "DIV k1, k2, k4\nDIV k8, k5, k3\nDIV k9, k7, k3\nHALT 0")
        assert [pair.machine.scalars[k].exponent for k in (1, 8, 9)] == [511, 511, EXPONENT_MIN]

    pair.check(bench)


@pytest.mark.parametrize(("program", "exponent", "settings"), [
    ("INV v3, v1", 511, dict(drive_range=1)), ("INV v3, v1", 505, dict(drive_range=7)),
    ("MUL v3, v1", 511, dict(feedback=3)), ("MUL v3, v1", 508, dict(feedback=3)),
])
def test_range_of_the_loop(program: str, exponent: int, settings: dict[str, Any]):
    """Known only from the last code, so it takes as long as a result; zero is never above the largest."""
    pair = Traps()

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: ([100 << 24, 0, 0, 1 << 24], exponent)})
        await pair.fine(ctx, "PROG\nHALT 0")
        run = await pair.trap(ctx, program, RANGE, **settings)
        assert run.phases[Phase.STORE] == cycles.store_cycles(TINY)
        await pair.load(ctx, np.diag([15] * 4), {1: ([0, 0, 0, 0], exponent)})
        await pair.fine(ctx, f"PROG\n{program}\nHALT 0", **settings)
        assert pair.machine.exponents[3] == EXPONENT_MIN
        await pair.solve(ctx)

    pair.check(bench)


# Clip, settle, verify

def test_clip_in_the_last_range():
    pair = Traps()

    async def bench(ctx):
        for drive_range in (0, 6, 7):
            await pair.load(ctx, RUNAWAY)
            await pair.fine(ctx, "PROG\nHALT 0")
            run = await pair.trap(ctx, "INV v3, v1", CLIP, drive_range=drive_range, solve_interval=100)
            assert len(run.scans) == 8 - drive_range and not run.phases[Phase.STORE]

    pair.check(bench)


def test_clip_of_a_product_in_the_last_range():
    """With rails so near that the smallest gain is too much."""
    low = Die.sample(TINY, replace(IDEAL, rail_V=0.01))
    pair = ChipAndGolden(low)

    async def bench(ctx):
        await pair.load(ctx, np.full((4, 4), 15), {1: (mantissas_of([120] * 4, TINY), 0), 3: ([1, 2, 3, 4], 7)})
        for feedback in range(4):
            await pair.configure(ctx, **QUICK, feedback=feedback)
            run = await pair.go(ctx, "PROG\nMUL v3, v1\nHALT 0")
            assert (run.trap, run.pc, len(run.scans)) == (CLIP, 1, 4 - feedback)
            assert pair.machine.mantissas[3].tolist() == [1, 2, 3, 4] and pair.machine.settings.feedback == 3
        await pair.load(ctx, vectors={1: ([0] * 4, 0)})
        assert (await pair.go(ctx, "MUL v3, v1\nHALT 0")).trap is NONE

    pair.run(bench)


def test_settle_at_the_time_out():
    """A single scan is never a result; the verdict on the first comes when it is too late for another."""
    pair = Traps()

    async def bench(ctx):
        for program in ("INV v3, v1", "MUL v3, v1", "INV v3, v1, cal"):
            run = await pair.trap(ctx, program, SETTLE, timeout=1)
            interval = QUICK["multiply_interval" if "MUL" in program else "solve_interval"]
            assert len(run.scans) == 1 and run.phases[Phase.SETTLE] == interval - 1 and not run.phases[Phase.STORE]

    pair.check(bench)


def test_settle_of_a_loop_that_never_agrees():
    pair = ChipAndGolden(Die.sample(TINY, AnalogParams(read_noise_V=0.05)))

    async def bench(ctx):
        await pair.load(ctx, np.diag([15] * 4), {1: (mantissas_of([9, 8, -7, 6], TINY), 0), 3: ([1, 2, 3, 4], 7)})
        await pair.configure(ctx, **QUICK, timeout=300, tolerance=0)
        for program, step in (("PROG\nINV v3, v1", 40), ("PROG\nMUL v3, v1", 30)):
            run = await pair.go(ctx, program)
            assert (run.trap, run.pc) == (SETTLE, 1)
            assert [scan.clock for scan in run.scans] == list(range(step, 300 - 18 + step, step))
            assert pair.machine.mantissas[3].tolist() == [1, 2, 3, 4]

    pair.run(bench)


@pytest.mark.parametrize("retries", [0, 2])
def test_verify(retries: int):
    """Cells that stick at what the good matrix wants, so that only another matrix finds them bad."""
    good = definite(4, 15, seed=3)
    stuck = ((0, 0, 0, int(good[0, 0])), (0, 3, 3, int(good[3, 3])))
    pair = Traps(die=Die.sample(TINY, IDEAL, stuck=stuck))
    other = good - np.diag([1, 0, 0, 1])
    rows = 2 + 4 * cycles.row_cycles(TINY, QUICK["write_cycles"]) + 1
    looks = 2 + 4 * (cycles.load_cycles(TINY) + 2 * cycles.LOOK + cycles.RECORD) + 1
    attempt = cycles.attempt_cycles(QUICK["write_cycles"])

    async def bench(ctx):
        for bad_limit in (0, 1):
            await pair.load(ctx, other)
            await pair.trap(ctx, "PROG", VERIFY, bad_limit=bad_limit, retries=retries,
                            clocks=rows + 2 * retries * attempt)
        await pair.load(ctx, other)
        await pair.fine(ctx, "PROG\nHALT 0", bad_limit=2)
        assert pair.machine.bad_count == 2
        await pair.trap(ctx, "SCRUB", VERIFY, bad_limit=1, retries=retries, clocks=looks + 2 * (retries + 1) * attempt)
        await pair.load(ctx, other)
        await pair.fine(ctx, "PROG\nHALT 0", bad_limit=2)
        # A scrub that fails leaves arrays that may still be used.
        await pair.configure(ctx, **QUICK, bad_limit=1)
        assert (await pair.go(ctx, "SCRUB", windows=False)).trap is VERIFY
        await pair.fine(ctx, "INV v4, v1\nSCRUB\nHALT 0", bad_limit=2)
        await pair.solve(ctx)

    pair.check(bench)


# Stream

def beats(count: int, seed: int) -> list[int]:
    return [int(word) for word in np.random.default_rng(seed).integers(0, 1 << 32, count)]


@pytest.mark.parametrize(("program", "length", "fills"), [
    ("LD v5", 5, "v5"), ("LD m0", 16, "m0"), ("LD codes", 4, "codes"), ("LD v0", 5, ""),
])
def test_stream_objects_that_are_too_short_or_too_long(program: str, length: int, fills: str):
    """The mark of the last beat on the first, in the middle, on the last but one, and missing from the last."""
    pair = Traps()

    async def bench(ctx):
        for sent in (1, length // 2, length - 1, length + 3):
            words = [word & 0x0F0F_0F0F for word in beats(sent, sent)]
            await pair.send(ctx, words)
            # Issue, begin, a beat a clock.
            used = min(sent, length)
            await pair.configure(ctx, **QUICK)
            run = await pair.trap(ctx, program, STREAM, clocks=2 + 1 + used, fills=(fills,))
            assert run.retired == [] and len(pair.machine.source) == sent - used
            if program == "LD v5":
                assert pair.machine.exponents[5] == EXPONENT_MIN and not pair.machine.vector(5)[0].any()
            if fills == "m0":
                assert (await pair.go(ctx, "MAT v6, v0, m0, v1", windows=False)).trap is ILLEGAL
                await pair.load_slot(ctx, 0, np.eye(4))
            if sent > length:
                # What is left stays in the buffer, and is an object of three beats for the next LD.
                run = await pair.go(ctx, "LD v7", windows=False)
                assert (run.trap, run.cycles) == (STREAM, 2 + 1 + 3)
                await pair.send(ctx, beats(4, 9))
                await pair.flush(ctx)
            good = beats(5, 5)
            await pair.send(ctx, good)
            await pair.fine(ctx, "LD v8\nHALT 0")
            assert (pair.machine.mantissas[8] & 0xFFFF_FFFF).tolist() == good[1:]

    pair.check(bench)


def test_codes_of_a_load_that_broke_off_cannot_be_programmed():
    pair = Traps()

    async def bench(ctx):
        await pair.send(ctx, [0x0F00_0000, 0x000F_0000])
        await pair.configure(ctx, **QUICK)
        assert (await pair.go(ctx, "LD codes", windows=False)).trap is STREAM
        assert (await pair.go(ctx, "PROG", windows=False)).trap is ILLEGAL
        assert (await pair.go(ctx, "SCRUB", windows=False)).trap is ILLEGAL
        # The arrays are what they were.
        await pair.fine(ctx, "INV v3, v1\nHALT 0")
        await pair.send(ctx, [0x0F, 0x0F00, 0x0F_0000, 0x0F00_0000])
        await pair.fine(ctx, "LD codes\nPROG\nSCRUB\nHALT 0")
        await pair.solve(ctx)

    pair.check(bench)


def test_stream_ends_while_programming():
    """The mark on any row but the last, or missing from the last; codes and arrays cannot be used then."""
    pair = Traps()
    row_clocks = cycles.REFILL + cycles.fill_cycles(1) + cycles.row_cycles(TINY, QUICK["write_cycles"])

    async def bench(ctx):
        for sent in (1, 2, 3, 5):
            row = min(sent, 4) - 1
            words = [word & 0x0F0F_0F0F for word in beats(sent, sent)]
            await pair.send(ctx, words)
            clocks = 2 + row * row_clocks + cycles.REFILL + 1 + 1
            await pair.trap(ctx, "PROG stream", STREAM, clocks=clocks, fills=("codes",))
            await pair.flush(ctx)
            await pair.send(ctx, words)
            await pair.configure(ctx, **QUICK)
            assert (await pair.go(ctx, "PROG stream", windows=False)).trap is STREAM
            for unusable in ("INV v3, v1", "SCRUB", "PROG"):
                assert (await pair.go(ctx, unusable, windows=False)).trap is ILLEGAL
            await pair.flush(ctx)
        await pair.solve(ctx)

    pair.check(bench)


def test_stream_object_may_wait_anywhere():
    """Pauses on both sides change neither cause nor place nor clock."""
    pair = Traps()

    async def bench(ctx):
        await pair.perform(ctx, Connect(0.8, 0.8, 7))
        for sent in (3, 7):
            await pair.send(ctx, beats(sent, 1))
            await pair.trap(ctx, "LD v5", STREAM, clocks=2 + 1 + min(sent, 5), fills=("v5",))
            assert await pair.field(ctx, "STREAM_WAITS.count") == 0, "of the solve"
            await pair.flush(ctx)

    pair.check(bench)


# Who is first

@pytest.mark.parametrize(("program", "cause", "settings"), [
    ("DIV k3, k4, k2", DIVIDE, {}), ("AXPY v3, v4, k0, v4", RANGE, {}), ("MAT v3, v4, m0, v4", RANGE, {}),
    ("DOT k3, v4, v4", RANGE, {}), ("DIV k3, k5, k6", RANGE, {}), ("INV v3, v1", SETTLE, dict(timeout=1)),
    ("MUL v3, v1", SETTLE, dict(timeout=1)),
])
def test_watchdog_goes_before(program: str, cause: TrapCause, settings: dict[str, Any]):
    """With the limit in the clock of the other cause; one more, and the other cause is the one that is taken."""
    pair = Traps()

    async def bench(ctx):
        await pair.load_slot(ctx, 0, np.full((4, 4), (1 << 23) - 1))
        await pair.load(ctx, vectors={4: (ONES, 511)})
        for k, scalar in ((2, Scalar(0, 0)), (5, Scalar(1 << 22, 500)), (6, Scalar(1 << 22, -500))):
            await pair.load_scalar(ctx, k, scalar)
        clocks = (await pair.trap(ctx, program, cause, **settings)).cycles
        await pair.trap(ctx, program, WATCHDOG, clocks=clocks, watchdog=clocks, **settings)
        await pair.trap(ctx, program, cause, clocks=clocks, watchdog=clocks + 1, **settings)

    pair.check(bench)


def test_watchdog_goes_before_clip_and_verify():
    pair = Traps(die=Die.sample(TINY, IDEAL, stuck=((0, 0, 0, 15),)))
    pair.good = np.diag([15, 15, 15, 15])

    async def bench(ctx):
        # The scan of the only attempt: issue, preparing, interval, scan.
        clocks = 2 + max(cycles.drive_cycles(TINY), cycles.prepare_cycles(1, 3)) + 99 + cycles.scan_cycles(TINY)
        for watchdog, cause in ((0, CLIP), (clocks + 1, CLIP), (clocks, WATCHDOG)):
            await pair.load(ctx, RUNAWAY)
            await pair.fine(ctx, "PROG\nHALT 0")
            await pair.trap(ctx, "INV v3, v1", cause, clocks=clocks, watchdog=watchdog, drive_range=7,
                            solve_interval=100)
        clocks = 2 + 4 * cycles.row_cycles(TINY, QUICK["write_cycles"]) + 1
        for watchdog, cause in ((0, VERIFY), (clocks + 1, VERIFY), (clocks, WATCHDOG)):
            await pair.load(ctx, np.diag([14, 15, 15, 15]))
            await pair.trap(ctx, "PROG", cause, clocks=clocks, watchdog=watchdog, retries=0)

    pair.check(bench)


@pytest.mark.parametrize(("program", "window", "place"), [
    ("PROG", "CODES", (2, 0)), ("SCRUB", "CODES", (3, 0)), ("MAT v3, v1, m0, v2", "SLOTS", (0, 2, 1)),
    ("INV v3, v1", "OFFSETS", (2,)), ("MUL v3, v1", "GAINS", (1,)),
])
def test_parity_goes_before_watchdog(program: str, window: str, place: tuple[int, ...]):
    """With the limit in the clock of the parity trap; one less, and the watchdog is the one that bites."""
    pair = Traps()

    async def bench(ctx):
        await pair.write_word(ctx, window, place, wrong=True)
        clocks = int((await pair.trap(ctx, program, PARITY)).cycles)
        for watchdog, cause in ((clocks, PARITY), (clocks - 1, WATCHDOG)):
            await pair.write_word(ctx, window, place, wrong=True)
            await pair.trap(ctx, program, cause, watchdog=watchdog, clocks=watchdog)

    pair.check(bench)


def test_a_trap_leaves_what_instructions_before_it_wrote():
    """Each cause behind a row of instructions that all retired."""
    pair = Traps()
    row = "SETC c3, 77\nAXPY v4, v1, k2, v3\nDOT k4, v1, v3\nLOOP c5, l\nl: DIV k5, k2, k3\nINV v6, v1\n"

    async def bench(ctx):
        await pair.load_scalar(ctx, 2, Scalar(1 << 21, 0))
        for program, cause in ((".", ILLEGAL), ("DIV k6, k3, k7", DIVIDE), ("MUL v7, v1", SETTLE)):
            await pair.load_scalar(ctx, 7, Scalar(0, 0))
            words = [*assemble(row), *([0] if program == "." else assemble(program))]
            run = await pair.trap(ctx, words, cause, 6, timeout=110, multiply_interval=500,
                                  fills=("c3", "v4", "k4", "c5", "k5", "v6"))
            assert len(run.retired) == 6

    pair.check(bench)


def test_a_counter_is_not_touched_by_a_trap():
    pair = Traps()

    async def bench(ctx):
        await pair.program(ctx, "LOOP c2, 0")
        await pair.write_word(ctx, "PROGRAM", (0,), wrong=True)
        await pair.trap(ctx, [], PARITY)
        await pair.trap(ctx, [assemble("LOOP c2, 0")[0] | 1 << 12], ILLEGAL)
        await pair.trap(ctx, [assemble("SETC c2, 5")[0] | 1 << 17], ILLEGAL)
        # 0 becomes the largest.
        await pair.fine(ctx, "SETC c2, 0\nLOOP c2, 2\nHALT 0")
        assert pair.machine.counters[2] == (1 << COUNTER_BITS) - 1

    pair.check(bench)


def test_ld_of_the_zero_register_takes_an_object_and_changes_nothing():
    pair = Traps()

    async def bench(ctx):
        await pair.send(ctx, beats(5, 1), beats(5, 2))
        before = registers(pair.machine)
        await pair.fine(ctx, "LD v0\nLD v0\nST v0\nHALT 0")
        assert registers(pair.machine) == before and not pair.machine.source
        assert pair.machine.sink == [(EXPONENT_MIN & 0xFFFF_FFFF, False)] + [(0, i == 3) for i in range(4)]
        await pair.compare_stream(ctx)

    pair.check(bench)


def test_causes_of_a_halt_and_of_a_trap_are_never_mixed():
    """A halt code stays until the next start, a trap cause too; clear forgets both, and not the cycle count."""
    pair = Traps()

    async def bench(ctx):
        run = await pair.fine(ctx, "HALT 9")
        assert await pair.field(ctx, "STATUS.halt_code") == 9
        assert (await pair.go(ctx, [DOT.opcode << 27 | 1], windows=False)).trap is ILLEGAL
        assert await pair.field(ctx, "STATUS.halt_code") == 0
        await pair.fine(ctx, "SETC c1, 2\nHALT 8")
        assert await pair.field(ctx, "STATUS.trap") == 0 and await pair.field(ctx, "STATUS.pc") == 1
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.clear"].mask)
        for name in ("pc", "halt_code", "trap"):
            assert await pair.field(ctx, f"STATUS.{name}") == 0
        assert await pair.field(ctx, "CYCLES.count") == 4 and run.cycles == 2

    pair.check(bench)

"""Wiping and locking: after reset and after ``zeroize``, whatever the chip was doing, nothing that it held is left; a
lock closes read-back and nothing else."""

import numpy as np
import pytest
from amaranth.hdl import Value

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect
from ohmloop.golden.machine import Machine
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MIN, GAIN_ONE, ONE_EXPONENT, ONE_MANTISSA
from ohmloop_hdl.sequencer.traps import TrapCause
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import SLVERR, ChipAndGolden, mantissas_of
from verification.unit.simulation import SHAPES, seeded

TINY = CONFIGS["tiny"]
IDEAL = AnalogParams.ideal()
QUICK = dict(solve_interval=40, multiply_interval=30, dead=2, autozero=4, write_cycles=2)
WORKS = "PROG\nINV v2, v1\nMAT v3, v1, -m0, v2\nDOT k1, v3, v3\nMUL v4, v1\nSETC c3, 1\nHALT 0"
"""Takes a bit of everything that must work after a wipe."""

NOT_WIPED = ("registers.", "counters.", "host.", "sequencer.spent")
"""Registers that a wipe leaves alone: configuration, event counters, the bus target, a count of clocks."""


class Wipes(ChipAndGolden):
    """A chip with words in all its memories, and what must be true of it once it is wiped."""

    def __init__(self, config: ChipConfig = TINY, die: Die | None = None):
        super().__init__(die or Die.sample(config, IDEAL))
        self.random = seeded(config)
        self.good = definite(config.size, config.code_max, seed=3)
        self.source = mantissas_of([12, -9, 7, 15] * (config.size // 4), config)

    def garbage(self, ctx) -> None:
        """Random bits in every memory, parity wrong included."""
        for name, memory in self.chip.memories.items():
            bits = len(Value.cast(memory[0]))
            self.chip.fill(ctx, name, [self.random.getrandbits(bits) for _ in range(memory.depth)])

    async def littered(self, ctx, program: str = "HALT 0") -> None:
        """Something in every memory, those that no window shows and no program reads included, and the program."""
        self.garbage(ctx)
        await self.fill(ctx, 1, self.good)
        self.machine.bad_map[:] = True
        await self.chip.execute(ctx, self.driver.load_correction(
            np.full(self.config.size, 3), np.full(self.config.adcs, GAIN_ONE - 5)))
        await self.load(ctx, vectors={1: (self.source, 0)})
        await self.program(ctx, program)

    async def settle(self, ctx) -> None:
        """The same last access on the bus, for what the bus leaves in read ports."""
        await self.words(ctx, self.map.windows["PROGRAM"].address)
        await self.words(ctx, self.map.registers["STATUS"])

    async def fresh(self, ctx) -> None:
        """Remember what the chip holds after reset."""
        await self.settle(ctx)
        self.after_reset = self.chip.contents(ctx), self._state(ctx)

    def _state(self, ctx) -> dict[str, int]:
        return {name: value for name, value in self.chip.held(ctx).items() if not name.startswith(NOT_WIPED)}

    async def wiped(self, ctx) -> None:
        """Wait for the end of the wipe; then memories and registers are as after reset, and the arrays hold zeros."""
        await self.chip.halted(ctx)
        await self.settle(ctx)
        assert self.chip.contents(ctx) == self.after_reset[0]
        state = self._state(ctx)
        assert {name: value for name, value in state.items() if value != self.after_reset[1][name]} == {}
        assert ctx.get(self.chip.chip.macro.dac) == 0
        self.arrays_hold_zeros()
        settings, self.machine = self.machine.settings, Machine(self.config, self.machine.macro)
        self.machine.settings = settings
        self.compare_memories(ctx)

    def arrays_hold_zeros(self) -> None:
        """The cells of the macro itself."""
        for plane in (0, 1):
            for row in range(self.config.size):
                assert not self.chip.macro.read_row(plane, row).any()

    async def works(self, ctx, seed: int = 2) -> None:
        """Both are loaded anew and do the same."""
        await self.fill(ctx, seed, self.good)
        await self.load(ctx, vectors={1: (self.source, 0)})
        await self.configure(ctx, **QUICK)
        assert (await self.go(ctx, WORKS, windows=False)).trap is TrapCause.NONE
        got = self.machine.mantissas[2] * 2.0 ** (self.machine.exponents[2] - 31)
        exact = np.linalg.solve(self.good / self.config.code_max, self.source / 2.0 ** 31)
        assert np.abs(got - exact).max() <= 1.2 * 2.0 ** (self.machine.exponents[2] - self.config.adc_bits + 1)

    async def windows_are_zero(self, ctx) -> None:
        """Every window, word by word: zero, but for the constants and the gains."""
        constants = {("EXPONENTS", 0): EXPONENT_MIN & 0xFFFF_FFFF, ("SCALAR_MANTISSAS", 0): ONE_MANTISSA,
                     ("SCALAR_EXPONENTS", 0): ONE_EXPONENT}
        for name, window in self.map.windows.items():
            expected = [constants.get((name, i), GAIN_ONE if name == "GAINS" else 0) for i in range(window.words)]
            assert await self.words(ctx, window.address, window.words) == expected, name


SEVERAL = {
    "tiny": TINY,
    "unshared": SHAPES["unshared"],
    "two of each": ChipConfig(size=8, cell_bits=8, adcs=4, lanes=2, slots=2),
}
each_shape = pytest.mark.parametrize("config", SEVERAL.values(), ids=SEVERAL.keys())


@each_shape
def test_every_window_reads_zero_after_zeroize(config: ChipConfig):
    pair = Wipes(config)

    async def bench(ctx):
        await pair.fresh(ctx)
        await pair.littered(ctx)
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.zeroize"].mask)
        await pair.wiped(ctx)
        await pair.windows_are_zero(ctx)
        await pair.works(ctx)

    pair.run(bench)


@pytest.mark.parametrize(("program", "moments"), [
    # Load, select, the write pulse, release, read, check, record, the other plane, the next row; then the scrub.
    ("PROG\nSCRUB\nHALT 0", [(Phase.PROGRAM, clocks) for clocks in (0, 2, 3, 4, 5, 6, 7, 12, 15, 16, 30, 75, 90)]),
    ("PROG\nINV v2, v1\nHALT 0", [
        *((Phase.DRIVE, clocks) for clocks in (0, 3)), *((Phase.PREPARE, clocks) for clocks in (0, 2)),
        *((Phase.SETTLE, clocks) for clocks in (0, 30)), *((Phase.CONVERT, clocks) for clocks in (0, 1, 11, 20)),
        *((Phase.STORE, clocks) for clocks in (0, 3))]),
    ("PROG\nMUL v2, v1\nINV v0, v0, cal\nHALT 0", [
        (Phase.DRIVE, 4), (Phase.SETTLE, 9), (Phase.CONVERT, 19), (Phase.STORE, 2), (Phase.STORE, 95)]),
    ("AXPY v2, v1, k2, v3\nMAT v4, v1, -m0, v2\nDOT k1, v1, v4\nDIV k4, k2, k3\nBLE k2, k3, 1, 5\nHALT 0", [
        (Phase.ISSUE, 0), (Phase.ISSUE, 1), *((Phase.VECTOR, clocks) for clocks in (1, 4, 9, 12, 25, 40, 47)),
        (Phase.SCALAR, 0), (Phase.SCALAR, 9), (Phase.SCALAR, 28), (Phase.SCALAR, 31)]),
    ("LD v5\nST v5\nST v1\nLD m0\nPROG stream\nHALT 0", [
        (Phase.STREAM, clocks) for clocks in (0, 1, 3, 6, 8, 12, 18, 22, 31, 40, 60, 90)]),
], ids=["arrays", "solve", "multiply", "numbers", "streams"])
def test_zeroize_in_the_middle(program: str, moments: list[tuple[Phase, int]]):
    """So many clocks after a phase began: the loop is open in the next clock, and what was under way is gone. The chip
    that was wiped does the next program as if it were new."""
    pair = Wipes(TINY)
    pins, trace = pair.chip.chip.macro, pair.chip.chip.trace

    async def bench(ctx):
        await pair.fresh(ctx)
        await pair.configure(ctx, **QUICK)
        for phase, clocks in moments:
            await pair.littered(ctx, program)
            await pair.perform(ctx, Connect(0.3, 0.4, clocks))
            if "LD" in program:
                for count in (5, 16, 4):
                    await pair.send(ctx, list(range(0x0101_0101, 0x0101_0101 + count)))
            pair.chip.pulse(ctx, "CONTROL.start")
            while ctx.get(trace.phase) != phase:
                await ctx.tick()
            for _ in range(clocks):
                await ctx.tick()
            assert ctx.get(trace.phase) != Phase.IDLE, (phase, clocks)
            pair.chip.withdraw()
            pair.chip.pulse(ctx, "CONTROL.zeroize")
            await ctx.tick()
            assert not any(ctx.get(pin) for pin in (
                pins.close_solve, pins.close_multiply, pins.autozero, pins.sample, pins.row, pins.write, pins.read))
            await pair.wiped(ctx)
        await pair.works(ctx)

    pair.run(bench)


def test_a_blocked_sink_and_a_waiting_source_are_wiped():
    """ST into a buffer that nobody empties, LD from one that nobody fills; no old beat comes out behind the wipe."""
    pair = Wipes(TINY)
    sink = pair.chip.chip.sink

    async def bench(ctx):
        await pair.fresh(ctx)
        for program in ("ST v5\nST v6\nHALT 0", "LD v5\nLD v6\nHALT 0"):
            await pair.littered(ctx, program)
            await pair.perform(ctx, Connect(0.0, 1.0))
            await pair.send(ctx, [7, 8, 9, 10, 11])
            pair.chip.pulse(ctx, "CONTROL.start")
            await ctx.tick().repeat(100)
            assert ctx.get(pair.chip.chip.trace.phase) == Phase.WAIT
            pair.chip.withdraw()
            pair.chip.pulse(ctx, "CONTROL.zeroize")
            await ctx.tick()
            await pair.perform(ctx, Connect(0.0, 0.0))
            for _ in range(100):
                await ctx.tick()
                assert not ctx.get(sink.tvalid)
            await pair.wiped(ctx)
            assert not ctx.get(sink.tvalid)
            pair.machine.source.clear()
            await pair.send(ctx, [3, 21, 22, 23, 24])
            await pair.configure(ctx, **QUICK)
            assert (await pair.go(ctx, "LD v5\nHALT 0", windows=False)).trap is TrapCause.NONE
            assert pair.machine.mantissas[5].tolist() == [21, 22, 23, 24]
            pair.chip.pulse(ctx, "CONTROL.zeroize")
            await ctx.tick()
            await pair.wiped(ctx)

    pair.run(bench)


def test_a_wipe_shows_itself_and_cannot_be_disturbed():
    """Busy until the end, which an interrupt tells; start, abort, clear and flush do nothing meanwhile."""
    pair = Wipes(TINY)
    fields = pair.map.fields

    async def wipe(ctx, *disturb: str) -> int:
        await pair.littered(ctx)
        await pair.put(ctx, "INTR_STATE", 7)
        await pair.put(ctx, "INTR_ENABLE", fields["INTR_ENABLE.wiped"].mask)
        pair.chip.pulse(ctx, "CONTROL.zeroize")
        await ctx.tick()
        clocks = 0
        while ctx.get(pair.chip.chip.wiping):
            assert not ctx.get(pair.chip.chip.interrupt) and not ctx.get(pair.chip.chip.sequencer.halted)
            assert pair.chip.field(ctx, "STATUS.busy") and not pair.chip.field(ctx, "STATUS.halted")
            for name in disturb:
                pair.chip.pulse(ctx, name)
            await ctx.tick()
            clocks += 1
        assert ctx.get(pair.chip.chip.interrupt) and ctx.get(pair.chip.chip.sequencer.halted)
        assert await pair.words(ctx, pair.map.registers["INTR_STATE"]) == [fields["INTR_STATE.wiped"].mask]
        assert await pair.words(ctx, pair.map.registers["STATUS"]) == [fields["STATUS.halted"].mask]
        await pair.wiped(ctx)
        return clocks

    async def bench(ctx):
        # The first wipe is that of reset; nobody waited for it.
        assert await pair.field(ctx, "INTR_STATE.wiped")
        await pair.fresh(ctx)
        undisturbed = await wipe(ctx)
        for name in ("CONTROL.abort", "CONTROL.start", "CONTROL.clear", "CONTROL.flush"):
            assert await wipe(ctx, name) == undisturbed, name
        await ctx.tick().repeat(20)
        assert ctx.get(pair.chip.chip.sequencer.halted), "no start was kept"

    pair.run(bench)


def test_zeroize_in_a_wipe_begins_anew():
    """In the walk over the words, while the arrays are written, in the last sums, and in the very last clock."""
    pair = Wipes(TINY)

    async def wipe(ctx, again_at: int | None = None) -> int:
        await pair.littered(ctx)
        await pair.chip.execute(ctx, pair.driver.ready())
        pair.chip.pulse(ctx, "CONTROL.zeroize")
        await ctx.tick()
        clocks = 0
        while ctx.get(pair.chip.chip.wiping):
            assert not pair.chip.field(ctx, "INTR_STATE.wiped")
            if clocks == again_at:
                pair.chip.pulse(ctx, "CONTROL.zeroize")
            await ctx.tick()
            clocks += 1
        assert pair.chip.field(ctx, "INTR_STATE.wiped")
        await pair.wiped(ctx)
        return clocks

    async def bench(ctx):
        await pair.fresh(ctx)
        alone = await wipe(ctx)
        for clock in (0, 100, 256, 257, 262, 300, alone - 14, alone - 2, alone - 1):
            assert await wipe(ctx, clock) == clock + 1 + alone, clock

    pair.run(bench)


def test_windows_and_configuration_refuse_during_a_wipe():
    pair = Wipes(TINY)
    control = pair.map.registers["CONTROL"]

    async def bench(ctx):
        await pair.fresh(ctx)
        await pair.littered(ctx)
        await pair.configure(ctx, tolerance=5)
        for window in pair.map.windows.values():
            await pair.chip.write(ctx, control, pair.map.fields["CONTROL.zeroize"].mask)
            for word in (0, window.words - 1):
                assert (await pair.chip.read(ctx, window.address + 4 * word))[0] == SLVERR
                assert await pair.chip.write(ctx, window.address + 4 * word, 0x0A0B_0C0D) == SLVERR
            assert await pair.chip.write(ctx, pair.map.registers["TOLERANCE"], 1) == SLVERR
            assert await pair.field(ctx, "TOLERANCE.lsb") == 5
            assert await pair.field(ctx, "STATUS.busy")
        await pair.wiped(ctx)

    pair.run(bench)


def test_registers_and_counters_outlive_a_wipe():
    """Configuration, interrupts, the lock and the event counters; status and cycles are as after reset."""
    pair = Wipes(TINY)
    writable = ["ENTRY", "SIZES", "SOLVE_INTERVAL", "MULTIPLY_INTERVAL", "TIMEOUT", "TOLERANCE", "SWITCHES", "ARRAY",
                "BANDWIDTH", "RANGES", "WATCHDOG", "LOCK", "TEST", "INTR_ENABLE"]

    async def bench(ctx):
        await pair.fresh(ctx)
        await pair.littered(ctx, "PROG\nINV v2, v1\nHALT 9")
        await pair.chip.execute(ctx, pair.driver.run())
        words = {}
        for name in writable:
            await pair.put(ctx, name, 0x0123_0101)
            words[name] = (await pair.words(ctx, pair.map.registers[name]))[0]
        events = await pair.chip.execute(ctx, pair.driver.read_events())
        pair.chip.pulse(ctx, "CONTROL.zeroize")
        await ctx.tick()
        await pair.wiped(ctx)
        assert {name: (await pair.words(ctx, pair.map.registers[name]))[0] for name in writable} == words
        assert all(words.values())
        for name in ("STATUS", "CYCLES", "STREAM_WAITS", "BAD_CELLS", "REPAIRS", "VALID"):
            halted = pair.map.fields["STATUS.halted"].mask if name == "STATUS" else 0
            assert await pair.words(ctx, pair.map.registers[name]) == [halted], name
        after = await pair.chip.execute(ctx, pair.driver.read_events())
        assert all(after[event] >= count for event, count in events.items()) and after != events
        # TEST.bad_parity does not reach what is wiped.
        await pair.put(ctx, "LOCK", 0)
        assert await pair.field(ctx, "LOCK.matrices") == 1

    pair.run(bench)


def test_nothing_is_valid_after_a_wipe():
    pair = Wipes(TINY)

    async def bench(ctx):
        await pair.fresh(ctx)
        await pair.works(ctx)
        pair.chip.pulse(ctx, "CONTROL.zeroize")
        await ctx.tick()
        await pair.wiped(ctx)
        for text in ("MAT v2, v1, m0, v1", "INV v2, v1", "MUL v2, v1", "INV v2, v1, cal", "PROG", "SCRUB"):
            assert (await pair.go(ctx, text, windows=False)).trap is TrapCause.ILLEGAL

    pair.run(bench)


def test_cells_that_stick_do_not_stop_a_wipe():
    pair = ChipAndGolden(Die.sample(TINY, IDEAL, stuck=((0, 0, 0, 9), (1, 3, 2, 5))))

    async def bench(ctx):
        assert not await pair.field(ctx, "STATUS.busy")
        await pair.load(ctx, definite(4, 15, seed=3))
        await pair.configure(ctx, **QUICK, bad_limit=16)
        await pair.go(ctx, "PROG\nHALT 0", windows=False)
        pair.chip.pulse(ctx, "CONTROL.zeroize")
        await ctx.tick()
        await pair.chip.halted(ctx)
        assert not await pair.field(ctx, "STATUS.busy") and await pair.field(ctx, "STATUS.trap") == 0
        rows = np.array([[pair.chip.macro.read_row(plane, row) for row in range(4)] for plane in (0, 1)])
        assert np.argwhere(rows).tolist() == [[0, 0, 0], [1, 3, 2]]

    pair.run(bench)


@each_shape
def test_garbage_at_power_up_is_wiped(config: ChipConfig):
    """Memories come up with anything, parity wrong included, and so do the arrays."""
    pair = Wipes(config)

    async def bench(ctx):
        pair.garbage(ctx)
        for plane in (0, 1):
            for row in range(pair.config.size):
                pair.chip.macro.write_row(plane, row, np.array(
                    [pair.random.randrange(pair.config.code_max + 1) for _ in range(pair.config.size)]))
        await pair.chip.halted(ctx)
        assert await pair.field(ctx, "INTR_STATE.wiped")
        await pair.windows_are_zero(ctx)
        pair.compare_memories(ctx)
        pair.arrays_hold_zeros()
        await pair.works(ctx)

    pair.chip.run_from_power_up(bench)


def test_reset_from_any_phase_wipes():
    """The reset pin beside ``zeroize``: registers, events and the lock go as well."""
    pair = Wipes(TINY)
    pins = pair.chip.chip.macro

    async def bench(ctx):
        await pair.fresh(ctx)
        registers = pair.chip.held(ctx)
        for clocks in (0, 3, 40, 70, 90, 120, 160):
            await pair.littered(ctx, "PROG\nINV v2, v1\nMUL v3, v1\nHALT 0")
            await pair.configure(ctx, **QUICK)
            await pair.put(ctx, "LOCK", 1)
            pair.chip.pulse(ctx, "CONTROL.start")
            await ctx.tick().repeat(clocks + 1)
            ctx.set(pair.chip.reset, 1)
            await ctx.tick()
            assert not any(ctx.get(pin) for pin in (pins.close_solve, pins.close_multiply, pins.autozero, pins.write))
            await ctx.tick().repeat(3)
            ctx.set(pair.chip.reset, 0)
            await pair.wiped(ctx)
            held = pair.chip.held(ctx)
            changed = {name for name in held if held[name] != registers[name]}
            assert changed <= {"host.bus__w_data", "host.bus__w_strobe"}
        await pair.works(ctx)

    pair.run(bench)


# Lock

async def secrets(pair: Wipes, ctx, response: int) -> None:
    """Reads of slots and codes get this response, everything else reads as ever."""
    for name, window in pair.map.windows.items():
        for word in {0, window.words // 2, window.words - 1}:
            got, value = await pair.chip.read(ctx, window.address + 4 * word)
            assert got == (response if name in ("SLOTS", "CODES") else 0), name
            assert not got or value == 0


def test_a_lock_closes_read_back_only():
    """Slots and codes are refused; they can still be written, computed with, programmed and scrubbed."""
    pair = Wipes(TINY)
    lock = pair.map.registers["LOCK"]

    async def bench(ctx):
        await pair.works(ctx)
        await secrets(pair, ctx, 0)
        await pair.put(ctx, "LOCK", 0)
        assert await pair.field(ctx, "LOCK.matrices") == 0
        await pair.put(ctx, "LOCK", 1)
        await secrets(pair, ctx, SLVERR)
        # What has other values now was written under the lock.
        pair.good = definite(4, 15, seed=8)
        await pair.load(ctx, pair.good)
        await pair.load_slot(ctx, 0, np.arange(16).reshape(4, 4))
        await pair.configure(ctx, **QUICK)
        assert (await pair.go(ctx, f"SCRUB\n{WORKS}")).trap is TrapCause.NONE
        await pair.perform(ctx, Connect())
        await pair.send(ctx, list(range(16)), [0x0102_0304, 0, 5, 0x0F00_0000])
        assert (await pair.go(ctx, "LD m0\nLD codes\nPROG\nHALT 0")).trap is TrapCause.NONE
        for word in (0, 2, 0xFFFF_FFFE):
            assert await pair.chip.write(ctx, lock, word) == 0
        await secrets(pair, ctx, SLVERR)

    pair.run(bench)


def test_a_lock_stands_until_reset():
    """Neither a trap nor an abort nor a wipe opens it, nor a write while a program runs; reset does, and it wipes."""
    pair = Wipes(TINY)

    async def bench(ctx):
        await pair.fresh(ctx)
        await pair.littered(ctx, WORKS)
        pair.chip.pulse(ctx, "CONTROL.start")
        await ctx.tick()
        # A register for ever, so that it can be locked while running too.
        await pair.put(ctx, "LOCK", 1)
        assert not await pair.field(ctx, "STATUS.halted")
        await pair.put(ctx, "LOCK", 0)
        await pair.put(ctx, "CONTROL", pair.map.fields["CONTROL.abort"].mask)
        await secrets(pair, ctx, SLVERR)
        await pair.program(ctx, [0])
        pair.machine.valid_arrays = False
        pair.chip.pulse(ctx, "CONTROL.start")
        await ctx.tick().repeat(5)
        assert pair.chip.field(ctx, "STATUS.trap") == TrapCause.ILLEGAL
        await secrets(pair, ctx, SLVERR)
        pair.chip.pulse(ctx, "CONTROL.zeroize")
        await ctx.tick()
        await pair.wiped(ctx)
        await secrets(pair, ctx, SLVERR)
        await pair.works(ctx)
        await secrets(pair, ctx, SLVERR)
        ctx.set(pair.chip.reset, 1)
        await ctx.tick()
        ctx.set(pair.chip.reset, 0)
        await pair.wiped(ctx)
        await pair.windows_are_zero(ctx)
        await secrets(pair, ctx, 0)

    pair.run(bench)

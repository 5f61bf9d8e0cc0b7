"""One chip in the simulator beside one golden machine with the same die and the same history."""

from collections import Counter
from typing import Any

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.engines.operations import Operation, Read, Send, Write
from ohmloop.golden.assembler import assemble, disassemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.settings import SETTING_FIELDS, Settings
from ohmloop.golden.vector import Scalar
from ohmloop.host.driver import Driver, Status
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_BITS, GAIN_BITS, MANTISSA_BITS, OFFSET_BITS, SCALARS, VECTORS
from ohmloop_hdl.isa import COUNTER_BITS, COUNTERS, PROGRAM_WORDS
from ohmloop_hdl.sequencer.traps import TrapCause
from verification.unit.simulated_chip import SimulatedChip
from verification.unit.simulation import Bench, signed

SLVERR = 2
"""Response of a refused access."""


def mantissas_of(codes: list[int], config: ChipConfig) -> np.ndarray:
    """Mantissas that drive exactly these input codes; missing elements are zero."""
    return np.array(codes + [0] * (config.size - len(codes))) << (32 - config.dac_bits)


class ChipAndGolden:
    """Loads, configures and runs both, and compares everything that either shows."""

    def __init__(self, die: Die):
        self.config = die.config
        self.chip = SimulatedChip(die)
        self.machine = Machine(die.config, NumpyMacro(die))
        self.driver = Driver(die.config)
        self.map = self.driver.map

    def run(self, bench: Bench) -> None:
        """Run ``bench`` with the simulation context."""
        self.chip.run(bench)

    async def load(self, ctx, codes=None, vectors: dict[int, tuple[Any, int]] | None = None):
        """Give both the same cell codes and vectors (mantissas and exponent)."""
        if codes is not None:
            self.machine.codes[:] = codes
            self.machine.wrong_codes[:] = False
            self.machine.valid_codes = True
            await self.chip.execute(ctx, self.driver.load_codes(self.machine.codes))
        for vector, (mantissas, exponent) in (vectors or {}).items():
            self.machine.mantissas[vector], self.machine.exponents[vector] = mantissas, exponent
            await self.chip.execute(ctx, self.driver.load_vector(vector, np.array(mantissas), exponent))

    async def fill(self, ctx, seed: int, codes):
        """Give both the same codes, and something in every vector, scalar, slot, counter and program word, at once.

        The memories are overwritten inside the chip; one word a matrix goes over the bus, to make it valid.
        """
        config, machine, rng = self.config, self.machine, np.random.default_rng(seed)
        lanes, block, n = config.lanes, config.block, config.size
        machine.mantissas[1:] = rng.integers(-1 << 30, 1 << 30, (VECTORS - 1, n))
        machine.exponents[1:] = rng.integers(-9, 9, VECTORS - 1)
        machine.scalars[1:] = [Scalar(int(mantissa), 2) for mantissa in rng.integers(1 << 20, 1 << 22, SCALARS - 1)]
        machine.counters[:] = rng.integers(1, 1 << COUNTER_BITS, COUNTERS).tolist()
        machine.slots[:] = rng.integers(-1 << 20, 1 << 20, machine.slots.shape)
        machine.codes[:] = codes
        machine.program[:] = rng.integers(0, 1 << 32, PROGRAM_WORDS)
        machine.wrong_slots[:] = machine.wrong_codes[:] = machine.wrong_program[:] = False
        machine.valid_slots, machine.valid_codes = [True] * config.slots, True

        def fill(name: str, words: np.ndarray):
            self.chip.fill(ctx, name, [int(word) for word in words.reshape(-1)])

        for lane in range(lanes):
            for copy in ("a", "s"):
                mantissas = machine.mantissas.reshape(VECTORS, lanes, block)[:, lane] & 0xFFFF_FFFF
                fill(f"vectors.{copy}{lane}", mantissas)
            slots = machine.slots.reshape(config.slots, lanes, block, n)[:, lane]
            fill(f"slots.lane{lane}", _with_parity(slots, 3, 8))
            granule = min(8, config.cell_bits + 1)
            packed = _packed_codes(machine.codes, config).reshape(n, lanes, -1)[:, lane]
            fill(f"codes.lane{lane}", _with_parity(packed, 4, granule))
        scalars = np.array([(k.mantissa, k.exponent) for k in machine.scalars])
        for name, values, bits in (("vectors.exponents.copy0", machine.exponents, EXPONENT_BITS),
                                   ("vectors.exponents.copy1", machine.exponents, EXPONENT_BITS),
                                   ("scalar_unit.mantissas.copy0", scalars[:, 0], ELEMENT_BITS),
                                   ("scalar_unit.exponents.copy0", scalars[:, 1], EXPONENT_BITS)):
            for low in range(0, bits, 8):
                fill(f"{name}_byte{low // 8}", values >> low & (1 << min(8, bits - low)) - 1)
        fill("sequencer.counters.memory", np.array(machine.counters))
        fill("program.memory", _with_parity(machine.program, 4, 8))
        for slot in range(config.slots):
            await self.write_word(ctx, "SLOTS", (slot, 0, 0))
        await self.write_word(ctx, "CODES", (0, 0))

    async def load_slot(self, ctx, slot: int, elements):
        """Give both the same matrix in a slot."""
        self.machine.slots[slot] = elements
        self.machine.wrong_slots[slot] = False
        self.machine.valid_slots[slot] = True
        await self.chip.execute(ctx, self.driver.load_slot(slot, self.machine.slots[slot]))

    async def load_scalar(self, ctx, k: int, scalar: Scalar):
        """Give both the same scalar."""
        self.machine.scalars[k] = scalar
        await self.chip.execute(ctx, self.driver.load_scalar(k, scalar))

    async def send(self, ctx, *objects: list[int]):
        """Offer objects to the input stream of both."""
        for words in objects:
            self.machine.source += [(word, place == len(words) - 1) for place, word in enumerate(words)]
            await self.perform(ctx, Send(tuple(words)))

    async def flush(self, ctx) -> None:
        """Forget what was sent, as far as it is in the buffer and as far as it is still to come."""
        coming = True
        while coming:
            coming = self.chip.waiting
            await ctx.tick().repeat(8)
            await self.put(ctx, "CONTROL", self.map.fields["CONTROL.flush"].mask)
        self.machine.source.clear()

    async def write_word(self, ctx, window: str, place: tuple[int, ...], *, wrong: bool = False, strobe: int = 0xF):
        """Write a word of program, slots, codes, offsets or gains once more as it is, on purpose with wrong parity.

        ``place`` is its index in the golden machine's array, with CODES counted in words; ``strobe`` the bytes that are
        written.
        """
        machine, config = self.machine, self.config
        values, marks = {
            "PROGRAM": (machine.program, machine.wrong_program), "SLOTS": (machine.slots, machine.wrong_slots),
            "CODES": (machine.codes, machine.wrong_codes), "OFFSETS": (machine.offsets, machine.wrong_offsets),
            "GAINS": (machine.gains, machine.wrong_gains)}[window]
        number = int(np.ravel_multi_index(place, marks.shape))
        if window == "CODES":
            bits = 32 // config.codes_per_word
            codes = values.reshape(-1, config.codes_per_word)[number].tolist()
            word = sum((code & (1 << bits) - 1) << bits * i for i, code in enumerate(codes))
        else:
            word = int(values[place]) & 0xFFFF_FFFF
        marks[place] = wrong
        await self.put(ctx, "TEST", wrong)
        assert await self.chip.write(ctx, self.map.windows[window].address + 4 * number, word, strobe) == 0
        await self.put(ctx, "TEST", 0)

    async def configure(self, ctx, **changes: int):
        """Reset values with ``changes``; registers that have them already are not written."""
        self.machine.settings = Settings.reset(self.config, **changes)
        held = Counter()
        for name, field in self.map.fields.items():
            if name in SETTING_FIELDS.values():
                held[field.address] += self.chip.field(ctx, name) << field.low
        for write in self.driver.configure(self.machine.settings):
            if write.words != (held[write.address],):
                await self.perform(ctx, write)

    async def program(self, ctx, program: str | list[int], entry: int = 0):
        """Put a program, as source or words, into both memories; it wraps at the end."""
        words = assemble(program) if isinstance(program, str) else program
        base = self.map.windows["PROGRAM"].address
        for i, word in enumerate(words):
            place = (entry + i) % len(self.machine.program)
            self.machine.program[place] = word
            self.machine.wrong_program[place] = False
            assert await self.chip.write(ctx, base + 4 * place, word) == 0

    async def go(self, ctx, program: str | list[int], entry: int = 0, *, windows: bool = True) -> Run:
        """Run a program on both and compare; what the golden machine says of the run.

        Without ``windows`` memories and registers are compared as they are inside the chip only, which is quicker.
        """
        await self.program(ctx, program, entry)
        self.restart(ctx)
        run = self.machine.run(entry)
        # Room for pauses of the streams, which nobody predicts.
        status = await self.chip.execute(ctx, self.driver.run(entry, limit_clocks=10 * run.cycles + 5000))
        await self.compare(ctx, status, run, windows=windows)
        return run

    async def compare(self, ctx, status: Status, run: Run, *, windows: bool = True):
        """Status, phases, scans, events, what each instruction wrote, and all that the registers, the memories and the
        windows show."""
        trace, machine = self.chip.trace, self.machine
        assert status == Status(run.trap, run.halt_code, run.pc, run.cycles, machine.bad_count, machine.repairs)
        waits = trace.phases.pop(Phase.WAIT, 0)
        assert trace.phases == run.phases, f"{trace.phases}, not {run.phases}"
        for got, expected in zip(trace.retired, run.retired, strict=True):
            assert got == expected, f"{disassemble(got.instruction)}: {got}, not {expected}"
        assert [scan.tolist() for scan in trace.scans] == [scan.codes.tolist() for scan in run.scans]
        if run.trap not in (TrapCause.PARITY, TrapCause.WATCHDOG):
            counted = self._counted(ctx)
            counted.subtract(self._events)
            assert +counted == +run.events, f"{+counted}, not {run.events}"
        valid = sum(valid << slot for slot, valid in enumerate(machine.valid_slots))
        shown = {
            "STREAM_WAITS.count": waits, "RANGES.drive_range": machine.settings.drive_range,
            "RANGES.feedback": machine.settings.feedback, "STATUS.loop_closed": 0, "STATUS.halted": 1,
            "VALID.slots": valid, "VALID.codes": machine.valid_codes, "VALID.arrays": machine.valid_arrays}
        for name, value in shown.items():
            assert (await self.field(ctx, name) if windows else self.chip.field(ctx, name)) == value, name
        self.compare_memories(ctx)
        if windows:
            events = await self.chip.execute(ctx, self.driver.read_events())
            assert events == {event: self._counted(ctx)[event] for event in Event}
            await self.compare_windows(ctx)

    def restart(self, ctx):
        """What the trace showed and the events counted before this is not compared."""
        self.chip.restart_trace()
        self._events = self._counted(ctx)

    def _counted(self, ctx) -> Counter[Event]:
        """Events so far."""
        return Counter({event: self.chip.field(ctx, f"EVENT_{event.name}.count") for event in Event})

    async def compare_windows(self, ctx):
        """All that the windows show; slots, codes, program and gains left out."""
        machine = self.machine
        await self.compare_vectors(ctx)
        for k, scalar in enumerate(machine.scalars):
            assert await self.chip.execute(ctx, self.driver.read_scalar(k)) == scalar, f"k{k}"
        if not machine.wrong_offsets.any():
            assert (await self.chip.execute(ctx, self.driver.read_offsets())).tolist() == machine.offsets.tolist()
        bad_map = await self.chip.execute(ctx, self.driver.read_bad_map())
        assert np.array_equal(bad_map, machine.bad_map)

    async def compare_stream(self, ctx):
        """Every beat that came out of the output stream since the last call; the streams are connected."""
        while ctx.get(self.chip.chip.sink.tvalid):
            await ctx.tick()
        await ctx.tick().repeat(4)
        assert not ctx.get(self.chip.chip.sink.tvalid)
        assert self.chip.taken() == self.machine.sink
        self.machine.sink.clear()

    async def compare_vectors(self, ctx):
        """Every vector in the windows."""
        windows, n = self.map.windows, self.config.size
        words = await self.words(ctx, windows["MANTISSAS"].address, VECTORS * n)
        mantissas = np.array([signed(word, 32) for word in words]).reshape(VECTORS, n)
        assert mantissas.tolist() == self.machine.mantissas.tolist()
        exponents = [signed(word, 32) for word in await self.words(ctx, windows["EXPONENTS"].address, VECTORS)]
        assert exponents == self.machine.exponents.tolist()

    def compare_memories(self, ctx):
        """What the memories hold inside the chip, each copy, with their parity: all registers, matrices, corrections,
        the program and the counters."""
        config, machine, memories = self.config, self.machine, self.chip.contents(ctx)
        lanes, block, n = config.lanes, config.block, config.size

        def banked(name: str, *shape: int) -> np.ndarray:
            return np.array([memories[name.format(lane)] for lane in range(lanes)]).reshape(lanes, *shape)

        def same(what: str, got, expected):
            assert np.array_equal(got, expected), f"{what}: {np.array(got).tolist()}, not {np.array(expected).tolist()}"

        for copy in ("a", "s"):
            mantissas = np.moveaxis(banked(f"vectors.{copy}{{}}", VECTORS, block), 0, 1).reshape(VECTORS, n)
            same(f"vectors, copy {copy}", _signed(mantissas, MANTISSA_BITS)[1:], machine.mantissas[1:])
        for copy in (0, 1):
            exponents = _bytes(memories, f"vectors.exponents.copy{copy}_byte", EXPONENT_BITS)
            same(f"exponents, copy {copy}", exponents[1:], machine.exponents[1:])
        for name, bits in (("mantissa", ELEMENT_BITS), ("exponent", EXPONENT_BITS)):
            scalars = _bytes(memories, f"scalar_unit.{name}s.copy0_byte", bits)
            same(f"scalars, {name}s", scalars[1:], [getattr(scalar, name) for scalar in machine.scalars[1:]])
        assert len(machine.scalars) == SCALARS
        same("counters", memories["sequencer.counters.memory"], machine.counters)

        same("program", *_checked(np.array(memories["program.memory"]), 4, 8, machine.program, machine.wrong_program))
        slots = np.moveaxis(banked("slots.lane{}", config.slots, block, n), 0, 1).reshape(machine.slots.shape)
        same("slots", *_checked(slots, 3, 8, machine.slots, machine.wrong_slots))
        codes = np.moveaxis(banked("codes.lane{}", n, config.code_words), 0, 1).reshape(n, -1)
        granule = min(8, config.cell_bits + 1)
        same("codes", *_checked(codes, 4, granule, _packed_codes(machine.codes, config), machine.wrong_codes))
        for name, words, wrong in (("offsets", machine.offsets, machine.wrong_offsets),
                                   ("gains", machine.gains, machine.wrong_gains)):
            # A memory has two words at least, of which a single converter a lane needs one.
            stored = banked(f"correction.{name}.lane{{}}", -1)[:, :len(words) // lanes].reshape(-1)
            same(name, *_checked(stored, 2, 8, words, wrong))
        assert OFFSET_BITS == GAIN_BITS == 16 and len(machine.program) == PROGRAM_WORDS

    async def perform(self, ctx, operation: Operation) -> list[int]:
        """One bus or stream operation."""
        def script():
            return (yield operation)

        return await self.chip.execute(ctx, script())

    async def words(self, ctx, address: int, count: int = 1) -> list[int]:
        """Words on the host bus; none may be refused."""
        return await self.perform(ctx, Read(address, count))

    async def field(self, ctx, name: str) -> int:
        """A field of a register."""
        place = self.map.fields[name]
        (word,) = await self.words(ctx, place.address)
        return (word & place.mask) >> place.low

    async def put(self, ctx, register: str, word: int):
        """Write a register, which may not refuse."""
        await self.perform(ctx, Write(self.map.registers[register], (word,)))

    async def start(self, ctx, program: str | list[int]):
        """Start the chip alone, without waiting for its end."""
        await self.program(ctx, program)
        await self.put(ctx, "ENTRY", 0)
        await self.put(ctx, "INTR_STATE", 3)
        await self.put(ctx, "INTR_ENABLE", 3)
        self.restart(ctx)
        await self.put(ctx, "CONTROL", self.map.fields["CONTROL.start"].mask)

    async def finish(self, ctx, run: Run, *, windows: bool = True):
        """Wait for the end of what :meth:`start` started, and compare with ``run``."""
        while not ctx.get(self.chip.chip.interrupt):
            await ctx.tick()
        await self.compare(ctx, await self.chip.execute(ctx, self.driver.status()), run, windows=windows)


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """The low ``bits`` bits as two's complement numbers."""
    values = values & (1 << bits) - 1
    return values - (values >> bits - 1 << bits)


def _bytes(memories: dict[str, list[int]], name: str, bits: int) -> np.ndarray:
    """Registers of a file that is kept a byte a memory."""
    parts = np.array([memories[f"{name}{low // 8}"] for low in range(0, bits, 8)])
    return _signed((parts << 8 * np.arange(len(parts))[:, None]).sum(axis=0), bits)


def _checked(stored: np.ndarray, granules: int, bits: int, words: np.ndarray, wrong: np.ndarray):
    """Stored words split into what they carry and whether a parity is wrong; the same of what they should be."""
    parts = stored[..., None] >> (bits + 1) * np.arange(granules) & (2 << bits) - 1
    values = ((parts & (1 << bits) - 1) << bits * np.arange(granules)).sum(axis=-1)
    parity = (parts[..., None] >> np.arange(bits + 1) & 1).sum(axis=-1) & 1
    expected = words & (1 << bits * granules) - 1
    return np.stack([values, parity.any(axis=-1)]), np.stack([expected, wrong])


def _with_parity(words: np.ndarray, granules: int, bits: int) -> np.ndarray:
    """Words as the memories keep them, each granule with an even-parity bit above it."""
    parts = words[..., None] >> bits * np.arange(granules) & (1 << bits) - 1
    parity = (parts[..., None] >> np.arange(bits) & 1).sum(axis=-1) & 1
    return ((parts | parity << bits) << (bits + 1) * np.arange(granules)).sum(axis=-1)


def _packed_codes(codes: np.ndarray, config: ChipConfig) -> np.ndarray:
    """Cell codes in the words of the code memory (N, N / codes a word)."""
    bits = min(8, config.cell_bits + 1) * 4 // config.codes_per_word
    values = codes.reshape(config.size, -1, config.codes_per_word) & (1 << bits) - 1
    return (values << bits * np.arange(config.codes_per_word)).sum(axis=2)

"""cocotb bench: the streams of the chip, word for word, under random pauses on both sides."""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, with_timeout
from verification.cosim.bus_model import ABORT, FLUSH, START, ZEROIZE
from verification.cosim.buses import CLOCK_NS
from verification.cosim.chip_bench import COUNTED, Chip, chip_test

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.golden.stream import unpack_codes
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.host.map import address_map
from ohmloop_hdl.sequencer.traps import TrapCause

BEATS = 20_000
"""Beats of the test run, both directions together; a campaign says how many it wants."""

WINDOW = 200
"""Clocks for which a way of pausing lasts."""

RATES = (0.0, 0.0, 0.1, 0.5, 0.8, 0.95)
"""Share of clocks in which one side pauses."""


def pauses(rng: random.Random) -> Iterator[bool]:
    """Never, now and then, or most of the time; sometimes in long stretches."""
    while True:
        rate, stretch = rng.choice(RATES), rng.choice((1, 1, 7, 40))
        paused = False
        for clock in range(rng.randrange(1, 2 * WINDOW)):
            if clock % stretch == 0:
                paused = rng.random() < rate
            yield paused


class Streams:
    """The chip with models on both streams, the driver's view of its registers, and what has gone over."""

    def __init__(self, chip: Chip, paused: bool = True):
        self.chip, self.rng, self.size = chip, chip.rng, chip.config.size
        self.map = address_map(chip.config)
        self.source, self.sink = chip.connect()
        if paused:
            for end in (self.source, self.sink):
                end.set_pause_generator(pauses(random.Random(self.rng.random())))

    def vector(self) -> list[int]:
        """A vector object of any content."""
        return [self.rng.getrandbits(32) for _ in range(self.size + 1)]

    def through(self, words: list[int]) -> list[int]:
        """What ST sends of a vector that LD took: an exponent of ten bits, extended."""
        exponent = ((words[0] & 0x3FF) ^ 0x200) - 0x200
        return [exponent & 0xFFFF_FFFF, *words[1:]]

    async def take(self, clocks: int = 50_000) -> list[int]:
        """The next object from the output."""
        frame: Any = await with_timeout(self.sink.recv(), clocks * CLOCK_NS, "ns")
        return list(frame.tdata)

    async def load(self, source: str):
        """Put a program at address 0."""
        await self.chip.write_words(self.map.windows["PROGRAM"].address, assemble(source))

    async def control(self, bits: int):
        """Write CONTROL."""
        if bits & (FLUSH | ZEROIZE):
            self.chip.excuse()
        await self.chip.write_words(self.map.registers["CONTROL"], [bits])
        await self.chip.clocks(2)

    async def start(self, source: str):
        """Load a program and start it."""
        await self.load(source)
        await self.control(START)

    async def field(self, name: str) -> int:
        """A field of a register."""
        place = self.map.fields[name]
        return (await self.chip.read_word(place.address) & place.mask) >> place.low

    async def events(self) -> tuple[int, int]:
        """Beats that the chip says that it took and gave."""
        words = await self.chip.read_words(self.map.registers["EVENT_BEAT_IN"], 2)
        return words[0], words[1]

    async def window(self, name: str) -> list[int]:
        """All words of a window."""
        window = self.map.windows[name]
        return await self.chip.read_words(window.address, window.words)

    async def ended(self, clocks: int = 200_000) -> TrapCause:
        """Wait until nothing runs; why the run trapped."""
        await self.chip.reach(Phase.IDLE, clocks)
        return TrapCause(await self.field("STATUS.trap"))

    def machine(self, **changes: int) -> Machine:
        """The golden machine beside this chip."""
        config = self.chip.config
        machine = Machine(config, NumpyMacro(Die.sample(config, AnalogParams.ideal())))
        machine.settings = Settings.reset(config, **changes)
        return machine


@chip_test
async def vectors_in_and_out(chip: Chip):
    """Beat by beat what went in comes out, each once and in order, however both sides pause."""
    streams = Streams(chip)
    total = chip.amount or BEATS
    objects = total // 2 // (streams.size + 1)
    await streams.start("again: LD v1\nST v1\nBLE k0, k0, 0, again")
    waiting: list[list[int]] = []
    begun = chip.time()

    async def feed():
        for _ in range(objects):
            while len(waiting) > 40:
                await chip.clocks(50)
            words = streams.vector()
            waiting.append(streams.through(words))
            streams.source.send_nowait(words)

    feeder = cocotb.start_soon(feed())
    for number in range(objects):
        taken = await streams.take()
        assert taken == waiting.pop(0), f"object {number}: {taken}"
    await feeder
    clocks = chip.time() - begun
    await chip.clocks(300)
    assert streams.source.empty() and streams.sink.empty() and not waiting
    beats = objects * (streams.size + 1)
    assert (chip.beats_in.count, chip.beats_out.count) == (beats, beats)
    assert await streams.events() == (beats, beats)
    assert chip.phase == Phase.WAIT and await streams.field("STREAM_WAITS.count") > beats // 4
    await streams.control(ABORT)
    print(f"{COUNTED}{beats} beats in, {beats} beats out, none lost, repeated or out of order, in {clocks} clocks")


@chip_test
async def a_beat_a_clock(chip: Chip):
    """Without pauses the buffers take and give a beat in every clock."""
    streams = Streams(chip, paused=False)
    words = streams.vector()
    streams.source.send_nowait(words)
    await chip.clocks(3 * streams.size)
    assert chip.beats_in.count == streams.size + 1, "the buffer holds one vector with its exponent"
    streams.source.send_nowait(words)
    await chip.clocks(20)
    assert chip.beats_in.count == streams.size + 1 and not int(chip.dut.s_axis_tready.value)
    await streams.load("LD v1\nST v1\nLD v2\nHALT 0")
    await streams.control(START)
    assert await streams.ended() == TrapCause.NONE
    assert await streams.field("STREAM_WAITS.count") == 0
    assert await streams.take() == streams.through(words)
    assert await streams.window("MANTISSAS") == [0] * streams.size + 2 * words[1:] + [0] * 13 * streams.size


@chip_test
async def second_vector_while_the_first_solves(chip: Chip):
    """A right-hand side comes in and an answer goes out while the loop settles: no clock is lost to a stream."""
    solves = 6
    streams = Streams(chip, paused=False)
    config, size = chip.config, streams.size
    machine = streams.machine(solve_interval=400)
    program = assemble(f"PROG\nSETC c1, {solves}\nagain: LD v1\nINV v2, v1\nST v2\nLOOP c1, again\nHALT 3")
    machine.program[:len(program)] = program
    machine.codes[range(size), range(size)] = config.code_max
    machine.valid_codes = True
    drives = [[(1 << config.dac_bits - 2) + 3 * place + i for i in range(size)] for place in range(solves)]
    vectors = [[3, *(drive << 32 - config.dac_bits for drive in drive)] for drive in drives]
    machine.source.extend((word, place == size) for words in vectors for place, word in enumerate(words))
    run = machine.run()
    assert run.trap == TrapCause.NONE

    per_word = config.codes_per_word
    bits = 32 // per_word
    codes = machine.codes.reshape(-1, per_word)
    await chip.write_words(streams.map.windows["CODES"].address, [
        sum(int(code) << bits * place for place, code in enumerate(row)) for row in codes])
    await chip.write_words(streams.map.windows["PROGRAM"].address, program)
    await chip.write_words(streams.map.registers["SOLVE_INTERVAL"], [400])
    for words in vectors:
        streams.source.send_nowait(words)
    await chip.clocks(2 * size + 20)  # the first is there before the start
    await streams.control(START)
    for solve in range(solves):
        await chip.reach(Phase.SETTLE)
        assert chip.closed()
        await chip.clocks(2 * size + 20)
        assert chip.phase == Phase.SETTLE
        # All of the next vector is in the chip, and no beat more; all of the last answer is out.
        assert chip.beats_in.count == min(solve + 2, solves) * (size + 1)
        assert chip.beats_out.count == solve * (size + 1)
        await chip.reach(Phase.STORE)
    assert await streams.ended() == TrapCause.NONE
    answers = [word for _ in range(solves) for word in await streams.take()]
    assert answers == [word for word, _ in machine.sink]
    assert await streams.field("STREAM_WAITS.count") == 0
    assert await streams.field("CYCLES.count") == run.cycles
    assert await streams.events() == (solves * (size + 1),) * 2 == (run.events[Event.BEAT_IN],
                                                                   run.events[Event.BEAT_OUT])


@chip_test
async def matrices_from_the_stream(chip: Chip):
    """Slots, code memory and arrays filled from the stream, under pauses, against what the windows then read."""
    streams = Streams(chip)
    config, size = chip.config, streams.size
    row_words = size // config.codes_per_word
    beats = 0
    for round_ in range(3):
        slots = [[streams.rng.getrandbits(32) for _ in range(size * size)] for _ in range(config.slots)]
        codes, rows = ([streams.rng.getrandbits(32) for _ in range(size * row_words)] for _ in range(2))
        for words in slots + [codes, rows]:
            streams.source.send_nowait(words)
            beats += len(words)
        slot_loads = "\n".join(f"LD m{slot}" for slot in range(config.slots))
        # All zeros is not a valid code of a cell, but -2^cell_bits is programmed as the smallest.
        await streams.start(f"{slot_loads}\nLD codes\nHALT 1\nPROG stream\nSCRUB\nHALT 2")
        assert await streams.ended() == TrapCause.NONE
        assert await streams.field("STATUS.halt_code") == 1
        assert await streams.window("SLOTS") == [
            (((word & 0xFF_FFFF) ^ 0x80_0000) - 0x80_0000) & 0xFFFF_FFFF for words in slots for word in words]
        assert _codes(await streams.window("CODES"), config) == _codes(codes, config)
        assert await streams.field("VALID.slots") == (1 << config.slots) - 1
        assert await streams.field("VALID.codes") and await streams.field("VALID.arrays") == (round_ > 0)
        await chip.write_words(streams.map.registers["ENTRY"], [config.slots + 2])
        await streams.control(START)
        assert await streams.ended() == TrapCause.NONE
        assert await streams.field("STATUS.halt_code") == 2
        assert _codes(await streams.window("CODES"), config) == _codes(rows, config)
        assert await streams.field("VALID.arrays")
        assert await streams.field("REPAIRS.count") == 0, "what PROG wrote from the stream is not the code memory"
        await chip.write_words(streams.map.registers["ENTRY"], [0])
    assert chip.beats_in.count == beats == (await streams.events())[0]
    print(f"{COUNTED}{beats} beats of matrices")


def _codes(words: list[int], config) -> list[int]:
    return unpack_codes(words, config).tolist()


@chip_test
async def objects_that_end_early_or_late(chip: Chip):
    """``tlast`` where it must not be, or missing where it must be, traps; what follows stays until a flush."""
    streams = Streams(chip)
    config, size = chip.config, streams.size
    row_words = size // config.codes_per_word
    cases = [("LD v3", size + 1), ("LD m0", size * size), ("LD codes", size * row_words),
             ("PROG stream", size * row_words)]
    for instruction, length in cases:
        for given in sorted({1, length // 2, length - 1, length + 1, length + 4}):
            before, _ = await streams.events()
            streams.source.send_nowait([streams.rng.getrandbits(31) | 1 for _ in range(given)])
            await streams.start(f"{instruction}\nHALT 0")
            what = f"{instruction} of {given} beats"
            assert await streams.ended() == TrapCause.STREAM, what
            taken, _ = await streams.events()
            # An early end stops at its beat; a missing one is known where it should have been.
            assert taken - before == min(given, length), what
            assert await streams.field("VALID.slots") & 1 == 0 or instruction != "LD m0", what
            assert not await streams.field("VALID.codes") or instruction in ("LD v3", "LD m0"), what
            if instruction == "LD v3":
                assert (await streams.window("EXPONENTS"))[3] == -512 & 0xFFFF_FFFF, "the vector does not read zero"
            # What was not taken waits: the next LD would take it.
            while not streams.source.idle():
                await chip.clocks(1)
            assert chip.beats_in.count - taken == max(0, given - length), what
            await streams.control(FLUSH)
            await chip.clocks(2)
            chip.beats_in.count = taken
            words = streams.vector()
            streams.source.send_nowait(words)
            await streams.start("LD v4\nST v4\nHALT 0")
            assert await streams.ended() == TrapCause.NONE, what
            assert await streams.take() == streams.through(words), what


@chip_test
async def stops_lose_and_repeat_nothing(chip: Chip):
    """An abort keeps what is in the buffers, a flush empties both, a zeroize and a reset leave nothing of them."""
    streams = Streams(chip, paused=False)
    size = streams.size
    first, second = streams.vector(), streams.vector()
    chip.dut.m_axis_tready.value = 0
    streams.sink.pause = True
    streams.source.send_nowait(first)
    await streams.start("again: LD v1\nST v1\nBLE k0, k0, 0, again")
    await chip.clocks(4 * size + 60)
    assert chip.phase == Phase.WAIT
    streams.source.send_nowait(second)
    await chip.clocks(4 * size + 60)
    await streams.control(ABORT)
    await chip.clocks(5)
    streams.sink.pause = False
    # The first is out whole; of the second what had room left in the buffer.
    assert await streams.take() == streams.through(first)
    await chip.clocks(4 * size + 60)
    left = chip.beats_out.count - (size + 1)
    assert 0 <= left <= size + 1
    await _emptied(streams, FLUSH)
    for bits in (FLUSH, ZEROIZE, 0):
        streams.sink.pause = True
        streams.source.send_nowait(first)
        await streams.start("LD v1\nST v1\nHALT 0")
        assert await streams.ended() == TrapCause.NONE
        streams.source.send_nowait(second)
        await chip.clocks(4 * size + 60)
        assert int(chip.dut.m_axis_tvalid.value)
        await _emptied(streams, bits)


async def _emptied(streams: Streams, bits: int):
    """Flush, zeroize or (0) reset; nothing old comes out, and the next vector goes through."""
    chip = streams.chip
    if bits:
        await streams.control(bits)
    else:
        streams.sink.clear()
        await chip.reset()
    streams.sink.pause = False
    for _ in range(3):
        await FallingEdge(chip.dut.clk)
    if chip.phase == Phase.WIPE:
        assert not int(chip.dut.m_axis_tvalid.value) and not int(chip.dut.s_axis_tready.value)
        await chip.reach(Phase.IDLE)
    await chip.clocks(20)
    assert not int(chip.dut.m_axis_tvalid.value), "something old comes out"
    streams.sink.clear()
    words = streams.vector()
    streams.source.send_nowait(words)
    await streams.start("LD v1\nST v1\nHALT 0")
    assert await streams.ended() == TrapCause.NONE
    assert await streams.take() == streams.through(words)
    await chip.clocks(20)
    assert streams.sink.empty() and streams.source.empty()

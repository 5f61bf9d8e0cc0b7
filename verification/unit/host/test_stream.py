"""Streams: the buffer under any pauses, and the unit that moves objects: words, clocks, ``tlast`` and stalls."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import fifo
from amaranth.lib.wiring import connect
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop.golden import cycles
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.host import stream
from ohmloop_hdl.host.map import address_map
from ohmloop_hdl.host.stream import StreamBuffer, StreamUnit
from ohmloop_hdl.host.windows import Windows
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.vector.banks import VectorBanks

TINY = CONFIGS["tiny"]
STREAM_SHAPES = SHAPES | {"three_slots": replace(SHAPES["unshared"], slots=3)}
each_shape = pytest.mark.parametrize("config", STREAM_SHAPES.values(), ids=STREAM_SHAPES.keys())

VECTOR, SLOT, CODES = 0, 1, 2
"""What LD fills."""

Beat = tuple[int, int]
"""Word and ``tlast``."""


def random_beats(random, count: int) -> list[Beat]:
    return [(random.getrandbits(32), random.randrange(2)) for _ in range(count)]


# The buffer


class BufferBench:
    """A buffer with a transmitter that offers ``beats`` and a receiver, each with its rate of pauses.

    The transmitter keeps a beat until it is taken; what the receiver sees must keep as well.
    """

    def __init__(self, config: ChipConfig, beats: list[Beat]):
        self.dut = StreamBuffer(config)
        self.depth = config.size + 1
        self.beats = beats
        self.taken: list[Beat] = []
        self.given: list[Beat] = []

    async def clock(self, ctx, offers: bool, accepts: bool):
        """One clock; the transmitter starts to offer, or goes on."""
        into, out = self.dut.into, self.dut.out
        offers = bool(self.beats) and (offers or ctx.get(into.tvalid))
        ctx.set(into.tvalid, offers)
        if offers:
            ctx.set(into.tdata, self.beats[0][0])
            ctx.set(into.tlast, self.beats[0][1])
        ctx.set(out.tready, accepts)
        taken, given = offers and ctx.get(into.tready), ctx.get(out.tvalid)
        beat = ctx.get(out.tdata), ctx.get(out.tlast)
        await ctx.tick()
        if taken:
            self.taken.append(self.beats.pop(0))
            ctx.set(into.tvalid, 0)
        if given and accepts:
            self.given.append(beat)
        elif given and not ctx.get(self.dut.flush) and not ctx.get(self.dut.wipe):
            assert (ctx.get(out.tvalid), ctx.get(out.tdata), ctx.get(out.tlast)) == (1, *beat), "a beat stays"

    async def drain(self, ctx, clocks: int):
        for _ in range(clocks):
            await self.clock(ctx, False, True)


@pytest.mark.parametrize("offers", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("accepts", [0.1, 0.5, 1.0])
def test_no_beat_is_lost_or_repeated_under_any_pauses(offers: float, accepts: float):
    random = seeded((offers, accepts))
    beats = random_beats(random, 60)
    bench = BufferBench(TINY, list(beats))

    async def run(ctx):
        for _ in range(2000):
            await bench.clock(ctx, random.random() < offers, random.random() < accepts)

    simulate(bench.dut, run)
    assert bench.taken == bench.given == beats


@each_shape
def test_the_buffer_holds_a_vector_with_its_exponent(config: ChipConfig):
    beats = random_beats(seeded(config), 3 * config.size)
    bench = BufferBench(config, list(beats))

    async def run(ctx):
        for _ in range(2 * config.size + 4):
            await bench.clock(ctx, True, False)
        assert bench.taken == beats[:config.size + 1]
        while len(bench.given) < len(beats):
            await bench.clock(ctx, True, True)
        await bench.drain(ctx, 3)

    simulate(bench.dut, run)
    assert bench.given == beats


def test_a_beat_a_clock_two_clocks_behind():
    beats = random_beats(seeded(), 50)
    bench = BufferBench(TINY, list(beats))

    async def run(ctx):
        for clock in range(60):
            await bench.clock(ctx, True, True)
            assert len(bench.taken) == min(50, clock + 1)
            assert len(bench.given) == max(0, min(50, clock - 1))

    simulate(bench.dut, run)
    assert bench.given == beats


def test_a_beat_a_clock_out_of_a_full_buffer():
    beats = random_beats(seeded(), 50)
    bench = BufferBench(TINY, list(beats))

    async def run(ctx):
        for _ in range(8):
            await bench.clock(ctx, True, False)
        assert len(bench.taken) == 5
        for clock in range(45):
            await bench.clock(ctx, True, True)
            assert len(bench.given) == clock + 1

    simulate(bench.dut, run)
    assert bench.given == beats[:45]


@pytest.mark.parametrize("held", [0, 1, 3, 5])
def test_a_flush_forgets_what_the_buffer_holds_and_no_other_beat(held: int):
    beats = random_beats(seeded(held), 20)
    bench = BufferBench(TINY, list(beats))

    async def run(ctx):
        while len(bench.taken) < held:
            await bench.clock(ctx, True, False)
        await bench.clock(ctx, False, False)
        ctx.set(bench.dut.flush, 1)
        for _ in range(2):
            # A beat on offer is not taken, and none is given.
            await bench.clock(ctx, True, True)
            assert len(bench.taken) == held and not bench.given
        ctx.set(bench.dut.flush, 0)
        for _ in range(40):
            await bench.clock(ctx, True, True)

    simulate(bench.dut, run)
    assert bench.given == beats[held:]


@pytest.mark.parametrize("offers", [False, True])
@pytest.mark.parametrize("held", [0, 1, 4, 5])
def test_a_wipe_overwrites_every_word_and_nothing_comes_out(held: int, offers: bool, monkeypatch: pytest.MonkeyPatch):
    memories = []

    class OpenFifo(fifo.SyncFIFOBuffered):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            memories.append(m.submodules.storage)
            return m

    monkeypatch.setattr(stream, "SyncFIFOBuffered", OpenFifo)
    beats = [(0x5EC0_0000 + place, 1) for place in range(30)]
    bench = BufferBench(TINY, list(beats))

    def stored(ctx) -> list[int]:
        return [ctx.get(memories[0].data[place]) for place in range(TINY.size)]

    async def run(ctx):
        # Every word of the memory has held something.
        for _ in range(12):
            await bench.clock(ctx, True, True)
        while len(bench.taken) - len(bench.given) < held:
            await bench.clock(ctx, True, False)
        while len(bench.taken) - len(bench.given) > held:
            await bench.clock(ctx, False, True)
        assert all(word & 0xFFFF_0000 == 0x5EC0_0000 for word in stored(ctx))
        taken, given = len(bench.taken), len(bench.given)
        ctx.set(bench.dut.wipe, 1)
        for _ in range(TINY.size + 3):
            await bench.clock(ctx, offers, True)
            assert (len(bench.taken), len(bench.given)) == (taken, given)
        ctx.set(bench.dut.wipe, 0)
        assert not any(stored(ctx))
        assert ctx.get(bench.dut.out.tdata) == 0 and not ctx.get(bench.dut.out.tvalid)
        while bench.beats:
            await bench.clock(ctx, True, True)
        await bench.drain(ctx, 10)
        assert bench.given[given:] == bench.taken[taken:] == beats[taken:], "it works as before"

    simulate(bench.dut, run)


# The unit


def content(number: int, address: int) -> int:
    """What the memories hold, where nothing is written: every word has its own."""
    return (number << 24 | address + 1) * 0x9E37_79B1 & 0xFFFF_FFFF


@dataclass
class Moved:
    """What a move did: clocks from the clock after its start to its end, waits among them, how it ended, the beats that
    it took or sent, and its writes, as window, address, word."""

    clocks: int = 0
    waits: int = 0
    done: str = ""
    fault: TrapCause = TrapCause.NONE
    taken: int = 0
    sent: list[Beat] = field(default_factory=list)
    writes: list[tuple[str, int, int]] = field(default_factory=list)


class UnitBench:
    """A stream unit with a memory behind it, a transmitter and a receiver that pause at a rate."""

    def __init__(self, config: ChipConfig, pauses: float = 0.0, salt: object = ""):
        self.config, self.pauses = config, pauses
        self.dut = StreamUnit(config)
        self.random = seeded((config, pauses, salt))
        self.windows = {window.number: name for name, window in address_map(config).windows.items()}
        self.writes: list[tuple[str, int, int]] = []

    def run(self, bench):
        simulate(self.dut, bench, self.memory)

    async def memory(self, ctx):
        port = self.dut.memory
        async for _, _, enable, number, address, write, word in ctx.tick().sample(
                port.enable, port.number, port.address, port.write, port.w_data):
            ctx.set(port.r_data, content(number, address) if enable and not write else 0xDEAD_BEEF)
            if enable and write:
                self.writes.append((self.windows[number], address, word))

    async def move(self, ctx, beats: Sequence[Beat] = (), *, row: int | None = None, **fields: int) -> Moved:
        """One object, with ``beats`` on offer; a row of the code memory, or what the ``fields`` say."""
        dut, control, moved = self.dut, self.dut.control, Moved()
        self.writes.clear()
        for name, value in (fields | ({} if row is None else {"row": row})).items():
            ctx.set(getattr(dut, name), value)
        start = control.start if row is None else dut.row_start
        ctx.set(start, 1)
        offers = False
        for clock in range(100 * self.config.size ** 2):
            offers = moved.taken < len(beats) and (offers or self.random.random() >= self.pauses)
            accepts = self.random.random() >= self.pauses
            ctx.set(dut.source.tvalid, offers)
            if offers:
                ctx.set(dut.source.tdata, beats[moved.taken][0])
                ctx.set(dut.source.tlast, beats[moved.taken][1])
            ctx.set(dut.sink.tready, accepts)
            takes, gives = ctx.get(dut.source.tready), ctx.get(dut.sink.tvalid)
            waits, done, row_done = ctx.get(control.waiting), ctx.get(control.done), ctx.get(dut.row_done)
            fault = TrapCause(ctx.get(control.fault))
            assert waits == (takes and not offers or gives and not accepts)
            assert not (takes and gives)
            assert Phase(ctx.get(control.phase)) is (Phase.WAIT if waits else Phase.STREAM)
            if gives and accepts:
                moved.sent.append((ctx.get(dut.sink.tdata), ctx.get(dut.sink.tlast)))
            assert ctx.get(control.safe) == (clock > 0), "from its start on"
            await ctx.tick()
            ctx.set(start, 0)
            if takes and offers:
                moved.taken, offers = moved.taken + 1, False
            moved.clocks, moved.waits, moved.fault = clock, moved.waits + waits, fault
            if done or row_done or fault:
                assert done + row_done + (fault != TrapCause.NONE) == 1
                moved.done = "done" if done else "row" if row_done else ""
                break
        ctx.set(dut.source.tvalid, 1)
        ctx.set(dut.sink.tready, 1)
        for _ in range(3):
            assert not any(ctx.get(signal) for signal in (
                dut.source.tready, dut.sink.tvalid, control.done, control.fault, control.safe, control.waiting,
                dut.row_done, dut.memory.enable))
            await ctx.tick()
        ctx.set(dut.source.tvalid, 0)
        moved.writes = list(self.writes)
        return moved


def object_of(random, count: int, last: bool = True) -> list[Beat]:
    """An object of ``count`` random words, and a beat behind it that must not be taken."""
    return [(random.getrandbits(32), int(last and place == count - 1)) for place in range(count)] + [(0xBAD, 0)]


PAUSES = [0.0, 0.5]
each_pause = pytest.mark.parametrize("pauses", PAUSES)


@each_shape
@each_pause
def test_ld_of_a_vector(config: ChipConfig, pauses: float):
    bench, n = UnitBench(config, pauses), config.size

    async def run(ctx):
        for v in (1, 15, bench.random.randrange(1, 16)):
            beats = object_of(bench.random, n + 1)
            moved = await bench.move(ctx, beats, kind=VECTOR, vector=v)
            (first, *mantissas), (exponent, *rest) = moved.writes, [word for word, _ in beats[:n + 1]]
            assert first == ("EXPONENTS", v, EXPONENT_MIN & 0xFFFF_FFFF), "reads zero from the start"
            assert mantissas[:-1] == [("MANTISSAS", v * n + i, word) for i, word in enumerate(rest)]
            window, address, word = mantissas[-1]
            assert (window, address) == ("EXPONENTS", v) and signed(word, 10) == signed(exponent, 10)
            assert (moved.done, moved.fault, moved.taken) == ("done", TrapCause.NONE, n + 1)
            assert moved.clocks == cycles.fill_cycles(n + 1) + moved.waits == n + 3 + moved.waits
            assert pauses or not moved.waits

    bench.run(run)


@each_shape
@each_pause
def test_ld_of_a_slot(config: ChipConfig, pauses: float):
    bench, elements = UnitBench(config, pauses), config.size ** 2

    async def run(ctx):
        for slot in range(config.slots):
            beats = object_of(bench.random, elements)
            moved = await bench.move(ctx, beats, kind=SLOT, vector=slot)
            assert moved.writes == [("SLOTS", slot * elements + i, word) for i, (word, _) in enumerate(beats[:-1])]
            assert (moved.done, moved.taken) == ("done", elements)
            assert moved.clocks == cycles.fill_cycles(elements) + moved.waits

    bench.run(run)


@each_shape
@each_pause
def test_ld_of_the_codes(config: ChipConfig, pauses: float):
    bench, words = UnitBench(config, pauses), config.size ** 2 // config.codes_per_word

    async def run(ctx):
        beats = object_of(bench.random, words)
        moved = await bench.move(ctx, beats, kind=CODES, vector=0)
        assert moved.writes == [("CODES", i, word) for i, (word, _) in enumerate(beats[:-1])]
        assert (moved.done, moved.taken) == ("done", words)
        assert moved.clocks == cycles.fill_cycles(words) + moved.waits

    bench.run(run)


@each_shape
@each_pause
def test_rows_for_the_arrays(config: ChipConfig, pauses: float):
    """Only the last word of the last row is marked; the fields of the instruction are no matter."""
    bench, words = UnitBench(config, pauses), config.size // config.codes_per_word

    async def run(ctx):
        for row in range(config.size):
            beats = object_of(bench.random, words, last=row == config.size - 1)
            moved = await bench.move(ctx, beats, row=row, kind=bench.random.randrange(3),
                                     vector=bench.random.randrange(16))
            assert moved.writes == [("CODES", row * words + i, word) for i, (word, _) in enumerate(beats[:-1])]
            assert (moved.done, moved.taken) == ("row", words)
            assert moved.clocks == cycles.fill_cycles(words) + moved.waits

    bench.run(run)


@each_shape
@each_pause
def test_st_of_a_vector(config: ChipConfig, pauses: float):
    bench, n = UnitBench(config, pauses), config.size
    numbers = {name: number for number, name in bench.windows.items()}

    async def run(ctx):
        for v in (1, 15, bench.random.randrange(1, 16)):
            moved = await bench.move(ctx, store=1, vector=v, kind=bench.random.randrange(3))
            words = [content(numbers["EXPONENTS"], v), *(content(numbers["MANTISSAS"], v * n + i) for i in range(n))]
            assert moved.sent == [(word, int(place == n)) for place, word in enumerate(words)]
            assert (moved.done, moved.writes) == ("done", [])
            assert moved.clocks == cycles.send_cycles(config) + moved.waits == n + 2 + moved.waits
            assert pauses or not moved.waits

    bench.run(run)


@each_pause
@pytest.mark.parametrize(("kind", "beats"), [(VECTOR, 5), (SLOT, 16), (CODES, 4)])
def test_an_object_that_ends_early_stops_at_its_mark(kind: int, beats: int, pauses: float):
    bench = UnitBench(TINY, pauses, kind)

    async def run(ctx):
        for end in range(beats - 1):
            marked = [(7 + place, int(place == end)) for place in range(beats)]
            moved = await bench.move(ctx, marked, kind=kind, vector=0)
            assert (moved.done, moved.fault, moved.taken) == ("", TrapCause.STREAM, end + 1)
            assert moved.clocks - moved.waits == cycles.fill_cycles(end + 1) - 1
            # What came was written; the exponent was not.
            windows = [window for window, _, _ in moved.writes]
            assert windows == (["EXPONENTS"] + ["MANTISSAS"] * end if kind == VECTOR else
                               ["SLOTS" if kind == SLOT else "CODES"] * (end + 1))
            # The next object finds the unit as it was.
            again = await bench.move(ctx, object_of(bench.random, beats), kind=kind, vector=0)
            assert (again.done, again.clocks - again.waits) == ("done", cycles.fill_cycles(beats))

    bench.run(run)


@each_pause
@pytest.mark.parametrize(("kind", "beats"), [(VECTOR, 5), (SLOT, 16), (CODES, 4)])
def test_an_object_that_does_not_end_stops_at_its_last_beat(kind: int, beats: int, pauses: float):
    bench = UnitBench(TINY, pauses, kind)

    async def run(ctx):
        moved = await bench.move(ctx, [(9, 0)] * (beats + 1), kind=kind, vector=0)
        assert (moved.done, moved.fault, moved.taken) == ("", TrapCause.STREAM, beats)
        assert moved.clocks - moved.waits == cycles.fill_cycles(beats) - 1
        if kind == VECTOR:
            assert moved.writes[0] == ("EXPONENTS", 0, EXPONENT_MIN & 0xFFFF_FFFF)
            assert {window for window, _, _ in moved.writes[1:]} == {"MANTISSAS"}

    bench.run(run)


@pytest.mark.parametrize(("row", "marks", "taken"), [
    (0, (0, 1), 2),   # the last word of a row that is not the last row
    (6, (1, 0), 1),
    (7, (1, 0), 1),   # in the last row, but early
    (7, (0, 0), 2),   # the last row does not end
])
def test_a_row_with_a_wrong_mark_stops(row: int, marks: tuple[int, int], taken: int):
    bench = UnitBench(SHAPES["single"])

    async def run(ctx):
        moved = await bench.move(ctx, [(1, mark) for mark in marks], row=row)
        assert (moved.done, moved.fault, moved.taken) == ("", TrapCause.STREAM, taken)
        assert moved.clocks == cycles.fill_cycles(taken) - 1
        assert len(moved.writes) == taken

    bench.run(run)


def test_a_stream_that_gives_nothing_is_waited_for():
    bench = UnitBench(TINY)
    dut = bench.dut

    async def run(ctx):
        ctx.set(dut.control.start, 1)
        await ctx.tick()
        ctx.set(dut.control.start, 0)
        await ctx.tick()
        for _ in range(50):
            assert ctx.get(dut.control.waiting) and ctx.get(dut.control.safe) and ctx.get(dut.source.tready)
            assert not ctx.get(dut.control.done) and not ctx.get(dut.memory.enable)
            await ctx.tick()

    bench.run(run)


@pytest.mark.parametrize("v", [0, 3])
def test_v0_takes_a_vector_and_stays_zero(v: int):
    """LD and ST through the windows to the vector registers: v0 beside another vector."""
    m, n = Module(), TINY.size
    m.submodules.unit = unit = StreamUnit(TINY)
    m.submodules.windows = windows = Windows(TINY)
    m.submodules.vectors = vectors = VectorBanks(TINY)
    connect(m, unit.memory, windows.inside)
    connect(m, windows.mantissas, vectors.mantissa_window)
    connect(m, windows.exponents, vectors.exponent_window)
    words = [5, 0x8000_0001, 2, 3, 0x7FFF_FFFF]
    sent = []

    async def bench(ctx):
        for store in (0, 1):
            for signal, value in ((unit.store, store), (unit.vector, v), (unit.control.start, 1), (unit.sink.tready, 1),
                                  (unit.source.tvalid, 1), (unit.source.tdata, words[0])):
                ctx.set(signal, value)
            await ctx.tick()
            ctx.set(unit.control.start, 0)
            place = 0
            while not ctx.get(unit.control.done):
                ctx.set(unit.source.tdata, words[min(place, n)])
                ctx.set(unit.source.tlast, place == n)
                place += ctx.get(unit.source.tready)
                if ctx.get(unit.sink.tvalid):
                    sent.append(ctx.get(unit.sink.tdata))
                await ctx.tick()
            sent.extend([ctx.get(unit.sink.tdata)] * ctx.get(unit.sink.tvalid))
            await ctx.tick()

    simulate(m, bench)
    assert sent == (words if v else [EXPONENT_MIN & 0xFFFF_FFFF, 0, 0, 0, 0])

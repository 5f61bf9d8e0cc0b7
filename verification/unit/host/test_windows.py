"""The windows: first, last and one past the end of each on the register bus, while halted and while running; locks and
wrong parity; what the stream unit and the wipe reach from inside."""

from dataclasses import dataclass, field

import pytest
from verification.unit.simulation import SHAPES, seeded, simulate

from ohmloop_hdl.config import CONFIGS, ChipConfig, bits_for
from ohmloop_hdl.fixed import GAIN_ONE
from ohmloop_hdl.host.map import WINDOW_LOW, Window, address_map
from ohmloop_hdl.host.windows import Windows

CHIPS = CONFIGS | {"halves": SHAPES["halves"]}
each_chip = pytest.mark.parametrize("config", CHIPS.values(), ids=CHIPS.keys())
NAMES = ("PROGRAM", "MANTISSAS", "EXPONENTS", "CODES", "BAD_MAP", "SCALAR_MANTISSAS", "SCALAR_EXPONENTS", "SLOTS",
         "OFFSETS", "GAINS")
SECRET = ("CODES", "SLOTS")
each_window = pytest.mark.parametrize("name", NAMES)


@dataclass
class WindowsBench:
    """The windows over memories that remember every write and answer with a number that names them and the address.

    ``wrong``: words, by window and address, that say that their parity is wrong. ``written``: number and address in
    every clock with ``written``, over which the writes of the bus must agree.
    """

    config: ChipConfig
    wrong: set[tuple[str, int]] = field(default_factory=set)
    writes: list[tuple[str, int, int, int]] = field(default_factory=list)
    written: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self):
        self.dut = Windows(self.config)
        self.windows: dict[str, Window] = address_map(self.config).windows

    def run(self, bench):
        simulate(self.dut, bench, self.watch, *(self.memory(name) for name in self.windows))

    async def watch(self, ctx):
        dut = self.dut
        async for _, _, written, number, address in ctx.tick().sample(dut.written, dut.number, dut.address):
            if written:
                self.written.append((number, address))

    def memory(self, name: str):
        port = getattr(self.dut, name.lower())

        async def process(ctx):
            watched = (port.select, port.address, port.w_strobe, port.w_data)
            async for _, _, select, address, strobe, data in ctx.tick().sample(*watched):
                ctx.set(port.r_data, self.content(name, address) if select else 0xDEAD)
                ctx.set(port.r_error, (name, address) in self.wrong)
                if strobe:
                    assert select
                    self.writes.append((name, address, data, strobe))

        return process

    def content(self, name: str, address: int) -> int:
        return (self.windows[name].address >> WINDOW_LOW) << 24 | address + 1

    def number(self, name: str) -> int:
        return NAMES.index(name) + 1

    def inside(self, ctx, name: str, address: int, word: int | None = None):
        """What the stream unit asks for in this clock: a write if there is a word."""
        inside = self.dut.inside
        for signal, value in ((inside.enable, 1), (inside.number, self.number(name)), (inside.address, address),
                              (inside.write, word is not None), (inside.w_data, word or 0)):
            ctx.set(signal, value)

    async def access(self, ctx, address: int, word: int | None = None, strobe: int = 0xF) -> tuple[int, int, int]:
        """One access, a write if there is a word: error, data, clocks it took."""
        bus = self.dut.bus
        ctx.set(bus.address, address)
        ctx.set(bus.w_data, word or 0)
        ctx.set(bus.w_strobe, strobe)
        ctx.set(bus.r_stb, word is None)
        ctx.set(bus.w_stb, word is not None)
        clocks = 1
        if not ctx.get(bus.done):
            clocks = 2
            await ctx.tick()
        assert ctx.get(bus.done), "every access is done within two clocks"
        answer = ctx.get(bus.error), ctx.get(bus.r_data), clocks
        await ctx.tick()
        ctx.set(bus.r_stb, 0)
        ctx.set(bus.w_stb, 0)
        assert not ctx.get(bus.done)
        return answer


def test_the_windows_of_the_reference():
    """Words and base addresses, spelled out."""
    windows = address_map(CONFIGS["chip64"]).windows
    assert tuple(windows) == NAMES
    assert {name: (w.address, w.words, w.writable, w.secret) for name, w in windows.items()} == {
        "PROGRAM": (0x10_0000, 256, True, False),
        "MANTISSAS": (0x20_0000, 1024, True, False),
        "EXPONENTS": (0x30_0000, 16, True, False),
        "CODES": (0x40_0000, 1024, True, True),
        "BAD_MAP": (0x50_0000, 128, False, False),
        "SCALAR_MANTISSAS": (0x60_0000, 16, True, False),
        "SCALAR_EXPONENTS": (0x70_0000, 16, True, False),
        "SLOTS": (0x80_0000, 4096, True, True),
        "OFFSETS": (0x90_0000, 64, True, False),
        "GAINS": (0xA0_0000, 8, True, False),
    }


@pytest.mark.parametrize(("name", "slots", "gains", "codes"), [
    ("tiny", 16, 2, 4), ("lab", 512, 4, 64), ("chip64hp", 4096, 64, 2048),
])
def test_windows_follow_the_configuration(name: str, slots: int, gains: int, codes: int):
    windows = address_map(CONFIGS[name]).windows
    assert (windows["SLOTS"].words, windows["GAINS"].words, windows["CODES"].words) == (slots, gains, codes)


def test_the_largest_slot_window_fills_its_place():
    window = address_map(ChipConfig(size=128, slots=16)).windows["SLOTS"]
    assert 4 * window.words == 1 << WINDOW_LOW == 0x10_0000


@each_chip
def test_first_and_last_word_read_in_two_clocks(config: ChipConfig):
    bench = WindowsBench(config)

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for name, window in bench.windows.items():
            for word in {0, 1, window.words // 2, window.words - 1}:
                for low in range(4):
                    answer = await bench.access(ctx, window.address + 4 * word + low)
                    assert answer == (0, bench.content(name, word), 2)

    bench.run(run)
    assert not bench.writes and not bench.written


@each_chip
def test_one_past_the_end_is_refused(config: ChipConfig):
    bench = WindowsBench(config)

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for window in bench.windows.values():
            for word in {window.words, 2 * window.words, (1 << (WINDOW_LOW - 2)) - 1}:
                address = window.address + 4 * word
                assert (await bench.access(ctx, address))[::2] == (1, 1)
                assert (await bench.access(ctx, address, 1))[::2] == (1, 1)

    bench.run(run)
    assert not bench.writes and not bench.written


@each_chip
def test_a_write_reaches_its_memory_once(config: ChipConfig):
    bench = WindowsBench(config)
    wanted = []

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for name, window in bench.windows.items():
            for word in (0, window.words - 1):
                for strobe in (0xF, 0x5, 0x8):
                    error, _, clocks = await bench.access(ctx, window.address + 4 * word, 0xA000_0000 + word, strobe)
                    assert (error, clocks) == (name == "BAD_MAP", 1)
                    if name != "BAD_MAP":
                        wanted.append((name, word, 0xA000_0000 + word, strobe))
            assert await bench.access(ctx, window.address, 5, strobe=0) == (name == "BAD_MAP", 0, 1)
        await ctx.tick()

    bench.run(run)
    assert bench.writes == wanted
    assert bench.written == [(bench.number(name), address) for name, address, _, _ in wanted]


@each_window
def test_while_a_program_runs_windows_answer_with_an_error(name: str):
    bench = WindowsBench(CONFIGS["tiny"])
    window = bench.windows[name]

    async def run(ctx):
        ctx.set(bench.dut.halted, 0)
        for word in (0, window.words - 1, window.words):
            assert await bench.access(ctx, window.address + 4 * word) == (1, 0, 1)
            assert (await bench.access(ctx, window.address + 4 * word, 3))[::2] == (1, 1)
        assert not ctx.get(getattr(bench.dut, name.lower()).select)

    bench.run(run)
    assert not bench.writes and not bench.written


@pytest.mark.parametrize("halted", [0, 1])
def test_regions_without_a_window_are_refused(halted: int):
    bench = WindowsBench(CONFIGS["tiny"])

    async def run(ctx):
        ctx.set(bench.dut.halted, halted)
        for region in range(11, 16):
            for address in (region << WINDOW_LOW, (region + 1 << WINDOW_LOW) - 4):
                assert await bench.access(ctx, address) == (1, 0, 1)
                assert (await bench.access(ctx, address, 3))[::2] == (1, 1)
                assert not ctx.get(bench.dut.registers.w_stb)

    bench.run(run)
    assert not bench.writes and not bench.written


@pytest.mark.parametrize("halted", [0, 1])
def test_registers_are_always_there_and_see_nothing_else(halted: int):
    bench = WindowsBench(CONFIGS["tiny"])
    registers = bench.dut.registers
    seen = []

    async def run(ctx):
        ctx.set(bench.dut.halted, halted)
        ctx.set(registers.r_data, 0x600D)
        for error in (0, 1):
            ctx.set(registers.error, error)
            for address in (0, 0x20, 0xF_FFFC):
                assert await bench.access(ctx, address) == (error, 0x600D, 1)
                assert (await bench.access(ctx, address, 0x77, 0b0110))[::2] == (error, 1)
        assert (ctx.get(registers.address), ctx.get(registers.w_data), ctx.get(registers.w_strobe)) == (
            0xF_FFFC, 0x77, 0b0110)
        for name in NAMES:
            address = bench.windows[name].address
            await bench.access(ctx, address)
            await bench.access(ctx, address, 1)

    async def answer(ctx):
        async for reads, writes in ctx.changed(registers.r_stb, registers.w_stb):
            ctx.set(registers.done, reads | writes)

    async def watch(ctx):
        async for _, _, reads, writes, address in ctx.tick().sample(registers.r_stb, registers.w_stb,
                                                                    registers.address):
            if reads or writes:
                seen.append(address)

    simulate(bench.dut, run, answer, watch, *(bench.memory(name) for name in NAMES))
    assert seen == [0, 0, 0x20, 0x20, 0xF_FFFC, 0xF_FFFC] * 2


def test_accesses_back_to_back():
    """A read in the clock after a read's answer, and a write right behind: nothing is dropped."""
    bench = WindowsBench(CONFIGS["tiny"])
    base = bench.windows["CODES"].address

    async def run(ctx):
        bus = bench.dut.bus
        ctx.set(bench.dut.halted, 1)
        ctx.set(bus.r_stb, 1)
        for word in (3, 1, 2):
            ctx.set(bus.address, base + 4 * word)
            assert not ctx.get(bus.done)
            await ctx.tick()
            assert ctx.get(bus.done) and ctx.get(bus.r_data) == bench.content("CODES", word)
            await ctx.tick()
        ctx.set(bus.r_stb, 0)
        ctx.set(bus.w_stb, 1)
        ctx.set(bus.w_strobe, 0xF)
        for word in (2, 0):
            ctx.set(bus.address, base + 4 * word)
            ctx.set(bus.w_data, word)
            assert ctx.get(bus.done) and not ctx.get(bus.error)
            await ctx.tick()
        ctx.set(bus.w_stb, 0)
        await ctx.tick()

    bench.run(run)
    assert bench.writes == [("CODES", 2, 2, 15), ("CODES", 0, 0, 15)]
    assert bench.written == [(4, 2), (4, 0)]


@each_window
def test_a_lock_closes_read_back_of_matrices_and_nothing_else(name: str):
    bench = WindowsBench(CONFIGS["lab"])
    window = bench.windows[name]

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        ctx.set(bench.dut.locked, 1)
        for word in (0, window.words - 1):
            answer = await bench.access(ctx, window.address + 4 * word)
            assert answer == ((1, 0, 1) if name in SECRET else (0, bench.content(name, word), 2))
            error, _, clocks = await bench.access(ctx, window.address + 4 * word, 0x55)
            assert (error, clocks) == (not window.writable, 1)
        ctx.set(bench.dut.locked, 0)
        assert await bench.access(ctx, window.address) == (0, bench.content(name, 0), 2)
        await ctx.tick()

    bench.run(run)
    assert bench.writes == [(name, word, 0x55, 15) for word in (0, window.words - 1) if window.writable]


@each_window
def test_a_read_of_a_wrong_word_ends_with_an_error(name: str):
    bench = WindowsBench(CONFIGS["tiny"], wrong={(name, 1)})
    window = bench.windows[name]

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for word in (0, 1, 0, 1):
            assert await bench.access(ctx, window.address + 4 * word) == (word, bench.content(name, word), 2)
        other = bench.windows[NAMES[bench.number(name) % len(NAMES)]]
        assert (await bench.access(ctx, other.address + 4))[0] == 0, "the same place of another window"
        assert (await bench.access(ctx, window.address + 4, 7))[0] == (not window.writable), "a write does not look"

    bench.run(run)


@each_chip
def test_the_stream_unit_reads_and_writes_every_window(config: ChipConfig):
    bench, random = WindowsBench(config), seeded(config)
    asked, wanted = [], []

    async def run(ctx):
        ctx.set(bench.dut.halted, 0)
        for _ in range(60):
            name = random.choice(NAMES)
            address = random.choice([0, bench.windows[name].words - 1, random.randrange(bench.windows[name].words)])
            word = random.choice([None, random.getrandbits(32)])
            bench.inside(ctx, name, address, word)
            if word is not None:
                wanted.append((name, address, word, 15))
            assert [ctx.get(getattr(bench.dut, other.lower()).select) for other in NAMES] == [
                other == name for other in NAMES]
            if asked:
                assert ctx.get(bench.dut.inside.r_data) == bench.content(*asked[-1])
            asked.append((name, address))
            await ctx.tick()
        ctx.set(bench.dut.inside.enable, 0)
        assert ctx.get(bench.dut.inside.r_data) == bench.content(*asked[-1]), "the answer needs no request any more"
        await ctx.tick()
        assert not any(ctx.get(getattr(bench.dut, name.lower()).select) for name in NAMES)

    bench.run(run)
    assert bench.writes == wanted
    assert not bench.written, "only the bus writes so that it shows"


@each_window
def test_the_stream_unit_reaches_nothing_while_halted(name: str):
    bench = WindowsBench(CONFIGS["tiny"])

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        bench.inside(ctx, name, 1, 0xBAD)
        await ctx.tick()
        other = bench.windows["EXPONENTS"]
        assert await bench.access(ctx, other.address + 8) == (0, bench.content("EXPONENTS", 2), 2)

    bench.run(run)
    assert not bench.writes and not bench.written


def test_the_bus_is_refused_while_the_stream_unit_works():
    bench = WindowsBench(CONFIGS["tiny"])

    async def run(ctx):
        ctx.set(bench.dut.halted, 0)
        bench.inside(ctx, "SLOTS", 3, 0x600D)
        assert (await bench.access(ctx, bench.windows["SLOTS"].address, 0xBAD))[::2] == (1, 1)
        assert await bench.access(ctx, bench.windows["SLOTS"].address) == (1, 0, 1)
        bench.inside(ctx, "CODES", 1, 0x601D)
        await ctx.tick()

    bench.run(run)
    assert bench.writes == [("SLOTS", 3, 0x600D, 15)] * 2 + [("CODES", 1, 0x601D, 15)]
    assert not bench.written


@each_chip
def test_a_wipe_clears_the_word_of_every_window_and_sets_gains_to_one(config: ChipConfig):
    bench = WindowsBench(config)
    # The program, or the slots where they are more.
    assert bench.dut.wipe_words == max(256, config.slots * config.size ** 2)

    async def run(ctx):
        ctx.set(bench.dut.halted, 0)
        ctx.set(bench.dut.wipe, 1)
        bench.inside(ctx, "CODES", 2, 0xBAD)
        ctx.set(bench.dut.bus.w_data, 0xBAD)
        for address in (0, 3):
            ctx.set(bench.dut.wipe_address, address)
            assert all(ctx.get(getattr(bench.dut, name.lower()).select) for name in NAMES)
            await ctx.tick()
        ctx.set(bench.dut.wipe, 0)
        ctx.set(bench.dut.inside.enable, 0)
        await ctx.tick()

    bench.run(run)
    cut = {name: bits_for(bench.windows[name].words) for name in NAMES}
    assert sorted(bench.writes) == sorted(
        (name, address & (1 << cut[name]) - 1, GAIN_ONE if name == "GAINS" else 0, 15)
        for address in (0, 3) for name in NAMES if name != "BAD_MAP")
    assert GAIN_ONE == 0x8000 and not bench.written

"""The windows on the register bus: first, last and one past the end of each, while halted and while running."""

from dataclasses import dataclass, field

import pytest
from verification.unit.simulation import SHAPES, simulate

from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.host.map import WINDOW_LOW, Window, address_map
from ohmloop_hdl.host.windows import Windows

CHIPS = CONFIGS | {"halves": SHAPES["halves"]}
each_chip = pytest.mark.parametrize("config", CHIPS.values(), ids=CHIPS.keys())
NAMES = ("PROGRAM", "MANTISSAS", "EXPONENTS", "CODES", "BAD_MAP")
each_window = pytest.mark.parametrize("name", NAMES)


@dataclass
class WindowsBench:
    """The windows over memories that remember every write and answer with a number that names them and the address."""

    config: ChipConfig
    writes: list[tuple[str, int, int, int]] = field(default_factory=list)

    def __post_init__(self):
        self.dut = Windows(self.config)
        self.windows: dict[str, Window] = address_map(self.config).windows

    def run(self, bench):
        simulate(self.dut, bench, *(self.memory(name) for name in self.windows))

    def memory(self, name: str):
        port = getattr(self.dut, name.lower())

        async def process(ctx):
            watched = (port.select, port.address, port.w_strobe, port.w_data)
            async for _, _, select, address, strobe, data in ctx.tick().sample(*watched):
                ctx.set(port.r_data, self.content(name, address) if select else 0xDEAD)
                if strobe:
                    assert select
                    self.writes.append((name, address, data, strobe))

        return process

    def content(self, name: str, address: int) -> int:
        return (self.windows[name].address >> WINDOW_LOW) << 24 | address + 1

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
    words = {name: (w.address, w.words, w.writable) for name, w in address_map(CONFIGS["chip64"]).windows.items()}
    assert words == {
        "PROGRAM": (0x10000, 256, True),
        "MANTISSAS": (0x20000, 1024, True),
        "EXPONENTS": (0x30000, 16, True),
        "CODES": (0x40000, 1024, True),
        "BAD_MAP": (0x50000, 128, False),
    }


@each_chip
@each_window
def test_first_and_last_word_read_in_two_clocks(config: ChipConfig, name: str):
    bench = WindowsBench(config)
    window = bench.windows[name]

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for word in {0, 1, window.words // 2, window.words - 1}:
            for low in range(4):
                answer = await bench.access(ctx, window.address + 4 * word + low)
                assert answer == (0, bench.content(name, word), 2)

    bench.run(run)
    assert not bench.writes


@each_chip
@each_window
def test_one_past_the_end_is_refused(config: ChipConfig, name: str):
    bench = WindowsBench(config)
    window = bench.windows[name]

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for word in {window.words, 2 * window.words, (1 << (WINDOW_LOW - 2)) - 1}:
            if word < 1 << (WINDOW_LOW - 2):
                address = window.address + 4 * word
                assert (await bench.access(ctx, address))[::2] == (1, 1)
                assert (await bench.access(ctx, address, 1))[::2] == (1, 1)

    bench.run(run)
    assert not bench.writes


@each_chip
@each_window
def test_a_write_reaches_its_memory_once(config: ChipConfig, name: str):
    bench = WindowsBench(config)
    window = bench.windows[name]
    wanted = []

    async def run(ctx):
        ctx.set(bench.dut.halted, 1)
        for word in (0, window.words - 1):
            for strobe in (0xF, 0x5, 0x8):
                error, _, clocks = await bench.access(ctx, window.address + 4 * word, 0xA000_0000 + word, strobe)
                assert (error, clocks) == (not window.writable, 1)
                if window.writable:
                    wanted.append((name, word, 0xA000_0000 + word, strobe))
        await bench.access(ctx, window.address, 5, strobe=0)
        await ctx.tick()

    bench.run(run)
    assert bench.writes == wanted
    assert window.writable == (name != "BAD_MAP")


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
    assert not bench.writes


@pytest.mark.parametrize("halted", [0, 1])
def test_regions_without_a_window_are_refused(halted: int):
    bench = WindowsBench(CONFIGS["tiny"])

    async def run(ctx):
        ctx.set(bench.dut.halted, halted)
        for region in range(6, 16):
            for address in (region << WINDOW_LOW, (region + 1 << WINDOW_LOW) - 4):
                assert await bench.access(ctx, address) == (1, 0, 1)
                assert (await bench.access(ctx, address, 3))[::2] == (1, 1)
                assert not ctx.get(bench.dut.registers.w_stb)

    bench.run(run)
    assert not bench.writes


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
            for address in (0, 0x20, 0xFFFC):
                assert await bench.access(ctx, address) == (error, 0x600D, 1)
                assert (await bench.access(ctx, address, 0x77, 0b0110))[::2] == (error, 1)
        assert (ctx.get(registers.address), ctx.get(registers.w_data), ctx.get(registers.w_strobe)) == (
            0xFFFC, 0x77, 0b0110)
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
    assert seen == [0, 0, 0x20, 0x20, 0xFFFC, 0xFFFC] * 2


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

"""The SPI target on a memory: frames byte by byte, status, aborted frames, ``sck`` at its limit, noise between frames.

The controller drives the pins in continuous time, with no relation to the clock. ``copi`` carries a bit from just
before its rising edge until one clock behind, and its inverse else. ``cipo`` is looked at three times a bit: at the
edge that takes it, one clock before, and just short of two clocks behind. All three must agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from amaranth.hdl import ResetInserter, Signal
from verification.unit.host.register_memory import WORDS, RegisterMemory, merged, untouched
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.host.spi import ACCEPTED, READ, REFUSED, WRITE, SpiTarget

CLOCK_S = 2e-8
"""Period of the clock in ``simulate``."""

LIMIT = 4
"""Shortest period of ``sck``; this and all other times of the controller are in clocks."""

BRIEF = 0.01
"""What makes one time certainly earlier or later than another."""


def header(command: int, address: int) -> bytes:
    return bytes([command]) + address.to_bytes(3, "big")


def write_frame(address: int, words: Iterable[int], strobe: int = 0xF) -> bytes:
    """A write, with the byte that brings the status of the last word."""
    return header(WRITE << 4 | strobe, address) + b"".join(word.to_bytes(4, "big") for word in words) + b"\0"


def read_frame(address: int, count: int) -> bytes:
    return header(READ << 4, address) + bytes(5 * count)


def bits_of(data: bytes) -> list[int]:
    return [byte >> 7 - place & 1 for byte in data for place in range(8)]


def number_of(bits: list[int]) -> int:
    return int("".join(map(str, bits)), 2)


@dataclass
class Controller:
    """A controller of the target. ``idle``: level of ``sck`` between frames, 0 in mode 0 and 1 in mode 3."""

    period: float = LIMIT
    high: float = LIMIT / 2
    idle: int = 0
    dut: SpiTarget = field(default_factory=SpiTarget)

    def __post_init__(self):
        self.memory = RegisterMemory(self.dut)
        self.spi = self.dut.spi
        self.reset = Signal()

    def run(self, bench, phase: float = 0.3):
        async def idle_first(ctx):
            ctx.set(self.spi.cs_n, 1)
            ctx.set(self.spi.sck, self.idle)
            await self.pause(ctx, 6 + phase)
            await bench(ctx)
            await self.pause(ctx, 10)

        simulate(ResetInserter(self.reset)(self.dut), idle_first, beside=self.memory.run)

    async def pause(self, ctx, clocks: float):
        await ctx.delay(clocks * CLOCK_S)

    async def bit(self, ctx, value: int) -> int:
        spi, low, late = self.spi, self.period - self.high, min(self.high, 2 - BRIEF)
        ctx.set(spi.sck, 0)
        ctx.set(spi.copi, not value)
        await self.pause(ctx, low - 1 + BRIEF)
        seen = [ctx.get(spi.cipo)]
        await self.pause(ctx, 1 - 2 * BRIEF)
        ctx.set(spi.copi, value)
        await self.pause(ctx, BRIEF)
        seen.append(ctx.get(spi.cipo))
        ctx.set(spi.sck, 1)
        await self.pause(ctx, 1 + BRIEF)
        ctx.set(spi.copi, not value)
        await self.pause(ctx, late - (1 + BRIEF))
        seen.append(ctx.get(spi.cipo))
        await self.pause(ctx, self.high - late)
        assert len(set(seen)) == 1, "cipo moves where a controller looks at it"
        return seen[1]

    async def frame_bits(self, ctx, bits: Iterable[int], apart: float = 3 + BRIEF) -> list[int]:
        """A frame of any number of bits, and ``apart`` clocks after it."""
        ctx.set(self.spi.cs_n, 0)
        answer = [await self.bit(ctx, bit) for bit in bits]
        ctx.set(self.spi.sck, self.idle)
        if not answer:
            await self.pause(ctx, 1 + BRIEF)
        ctx.set(self.spi.cs_n, 1)
        await self.pause(ctx, apart)
        return answer

    async def frame(self, ctx, data: bytes) -> bytes:
        answer = await self.frame_bits(ctx, bits_of(data))
        return bytes(number_of(answer[i:i + 8]) for i in range(0, len(answer), 8))


@dataclass
class Model:
    """What the frames do, from the rules alone. ``accesses`` as in ``RegisterMemory``."""

    refused: set[int]
    words: dict[int, int] = field(default_factory=dict)
    accesses: list[tuple] = field(default_factory=list)

    def read(self, word: int) -> int:
        return self.words.get(word, untouched(word))

    def frame(self, bits: list[int]) -> list[int | None]:
        """What the target sends; None where it means nothing."""
        first, rest = bits[:32], bits[32:]
        sent: list[int | None] = [*bits_of(bytes([ACCEPTED] * 4))]
        if len(first) == 32:
            number = number_of(first)
            command, strobe, word = number >> 28, number >> 24 & 0xF, (number & 0xFF_FFFF) >> 2
            if command == READ:
                sent += self._read(word, len(rest))
            else:
                sent += self._write(word, rest, strobe, command == WRITE)
        return sent[:len(bits)]

    def _read(self, word: int, bits: int) -> list[int | None]:
        sent, good = [], True
        while len(sent) < bits:
            word %= WORDS
            if good:
                self.accesses.append(("r", word))
            good = good and word not in self.refused
            sent += bits_of(bytes([ACCEPTED if good else REFUSED]))
            sent += bits_of(self.read(word).to_bytes(4, "big")) if good else [None] * 32
            word += 1
        return sent

    def _write(self, word: int, bits: list[int], strobe: int, good: bool) -> list[int | None]:
        sent: list[int | None] = []
        while True:
            sent += bits_of(bytes([ACCEPTED if good else REFUSED] * 4))
            if len(bits) < 32:
                return sent
            data, bits = number_of(bits[:32]), bits[32:]
            word %= WORDS
            if good:
                self.accesses.append(("w", word, data, strobe))
            good = good and word not in self.refused
            if good:
                self.words[word] = merged(self.read(word), data, strobe)
            word += 1


def test_the_frames_spelled_out():
    """Bytes as a host would type them; the low two address bits are ignored."""
    controller = Controller()
    controller.memory.words = {0x1234 >> 2: 0xDEAD_BEEF, 0x1238 >> 2: 0x0102_0304}
    exchanges = [
        ("10 001234 00 00000000 00 00000000", "A0 A0A0A0 A0 DEADBEEF A0 01020304"),
        ("23 001237 CAFEF00D FFFF5678 00", "A0 A0A0A0 A0A0A0A0 A0A0A0A0 A0"),
        ("10 001236 00 00000000 00 00000000", "A0 A0A0A0 A0 DEADF00D A0 01025678"),
    ]

    async def bench(ctx):
        for sent, wanted in exchanges:
            assert (await controller.frame(ctx, bytes.fromhex(sent))).hex() == bytes.fromhex(wanted).hex()

    controller.run(bench)
    first = 0x1234 >> 2
    assert controller.memory.accesses == [
        ("r", first), ("r", first + 1),
        ("w", first, 0xCAFE_F00D, 3), ("w", first + 1, 0xFFFF_5678, 3),
        ("r", first), ("r", first + 1),
    ]


def test_every_strobe_writes_its_bytes():
    controller = Controller()

    async def bench(ctx):
        for strobe in range(16):
            answer = await controller.frame(ctx, write_frame(4 * strobe, [0x0102_0304], strobe))
            assert set(answer) == {ACCEPTED}

    controller.run(bench)
    assert controller.memory.words == {s: merged(untouched(s), 0x0102_0304, s) for s in range(16)}


def test_a_burst_goes_on_to_the_next_word_and_around_the_top():
    controller = Controller()
    words = [untouched(number) ^ 0xFFFF for number in range(20)]
    places = [(WORDS - 8 + number) % WORDS for number in range(20)]
    start = 4 * (WORDS - 8)

    async def bench(ctx):
        assert set(await controller.frame(ctx, write_frame(start, words))) == {ACCEPTED}
        answer = await controller.frame(ctx, read_frame(start, 20))
        assert answer[4:] == b"".join(bytes([ACCEPTED]) + word.to_bytes(4, "big") for word in words)

    controller.run(bench)
    assert controller.memory.words == dict(zip(places, words, strict=True))
    assert [access[1] for access in controller.memory.accesses] == places * 2


@pytest.mark.parametrize("wait", [0, 1])
def test_a_burst_ends_at_its_first_refused_word(wait: int):
    controller = Controller()
    controller.memory.wait = lambda: wait
    controller.memory.refused = {10}

    async def bench(ctx):
        answer = await controller.frame(ctx, write_frame(4 * 8, [1, 2, 3, 4]))
        assert answer == bytes([ACCEPTED] * 4 + [ACCEPTED] * 12 + [REFUSED] * 5)
        answer = await controller.frame(ctx, read_frame(4 * 8, 4))
        assert answer[4:14] == bytes.fromhex("A0 00000001 A0 00000002")
        assert (answer[14], answer[19]) == (REFUSED, REFUSED)
        # Forgotten with the frame.
        answer = await controller.frame(ctx, read_frame(4 * 11, 1))
        assert answer[4:] == bytes([ACCEPTED]) + untouched(11).to_bytes(4, "big")

    controller.run(bench)
    assert controller.memory.words == {8: 1, 9: 2}
    assert controller.memory.accesses == [
        ("w", 8, 1, 15), ("w", 9, 2, 15), ("w", 10, 3, 15), ("r", 8), ("r", 9), ("r", 10), ("r", 11)]


@pytest.mark.parametrize("command", [half for half in range(16) if half not in (READ, WRITE)])
def test_an_unknown_command_is_refused(command: int):
    controller = Controller()

    async def bench(ctx):
        for low in (0, 0xF):
            answer = await controller.frame(ctx, bytes([command << 4 | low]) + bytes(3 + 10))
            assert answer == bytes([ACCEPTED] * 4 + [REFUSED] * 10)
        assert (await controller.frame(ctx, read_frame(0, 1)))[4] == ACCEPTED

    controller.run(bench)
    assert controller.memory.accesses == [("r", 0)]


@pytest.mark.parametrize("idle", [0, 1])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_frame_may_end_at_any_bit(kind: str, idle: int):
    """A write happens with its last bit, a read with the first bit of its status, and neither without it."""
    controller = Controller(idle=idle)
    model = Model(set())
    sent = bits_of(read_frame(0x40, 2) if kind == "read" else write_frame(0x40, [0x1111_1111, 0x2222_2222]))
    counts = []

    async def bench(ctx):
        for length in range(len(sent) + 1):
            before = len(controller.memory.accesses)
            assert await controller.frame_bits(ctx, sent[:length]) == model.frame(sent[:length])
            await controller.pause(ctx, 3)
            counts.append(len(controller.memory.accesses) - before)

    controller.run(bench)
    steps = (33, 73) if kind == "read" else (64, 96)
    assert counts == [sum(length >= step for step in steps) for length in range(len(sent) + 1)]
    assert controller.memory.accesses == model.accesses


@pytest.mark.parametrize("phase", [0.05, 0.3, 0.55, 0.8])
def test_the_first_edge_behind_a_frame_belongs_to_another_chip(phase: float):
    """It would complete a write, and comes half a clock after ``cs_n``: often before the target has seen that."""
    controller = Controller()

    async def bench(ctx):
        ctx.set(controller.spi.cs_n, 0)
        for bit in bits_of(write_frame(0x40, [5]))[:63]:
            await controller.bit(ctx, bit)
        ctx.set(controller.spi.sck, 0)
        await controller.pause(ctx, 2)
        ctx.set(controller.spi.cs_n, 1)
        await controller.pause(ctx, 0.5)
        ctx.set(controller.spi.sck, 1)

    controller.run(bench, phase)
    assert not controller.memory.accesses


@pytest.mark.parametrize("idle", [0, 1])
@pytest.mark.parametrize("high", [1 + BRIEF, 2, LIMIT - 1 - BRIEF])
@pytest.mark.parametrize("phase", [0.001, 0.25, 0.5, 0.75, 0.999])
def test_sck_at_its_limit(phase: float, high: float, idle: int):
    """A quarter of the clock exactly, so that every edge falls on the same place between two edges of the clock."""
    controller = Controller(LIMIT, high, idle)
    controller.memory.wait = lambda: 1
    words = [0x25A5_5A5A, 0x8000_0001]

    async def bench(ctx):
        assert set(await controller.frame(ctx, write_frame(0, words))) == {ACCEPTED}
        answer = await controller.frame(ctx, read_frame(0, 2))
        assert answer[4:] == bytes.fromhex("A0 25A55A5A A0 80000001")

    controller.run(bench, phase)
    assert len(controller.memory.accesses) == 4


def test_the_wire_is_driven_while_selected_and_no_longer():
    controller = Controller()
    seen = []

    async def bench(ctx):
        for level in (1, 0, 1, 0):
            ctx.set(controller.spi.cs_n, level)
            await controller.pause(ctx, BRIEF)
            seen.append(ctx.get(controller.spi.cipo_enable))
            await controller.pause(ctx, 4)
            seen.append(ctx.get(controller.spi.cipo_enable))

    controller.run(bench)
    assert seen == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("sent", [0, 7, 31, 32, 40, 63])
def test_a_frame_under_way_at_a_reset_is_refused_to_its_end(sent: int):
    """What follows the reset reads like a whole frame, and is none."""
    controller = Controller()
    whole = bits_of(write_frame(0x20, [0xFFFF_FFFF]))

    async def bench(ctx):
        ctx.set(controller.spi.cs_n, 0)
        for bit in whole[:sent]:
            await controller.bit(ctx, bit)
        ctx.set(controller.reset, 1)
        await controller.pause(ctx, 1)
        ctx.set(controller.reset, 0)
        for bit in whole + whole:
            await controller.bit(ctx, bit)
        assert not controller.memory.accesses
        await controller.frame_bits(ctx, ())
        assert set(await controller.frame(ctx, write_frame(0x20, [5]))) == {ACCEPTED}

    controller.run(bench)
    assert controller.memory.accesses == [("w", 8, 5, 15)]


def test_random_frames():
    """Frames of every kind and length, at every speed, with noise between them, against the model: bit for bit."""
    random = seeded()
    controller = Controller()
    pool = [0, WORDS - 1, *(random.randrange(WORDS) for _ in range(4))]
    model = Model({word + 1 for word in pool[2:]})
    controller.memory.refused = model.refused
    controller.memory.wait = lambda: random.randrange(2)
    counts = dict.fromkeys(("meaningless", "refused", "cut"), 0)

    async def noise(ctx):
        """Between frames: ``cs_n`` falls for a moment without ``sck``, or ``sck`` runs for another chip."""
        spi = controller.spi
        for _ in range(random.randrange(3)):
            pin, rest = random.choice([(spi.cs_n, 1), (spi.sck, controller.idle), (spi.copi, 0)])
            ctx.set(pin, not rest)
            await controller.pause(ctx, random.uniform(0.05, 3))
            ctx.set(pin, rest)
            await controller.pause(ctx, random.uniform(3.05, 6))

    async def bench(ctx):
        for _ in range(80):
            controller.period = random.choice([LIMIT, random.uniform(LIMIT, 5), random.uniform(5, 12)])
            controller.high = random.uniform(1 + BRIEF, controller.period - 1 - BRIEF)
            address = (4 * (random.choice(pool) + random.randrange(-2, 3)) + random.randrange(4)) % (4 * WORDS)
            count = random.randrange(1, 5)
            frame = read_frame(address, count)
            if random.random() < 0.5:
                frame = write_frame(address, (random.getrandbits(32) for _ in range(count)), random.randrange(16))
            if random.random() < 0.1:
                frame = bytes([random.getrandbits(8)]) + frame[1:]
            bits = bits_of(frame)
            if random.random() < 0.3:
                bits = bits[:random.randrange(len(bits))]
                counts["cut"] += 1
            wanted = model.frame(bits)
            controller.idle = random.randrange(2)
            ctx.set(controller.spi.sck, controller.idle)
            await noise(ctx)
            await controller.pause(ctx, 2)
            got = await controller.frame_bits(ctx, bits, random.uniform(3.05, 6))
            assert len(got) == len(wanted)
            assert all(b is None or a == b for a, b in zip(got, wanted, strict=True))
            counts["meaningless"] += None in wanted
            counts["refused"] += got[:40][-8:] == bits_of(bytes([REFUSED]))

    controller.run(bench, random.random())
    assert controller.memory.accesses == model.accesses
    assert controller.memory.words == model.words
    assert min(counts.values()) >= 1, counts

"""Masters for each host bus of the chip, all with the same three accesses in bytes."""

import random
from typing import Any, Protocol

from cocotb.handle import SimHandleBase
from cocotb.triggers import Lock, Timer, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp
from cocotbext.wishbone.driver import WBOp, WishboneMaster

WORD = 4
"""Bytes in a word."""

CLOCK_NS = 20
"""Period of the chip's clock."""

WORD_CLOCKS = 400
"""No word of a parallel bus takes longer, whatever the back-pressure of these benches: a bus that hangs fails here."""


class HostBus(Protocol):
    """What a bench asks of a host bus. Accesses may be begun together; each is answered for itself."""

    async def write(self, address: int, data: bytes) -> bool:
        """Write bytes; whether every word of them was accepted."""
        ...

    async def read(self, address: int, length: int) -> tuple[bool, bytes]:
        """Read bytes; whether every word of them was answered, and what came."""
        ...

    async def write_word(self, address: int, word: int, strobes: int) -> bool:
        """Write the bytes of one word that the strobes choose; whether that was accepted."""
        ...


class AxilBus:
    """AXI4-Lite under the master of cocotbext-axi."""

    def __init__(self, dut: Any, rng: random.Random):
        self.master: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.rng = rng

    async def write(self, address: int, data: bytes) -> bool:
        """Write bytes."""
        return _okay((await _bounded(self.master.write(address, data), len(data))).resp)

    async def read(self, address: int, length: int) -> tuple[bool, bytes]:
        """Read bytes."""
        response = await _bounded(self.master.read(address, length), length)
        return _okay(response.resp), bytes(response.data)

    async def write_word(self, address: int, word: int, strobes: int) -> bool:
        """Straight into the channels: the master's byte interface cannot make any strobes."""
        interface = self.master.write_if
        request, data = interface.aw_channel._transaction_obj(), interface.w_channel._transaction_obj()
        request.awaddr, request.awprot = address, 0
        data.wdata, data.wstrb = word, strobes
        await interface.aw_channel.send(request)
        await interface.w_channel.send(data)
        return _okay((await _bounded(interface.b_channel.recv(), WORD)).bresp)

    def press(self, share: float):
        """Each channel pauses on its own, this share of the clocks."""
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(self._pauses(share))

    def _pauses(self, share: float):
        while True:
            yield self.rng.random() < share


class WishboneBus:
    """Wishbone under the master of cocotbext-wishbone: one bus cycle an access, ``stb`` high from word to word or with
    idle clocks between."""

    SIGNALS = {"cyc": "cyc_i", "stb": "stb_i", "we": "we_i", "adr": "adr_i", "sel": "sel_i", "datwr": "dat_i",
               "datrd": "dat_o", "ack": "ack_o", "err": "err_o"}
    """What the master calls the signals, and what the ports are called."""

    ACKNOWLEDGED, REFUSED = 1, 2
    """The master's names for ``ack`` and ``err``."""

    def __init__(self, dut: SimHandleBase, rng: random.Random):
        self.master: Any = WishboneMaster(dut, "s_wb", dut.clk, timeout=WORD_CLOCKS, signals_dict=self.SIGNALS)
        self.rng = rng
        self.turn = Lock()
        self.idle = 0.0

    async def write(self, address: int, data: bytes) -> bool:
        """Write bytes: strobes choose those of the first and the last word."""
        results = await self._cycle([WBOp(adr=place, dat=word, sel=strobes, idle=self._idle(), acktimeout=WORD_CLOCKS)
                                     for place, word, strobes in words_of(address, data)])
        return all(okay for okay, _ in results)

    async def read(self, address: int, length: int) -> tuple[bool, bytes]:
        """Read bytes: whole words, and what was asked for out of them."""
        first, end = address // WORD, (address + length - 1) // WORD + 1
        results = await self._cycle([
            WBOp(adr=WORD * word + self.rng.randrange(WORD), sel=self.rng.randrange(16), idle=self._idle(),
                 acktimeout=WORD_CLOCKS) for word in range(first, end)])
        data = b"".join(word.to_bytes(WORD, "little") for _, word in results)
        return all(okay for okay, _ in results), data[address % WORD:address % WORD + length]

    async def write_word(self, address: int, word: int, strobes: int) -> bool:
        """Write one word."""
        ((okay, _),) = await self._cycle([WBOp(adr=address, dat=word, sel=strobes, acktimeout=WORD_CLOCKS)])
        return okay

    def press(self, share: float):
        """Idle clocks before a word, in this share of the words."""
        self.idle = share

    def _idle(self) -> int:
        return self.rng.randrange(1, 5) if self.rng.random() < self.idle else 0

    async def _cycle(self, operations: list[WBOp]) -> list[tuple[bool, int]]:
        async with self.turn:
            results = await _bounded(self.master.send_cycle(operations), WORD * len(operations))
        assert len(results) == len(operations), f"{len(results)} answers to {len(operations)} words"
        assert all(result.ack in (self.ACKNOWLEDGED, self.REFUSED) for result in results)
        return [(result.ack == self.ACKNOWLEDGED, int(result.datrd)) for result in results]


class SpiBus:
    """SPI, bit by bit at the pins, with no relation to the chip's clock.

    A frame carries consecutive whole words; where the chip refuses one, the rest follows in a frame of its own, so that
    an access does the same as on the other buses. ``period``: of the serial clock, in clocks of the chip, drawn anew
    for each frame between the two ends.
    """

    READ, WRITE = 0x10, 0x20
    ACCEPTED, REFUSED = 0xA0, 0xA1
    LONGEST_FRAME = 64
    """Words."""

    def __init__(self, dut: SimHandleBase, rng: random.Random):
        self.dut: Any = dut
        self.rng = rng
        self.period = (4.0, 12.0)
        self.frames = self.words = 0
        self.turn = Lock()
        dut.spi_cs_n.value, dut.spi_sck.value, dut.spi_copi.value = 1, 0, 0

    async def write(self, address: int, data: bytes) -> bool:
        """Write bytes: a part of a word goes in a frame of its own."""
        accepted, run = True, list[int]()
        start = address
        for place, word, strobes in words_of(address, data):
            if strobes == 0xF and len(run) < self.LONGEST_FRAME:
                start = place if not run else start
                run.append(word)
                continue
            accepted &= await self.write_all(start, run)
            run = []
            if strobes == 0xF:
                start, run = place, [word]
            else:
                accepted &= await self.write_word(place, word, strobes)
        return await self.write_all(start, run) and accepted

    async def write_all(self, address: int, words: list[int]) -> bool:
        """Write whole words, going on behind each one that is refused."""
        accepted = True
        while words:
            written = await self.write_frame(address, words)
            accepted &= written == len(words)
            address, words = address + WORD * (written + 1), words[written + 1:]
        return accepted

    async def read(self, address: int, length: int) -> tuple[bool, bytes]:
        """Read bytes: whole words, and what was asked for out of them."""
        place, left = address // WORD * WORD, (address + length - 1) // WORD - address // WORD + 1
        answered, data = True, b""
        while left:
            words = await self.read_frame(place, min(left, self.LONGEST_FRAME))
            refused = len(words) < min(left, self.LONGEST_FRAME)
            answered &= not refused
            data += b"".join(word.to_bytes(WORD, "little") for word in words) + bytes(WORD * refused)
            place, left = place + WORD * (len(words) + refused), left - len(words) - refused
        return answered, data[address % WORD:address % WORD + length]

    async def write_word(self, address: int, word: int, strobes: int) -> bool:
        """Write one word."""
        return await self.write_frame(address, [word], strobes) == 1

    async def write_frame(self, address: int, words: list[int], strobes: int = 0xF) -> int:
        """One frame of writes; how many of them were accepted before the first that was not."""
        answer = await self.frame(bytes([self.WRITE | strobes]) + self._address(address)
                                  + b"".join(word.to_bytes(WORD, "big") for word in words) + b"\0")
        states = [answer[WORD * (place + 2)] for place in range(len(words))]
        return self._good(states)

    async def read_frame(self, address: int, count: int) -> list[int]:
        """One frame of reads; the words before the first that was refused."""
        answer = await self.frame(bytes([self.READ | self.rng.randrange(16)]) + self._address(address)
                                  + self.rng.randbytes((1 + WORD) * count))
        parts = [answer[place:place + 1 + WORD] for place in range(WORD, len(answer), 1 + WORD)]
        return [int.from_bytes(part[1:], "big") for part in parts[:self._good([part[0] for part in parts])]]

    def _good(self, states: list[int]) -> int:
        assert set(states) <= {self.ACCEPTED, self.REFUSED}, f"no status: {states}"
        good = states.index(self.REFUSED) if self.REFUSED in states else len(states)
        assert self.ACCEPTED not in states[good:], "a frame takes no word behind a refused one"
        return good

    def _address(self, address: int) -> bytes:
        return address.to_bytes(3, "big")

    async def frame(self, data: bytes) -> bytes:
        """Exchange bytes between the fall of ``cs_n`` and its rise."""
        async with self.turn:
            return await self._frame(data)

    async def _frame(self, data: bytes) -> bytes:
        period = self.rng.uniform(*self.period)
        high = self.rng.uniform(1.1, period - 1.1) if period > 4 else 2.0
        dut, answer = self.dut, bytearray()
        dut.spi_sck.value = idle = self.rng.randrange(2)
        await self._pause(self.rng.uniform(3.1, 6))
        dut.spi_cs_n.value = 0
        for byte in data:
            value = 0
            for place in range(7, -1, -1):
                dut.spi_sck.value = 0
                dut.spi_copi.value = byte >> place & 1
                await self._pause(period - high)
                value = value << 1 | int(dut.spi_cipo.value)
                dut.spi_sck.value = 1
                await self._pause(high)
            answer.append(value)
        dut.spi_sck.value = idle
        await self._pause(1.1)
        dut.spi_cs_n.value = 1
        await self._pause(3.1)
        self.frames, self.words = self.frames + 1, self.words + (len(data) - WORD) // WORD
        return bytes(answer)

    def press(self, share: float):
        """Slower the more pressure."""
        self.period = (4.0, 4.0 + 8.0 * share)

    @staticmethod
    async def _pause(clocks: float):
        await Timer(round(clocks * CLOCK_NS * 1000), "ps")


BUSES = {"axil": AxilBus, "wishbone": WishboneBus, "spi": SpiBus}
"""Masters by the name of the chip's host bus."""


def words_of(address: int, data: bytes) -> list[tuple[int, int, int]]:
    """Address, value and strobes of each word that the bytes lie in."""
    low = address % WORD
    padded = bytes(low) + data + bytes(-(low + len(data)) % WORD)
    return [(address - low + place, int.from_bytes(padded[place:place + WORD], "little"),
             sum(1 << lane for lane in range(WORD) if low <= place + lane < low + len(data)))
            for place in range(0, len(padded), WORD)]


async def _bounded(access: Any, length: int) -> Any:
    return await with_timeout(access, (length // WORD + 2) * WORD_CLOCKS * CLOCK_NS, "ns")


def _okay(response: AxiResp) -> bool:
    assert response in (AxiResp.OKAY, AxiResp.SLVERR), f"response is {response!r}"
    return response == AxiResp.OKAY

"""cocotb bench: the host bus of the chip under a foreign AXI4-Lite master, against the byte model."""

import itertools

import cocotb
from cocotb.triggers import FallingEdge, gather
from verification.cosim.bus_model import ADDRESS_SPACE, WORD, BusModel
from verification.cosim.chip_bench import Chip, chip_test

from ohmloop.golden.assembler import assemble
from ohmloop_hdl.events import Phase

START, ABORT = 1, 2
"""Bits of CONTROL."""

SOLVE = assemble("PROG\nINV v2, v1\nHALT 7")


class Host:
    """Chip and model side by side: every access goes to both, every difference stops the test."""

    def __init__(self, chip: Chip):
        self.chip = chip
        self.model = BusModel(chip.config)
        self.rng = chip.rng
        self.accesses = 0
        self.refused = 0

    async def fill(self):
        """Random bytes in every memory, in one block a window; every byte then reads as the model says."""
        for window in self.model.windows.values():
            if window.writable:
                await self.write(window.base, self.rng.randbytes(WORD * window.words))
        await self.check_everything()

    async def write(self, address: int, data: bytes):
        """Write; the answer must be the model's."""
        accepted = await self.chip.write(address, data)
        self._count(accepted)
        expected = self.model.write(address, data)
        assert accepted == expected, f"write of {data.hex()} at {address:#x}: accepted is {accepted}, not {expected}"

    async def read(self, address: int, length: int):
        """Read; the answer must be the model's, as far as words were answered."""
        expected, wanted = self.model.read(address, length)
        okay, data = await self.chip.read(address, length)
        self._count(okay)
        assert okay == expected, f"read of {length} at {address:#x}: answered is {okay}, not {expected}"
        wrong = [i for i, byte in enumerate(wanted) if byte is not None and byte != data[i]]
        assert not wrong, f"read of {length} at {address:#x}: {data.hex()} differs from the model in bytes {wrong}"

    def _count(self, okay: bool):
        self.accesses += 1
        self.refused += not okay

    async def write_register(self, name: str, value: int):
        """A whole register."""
        await self.write(self.model.address(name), value.to_bytes(WORD, "little"))

    async def read_register(self, name: str) -> int:
        """A register that only the hardware knows the value of."""
        return await self.chip.read_word(self.model.address(name))

    async def check_everything(self):
        """All registers and all words of all windows."""
        for address in self.model.registers:
            await self.read(address, WORD)
        if not self.model.running:
            await self.check_windows()
        await self.check_interrupt()

    async def check_windows(self):
        """All words of all windows, one block a window."""
        for window in self.model.windows.values():
            await self.read(window.base, WORD * window.words)

    async def check_interrupt(self):
        """The interrupt line follows state and enable."""
        await FallingEdge(self.chip.dut.clk)
        assert bool(int(self.chip.dut.interrupt.value)) == self.model.interrupt

    async def strobed_write(self, address: int, word: int, strobes: int):
        """One word with any strobes, which the master's byte interface cannot make: straight into its channels."""
        interface = self.chip.master.write_if
        request, data = interface.aw_channel._transaction_obj(), interface.w_channel._transaction_obj()
        request.awaddr, request.awprot = address, 0
        data.wdata, data.wstrb = word, strobes
        await interface.aw_channel.send(request)
        await interface.w_channel.send(data)
        response = await interface.b_channel.recv()
        expected = self.model.write(address, word.to_bytes(WORD, "little"), strobes)
        assert (int(response.bresp) == 0) == expected, f"strobes {strobes:#x} at {address:#x}: {response.bresp}"

    async def prepare_solve(self, interval: int):
        """Identity in the code memory, full-scale halves in v1, a program that stays in its INV for ``interval``."""
        config = self.chip.config
        for register in self.model.registers.values():
            if register.access == "halted":
                await self.write_register(register.name, register.reset)
        bits = 32 // config.codes_per_word
        codes = b"".join((config.code_max if i == j else 0).to_bytes(bits // 8, "little")
                         for i in range(config.size) for j in range(config.size))
        await self.write(0x40000, codes)
        await self.write(0x10000, b"".join(word.to_bytes(WORD, "little") for word in SOLVE))
        await self.write(0x20000 + WORD * config.size, b"".join(
            (self.drive(i) << 32 - config.dac_bits & 0xFFFF_FFFF).to_bytes(WORD, "little") for i in range(config.size)))
        await self.write(0x30004, (3).to_bytes(WORD, "little"))
        await self.write_register("SOLVE_INTERVAL", interval)
        await self.write_register("TIMEOUT", 0xFF_FFFF)

    def drive(self, element: int) -> int:
        """Input code of an element of v1: both signs, over half of full scale so that ranges stay."""
        top = 1 << self.chip.config.dac_bits - 1
        return (top // 2 + element) * (-1 if element % 3 else 1)

    async def start(self):
        """Start the program at ENTRY; from here on the model expects it to run."""
        await self.write_register("CONTROL", START)
        await self.chip.clocks(2)
        self.model.running = True

    async def abort(self):
        """Abort the program; what the model cannot know is read."""
        await self.write_register("CONTROL", ABORT)
        self.model.running = False

    async def finish(self):
        """Wait for HALT, then take over what the program changed: status, cycles, interrupt, v2."""
        size = self.chip.config.size
        await self.chip.reach(Phase.IDLE, 200_000)
        model, registers = self.model, self.model.registers
        model.running = False
        registers[model.address("INTR_STATE")].value |= 1
        registers[model.address("STATUS")].value = 1 | 2 << 8 | 7 << 16  # halted at address 2 by HALT 7, no trap
        registers[model.address("CYCLES")].value = await self.read_register("CYCLES")
        for i in range(size):
            mantissa = self.drive(i) << 32 - self.chip.config.dac_bits & 0xFFFF_FFFF
            model.write(0x20000 + WORD * (2 * size + i), mantissa.to_bytes(WORD, "little"))
        model.write(0x30008, (3).to_bytes(WORD, "little"))


@chip_test
async def reset_values(chip: Chip):
    """Every register reads its reset value, and no interrupt is up."""
    host = Host(chip)
    for address in host.model.registers:
        await host.read(address, WORD)
    await host.check_interrupt()
    assert chip.quiet()
    assert host.accesses == 21 and host.refused == 0


@chip_test
async def unaligned_and_partial(chip: Chip):
    """1 to 16 bytes at every offset of a word, in every window and over the registers; neighbours keep theirs."""
    host = Host(chip)
    await host.fill()
    places = [(window.base, window.base + WORD * window.words) for window in host.model.windows.values()]
    places.append((0x28, 0x50))  # the configuration registers
    for low, high in places:
        for offset, length in itertools.product(range(WORD), range(1, 17)):
            room = (high - low - 24) // WORD
            address = low + WORD * host.rng.randint(0, room) + offset
            await host.write(address, host.rng.randbytes(length))
            await host.read(max(low, address - 5), min(high, address + length + 5) - max(low, address - 5))
            length = host.rng.randint(1, 16)
            await host.read(address, length)
    await host.check_everything()
    # Only the bad-cell map refuses.
    assert host.refused == WORD * 16


@chip_test
async def vector_zero(chip: Chip):
    """Writes to v0 are answered and have no effect; the first byte after it is the first that stores."""
    host = Host(chip)
    await host.fill()
    end = 0x20000 + WORD * chip.config.size
    await host.write(end - 3, b"\x11\x22\x33\x44\x55\x66")
    okay, data = await chip.read(end - 4, 8)
    assert okay and data[:4] == bytes(4) and data[4:7] == b"\x44\x55\x66"
    await host.write(0x30000, b"\x07\x00\x00\x00")
    assert await chip.read_word(0x30000) == 0xFFFF_FE00
    await host.check_everything()


@chip_test
async def strobes(chip: Chip):
    """All sixteen strobe patterns, the empty one included, in every window and register."""
    host = Host(chip)
    await host.fill()
    registers = [address for address, r in host.model.registers.items() if r.name != "CONTROL"]
    for pattern in range(16):
        for window in host.model.windows.values():
            address = window.base + WORD * host.rng.randrange(window.words)
            await host.strobed_write(address, host.rng.getrandbits(32), pattern)
            await host.read(address, WORD)
        for address in host.rng.sample(registers, 6):
            await host.strobed_write(address, host.rng.getrandbits(32), pattern)
            await host.read(address, WORD)
    await host.check_everything()


@chip_test
async def edges(chip: Chip):
    """Blocks over the ends of windows, one past each end, everywhere out of the map, and what is read-only."""
    host = Host(chip)
    await host.fill()
    model, rng = host.model, host.rng
    for window in model.windows.values():
        end = window.base + WORD * window.words
        for address in (end, end + 1, end + 3, 2 * end - window.base, window.base + 0xFFFC):
            await host.write(address, rng.randbytes(1))
            await host.read(address, 1)
        for length in (5, 16, 24):
            await host.write(end - length // 2, rng.randbytes(length))
            await host.read(end - length // 2, length)
            await host.write(window.base - length // 2, rng.randbytes(length))
            await host.read(window.base - length // 2, length)
        before = host.refused
        await host.write(window.base, rng.randbytes(WORD))
        assert host.refused - before == (window is model.windows["bad_map"])
    for address in (0x54, 0x58, 0xFF, 0x100, 0x8000, 0xFFFC, 0x60000, 0x80000, 0xA5A5C, ADDRESS_SPACE - WORD):
        before = host.refused
        await host.write(address, rng.randbytes(WORD))
        await host.read(address, WORD)
        assert host.refused == before + 2
    await host.write(0x4C, rng.randbytes(12))  # RANGES, BAD_CELLS and the hole after it
    for address, register in model.registers.items():
        if register.access == "read":
            await host.write(address, rng.randbytes(WORD))
    await host.check_everything()


@chip_test
async def interrupts(chip: Chip):
    """Test, state, enable and the line, all combinations; a byte that is not strobed clears nothing."""
    host = Host(chip)
    for enable, test, clear in itertools.product(range(4), repeat=3):
        await host.write_register("INTR_ENABLE", enable)
        await host.write_register("INTR_TEST", test)
        await host.check_interrupt()
        await host.read(0x10, WORD)
        await host.write(0x11, b"\x03\x03\x03")
        await host.check_interrupt()
        await host.write_register("INTR_STATE", clear)
        await host.check_interrupt()
        await host.read(0x10, WORD)
        await host.read(0x18, WORD)
        await host.write_register("INTR_STATE", 3)


@chip_test
async def shut_while_running(chip: Chip):
    """While a program runs: windows and configuration refuse, control and interrupts work, nothing changes."""
    host = Host(chip)
    await host.fill()
    await host.prepare_solve(interval=0xF_FFFF)
    memories = {name: bytes(window.stored) for name, window in host.model.windows.items()}
    for phase, write_cycles in ((Phase.PROGRAM, 255), (Phase.SETTLE, 1)):
        await host.write_register("ARRAY", write_cycles)
        await host.start()
        await chip.reach(phase)
        begun = await host.read_register("CYCLES")
        before, refused = host.accesses, host.refused
        for window in host.model.windows.values():
            for offset, length in ((0, 4), (1, 2), (WORD * window.words - 6, 12)):
                await host.write(window.base + offset, host.rng.randbytes(length))
                await host.read(window.base + offset, length)
        for address, register in host.model.registers.items():
            if register.access == "halted":
                await host.write(address, (register.value ^ register.mask).to_bytes(WORD, "little"))
                await host.write(address + 1, b"\x5A")
        assert (host.accesses - before, host.refused - refused) == (50, 50)
        for name, value in (("INTR_ENABLE", 1), ("INTR_TEST", 3), ("INTR_STATE", 1), ("INTR_ENABLE", 2)):
            await host.write_register(name, value)
            await host.check_interrupt()
        await host.write_register("INTR_STATE", 3)
        await host.write_register("CONTROL", START)  # no effect
        for address, register in host.model.registers.items():
            if register.name not in ("STATUS", "CYCLES"):
                await host.read(address, WORD)
        assert await host.read_register("CYCLES") > begun + 300, "a second start began the run anew"
        assert await host.read_register("STATUS") & 1 == 0
        assert int(chip.dut.trace_phase.value) == phase and chip.closed() == (phase == Phase.SETTLE)
        await host.abort()
        await host.check_everything()
        assert chip.quiet()
        assert {name: bytes(window.stored) for name, window in host.model.windows.items()} == memories
    await host.write_register("SOLVE_INTERVAL", 500)
    await host.start()
    await host.finish()
    await host.check_everything()


@chip_test
async def abort_anywhere(chip: Chip):
    """An abort in any phase opens the loop in the next clock and keeps memories and settings."""
    host = Host(chip)
    await host.fill()
    await host.prepare_solve(interval=400)
    for phase in (Phase.PROGRAM, Phase.DRIVE, Phase.PREPARE, Phase.SETTLE, Phase.CONVERT):
        await host.start()
        await chip.reach(phase)
        await chip.clocks(host.rng.randrange(1, 8))
        await host.write_register("CONTROL", ABORT)
        host.model.running = False
        await chip.clocks(1)
        assert chip.quiet(), f"not open after an abort in {phase.name}"
        await host.check_everything()
    await host.start()
    await host.finish()
    await host.check_everything()


@chip_test
async def reset_anywhere(chip: Chip):
    """A reset of one clock in any phase opens the loop at that clock's edge; the chip then solves as ever."""
    host = Host(chip)
    await host.fill()
    for phase in (Phase.PROGRAM, Phase.DRIVE, Phase.PREPARE, Phase.SETTLE, Phase.CONVERT):
        await host.prepare_solve(interval=400)
        await host.write_register("INTR_ENABLE", 3)
        await host.start()
        await chip.reach(phase)
        await chip.clocks(host.rng.randrange(1, 8))
        if phase == Phase.SETTLE:
            assert chip.closed()
        chip.dut.rst.value = 1
        await chip.clocks(1)
        assert chip.quiet(), f"not open after a reset in {phase.name}"
        chip.dut.rst.value = 0
        host.model.reset()
        await chip.clocks(1)
        await host.check_everything()
    await host.prepare_solve(interval=400)
    await host.start()
    await host.finish()
    await host.check_everything()


@chip_test
async def responses_wait(chip: Chip):
    """A response stays, unchanged and alone, until the master takes it."""
    host = Host(chip)
    await host.fill()
    dut, master = chip.dut, chip.master
    channels = (
        (master.read_if.r_channel, "r", lambda: host.read(0x20040, 8), ("rdata", "rresp")),
        (master.read_if.r_channel, "r", lambda: host.read(0x0, 4), ("rdata", "rresp")),
        (master.write_if.b_channel, "b", lambda: host.write(0x20040, b"12345678"), ("bresp",)),
        (master.write_if.b_channel, "b", lambda: host.write(0x50000, b"1234"), ("bresp",)))
    for channel, letter, access, payload in channels:
        channel.pause = True
        await chip.clocks(3)
        task = cocotb.start_soon(access())
        await chip.clocks(12)
        valid = getattr(dut, f"s_axil_{letter}valid")
        held = [int(getattr(dut, f"s_axil_{name}").value) for name in payload]
        for _ in range(30):
            assert int(valid.value) == 1
            assert [int(getattr(dut, f"s_axil_{name}").value) for name in payload] == held
            assert not (int(dut.s_axil_arready.value) or int(dut.s_axil_awready.value) or int(dut.s_axil_wready.value))
            await chip.clocks(1)
        channel.pause = False
        await task
        await chip.clocks(5)
        assert int(valid.value) == 0, "a response nobody asked for"
    await host.check_windows()


@chip_test
async def at_the_same_time(chip: Chip):
    """Reads and writes wait together: all are served in turns, and a read sees the old or the new word, never a mix."""
    host = Host(chip)
    await host.fill()
    writable = [window for window in host.model.windows.values() if window.writable]
    for _ in range(60):
        target, source = host.rng.sample(writable, 2)
        writes = [host.write(target.base + WORD * host.rng.randrange(target.words - 4),
                             host.rng.randbytes(host.rng.randint(1, 16))) for _ in range(2)]
        reads = [host.read(source.base + host.rng.randrange(WORD * (source.words - 4)),
                           host.rng.randint(1, 16)) for _ in range(2)]
        await gather(*writes, *reads)
    address = 0x20000 + WORD * 3 * chip.config.size
    for step in range(40):
        old = await chip.read_word(address)
        if step % 2:  # whoever went last waits, so that each comes first in half of the steps
            await host.write(0x10000, b"1234")
        new = host.rng.getrandbits(32)
        now, _ = await gather(chip.read_word(address), host.write(address, new.to_bytes(WORD, "little")))
        assert now == (old if step % 2 else new)
    # A long read and a long write at once: neither may starve the other.
    span = WORD * 3 * chip.config.size
    done = []

    async def timed(access, name):
        await access
        done.append(name)

    await gather(timed(host.read(0x10000, 400), "read"), timed(host.read(0x30000, 4), "short"),
                 timed(host.write(0x20000 + span, host.rng.randbytes(400)), "write"))
    assert done[0] == "read" and set(done[1:]) == {"write", "short"}
    await host.check_everything()


@chip_test
async def random_accesses(chip: Chip):
    """Thousands of accesses anywhere, halted and running, with back-pressure on all five channels."""
    host = Host(chip)
    await host.fill()
    await host.prepare_solve(interval=0xF_FFFF)
    for pressure in (0.0, 0.3, 0.7):
        _press(chip, pressure)
        for running in (False, True):
            if running:
                await host.prepare_solve(interval=0xF_FFFF)
                await host.start()
                await chip.reach(Phase.SETTLE)
            for _ in range(380):
                await _random_access(host)
            if running:
                await host.abort()
            await host.check_everything()
    print(f"{host.accesses} accesses, {host.refused} refused")
    assert host.accesses > 2300
    assert host.refused > 700


def _press(chip: Chip, pressure: float):
    """Each channel pauses on its own, this share of the clocks."""
    write, read = chip.master.write_if, chip.master.read_if
    for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
        channel.set_pause_generator(_pauses(chip, pressure))


def _pauses(chip: Chip, pressure: float):
    while True:
        yield chip.rng.random() < pressure


async def _random_access(host: Host):
    """A write, a read, or a write and a read of different places at once."""
    kind = host.rng.randrange(3)
    address, length = _random_place(host)
    pending = []
    if kind != 1:
        # Never start or abort by chance, and leave the interrupts that a run may raise alone in what is compared.
        data = bytearray(host.rng.randbytes(length))
        if address <= 0x1C < address + length:
            data[0x1C - address] &= ~(START | ABORT)
        pending.append(host.write(address, bytes(data)))
    if kind:
        other, count = _random_place(host)
        dynamic = host.model.running and other < 0x28 and other + count > 0x20
        overlap = kind == 2 and other >> 16 == address >> 16
        if not dynamic and not overlap:
            pending.append(host.read(other, count))
    await gather(*pending)
    if kind != 1 and address < 0x20:
        await host.check_interrupt()


def _random_place(host: Host) -> tuple[int, int]:
    """Anywhere: registers, windows, their ends, and the rest of the map."""
    rng, length = host.rng, host.rng.choice((1, 2, 3, 4, 4, 4, 5, 8, 13, 16))
    windows = list(host.model.windows.values())
    window = rng.choice(windows)
    address = rng.choice((
        rng.randrange(0x54), rng.randrange(0x54),
        window.base + rng.randrange(WORD * window.words), window.base + rng.randrange(WORD * window.words),
        window.base + WORD * window.words - rng.randrange(16),
        rng.randrange(ADDRESS_SPACE)))
    return min(address, ADDRESS_SPACE - length), length

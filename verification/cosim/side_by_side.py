"""A chip and the byte model of its bus, side by side: every access goes to both, every difference stops the test."""

from cocotb.triggers import FallingEdge
from verification.cosim.bus_model import (
    ABORT,
    DONE,
    EVENT_BASE,
    EVENTS,
    FLUSH,
    START,
    WINDOW_SPAN,
    WORD,
    ZEROIZE,
    BusModel,
    State,
    Window,
)
from verification.cosim.chip_bench import Chip

from ohmloop.golden.assembler import assemble
from ohmloop_hdl.events import Phase

SOLVE = assemble("PROG\nINV v2, v1\nHALT 7")
"""Stays in its INV for as long as SOLVE_INTERVAL says, twice."""


class Host:
    """The chip's bus and the model, which follows the state of the machine as the host sees it.

    ``accesses`` and ``refused`` count what went over the bus by :meth:`write`, :meth:`read` and :meth:`write_word`.
    """

    def __init__(self, chip: Chip):
        self.chip, self.bus, self.rng = chip, chip.bus, chip.rng
        self.model = BusModel(chip.config)
        self.model.wiped()
        self.accesses = self.refused = 0

    async def write(self, address: int, data: bytes):
        """Write; the answer must be the model's."""
        self._announce(address, data)
        accepted = await self.bus.write(address, data)
        expected = self.model.write(address, data)
        self._count(accepted)
        assert accepted == expected, f"write of {data.hex()} at {address:#x}: accepted is {accepted}, not {expected}"

    async def write_word(self, address: int, word: int, strobes: int):
        """One word with any strobes; the answer must be the model's."""
        self._announce(address, word.to_bytes(WORD, "little"))
        accepted = await self.bus.write_word(address, word, strobes)
        expected = self.model.write(address, word.to_bytes(WORD, "little"), strobes)
        self._count(accepted)
        assert accepted == expected, f"strobes {strobes:#x} at {address:#x}: accepted is {accepted}, not {expected}"

    async def read(self, address: int, length: int):
        """Read; the answer must be the model's, as far as words were answered and their bits are known."""
        expected, wanted = self.model.read(address, length)
        okay, data = await self.bus.read(address, length)
        self._count(okay)
        assert okay == expected, f"read of {length} at {address:#x}: answered is {okay}, not {expected}"
        wrong = [i for i, byte in enumerate(wanted) if byte is not None and (byte[0] ^ data[i]) & byte[1]]
        assert not wrong, f"read of {length} at {address:#x}: {data.hex()} differs from the model in bytes {wrong}: " \
                          f"{[byte and byte[0] for byte in wanted]}"

    def _count(self, okay: bool):
        self.accesses += 1
        self.refused += not okay

    def _announce(self, address: int, data: bytes):
        """A flush or a wipe takes back what waits on the streams."""
        at = self.model.address("CONTROL") - address
        if 0 <= at < len(data) and data[at] & (FLUSH | ZEROIZE):
            self.chip.excuse()

    async def write_register(self, name: str, value: int):
        """A whole register."""
        await self.write(self.model.address(name), value.to_bytes(WORD, "little"))

    async def read_register(self, name: str) -> int:
        """A register that only the hardware knows the value of."""
        return await self.chip.read_word(self.model.address(name))

    async def adopt(self, *names: str):
        """Take over what hardware has put into registers; all that it counts, unless named."""
        events = [f"EVENT_{event}" for event in range(EVENTS)]
        for name in names or ("CYCLES", "STREAM_WAITS", "BAD_CELLS", "REPAIRS"):
            self.model.named(name).value = await self.read_register(name)
        if not names:
            for name, value in zip(events, await self.chip.read_words(EVENT_BASE, EVENTS), strict=True):
                self.model.named(name).value = value

    async def fill(self):
        """Random bytes in every memory, in one block a window; events as they are."""
        await self.adopt()
        for window in self.model.windows.values():
            if window.writable:
                await self.write(window.base, self.rng.randbytes(WORD * window.words))

    async def check_everything(self):
        """All registers and all words of all windows."""
        await self.check_registers()
        if self.model.halted:
            await self.check_windows()

    async def check_registers(self):
        """All registers and the interrupt line."""
        for address in self.model.registers:
            await self.read(address, WORD)
        await self.check_interrupt()

    async def check_windows(self):
        """All words of all windows: blocks of what can be read, and single words of what cannot."""
        for window in self.model.windows.values():
            for first, count in self._runs(window):
                await self.read(window.base + WORD * first, WORD * count)

    def _runs(self, window: Window) -> list[tuple[int, int]]:
        """Stretches of words that all can be read, or single words that cannot: a refusal hides its neighbours."""
        runs: list[tuple[int, int]] = []
        fresh = True
        for index in range(window.words):
            readable = self.model.word(window.base + WORD * index) is not None
            if readable and not fresh:
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((index, 1))
            fresh = not readable
        return runs

    async def check_interrupt(self):
        """The interrupt line follows state and enable."""
        await FallingEdge(self.chip.dut.clk)
        assert bool(int(self.chip.dut.interrupt.value)) == self.model.interrupt

    async def prepare_solve(self, interval: int):
        """Identity in the code memory, full-scale halves in v1, a program that stays in its INV for ``interval``."""
        config = self.chip.config
        await self.configure()
        await self.write(0x40_0000, self.identity())
        await self.write_program(SOLVE)
        await self.write(0x20_0000 + WORD * config.size, b"".join(
            (self.drive(i) << 32 - config.dac_bits & 0xFFFF_FFFF).to_bytes(WORD, "little") for i in range(config.size)))
        await self.write(0x30_0004, (3).to_bytes(WORD, "little"))
        await self.write(0x90_0000, bytes(WORD * config.size))
        await self.write(0xA0_0000, (0x8000).to_bytes(WORD, "little") * config.adcs)
        await self.write_register("SOLVE_INTERVAL", interval)
        await self.write_register("TIMEOUT", 0xFF_FFFF)

    async def configure(self, **changes: int):
        """Configuration registers as after a reset, with changes."""
        for register in self.model.registers.values():
            if register.access == "halted":
                await self.write_register(register.name, changes.get(register.name, register.reset))

    async def write_program(self, words: list[int]):
        """A program at address 0."""
        await self.write(0x10_0000, b"".join(word.to_bytes(WORD, "little") for word in words))

    def identity(self) -> bytes:
        """The largest code on the diagonal, as the code window takes it."""
        config = self.chip.config
        stride = WORD // config.codes_per_word
        return b"".join((config.code_max if i == j else 0).to_bytes(stride, "little")
                        for i in range(config.size) for j in range(config.size))

    def drive(self, element: int) -> int:
        """Input code of an element of v1: both signs, over half of full scale so that ranges stay."""
        top = 1 << self.chip.config.dac_bits - 1
        return (top // 2 + element) * (-1 if element % 3 else 1)

    async def start(self):
        """Start the program at ENTRY."""
        await self.write_register("CONTROL", START)
        await self.chip.clocks(2)

    async def abort(self):
        """Abort the program; what the model cannot know is read."""
        await self.write_register("CONTROL", ABORT)
        await self.chip.clocks(1)
        await self.adopt()
        await self.adopt("VALID", "RANGES")

    async def zeroize(self):
        """Wipe everything, and wait for it."""
        await self.write_register("CONTROL", ZEROIZE)
        await self.await_wipe()

    async def await_wipe(self):
        """Wait until the wipe that was just asked for is over."""
        await self.chip.reach(Phase.WIPE, 20)
        await self.wipe_over()

    async def wipe_over(self):
        """Wait until the wipe that is under way is over."""
        await self.chip.reach(Phase.IDLE)
        self.model.wiped()
        await self.adopt()

    async def finish(self):
        """Wait for the HALT of the prepared program, then take over what it changed: status, counts, v2."""
        size = self.chip.config.size
        await self.chip.reach(Phase.IDLE, 200_000)
        await self.halted(pc=2, code=7)
        for i in range(size):
            mantissa = self.drive(i) << 32 - self.chip.config.dac_bits & 0xFFFF_FFFF
            self.model.write(0x20_0000 + WORD * (2 * size + i), mantissa.to_bytes(WORD, "little"))
        self.model.write(0x30_0008, (3).to_bytes(WORD, "little"))

    async def halted(self, pc: int, code: int = 0, trap: int = 0):
        """The program stopped: status and interrupt as they must be, counts as they are, arrays valid."""
        self.model.state = State.HALTED
        self.model.named("INTR_STATE").value |= 2 if trap else DONE
        self.model.named("STATUS").value = 1 | pc << 8 | code << 16 | trap << 24
        self.model.named("VALID").value |= 1 << 17
        await self.adopt()


def window_of(address: int) -> int:
    """Number of the window that an address belongs to, 0 for the registers."""
    return address // WINDOW_SPAN

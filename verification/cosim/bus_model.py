"""What the host bus must do, byte by byte: every register and window of a chip, written down a second time.

Nothing here is read from the register description or the gateware: addresses, fields, resets and widths are literals,
so a slip there shows as a difference.
"""

from dataclasses import dataclass
from enum import Enum

from ohmloop_hdl.config import ChipConfig

WORD = 4
"""Bytes in a word."""

ADDRESS_SPACE = 1 << 24
"""Bytes that the address lines can name."""

WINDOW_SPAN = 1 << 20
"""Bytes that belong to a window, whatever of them it uses."""

START, ABORT, CLEAR, FLUSH, ZEROIZE = (1 << bit for bit in range(5))
"""Bits of CONTROL."""

DONE, TRAP, WIPED = (1 << bit for bit in range(3))
"""Bits of the three interrupt registers."""

HALTED, BUSY = 1 << 0, 1 << 2
"""Bits of STATUS."""

CODES_VALID = 1 << 16
"""Bit of VALID."""

EVENTS = 21
"""Event counters, one register each from EVENT_BASE on."""

EVENT_BASE = 0x80


class State(Enum):
    """Who owns the memories: the host, a program, or the wipe."""

    HALTED = "halted"
    RUNNING = "running"
    WIPING = "wiping"


@dataclass
class Register:
    """A register: its bits that store, its value, and how it takes a write.

    ``access``: ``read`` only, ``write`` always, ``halted`` only while nothing runs, ``clear`` by ones, ``set`` by ones,
    ``pulse`` for a register that acts and reads zero. ``known``: bits that can be told while something runs.
    """

    name: str
    access: str
    mask: int
    reset: int
    known: int = 0xFFFF_FFFF
    value: int = 0


class Window:
    """A memory on the bus: what its bytes keep, and how its words read.

    ``parity``: bytes of a word that are kept with a parity bit; ``secret``: a lock closes its read-back.
    """

    def __init__(self, base: int, words: int, *, writable: bool = True, parity: int = 0, secret: bool = False,
                 wiped: int = 0):
        self.base, self.words, self.writable = base, words, writable
        self.parity, self.secret, self.wiped = parity, secret, wiped
        self.wipe()

    def wipe(self):
        """As after a wipe."""
        self.stored = bytearray(self.wiped.to_bytes(WORD, "little") * self.words)
        self.wrong = bytearray(WORD * self.words)

    def put(self, offset: int, byte: int, wrong: bool):
        """One byte of a write; ``wrong`` with wrong parity."""
        self.stored[offset] = byte
        self.wrong[offset] = wrong and offset % WORD < self.parity

    def readable(self, index: int) -> bool:
        """No byte of a word has wrong parity."""
        return not any(self.wrong[WORD * index:WORD * (index + 1)])

    def word(self, index: int) -> bytes:
        """A word as it reads."""
        return bytes(self.stored[WORD * index:WORD * (index + 1)])


class Mantissas(Window):
    """Vectors of 32-bit words, the first of which reads zero whatever is written."""

    def __init__(self, base: int, size: int):
        super().__init__(base, 16 * size)
        self.first = size

    def word(self, index: int) -> bytes:
        """Vector 0 reads zero."""
        return super().word(index) if index >= self.first else bytes(WORD)


class Narrow(Window):
    """Numbers of ``bits`` bits, ``stride`` bytes apart, that read extended, ``signed`` or by zeros."""

    def __init__(self, base: int, words: int, bits: int, stride: int = WORD, *, signed: bool = True, parity: int = 0,
                 secret: bool = False, wiped: int = 0):
        super().__init__(base, words, parity=parity, secret=secret, wiped=wiped)
        self.bits, self.stride, self.signed = bits, stride, signed

    def word(self, index: int) -> bytes:
        """Each number extended to its stride."""
        raw, mask, sign = super().word(index), (1 << self.bits) - 1, self.signed << self.bits - 1
        numbers = [int.from_bytes(raw[at:at + self.stride], "little") & mask for at in range(0, WORD, self.stride)]
        return b"".join(((number ^ sign) - sign).to_bytes(self.stride, "little", signed=True) if self.signed
                        else number.to_bytes(self.stride, "little") for number in numbers)


class RegisterFile(Narrow):
    """Sixteen signed numbers, the first of which is a constant."""

    def __init__(self, base: int, bits: int, constant: int):
        super().__init__(base, 16, bits)
        self.constant = constant

    def word(self, index: int) -> bytes:
        """Register 0 reads the constant."""
        return super().word(index) if index else self.constant.to_bytes(WORD, "little", signed=True)


class BusModel:
    """All of a chip that a host can see, and what an access does to it.

    Parameters
    ----------
    config : ChipConfig
        Sizes of the windows.

    It begins as a chip does out of reset, wiping; :meth:`wiped` ends that. What hardware puts into registers while
    something runs, only the chip can tell; while nothing runs, everything is known.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.registers = _registers(config)
        self.windows = _windows(config)
        self.state = State.WIPING
        self.reset()

    def reset(self):
        """As in the clock after a reset."""
        for register in self.registers.values():
            register.value = register.reset
        self.wipe()

    def wipe(self):
        """The wipe begins: nothing is left of the memories, registers stay."""
        for window in self.windows.values():
            window.wipe()
        self.named("VALID").value = 0
        self._forget(State.WIPING)

    def wiped(self):
        """The wipe ends."""
        self._forget(State.HALTED)
        self.named("INTR_STATE").value |= WIPED

    def _forget(self, state: State):
        """Nothing runs, and nothing of the last run is left."""
        self.state = state
        self.named("STATUS").value = HALTED if state is State.HALTED else BUSY
        for name in ("CYCLES", "STREAM_WAITS"):
            self.named(name).value = 0

    def named(self, name: str) -> Register:
        """A register by its name."""
        return next(register for register in self.registers.values() if register.name == name)

    def address(self, name: str) -> int:
        """Byte address of a register."""
        return next(address for address, register in self.registers.items() if register.name == name)

    @property
    def halted(self) -> bool:
        """Nothing runs: windows and configuration are open."""
        return self.state is State.HALTED

    def write(self, address: int, data: bytes, strobes: int | None = None) -> bool:
        """Write bytes, or those of one word that ``strobes`` chooses; whether every word was accepted."""
        accepted = True
        for word in range(address // WORD, (address + len(data) - 1) // WORD + 1):
            lanes = [lane for lane in range(WORD) if 0 <= WORD * word + lane - address < len(data)
                     and (strobes is None or strobes >> lane & 1)]
            accepted &= self._write_word(WORD * word, {lane: data[WORD * word + lane - address] for lane in lanes})
        return accepted

    def _write_word(self, address: int, lanes: dict[int, int]) -> bool:
        register, found = self.registers.get(address), self.window_at(address)
        if register is not None:
            return self._write_register(register, lanes)
        if found is None or not found[1].writable or not self.halted:
            return False
        name, window = found
        for lane, byte in lanes.items():
            window.put(address - window.base + lane, byte, bool(self.named("TEST").value))
        if lanes and name == "codes":
            self.named("VALID").value |= CODES_VALID
        if lanes and name == "slots":
            self.named("VALID").value |= 1 << (address - window.base) // WORD // self.config.size ** 2
        return True

    def _write_register(self, register: Register, lanes: dict[int, int]) -> bool:
        if register.access == "read" or register.access == "halted" and not self.halted:
            return False
        chosen = sum(0xFF << 8 * lane for lane in lanes) & register.mask
        given = sum(byte << 8 * lane for lane, byte in lanes.items()) & chosen
        if register.access == "clear":
            register.value &= ~given
        elif register.access == "set":
            register.value |= given
        elif register.name == "INTR_TEST":
            self.named("INTR_STATE").value |= given
        elif register.name == "CONTROL":
            self._control(given)
        else:
            register.value = register.value & ~chosen | given
        return True

    def _control(self, bits: int):
        """What CONTROL does to what a host can see."""
        if bits & ZEROIZE:
            self.wipe()
        elif bits & ABORT:
            if self.state is not State.WIPING:
                self._forget(State.HALTED)
        elif bits & (START | CLEAR) and self.halted:
            self.named("STATUS").value = HALTED
            if bits & START:
                self.state = State.RUNNING
                self.named("STATUS").value = 0

    def read(self, address: int, length: int) -> tuple[bool, list[tuple[int, int] | None]]:
        """Whether every word of a read is answered, and its bytes as pairs of value and known bits, None where a word
        is refused."""
        found = [self.word(WORD * word) for word in range(address // WORD, (address + length - 1) // WORD + 1)]
        flat: list[tuple[int, int] | None] = []
        for word in found:
            flat += list(zip(*word, strict=True)) if word is not None else [None] * WORD
        return None not in found, flat[address % WORD:address % WORD + length]

    def word(self, address: int) -> tuple[bytes, bytes] | None:
        """One word as it reads and which of its bits are known; None where the chip refuses."""
        register, found = self.registers.get(address), self.window_at(address)
        if register is not None:
            known = 0xFFFF_FFFF if self.halted else register.known
            return register.value.to_bytes(WORD, "little"), known.to_bytes(WORD, "little")
        if found is None or not self.halted:
            return None
        _, window = found
        index = (address - window.base) // WORD
        if not window.readable(index) or window.secret and self.named("LOCK").value:
            return None
        return window.word(index), b"\xFF" * WORD

    def window_at(self, address: int) -> tuple[str, Window] | None:
        """Name and window that an address lies in."""
        return next(((name, window) for name, window in self.windows.items()
                     if window.base <= address < window.base + WORD * window.words), None)

    @property
    def interrupt(self) -> bool:
        """Level of the interrupt line."""
        return bool(self.named("INTR_STATE").value & self.named("INTR_ENABLE").value)


def _registers(config: ChipConfig) -> dict[int, Register]:
    n = config.size
    caps0 = n | config.adcs << 10 | config.lanes << 20
    caps1 = config.cell_bits | config.dac_bits << 4 | config.adc_bits << 8 | (4 if config.cell_bits <= 7 else 2) << 12
    caps2 = config.slots | 16 << 5 | 16 << 10 | 256 << 16
    not_valid = 0xFFFF_FFFF & ~(3 << 16 | (1 << config.slots) - 1)
    return {
        0x00: Register("ID", "read", 0, 0x4F484D4C),
        0x04: Register("VERSION", "read", 0, 0x000100),
        0x08: Register("CAPS0", "read", 0, caps0),
        0x0C: Register("CAPS1", "read", 0, caps1),
        0x10: Register("INTR_STATE", "clear", 0x7, 0),
        0x14: Register("INTR_ENABLE", "write", 0x7, 0),
        0x18: Register("INTR_TEST", "pulse", 0x7, 0),
        0x1C: Register("CONTROL", "pulse", 0x1F, 0),
        0x20: Register("STATUS", "read", 0, 0, known=HALTED | BUSY),
        0x24: Register("CYCLES", "read", 0, 0, known=0),
        0x28: Register("ENTRY", "halted", 0xFF, 0),
        0x2C: Register("SIZES", "halted", 0x03FF_03FF, n | n << 16),
        0x30: Register("SOLVE_INTERVAL", "halted", 0xF_FFFF, 256),
        0x34: Register("MULTIPLY_INTERVAL", "halted", 0xF_FFFF, 64),
        0x38: Register("TIMEOUT", "halted", 0xFF_FFFF, 65536),
        0x3C: Register("TOLERANCE", "halted", 0xF, 1),
        0x40: Register("SWITCHES", "halted", 0xFFFF_00FF, 16 << 16 | 2),
        0x44: Register("ARRAY", "halted", 0xFFFF_0FFF, 3 << 8 | 4),
        0x48: Register("BANDWIDTH", "halted", 0x3, 0),
        0x4C: Register("RANGES", "halted", 0x307, 0, known=0xFFFF_FCF8),
        0x50: Register("BAD_CELLS", "read", 0, 0, known=0xFFFE_0000),
        0x54: Register("VALID", "read", 0, 0, known=not_valid),
        0x58: Register("STREAM_WAITS", "read", 0, 0, known=0),
        0x5C: Register("WATCHDOG", "halted", 0xFFFF_FFFF, 0x1000_0000),
        0x60: Register("LOCK", "set", 0x1, 0),
        0x64: Register("TEST", "halted", 0x1, 0),
        0x68: Register("REPAIRS", "read", 0, 0, known=0xFFFE_0000),
        0x6C: Register("CAPS2", "read", 0, caps2),
    } | {EVENT_BASE + WORD * event: Register(f"EVENT_{event}", "read", 0, 0, known=0) for event in range(EVENTS)}


def _windows(config: ChipConfig) -> dict[str, Window]:
    n, per_word = config.size, 4 if config.cell_bits <= 7 else 2
    return {
        "program": Window(0x10_0000, 256, parity=4),
        "mantissas": Mantissas(0x20_0000, n),
        "exponents": RegisterFile(0x30_0000, 10, -512),
        "codes": Narrow(0x40_0000, n * n // per_word, config.cell_bits + 1, WORD // per_word, parity=4, secret=True),
        "bad_map": Window(0x50_0000, n * max(1, n // 32), writable=False),
        "scalar_mantissas": RegisterFile(0x60_0000, 24, 1 << 22),
        "scalar_exponents": RegisterFile(0x70_0000, 10, 1),
        "slots": Narrow(0x80_0000, config.slots * n * n, 24, parity=3, secret=True),
        "offsets": Narrow(0x90_0000, n, 16, parity=2),
        "gains": Narrow(0xA0_0000, config.adcs, 16, signed=False, parity=2, wiped=0x8000),
    }

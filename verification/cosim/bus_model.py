"""What the host bus must do, byte by byte: every register and window of a chip, written down a second time.

Nothing here is read from the register description or the gateware: addresses, fields, resets and widths are literals,
so a slip there shows as a difference.
"""

from dataclasses import dataclass

from ohmloop_hdl.config import ChipConfig

WORD = 4
"""Bytes in a word."""

ADDRESS_SPACE = 1 << 20
"""Bytes that the address lines can name."""


@dataclass
class Register:
    """A register: its bits that store, its value, and how it takes a write.

    ``access``: ``read`` only, ``write`` always, ``halted`` only while no program runs, ``clear`` by ones, ``pulse`` for
    a register that acts and reads zero.
    """

    name: str
    access: str
    mask: int
    reset: int
    value: int = 0


class Window:
    """A memory on the bus: what its bytes keep, and how its words read."""

    def __init__(self, base: int, words: int, writable: bool = True):
        self.base, self.words, self.writable = base, words, writable
        self.stored = bytearray(WORD * words)

    def put(self, offset: int, byte: int):
        """One byte of a write."""
        self.stored[offset] = byte

    def word(self, index: int) -> bytes:
        """A word as it reads."""
        return bytes(self.stored[WORD * index:WORD * (index + 1)])


class Mantissas(Window):
    """Vectors of 32-bit words, the first of which cannot be written."""

    def __init__(self, base: int, size: int):
        super().__init__(base, 16 * size)
        self.first = WORD * size

    def put(self, offset: int, byte: int):
        """Vector 0 stays zero."""
        if offset >= self.first:
            super().put(offset, byte)


class Narrow(Window):
    """Signed numbers of ``bits`` bits, ``stride`` bytes apart, that read sign-extended."""

    def __init__(self, base: int, words: int, bits: int, stride: int):
        super().__init__(base, words)
        self.bits, self.stride = bits, stride

    def word(self, index: int) -> bytes:
        """Each number extended to its stride."""
        raw = super().word(index)
        numbers = [int.from_bytes(raw[at:at + self.stride], "little") for at in range(0, WORD, self.stride)]
        signed = [((number & (1 << self.bits) - 1) ^ 1 << self.bits - 1) - (1 << self.bits - 1) for number in numbers]
        return b"".join(number.to_bytes(self.stride, "little", signed=True) for number in signed)


class Exponents(Narrow):
    """One 10-bit number a word; that of vector 0 is the smallest."""

    def __init__(self, base: int):
        super().__init__(base, 16, bits=10, stride=WORD)

    def word(self, index: int) -> bytes:
        """Vector 0 reads -512."""
        return super().word(index) if index else (-512).to_bytes(WORD, "little", signed=True)


class BusModel:
    """All of a chip that a host can see, and what an access does to it.

    Parameters
    ----------
    config : ChipConfig
        Sizes of the windows.

    ``running`` says that a program runs: windows and configuration are shut.
    """

    def __init__(self, config: ChipConfig):
        self.running = False
        n, per_word = config.size, 4 if config.cell_bits <= 7 else 2
        caps0 = n | config.adcs << 10 | config.lanes << 20
        caps1 = config.cell_bits | config.dac_bits << 4 | config.adc_bits << 8 | per_word << 12
        self.registers = {
            0x00: Register("ID", "read", 0, 0x4F484D4C),
            0x04: Register("VERSION", "read", 0, 0x000100),
            0x08: Register("CAPS0", "read", 0, caps0),
            0x0C: Register("CAPS1", "read", 0, caps1),
            0x10: Register("INTR_STATE", "clear", 0x3, 0),
            0x14: Register("INTR_ENABLE", "write", 0x3, 0),
            0x18: Register("INTR_TEST", "pulse", 0x3, 0),
            0x1C: Register("CONTROL", "pulse", 0x3, 0),
            0x20: Register("STATUS", "read", 0, 0x1),
            0x24: Register("CYCLES", "read", 0, 0),
            0x28: Register("ENTRY", "halted", 0xFF, 0),
            0x2C: Register("SIZES", "halted", 0x03FF_03FF, n | n << 16),
            0x30: Register("SOLVE_INTERVAL", "halted", 0xF_FFFF, 256),
            0x34: Register("MULTIPLY_INTERVAL", "halted", 0xF_FFFF, 64),
            0x38: Register("TIMEOUT", "halted", 0xFF_FFFF, 65536),
            0x3C: Register("TOLERANCE", "halted", 0xF, 1),
            0x40: Register("SWITCHES", "halted", 0xFFFF_00FF, 16 << 16 | 2),
            0x44: Register("ARRAY", "halted", 0xFFFF_0FFF, 3 << 8 | 4),
            0x48: Register("BANDWIDTH", "halted", 0x3, 0),
            0x4C: Register("RANGES", "halted", 0x307, 0),
            0x50: Register("BAD_CELLS", "read", 0, 0),
        }
        self.windows = {
            "program": Window(0x10000, 256),
            "mantissas": Mantissas(0x20000, n),
            "exponents": Exponents(0x30000),
            "codes": Narrow(0x40000, n * n // per_word, config.cell_bits + 1, WORD // per_word),
            "bad_map": Window(0x50000, n * max(1, n // 32), writable=False),
        }
        self.reset()

    def reset(self):
        """Registers as after a reset; memories keep what they hold."""
        self.running = False
        for register in self.registers.values():
            register.value = register.reset

    def address(self, register: str) -> int:
        """Byte address of a register."""
        return next(address for address, r in self.registers.items() if r.name == register)

    def write(self, address: int, data: bytes, strobes: int | None = None) -> bool:
        """Write bytes, or those of one word that ``strobes`` chooses; whether every word was accepted."""
        accepted = True
        for word in range(address // WORD, (address + len(data) - 1) // WORD + 1):
            lanes = [lane for lane in range(WORD) if 0 <= WORD * word + lane - address < len(data)
                     and (strobes is None or strobes >> lane & 1)]
            accepted &= self._write_word(WORD * word, {lane: data[WORD * word + lane - address] for lane in lanes})
        return accepted

    def _write_word(self, address: int, lanes: dict[int, int]) -> bool:
        register, window = self.registers.get(address), self._window(address)
        if register is not None:
            return self._write_register(register, lanes)
        if window is None or not window.writable or self.running:
            return False
        for lane, byte in lanes.items():
            window.put(address - window.base + lane, byte)
        return True

    def _write_register(self, register: Register, lanes: dict[int, int]) -> bool:
        if register.access == "read" or register.access == "halted" and self.running:
            return False
        chosen = sum(0xFF << 8 * lane for lane in lanes) & register.mask
        given = sum(byte << 8 * lane for lane, byte in lanes.items()) & chosen
        if register.access == "clear":
            register.value &= ~given
        elif register.name == "INTR_TEST":
            self.registers[0x10].value |= given
        elif register.access != "pulse":
            register.value = register.value & ~chosen | given
        return True

    def read(self, address: int, length: int) -> tuple[bool, list[int | None]]:
        """Whether every word of a read is answered, and its bytes, None for those of a refused word."""
        found = [self.word(WORD * word) for word in range(address // WORD, (address + length - 1) // WORD + 1)]
        flat: list[int | None] = []
        for word in found:
            flat += list(word) if word is not None else [None] * WORD
        return None not in found, flat[address % WORD:address % WORD + length]

    def word(self, address: int) -> bytes | None:
        """One word as it reads; None where the chip refuses."""
        register, window = self.registers.get(address), self._window(address)
        if register is not None:
            return register.value.to_bytes(WORD, "little")
        if window is None or self.running:
            return None
        return window.word((address - window.base) // WORD)

    def _window(self, address: int) -> Window | None:
        return next((w for w in self.windows.values() if w.base <= address < w.base + WORD * w.words), None)

    @property
    def interrupt(self) -> bool:
        """Level of the interrupt line."""
        return bool(self.registers[0x10].value & self.registers[0x14].value)

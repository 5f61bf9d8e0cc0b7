"""cocotb bench: every register and field of the description, bit by bit, on the chip.

All expectations come from the properties of ``registers.rdl``: reset, access of software and hardware, what a write
does, and whether a field is guarded. Read through the driver's bus, written with every strobe.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from systemrdl.node import FieldNode, RegNode
from systemrdl.rdltypes.builtin_enums import OnWriteType
from verification.cosim.bus_model import ABORT, START, WORD, ZEROIZE
from verification.cosim.chip_bench import COUNTED, Chip, chip_test

from ohmloop.golden.assembler import assemble
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import GAIN_ONE
from ohmloop_hdl.host.map import address_map, elaborate_rdl, reset_value

FULL = 0xFFFF_FFFF
LONG = 0xF_FFFF
"""Clocks of a solve that is not to end meanwhile."""

ANY_CELLS = 0xFFFF << 16 | 1 << 8 | 2
"""ARRAY: whatever is stuck does not trap, a row is tried twice, short pulses."""


@dataclass(frozen=True)
class Field:
    """A field by its properties.

    ``kind``: ``constant``; ``hardware`` drives it; software writes it: ``stored``, ``cleared`` or ``set`` by ones, or
    ``pulse`` for what acts and reads zero. ``guarded`` only while nothing runs; ``moves``: hardware writes it too.
    """

    name: str
    mask: int
    reset: int
    kind: str
    guarded: bool
    moves: bool

    @classmethod
    def of(cls, node: FieldNode) -> "Field":
        """From the description."""
        mask = (1 << node.width) - 1 << node.low
        if not node.is_sw_writable:
            kind = "hardware" if node.is_hw_writable else "constant"
        elif node.get_property("singlepulse"):
            kind = "pulse"
        else:
            kind = {None: "stored", OnWriteType.woclr: "cleared", OnWriteType.woset: "set"}[
                node.get_property("onwrite")]
        return cls(node.inst_name, mask, reset_value(node) << node.low, kind, bool(node.get_property("swwe")),
                   node.is_hw_writable or bool(node.get_property("hwset")))

    def after(self, old: int, data: int, lanes: int) -> int:
        """What it reads after a write of ``data`` to the bits ``lanes``; all in their places in the word."""
        given, chosen = data & lanes & self.mask, lanes & self.mask
        match self.kind:
            case "stored":
                return old & self.mask & ~chosen | given
            case "cleared":
                return old & self.mask & ~given
            case "set":
                return old & self.mask | given
        return 0 if self.kind == "pulse" else old & self.mask


@dataclass(frozen=True)
class Register:
    """A register and its fields."""

    name: str
    address: int
    fields: tuple[Field, ...]

    @property
    def kinds(self) -> set[str]:
        """How its fields take a write."""
        return {field.kind for field in self.fields}

    @property
    def writable(self) -> bool:
        """Software can write something in it, so a write is not refused."""
        return not self.kinds <= {"constant", "hardware"}

    @property
    def guarded(self) -> bool:
        """It refuses writes while something runs."""
        return any(field.guarded for field in self.fields)

    @property
    def known(self) -> int:
        """Bits that no hardware moves while nothing runs; those of no field read zero."""
        return FULL & ~sum(field.mask for field in self.fields if field.kind == "hardware")

    @property
    def reset(self) -> int:
        """Its reset value."""
        return sum(field.reset for field in self.fields)

    def after(self, old: int, data: int, strobes: int = 0xF) -> int:
        """What it reads after a write."""
        lanes = sum(0xFF << 8 * lane for lane in range(WORD) if strobes >> lane & 1)
        return sum(field.after(old, data, lanes) for field in self.fields)


def registers_of(chip: Chip) -> list[Register]:
    """Every register of the description."""
    return [Register(node.inst_name, node.absolute_address, tuple(Field.of(field) for field in node.fields()))
            for node in elaborate_rdl(chip.config).children() if isinstance(node, RegNode)]


class Bank:
    """The registers of a chip."""

    def __init__(self, chip: Chip):
        self.chip, self.rng = chip, chip.rng
        self.registers = registers_of(chip)
        self.named = {register.name: register for register in self.registers}

    async def read(self, register: Register | str) -> int:
        """What a register reads; none refuses that."""
        register = self.named[register] if isinstance(register, str) else register
        return await self.chip.read_word(register.address)

    async def write(self, register: Register | str, data: int, strobes: int = 0xF) -> bool:
        """Whether a write was accepted."""
        register = self.named[register] if isinstance(register, str) else register
        return await self.chip.bus.write_word(register.address, data, strobes)

    async def put(self, **values: int):
        """Write whole registers that must accept it."""
        for name, value in values.items():
            assert await self.write(name, value), name

    async def snapshot(self) -> dict[str, int]:
        """All registers, without what hardware drives."""
        return {register.name: await self.read(register) & register.known for register in self.registers}

    async def check(self, register: Register, expected: int, what: str):
        """What a register reads, as far as hardware does not drive it."""
        got = await self.read(register)
        wrong = (got ^ expected) & register.known
        assert not wrong, f"{register.name} reads {got:#010x}, not {expected:#010x}: {what}"

    async def fill(self, register: Register):
        """Make every bit of a field that ones clear one."""
        if "cleared" in register.kinds:
            await self.put(INTR_TEST=FULL)

    async def load(self, source: str):
        """A program at address 0."""
        await self.chip.write_words(address_map(self.chip.config).windows["PROGRAM"].address, assemble(source))

    def patterns(self, register: Register) -> Iterator[int]:
        """Words to write: walking ones and zeros, all and nothing, and chance; nothing starts, stops or locks."""
        harmless = FULL & ~sum(field.mask for field in register.fields
                               if field.kind == "set" or register.name == "CONTROL")
        walking = [1 << bit for bit in range(32)]
        for word in (*walking, *(FULL ^ bit for bit in walking), 0, FULL, self.rng.getrandbits(32)):
            yield word & harmless


@chip_test
async def resets(chip: Chip):
    """Every field reads its reset value: during the wipe out of reset, after it, and after all was changed."""
    bank = Bank(chip)
    for register in bank.registers:
        expected = register.reset
        if register.name == "INTR_STATE":
            expected |= 1 << 2  # the wipe has ended
        await bank.check(register, expected, "after reset")
    changed = 0
    for register in bank.registers:
        stored = [field for field in register.fields if field.kind in ("stored", "set")]
        if stored:
            assert await bank.write(register, register.reset ^ FULL)
            changed += bool((await bank.read(register) ^ register.reset) & sum(field.mask for field in stored))
    assert changed == sum(bool(register.kinds & {"stored", "set"}) for register in bank.registers)
    await chip.reset(1)
    for register in bank.registers:
        await bank.check(register, register.reset, "while the chip wipes itself after a reset")
    assert chip.phase == Phase.WIPE, "the wipe of this chip is too short for the test"
    await chip.reach(Phase.IDLE)
    assert await bank.read("INTR_STATE") == 1 << 2


@chip_test
async def every_bit_of_every_field(chip: Chip):
    """Each bit alone, one among zeros and zero among ones: fields take it as described, other bits read zero, other
    registers stay."""
    bank = Bank(chip)
    writes = 0
    for register in bank.registers:
        before = await bank.snapshot()
        old = await bank.read(register)
        for word in bank.patterns(register):
            await bank.fill(register)
            old = register.after(FULL, 0) if "cleared" in register.kinds else old
            accepted = await bank.write(register, word)
            assert accepted == register.writable, f"{register.name}: a write is accepted: {accepted}"
            old = register.after(old, word)
            await bank.check(register, old, f"after {word:#010x} was written")
            writes += 1
        if "stored" in register.kinds:
            await bank.write(register, register.reset)
        await bank.put(INTR_STATE=FULL)
        now = await bank.snapshot()
        before |= {"INTR_STATE": 0} | ({register.name: register.reset} if "stored" in register.kinds else {})
        assert now == before, f"{register.name} changed {[name for name in now if now[name] != before[name]]}"
    fields = sum(len(register.fields) for register in bank.registers)
    print(f"{COUNTED}{len(bank.registers)} registers, {fields} fields, {writes} words written and read back")


@chip_test
async def every_strobe(chip: Chip):
    """All sixteen strobes on every register: bytes that are not chosen keep their value."""
    bank = Bank(chip)
    for register in bank.registers:
        old = await bank.read(register)
        for strobes in range(16):
            await bank.fill(register)
            old = register.after(FULL, 0) if "cleared" in register.kinds else old
            words = list(bank.patterns(register))
            word = bank.rng.choice(words[-2:])
            assert await bank.write(register, word, strobes) == register.writable
            old = register.after(old, word, strobes)
            await bank.check(register, old, f"after {word:#010x} with strobes {strobes:#x}")


@chip_test
async def ones_that_clear_set_and_pulse(chip: Chip):
    """Bit by bit: a one clears, sets or acts once; a zero and a byte that is not chosen do nothing."""
    bank = Bank(chip)
    state, test, lock = (bank.named[name] for name in ("INTR_STATE", "INTR_TEST", "LOCK"))
    await bank.put(INTR_STATE=FULL)
    for field in state.fields:
        await bank.put(INTR_TEST=field.mask)
        assert await bank.read(state) == field.mask
        assert await bank.read(test) == 0
        await bank.put(INTR_STATE=FULL & ~field.mask)
        assert await bank.write(state, field.mask, 0xE)
        assert await bank.read(state) == field.mask
        await bank.put(INTR_STATE=field.mask)
        await chip.clocks(3)
        assert await bank.read(state) == 0, "a pulse acts more than once"
        assert await bank.write(test, field.mask, 0xE) and await bank.read(state) == 0
    for field in lock.fields:
        assert field.kind == "set"
        await bank.put(LOCK=FULL & ~field.mask)
        assert await bank.write(lock, field.mask, 0xE) and await bank.read(lock) == 0
        await bank.put(LOCK=field.mask)
        for word in (0, FULL & ~field.mask):
            await bank.put(LOCK=word)
            assert await bank.read(lock) == field.mask
        await bank.put(CONTROL=ZEROIZE)
        await chip.reach(Phase.WIPE)
        await chip.reach(Phase.IDLE)
        assert await bank.read(lock) == field.mask, "zeroize opens a lock"
        await chip.reset()
        await chip.ready()
        assert await bank.read(lock) == 0


@chip_test
async def guards(chip: Chip):
    """While a program solves, waits for a stream, or the chip wipes itself, a guarded register refuses every write and
    keeps its value; the others take it as ever."""
    bank = Bank(chip)
    guarded = [register for register in bank.registers if register.guarded]
    assert guarded and not any(register.guarded for register in bank.registers if "pulse" in register.kinds)
    for situation in ("solves", "waits", "wipes"):
        if situation == "wipes":
            await bank.put(CONTROL=ZEROIZE)
            await chip.reach(Phase.WIPE)
        else:
            await chip.write_words(address_map(chip.config).windows["CODES"].address, [0])
            await bank.put(SOLVE_INTERVAL=LONG, ARRAY=ANY_CELLS)
            await bank.load("PROG\nINV v2, v1" if situation == "solves" else "LD v1")
            await bank.put(CONTROL=START)
            await chip.reach(Phase.SETTLE if situation == "solves" else Phase.WAIT)
        for register in guarded:
            if situation == "wipes":  # begun anew, for it may be shorter than the test
                await bank.put(CONTROL=ZEROIZE)
            before = await bank.read(register)
            for word in (before ^ FULL, before ^ bank.rng.getrandbits(32)):
                assert not await bank.write(register, word, bank.rng.randrange(16)), f"{register.name}, {situation}"
            assert await bank.read(register) == before, f"{register.name}, {situation}"
            for bit in range(32 if situation != "wipes" else 0):
                assert not await bank.write(register, before ^ 1 << bit), f"{register.name}, {situation}"
            assert await bank.read(register) == before, f"{register.name}, {situation}"
        for register in bank.registers:
            if register.kinds <= {"stored"} and not register.guarded:
                for word in (FULL, 0):
                    assert await bank.write(register, word), f"{register.name}, {situation}"
                    assert await bank.read(register) == register.after(0, word)
        await bank.put(INTR_TEST=FULL)
        assert await bank.read("INTR_STATE") == 7
        await bank.put(INTR_STATE=FULL)
        assert await bank.read("INTR_STATE") == 0
        if situation == "wipes":
            assert chip.phase == Phase.WIPE
            await chip.reach(Phase.IDLE)
        else:
            await bank.put(CONTROL=ABORT)
            await chip.clocks(2)
            for register in guarded:
                assert await bank.write(register, register.reset), f"{register.name} stays shut"


@chip_test
async def fields_that_hardware_moves(chip: Chip):
    """Every field that hardware writes is seen to move; status fields in every bit. Needs a die with a stuck cell."""
    bank = Bank(chip)
    size, windows = chip.config.size, address_map(chip.config).windows
    moved: set[str] = set()

    async def look():
        for register in bank.registers:
            word = await bank.read(register)
            moved.update(f"{register.name}.{field.name}" for field in register.fields
                         if field.moves and word & field.mask != field.reset)

    await chip.reset()
    await look()  # busy
    await chip.reach(Phase.IDLE)
    codes = [5 if i == j else 0 for i in range(size) for j in range(size)]
    per_word, bits = chip.config.codes_per_word, 32 // chip.config.codes_per_word
    await chip.write_words(windows["CODES"].address, [
        sum(code << bits * place for place, code in enumerate(codes[at:at + per_word]))
        for at in range(0, len(codes), per_word)])
    await chip.write_words(windows["SLOTS"].address, [1] * windows["SLOTS"].words)
    await chip.write_words(windows["GAINS"].address, [GAIN_ONE] * chip.config.adcs)
    await chip.write_words(windows["SCALAR_MANTISSAS"].address + WORD, [1 << 22])
    # Solutions are three times the drive, so INV clips until the range fits; products are small, so MUL moves as well.
    await chip.write_words(windows["MANTISSAS"].address + WORD * size, [3 << 29] * size)
    source, sink = chip.connect()
    for k in range(4):
        await bank.put(BANDWIDTH=k, ARRAY=ANY_CELLS, SOLVE_INTERVAL=200, MULTIPLY_INTERVAL=200, RANGES=0)
        await bank.load("PROG\nSCRUB\nLD v3\nINV v2, v1\nMUL v4, v1\nMUL v4, v1\nAXPY v5, v1, k1, v2\n"
                        "MAT v6, v1, m0, v2\nDOT k2, v1, v1\nST v2\nHALT 1")
        await bank.put(CONTROL=START)
        await chip.reach(Phase.WAIT)
        await look()
        source.send_nowait([0] * (size + 1))
        await chip.reach(Phase.SETTLE)
        await look()  # loop_closed
        await chip.reach(Phase.IDLE, 100_000)
        await look()
        assert len((await sink.recv()).tdata) == size + 1
        assert await bank.read("STATUS") == 1 | 10 << 8 | 1 << 16
    counts = await chip.read_words(bank.named[f"EVENT_{Event(0).name}"].address, len(Event))
    assert 0 not in counts, f"no event of {[Event(i).name for i, count in enumerate(counts) if not count]}"
    await bank.load("DIV k1, k1, k15\nHALT 0")
    await bank.put(CONTROL=START)
    await chip.clocks(20)
    assert await bank.read("STATUS") == 1 | 4 << 24  # divide
    await look()
    for bit in range(8):
        await chip.write_words(windows["PROGRAM"].address + (WORD << bit), assemble(f"HALT {1 << 7 - bit}"))
        await bank.put(ENTRY=1 << bit, CONTROL=START)
        await chip.clocks(10)
        assert await bank.read("STATUS") == 1 | 1 << 8 + bit | 1 << 23 - bit
        assert await bank.read("CYCLES") == 2
    moving = {f"{register.name}.{field.name}"
              for register in bank.registers for field in register.fields if field.moves}
    assert moved == moving, f"not seen to move: {sorted(moving - moved)}"
    print(f"{COUNTED}{len(moving)} fields that hardware moves")

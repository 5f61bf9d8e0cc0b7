"""The instruction table: one source for the decoder, the assembler, the disassembler, the golden machine and
``docs/isa.md``.

An instruction is one 32-bit word, operation code in bits 31:27. Every operand has one place in the word, whatever the
instruction. Bits that an instruction does not use must be zero; an unknown operation code, a stray bit, or a matrix
slot that the chip does not have traps ``illegal``. Operation code 0 is never assigned, so empty program memory traps.
"""

from dataclasses import dataclass
from functools import lru_cache

PROGRAM_WORDS = 256
"""Words of program memory."""

COUNTERS, COUNTER_BITS = 16, 16
"""Loop counters c0 to c15 and their width."""

OPCODE_LOW, OPCODE_BITS = 27, 5


@dataclass(frozen=True)
class Operand:
    """One operand field: its letter, its place in the word, and how the assembler writes it.

    ``prefix`` is the letter of a register file; ``word`` is written, or left out, for a bit that is 1 or 0;
    ``signed`` fields are two's complement; ``negates`` marks the bit that the assembler writes as the sign of the
    operand that follows.
    """

    name: str
    low: int
    width: int
    prefix: str
    meaning: str
    word: str = ""
    signed: bool = False
    negates: bool = False

    @property
    def mask(self) -> int:
        """Bits of the word that belong to this operand."""
        return ((1 << self.width) - 1) << self.low

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value."""
        low = -(1 << (self.width - 1)) if self.signed else 0
        return low, low + (1 << self.width) - 1

    def of(self, word: int) -> int:
        """Value of this operand in an instruction word."""
        value = (word & self.mask) >> self.low
        return value - (1 << self.width) if self.signed and value > self.limits[1] else value


D = Operand("d", 23, 4, "v", "destination vector")
A = Operand("a", 19, 4, "v", "vector that is added to; first factor of a dot product")
S = Operand("s", 15, 4, "v", "source vector; second factor of a dot product")
K = Operand("k", 11, 4, "k", "scalar factor")
SLOT = Operand("slot", 11, 4, "m", "matrix slot")
NEGATE = Operand("negate", 10, 1, "", "1 subtracts the product: written as the sign of the factor", negates=True)
DK = Operand("d", 23, 4, "k", "destination scalar")
IK = Operand("i", 19, 4, "k", "dividend; left side of a comparison")
JK = Operand("j", 15, 4, "k", "divisor; right side of a comparison")
CAL = Operand("cal", 9, 1, "", "1 drives zero and keeps the result as offsets; d and s are not used", word="cal")
STREAM = Operand("stream", 9, 1, "", "1 takes the code memory from the input stream, row by row", word="stream")
KIND = Operand("kind", 13, 2, "", "what LD fills: 0 a vector, 1 a matrix slot, 2 the code memory")
C = Operand("c", 23, 4, "c", "loop counter")
COUNT = Operand("n", 0, 16, "", "value of a counter")
IMM = Operand("imm", 8, 7, "", "power of two that scales the right side of a comparison", signed=True)
TARGET = Operand("target", 0, 8, "@", "program address; the assembler takes a label")
CODE = Operand("code", 0, 8, "", "halt code: 0 done, 1 diverged, 2 limit, 3 stagnated, others free")

KINDS = ("v", "m", "codes")
"""How the assembler writes what ``LD`` fills, by ``KIND``."""


@dataclass(frozen=True)
class Instruction:
    """One row of the table.

    ``does`` says what it computes, ``cycles`` its latency from fetch to retirement in the terms of ``docs/timing.md``.
    """

    name: str
    opcode: int
    operands: tuple[Operand, ...]
    does: str
    cycles: str
    traps: tuple[str, ...]

    @property
    def used_mask(self) -> int:
        """Bits of the word that may be other than zero."""
        mask = ((1 << OPCODE_BITS) - 1) << OPCODE_LOW
        for operand in self.operands:
            mask |= operand.mask
        return mask

    def encode(self, *values: int) -> int:
        """The instruction word for operand ``values`` in table order; ``ValueError`` when one does not fit."""
        if len(values) != len(self.operands):
            raise ValueError(f"{self.name} takes {len(self.operands)} operands, not {len(values)}")
        word = self.opcode << OPCODE_LOW
        for operand, value in zip(self.operands, values, strict=True):
            low, high = operand.limits
            if not low <= value <= high:
                raise ValueError(f"{self.name} operand {operand.name} must be {low} to {high}, not {value}")
            word |= value << operand.low & operand.mask
        return word


AXPY = Instruction(
    "AXPY", 1, (D, A, NEGATE, K, S), "d = a +- k s: copy, clear, add, subtract, scale",
    "T_issue + 2 N/L + T_vector", ("watchdog", "range"))
MAT = Instruction(
    "MAT", 2, (D, A, NEGATE, SLOT, S), "d = a +- M s with the matrix of a slot: a product where a is v0, a residual",
    "T_issue + N^2/L + N/L + T_vector", ("parity", "watchdog", "illegal", "range"))
DOT = Instruction(
    "DOT", 3, (DK, A, S), "k = <a, s>, with the top 24 bits of the mantissas of a",
    "T_issue + N/L + L + T_vector", ("watchdog", "range"))
DIV = Instruction("DIV", 4, (DK, IK, JK), "k = k_i / k_j", "T_issue + T_divide",
                  ("watchdog", "divide", "range"))
INV = Instruction(
    "INV", 5, (D, S, CAL),
    "d = A^-1 s through the closed loop: round s to input codes, close, wait until two conversions agree, correct, "
    "store",
    "T_issue + max(T_drive, T_prepare) + (attempts - 1) x T_prepare + T_loop + T_store",
    ("parity", "watchdog", "illegal", "range", "clip", "settle"))
MUL = Instruction(
    "MUL", 6, (D, S), "d = A s through the open loop with the feedback conductance of the range switch",
    "as INV", ("parity", "watchdog", "illegal", "range", "clip", "settle"))
PROG = Instruction(
    "PROG", 7, (STREAM,), "write the code memory to both arrays row by row, read back, retry, count and map bad cells",
    "T_issue + N T_row + retries x T_write + 1, and N T_refill from the stream",
    ("parity", "watchdog", "illegal", "verify", "stream"))
SCRUB = Instruction(
    "SCRUB", 8, (), "read both arrays back, compare with the code memory, and write again what differs",
    "T_issue + N T_scrub + rewrites x T_write + 1", ("parity", "watchdog", "illegal", "verify"))
LD = Instruction(
    "LD", 9, (KIND, D), "fill a vector, a matrix slot or the code memory from the input stream",
    "T_issue + beats + 2, stream waits not counted", ("illegal", "stream"))
ST = Instruction("ST", 10, (S,), "send a vector to the output stream", "T_issue + N + 2, stream waits not counted", ())
SETC = Instruction("SETC", 11, (C, COUNT), "counter c = n", "T_issue", ())
LOOP = Instruction(
    "LOOP", 12, (C, TARGET), "count c down by one, 0 becoming 65535; go to target unless it is 0 now", "T_issue", ())
BLE = Instruction(
    "BLE", 13, (IK, JK, IMM, TARGET), "go to target if k_i <= 2^imm k_j, exactly; always with k0, k0 and imm 0",
    "T_issue + T_compare", ("watchdog",))
HALT = Instruction("HALT", 14, (CODE,), "stop, raise the done interrupt, report the halt code", "T_issue", ())

INSTRUCTIONS: tuple[Instruction, ...] = (
    AXPY, MAT, DOT, DIV, INV, MUL, PROG, SCRUB, LD, ST, SETC, LOOP, BLE, HALT)


# A golden machine decodes every instruction that it runs, most of them in loops.
@lru_cache(maxsize=4096)
def decode(word: int, slots: int) -> tuple[Instruction, tuple[int, ...]] | None:
    """The instruction and operand values of a word on a chip with ``slots`` matrix slots; None where it is illegal."""
    for instruction in INSTRUCTIONS:
        if word >> OPCODE_LOW == instruction.opcode and not word & ~instruction.used_mask:
            values = tuple(operand.of(word) for operand in instruction.operands)
            if instruction is MAT and values[3] >= slots:
                return None
            if instruction is LD and values[1] >= (1 << D.width, slots, 1, 0)[values[0]]:
                return None
            return instruction, values
    return None

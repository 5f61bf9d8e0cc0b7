"""The instruction table: one source for the decoder, the assembler and ``docs/isa.md``.

An instruction is one 32-bit word, operation code in bits 31:27. Every operand has one place in the word, whatever the
instruction. Bits that an instruction does not use must be zero; an unknown operation code or a stray bit traps
``illegal``. Operation code 0 is never assigned, so empty program memory traps.
"""

from dataclasses import dataclass

PROGRAM_WORDS = 256
"""Words of program memory."""

OPCODE_LOW, OPCODE_BITS = 27, 5


@dataclass(frozen=True)
class Operand:
    """One operand field: its letter in the assembler, its place in the word, and the prefix of its register file."""

    name: str
    low: int
    width: int
    prefix: str
    meaning: str

    @property
    def mask(self) -> int:
        """Bits of the word that belong to this operand."""
        return ((1 << self.width) - 1) << self.low


D = Operand("d", 23, 4, "v", "destination vector")
S = Operand("s", 15, 4, "v", "source vector")
CODE = Operand("code", 0, 8, "", "halt code: 0 done, 1 diverged, 2 limit, 3 stagnated, others free")


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
            if not 0 <= value < 1 << operand.width:
                raise ValueError(f"{self.name} operand {operand.name} must be 0 to {(1 << operand.width) - 1}, "
                                 f"not {value}")
            word |= value << operand.low
        return word


INV = Instruction(
    "INV", 5, (D, S),
    "d = A^-1 s through the closed loop: round s to input codes, close, wait until two conversions agree, store",
    "T_issue + max(T_drive, T_prepare) + (attempts - 1) x T_prepare + T_loop + T_store", ("range", "clip", "settle"))
MUL = Instruction(
    "MUL", 6, (D, S), "d = A s through the open loop with the feedback conductance of the range switch",
    "as INV", ("range", "clip", "settle"))
PROG = Instruction(
    "PROG", 7, (), "write the code memory to both arrays row by row, read back, retry, count and map bad cells",
    "T_issue + N x T_row + retries x T_write + 1", ("verify",))
HALT = Instruction("HALT", 14, (CODE,), "stop, raise the done interrupt, report the halt code", "T_issue", ())

INSTRUCTIONS: tuple[Instruction, ...] = (INV, MUL, PROG, HALT)

RESERVED: dict[str, int] = {
    "AXPY": 1, "MAT": 2, "DOT": 3, "DIV": 4, "SCRUB": 8, "LD": 9, "ST": 10, "SETC": 11, "LOOP": 12, "BLE": 13,
}
"""Operation codes set aside for the vector unit, streams and control flow; today they trap ``illegal``."""


def decode(word: int) -> tuple[Instruction, tuple[int, ...]] | None:
    """The instruction and operand values of a word, or None where the word is illegal."""
    for instruction in INSTRUCTIONS:
        if word >> OPCODE_LOW == instruction.opcode and not word & ~instruction.used_mask:
            return instruction, tuple((word >> o.low) & ((1 << o.width) - 1) for o in instruction.operands)
    return None

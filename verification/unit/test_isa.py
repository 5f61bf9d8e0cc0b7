"""The instruction table: words, operands, what is illegal, and the round trip through assembler and disassembler."""

import re
from itertools import combinations

import pytest

from ohmloop.golden.assembler import assemble, disassemble
from ohmloop_hdl.isa import (
    AXPY,
    BLE,
    COUNTER_BITS,
    COUNTERS,
    DIV,
    DOT,
    HALT,
    IMM,
    INSTRUCTIONS,
    INV,
    KINDS,
    LD,
    LOOP,
    MAT,
    MUL,
    OPCODE_LOW,
    PROG,
    PROGRAM_WORDS,
    SCRUB,
    SETC,
    ST,
    Instruction,
    decode,
)
from verification.unit.simulation import seeded

each_instruction = pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda i: i.name)

SLOTS = 16
"""A chip on which every matrix slot is there."""


def operand_values(instruction: Instruction) -> set[tuple[int, ...]]:
    """Every value of every operand, the others at one end, at the other, and at random; all of them legal."""
    random, choices = seeded(instruction.name), []
    for operand in instruction.operands:
        low, high = operand.limits
        choices.append(range(low, high + 1) if high - low < 1 << 8 else
                       sorted({low, low + 1, high - 1, high, *(random.randint(low, high) for _ in range(30))}))
    values = set()
    for place, choice in enumerate(choices):
        for others in ([c[0] for c in choices], [c[-1] for c in choices], *(
                [random.choice(c) for c in choices] for _ in range(3))):
            values |= {(*others[:place], value, *others[place + 1:]) for value in choice}
    if instruction is LD:
        values = {(kind, place) for kind, place in values if kind < 2 or (kind, place) == (2, 0)} | {(2, 0)}
    return values


@pytest.mark.parametrize(("text", "word"), [
    ("AXPY v2, v3, k4, v5", 1 << 27 | 2 << 23 | 3 << 19 | 4 << 11 | 5 << 15),
    ("AXPY v2, v3, -k4, v5", 1 << 27 | 2 << 23 | 3 << 19 | 4 << 11 | 5 << 15 | 1 << 10),
    ("MAT v15, v0, m0, v1", 0x1780_8000),
    ("MAT v1, v2, -m3, v4", 2 << 27 | 1 << 23 | 2 << 19 | 4 << 15 | 3 << 11 | 1 << 10),
    ("DOT k6, v7, v8", 3 << 27 | 6 << 23 | 7 << 19 | 8 << 15),
    ("DIV k1, k2, k3", 4 << 27 | 1 << 23 | 2 << 19 | 3 << 15),
    ("INV v2, v1", 5 << 27 | 2 << 23 | 1 << 15),
    ("INV v2, v1, cal", 5 << 27 | 2 << 23 | 1 << 15 | 1 << 9),
    ("MUL v15, v8", 0x3784_0000),
    ("PROG", 0x3800_0000),
    ("PROG stream", 0x3800_0200),
    ("SCRUB", 0x4000_0000),
    ("LD v9", 9 << 27 | 9 << 23),
    ("LD m2", 9 << 27 | 2 << 23 | 1 << 13),
    ("LD codes", 9 << 27 | 2 << 13),
    ("ST v3", 10 << 27 | 3 << 15),
    ("SETC c5, 65535", 11 << 27 | 5 << 23 | 0xFFFF),
    ("LOOP c5, 200", 12 << 27 | 5 << 23 | 200),
    ("BLE k1, k2, 63, 255", 13 << 27 | 1 << 19 | 2 << 15 | 63 << 8 | 255),
    ("BLE k1, k2, -1, 0", 13 << 27 | 1 << 19 | 2 << 15 | 127 << 8),
    ("BLE k0, k0, -64, 7", 13 << 27 | 64 << 8 | 7),
    ("HALT 3", 0x7000_0003),
])
def test_words_are_fixed(text: str, word: int):
    assert assemble(text) == [word]
    assert disassemble(word) == text


def test_every_instruction_has_a_number_and_its_operands():
    assert {i.name: (i.opcode, tuple(operand.name for operand in i.operands)) for i in INSTRUCTIONS} == {
        "AXPY": (1, ("d", "a", "negate", "k", "s")), "MAT": (2, ("d", "a", "negate", "slot", "s")),
        "DOT": (3, ("d", "a", "s")), "DIV": (4, ("d", "i", "j")), "INV": (5, ("d", "s", "cal")), "MUL": (6, ("d", "s")),
        "PROG": (7, ("stream",)), "SCRUB": (8, ()), "LD": (9, ("kind", "d")), "ST": (10, ("s",)),
        "SETC": (11, ("c", "n")), "LOOP": (12, ("c", "target")), "BLE": (13, ("i", "j", "imm", "target")),
        "HALT": (14, ("code",)),
    }


def test_limits():
    assert {f"{i.name}.{operand.name}": operand.limits for i in (AXPY, MAT, SETC, LOOP, BLE, HALT)
            for operand in i.operands} == {
        "AXPY.d": (0, 15), "AXPY.a": (0, 15), "AXPY.negate": (0, 1), "AXPY.k": (0, 15), "AXPY.s": (0, 15),
        "MAT.d": (0, 15), "MAT.a": (0, 15), "MAT.negate": (0, 1), "MAT.slot": (0, 15), "MAT.s": (0, 15),
        "SETC.c": (0, 15), "SETC.n": (0, 65535), "LOOP.c": (0, 15), "LOOP.target": (0, 255),
        "BLE.i": (0, 15), "BLE.j": (0, 15), "BLE.imm": (-64, 63), "BLE.target": (0, 255), "HALT.code": (0, 255),
    }
    assert (PROGRAM_WORDS, COUNTERS, 1 << COUNTER_BITS) == (256, 16, 65536)


@each_instruction
def test_every_operand_value_survives_the_round_trip(instruction: Instruction):
    values = operand_values(instruction)
    words = set()
    for operands in values:
        word = instruction.encode(*operands)
        assert decode(word, SLOTS) == (instruction, operands)
        assert assemble(disassemble(word)) == [word]
        words.add(word)
    assert len(words) == len(values)


@each_instruction
def test_a_bit_that_the_instruction_does_not_use_is_illegal(instruction: Instruction):
    ones = sum(operand.mask for operand in instruction.operands)
    for used in (0,) if instruction is LD else (0, ones):
        word = instruction.opcode << OPCODE_LOW | used
        for bit in range(OPCODE_LOW):
            assert (decode(word ^ 1 << bit, SLOTS) is not None) == ones >> bit & 1, f"bit {bit}"


def test_numbers_outside_the_table_are_illegal():
    assigned = {instruction.opcode for instruction in INSTRUCTIONS}
    assert assigned == set(range(1, 15)) and len(INSTRUCTIONS) == 14
    for opcode in set(range(32)) - assigned:
        assert decode(opcode << OPCODE_LOW, SLOTS) is None
    assert decode(0, SLOTS) is None


@pytest.mark.parametrize("slots", [1, 2, 3, 15, 16])
def test_a_slot_that_the_chip_does_not_have_is_illegal(slots: int):
    for slot in range(16):
        mat, fill = MAT.encode(1, 2, 0, slot, 3), LD.encode(1, slot)
        assert (decode(mat, slots) is not None) == (decode(fill, slots) is not None) == (slot < slots)
        assert decode(AXPY.encode(1, 2, 0, slot, 3), slots), "what is a slot there is a scalar here"
        assert decode(LD.encode(0, slot), slots), "vectors are always there"


def test_what_ld_fills():
    assert KINDS == ("v", "m", "codes")
    legal = {(kind, place) for kind in range(4) for place in range(16) if decode(LD.encode(kind, place), 2)}
    assert legal == {(0, place) for place in range(16)} | {(1, 0), (1, 1), (2, 0)}
    assert [disassemble(LD.encode(kind, place), 2) for kind, place in ((1, 2), (2, 1), (3, 0))] == [
        ".word 0x49002000", ".word 0x48804000", ".word 0x48006000"]


@each_instruction
def test_operands_do_not_overlap(instruction: Instruction):
    for a, b in combinations(instruction.operands, 2):
        assert not a.mask & b.mask
    assert all(operand.low + operand.width <= OPCODE_LOW for operand in instruction.operands)


def test_an_operand_has_one_place_whatever_the_instruction():
    places: dict[str, set] = {}
    for instruction in INSTRUCTIONS:
        for operand in instruction.operands:
            places.setdefault(operand.name, set()).add((operand.low, operand.width))
    assert places == {
        "d": {(23, 4)}, "c": {(23, 4)}, "a": {(19, 4)}, "i": {(19, 4)}, "s": {(15, 4)}, "j": {(15, 4)},
        "kind": {(13, 2)}, "k": {(11, 4)}, "slot": {(11, 4)}, "negate": {(10, 1)}, "cal": {(9, 1)}, "stream": {(9, 1)},
        "imm": {(8, 7)}, "n": {(0, 16)}, "target": {(0, 8)}, "code": {(0, 8)},
    }


def test_a_signed_operand_is_its_lowest_bits_in_twos_complement():
    for value in range(-64, 64):
        word = BLE.encode(15, 15, value, 255)
        assert word >> IMM.low & 0x7F == value & 0x7F and IMM.of(word) == value
        assert decode(word, SLOTS) == (BLE, (15, 15, value, 255)), "the sign stays within its field"


@each_instruction
def test_the_table_says_what_it_does(instruction: Instruction):
    assert instruction.does and instruction.cycles and instruction.name == instruction.name.upper()
    assert all(operand.meaning for operand in instruction.operands)
    order = ["parity", "watchdog", "illegal", "divide", "range", "clip", "settle", "verify", "stream"]
    assert list(instruction.traps) == [cause for cause in order if cause in instruction.traps]


@pytest.mark.parametrize(("instruction", "values", "message"), [
    (INV, (1, 2), "INV takes 3 operands, not 2"),
    (PROG, (), "PROG takes 1 operands, not 0"),
    (SCRUB, (0,), "SCRUB takes 0 operands, not 1"),
    (INV, (16, 0, 0), "INV operand d must be 0 to 15, not 16"),
    (INV, (1, 0, 2), "INV operand cal must be 0 to 1, not 2"),
    (MUL, (0, -1), "MUL operand s must be 0 to 15, not -1"),
    (DOT, (0, 16, 0), "DOT operand a must be 0 to 15, not 16"),
    (DIV, (0, 0, 16), "DIV operand j must be 0 to 15, not 16"),
    (LD, (4, 0), "LD operand kind must be 0 to 3, not 4"),
    (ST, (16,), "ST operand s must be 0 to 15, not 16"),
    (SETC, (0, 65536), "SETC operand n must be 0 to 65535, not 65536"),
    (LOOP, (0, 256), "LOOP operand target must be 0 to 255, not 256"),
    (BLE, (0, 0, 64, 0), "BLE operand imm must be -64 to 63, not 64"),
    (BLE, (0, 0, -65, 0), "BLE operand imm must be -64 to 63, not -65"),
    (HALT, (256,), "HALT operand code must be 0 to 255, not 256"),
])
def test_what_does_not_fit_is_refused(instruction: Instruction, values: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        instruction.encode(*values)


@pytest.mark.parametrize("word", [0, 15 << 27, SCRUB.encode() | 1, INV.encode(1, 2, 0) | 1 << 14, 0xFFFF_FFFF])
def test_an_illegal_word_is_shown_as_a_number(word: int):
    assert disassemble(word) == f".word 0x{word:08x}"

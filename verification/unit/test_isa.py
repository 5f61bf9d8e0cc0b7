"""The instruction table, and the assembler and disassembler over it."""

import re
from itertools import combinations, product

import pytest

from ohmloop.errors import InputError
from ohmloop.golden.assembler import assemble, disassemble
from ohmloop_hdl.isa import HALT, INSTRUCTIONS, INV, MUL, PROG, PROGRAM_WORDS, RESERVED, Instruction, decode

each_instruction = pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda i: i.name)


def operand_values(instruction: Instruction):
    return product(*(range(1 << operand.width) for operand in instruction.operands))


@pytest.mark.parametrize(("text", "word"), [
    ("INV v2, v1", 5 << 27 | 2 << 23 | 1 << 15),
    ("MUL v15, v8", 0x3784_0000),
    ("PROG", 0x3800_0000),
    ("HALT 3", 0x7000_0003),
])
def test_words_are_fixed(text: str, word: int):
    assert assemble(text) == [word]
    assert disassemble(word) == text


@each_instruction
def test_every_operand_value_survives_the_round_trip(instruction: Instruction):
    words = set()
    for values in operand_values(instruction):
        word = instruction.encode(*values)
        assert decode(word) == (instruction, values)
        assert assemble(disassemble(word)) == [word]
        words.add(word)
    assert len(words) == 1 << sum(operand.width for operand in instruction.operands)


@each_instruction
def test_a_bit_that_the_instruction_does_not_use_is_illegal(instruction: Instruction):
    for values in (tuple(0 for _ in instruction.operands), tuple((1 << o.width) - 1 for o in instruction.operands)):
        word = instruction.encode(*values)
        for bit in range(27):
            used = any(operand.mask >> bit & 1 for operand in instruction.operands)
            assert (decode(word ^ 1 << bit) is not None) == used, f"bit {bit}"


def test_numbers_outside_the_table_are_illegal():
    assigned = {instruction.opcode for instruction in INSTRUCTIONS}
    assert assigned == {5, 6, 7, 14}
    for opcode in set(range(32)) - assigned:
        assert decode(opcode << 27) is None
    assert decode(0) is None


def test_reserved_numbers_are_unused_and_leave_zero_alone():
    numbers = [*RESERVED.values(), *(instruction.opcode for instruction in INSTRUCTIONS)]
    assert len(numbers) == len(set(numbers)) and 0 not in numbers and max(numbers) < 32
    assert not set(RESERVED) & {instruction.name for instruction in INSTRUCTIONS}


@each_instruction
def test_operands_do_not_overlap(instruction: Instruction):
    for a, b in combinations(instruction.operands, 2):
        assert not a.mask & b.mask
    assert all(operand.low + operand.width <= 27 for operand in instruction.operands)


def test_an_operand_has_one_place_whatever_the_instruction():
    places: dict[str, set] = {}
    for instruction in INSTRUCTIONS:
        for operand in instruction.operands:
            places.setdefault(operand.name, set()).add((operand.low, operand.width))
    assert places == {"d": {(23, 4)}, "s": {(15, 4)}, "code": {(0, 8)}}


@pytest.mark.parametrize(("instruction", "values", "message"), [
    (INV, (1,), "INV takes 2 operands, not 1"),
    (PROG, (0,), "PROG takes 0 operands, not 1"),
    (INV, (16, 0), "INV operand d must be 0 to 15, not 16"),
    (MUL, (0, -1), "MUL operand s must be 0 to 15, not -1"),
    (HALT, (256,), "HALT operand code must be 0 to 255, not 256"),
])
def test_what_does_not_fit_is_refused(instruction: Instruction, values: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        instruction.encode(*values)


def test_comments_blank_lines_and_case():
    source = "; a program\n\n  prog ; write\nInv v2,v1\n\tmul  v3 , v2;\nHALT 0"
    assert assemble(source) == [PROG.encode(), INV.encode(2, 1), MUL.encode(3, 2), HALT.encode(0)]
    assert assemble("") == []


@pytest.mark.parametrize(("source", "message"), [
    ("PROG\nJUMP 3", "program line 2: instruction must be one of INV, MUL, PROG, HALT, not 'JUMP'"),
    ("; one\n\nINV v2", "program line 3: INV takes 2 operands, not 1"),
    ("PROG v1", "program line 1: PROG takes 0 operands, not 1"),
    ("INV v2, 1", "program line 1: operand s must be v0 to v15, not '1'"),
    ("PROG\nPROG\nINV v16, v1", "program line 3: INV operand d must be 0 to 15, not 16"),
    ("INV vx, v1", "program line 1: operand d must be v0 to v15, not 'vx'"),
    ("INV v-1, v1", "program line 1: operand d must be v0 to v15, not 'v-1'"),
    ("HALT 256", "program line 1: HALT operand code must be 0 to 255, not 256"),
    ("HALT v0", "program line 1: operand code must be 0 to 255, not 'v0'"),
    ("HALT 0,", "program line 1: HALT takes 1 operands, not 2"),
    ("PROG\n" * (PROGRAM_WORDS + 1), "program must have at most 256 instructions, not 257"),
])
def test_an_error_names_its_line(source: str, message: str):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        assemble(source)


def test_a_full_program_fits():
    assert assemble("PROG\n" * PROGRAM_WORDS) == [PROG.encode()] * PROGRAM_WORDS


@pytest.mark.parametrize("word", [0, 1 << 27, PROG.encode() | 1, INV.encode(1, 2) | 1 << 14, 0xFFFF_FFFF])
def test_an_illegal_word_is_shown_as_a_number(word: int):
    assert disassemble(word) == f".word 0x{word:08x}"

"""The assembler: what a program text may look like, and what it says of one that it cannot take."""

from importlib.resources import files

import pytest

from ohmloop.errors import InputError
from ohmloop.golden.assembler import assemble, disassemble, program
from ohmloop_hdl.isa import (
    AXPY,
    BLE,
    HALT,
    INV,
    KINDS,
    LD,
    LOOP,
    MAT,
    PROG,
    PROGRAM_WORDS,
    SETC,
    D,
    decode,
)

PROGRAMS = sorted(path.name.removesuffix(".s") for path in files("ohmloop.golden.programs").iterdir()
                  if path.name.endswith(".s"))


def test_labels_comments_and_spaces():
    assert assemble("""
        ; a comment on a line of its own
        setc c1, 8          ; names in either case

    again:
    twice:  MAT v3,v1,  -m0, v2
        BLE k1, k2, -64, out
        LOOP c1, again      ; back
    out:HALT 0
        LOOP c15, twice
    end:
    """) == [SETC.encode(1, 8), MAT.encode(3, 1, 1, 0, 2), BLE.encode(1, 2, -64, 4), LOOP.encode(1, 1), HALT.encode(0),
             LOOP.encode(15, 1)]


def test_a_label_may_be_the_end_of_the_program_and_an_address_may_be_a_number():
    assert assemble("BLE k0, k0, 0, end\nLOOP c0, 7\nend:") == [BLE.encode(0, 0, 0, 2), LOOP.encode(0, 7)]


def test_signs():
    assert assemble("AXPY v1, v2, k3, v4\nAXPY v1, v2, -k3, v4\nAXPY v1, v2, +k3, v4\nAXPY v1, v2, - k3, v4") == [
        AXPY.encode(1, 2, 0, 3, 4), AXPY.encode(1, 2, 1, 3, 4), AXPY.encode(1, 2, 0, 3, 4), AXPY.encode(1, 2, 1, 3, 4)]


def test_words_that_are_written_or_left_out():
    assert assemble("INV v1, v2\nINV v1, v2, cal\nPROG\nPROG stream") == [
        INV.encode(1, 2, 0), INV.encode(1, 2, 1), PROG.encode(0), PROG.encode(1)]


def test_what_ld_fills_is_in_its_operand():
    assert assemble("LD v3\nLD m1\nLD codes") == [
        LD.encode(KINDS.index("v"), 3), LD.encode(KINDS.index("m"), 1), LD.encode(KINDS.index("codes"), 0)]


@pytest.mark.parametrize(("text", "said"), [
    ("HALT 0\nJUMP 3", r"program line 2: instruction must be one of AXPY, MAT, .*, HALT, not 'JUMP'"),
    ("a:\n\na: HALT 0", "program line 3: label 'a' is there twice"),
    ("HALT", "program line 1: HALT takes 1 operands, not 0"),
    ("MAT v1, v2, m0, v3, v4", "program line 1: MAT takes 4 operands, not 5"),
    ("INV v1, v2, call", "program line 1: INV takes 2 operands and 'cal' or not, not 3"),
    ("INV v1, cal", "program line 1: INV takes 2 operands and 'cal' or not, not 1"),
    ("PROG stream, stream", "program line 1: PROG takes 'stream' once"),
    ("; one\nAXPY v1, v2, v3, v4", "program line 2: operand k must be k0 to k15, not 'v3'"),
    ("LOOP c1, nowhere", "program line 1: operand target must be 0 to 255 or a label, not 'nowhere'"),
    ("BLE k1, k2, 64, 0", "program line 1: BLE operand imm must be -64 to 63, not 64"),
    ("HALT -1", "program line 1: operand code must be 0 to 255, not '-1'"),
    ("AXPY v16, v0, k0, v0", "program line 1: AXPY operand d must be 0 to 15, not 16"),
    ("LD k1", r"program line 1: LD fills a vector \(v1\), a matrix slot \(m0\) or codes, not 'k1'"),
    ("LD m", r"program line 1: LD fills a vector \(v1\), a matrix slot \(m0\) or codes, not 'm'"),
    ("AXPY v1, v2, --k0, v3", "program line 1: operand k must be k0 to k15, not '-k0'"),
    ("MAT v1, v2, -+m0, v3", r"program line 1: operand slot must be m0 to m15, not '\+m0'"),
    ("\n".join(["HALT 0"] * (PROGRAM_WORDS + 1)), "program must have at most 256 instructions, not 257"),
])
def test_refusals(text: str, said: str):
    with pytest.raises(InputError, match=f"^{said}$"):
        assemble(text)


def test_a_full_program_memory_is_not_too_much():
    assert len(assemble("\n".join(["HALT 0"] * PROGRAM_WORDS))) == PROGRAM_WORDS


@pytest.mark.parametrize("name", PROGRAMS)
def test_disassembled_programs_assemble_to_themselves(name: str):
    words = program(name)
    assert assemble("\n".join(disassemble(word) for word in words)) == words


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_keep_what_the_host_loads(name: str):
    """No program writes v1 (but from the stream) or k0 to k4, and each ends in HALT on whatever way through it."""
    words = program(name)
    assert 0 < len(words) <= PROGRAM_WORDS and decode(words[-1], 1) is not None
    for address, word in enumerate(words):
        decoded = decode(word, 1)
        assert decoded is not None, disassemble(word)
        instruction, values = decoded
        fields = dict(zip((operand.name for operand in instruction.operands), values, strict=True))
        target = fields.get("target")
        assert target is None or target < len(words)
        destinations = [operand for operand in instruction.operands if operand.name == "d"]
        if destinations == [D] and instruction is not LD:
            assert fields["d"] >= 2, disassemble(word)
        elif destinations and instruction is not LD:
            assert fields["d"] >= 5, disassemble(word)
        falls_through = instruction is not HALT and not (instruction is BLE and fields["i"] == fields["j"] == 0)
        assert not falls_through or address + 1 < len(words)

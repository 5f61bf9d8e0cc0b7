"""Assembler and disassembler over the instruction table."""

from importlib.resources import files

from ohmloop.errors import InputError
from ohmloop_hdl.isa import INSTRUCTIONS, PROGRAM_WORDS, Operand, decode

_BY_NAME = {instruction.name: instruction for instruction in INSTRUCTIONS}


def assemble(source: str) -> list[int]:
    """Instruction words of a program text.

    One instruction a line, operands separated by commas, ``;`` starts a comment::

        PROG            ; write the matrix
        INV  v2, v1     ; v2 = A^-1 v1
        HALT 0

    Errors: :class:`InputError` with the line number.
    """
    words = []
    for number, line in enumerate(source.splitlines(), 1):
        text = line.split(";")[0].strip()
        if not text:
            continue
        name, *rest = text.split(maxsplit=1)
        operands = [part.strip() for part in rest[0].split(",")] if rest else []
        instruction = _BY_NAME.get(name.upper())
        if instruction is None:
            raise InputError(f"program line {number}: instruction must be one of {', '.join(_BY_NAME)}, not {name!r}")
        if len(operands) != len(instruction.operands):
            raise InputError(f"program line {number}: {instruction.name} takes {len(instruction.operands)} operands, "
                             f"not {len(operands)}")
        values = [_value(text, operand, number)
                  for text, operand in zip(operands, instruction.operands, strict=True)]
        try:
            words.append(instruction.encode(*values))
        except ValueError as error:
            raise InputError(f"program line {number}: {error}") from None
    if len(words) > PROGRAM_WORDS:
        raise InputError(f"program must have at most {PROGRAM_WORDS} instructions, not {len(words)}")
    return words


def program(name: str) -> list[int]:
    """Instruction words of a program kept in ``golden/programs``, such as ``solve``."""
    return assemble(files("ohmloop.golden.programs").joinpath(f"{name}.s").read_text())


def _value(text: str, operand: Operand, line: int) -> int:
    digits = text.removeprefix(operand.prefix)
    if not text.startswith(operand.prefix) or not digits.isdecimal():
        wanted = f"{operand.prefix}0 to {operand.prefix}{(1 << operand.width) - 1}"
        raise InputError(f"program line {line}: operand {operand.name} must be {wanted}, not {text!r}")
    return int(digits)


def disassemble(word: int) -> str:
    """The text of one instruction word; ``.word 0x...`` where it is illegal."""
    decoded = decode(word)
    if decoded is None:
        return f".word {word:#010x}"
    instruction, values = decoded
    operands = ", ".join(f"{operand.prefix}{value}"
                         for operand, value in zip(instruction.operands, values, strict=True))
    return f"{instruction.name} {operands}".strip()

"""Assembler and disassembler over the instruction table."""

import re
from dataclasses import dataclass
from importlib.resources import files

from ohmloop.errors import InputError
from ohmloop_hdl.isa import INSTRUCTIONS, KIND, KINDS, PROGRAM_WORDS, TARGET, Instruction, Operand, decode

_BY_NAME = {instruction.name: instruction for instruction in INSTRUCTIONS}
_LABEL = re.compile(r"([a-z_]\w*):")


@dataclass(frozen=True)
class _Line:
    number: int
    name: str
    operands: list[str]


def assemble(source: str) -> list[int]:
    """Instruction words of a program text.

    One instruction a line, operands separated by commas; ``;`` starts a comment; a label stands before an instruction
    or on a line of its own, and is an address from the start of the program; a factor that is subtracted has a minus
    sign; ``cal`` and ``stream`` are written or left out::

                PROG                    ; write the matrix
                SETC  c1, 8
        again:  MAT   v3, v1, -m0, v2   ; v3 = v1 - M v2
                INV   v4, v3
                AXPY  v2, v2, k0, v4    ; v2 = v2 + v4
                LOOP  c1, again
                HALT  0

    Errors: :class:`InputError` with the line number.
    """
    labels, lines = _parsed(source)
    if len(lines) > PROGRAM_WORDS:
        raise InputError(f"program must have at most {PROGRAM_WORDS} instructions, not {len(lines)}")
    return [_word(line, labels) for line in lines]


def program(name: str) -> list[int]:
    """Instruction words of a program kept in ``golden/programs``, such as ``solve``."""
    return assemble(files("ohmloop.golden.programs").joinpath(f"{name}.s").read_text())


def _parsed(source: str) -> tuple[dict[str, int], list[_Line]]:
    labels, lines = {}, []
    for number, line in enumerate(source.splitlines(), 1):
        text = line.split(";")[0].strip()
        while label := _LABEL.match(text):
            if label[1] in labels:
                raise InputError(f"program line {number}: label {label[1]!r} is there twice")
            labels[label[1]] = len(lines)
            text = text[label.end():].strip()
        if text:
            name, *rest = text.split(maxsplit=1)
            operands = [part.strip() for part in rest[0].split(",")] if rest else []
            lines.append(_Line(number, name.upper(), operands))
    return labels, lines


def _word(line: _Line, labels: dict[str, int]) -> int:
    instruction = _BY_NAME.get(line.name)
    if instruction is None:
        raise InputError(f"program line {line.number}: instruction must be one of {', '.join(_BY_NAME)}, "
                         f"not {line.name!r}")
    try:
        return instruction.encode(*_values(instruction, line.operands, labels))
    except ValueError as error:
        raise InputError(f"program line {line.number}: {error}") from None


def _values(instruction: Instruction, texts: list[str], labels: dict[str, int]) -> list[int]:
    """Operand values in table order; ``ValueError`` says what is wrong with which."""
    least = sum(not operand.negates and not operand.word and operand is not KIND for operand in instruction.operands)
    words = [operand.word for operand in instruction.operands if operand.word]
    given = [text for text in texts if text not in words]
    if len(given) != least:
        optional = "".join(f" and {word!r} or not" for word in words)
        raise ValueError(f"{instruction.name} takes {least} operands{optional}, not {len(given)}")
    if len(texts) - least > len(words):
        raise ValueError(f"{instruction.name} takes {words[0]!r} once")
    values, place = [], 0
    for operand in instruction.operands:
        if operand.word:
            values.append(int(operand.word in texts))
        elif operand.negates:
            sign = given[place][:1] if given[place][:1] in ("+", "-") else ""
            values.append(int(sign == "-"))
            given[place] = given[place].removeprefix(sign).strip()
        elif operand is KIND:
            values.append(_kind(given[place]))
            given[place] = "v0" if given[place] == "codes" else f"v{_number(given[place])}"
        else:
            values.append(_value(given[place], operand, labels))
            place += 1
    return values


def _kind(text: str) -> int:
    kind = text if text == "codes" else text[:1]
    if kind not in KINDS:
        raise ValueError(f"LD fills a vector (v1), a matrix slot (m0) or codes, not {text!r}")
    return KINDS.index(kind)


def _number(text: str) -> str:
    """What stands behind the letter of a vector or a slot that LD fills."""
    if not re.fullmatch("[0-9]+", text[1:]):
        raise ValueError(f"LD fills a vector (v1), a matrix slot (m0) or codes, not {text!r}")
    return text[1:]


def _value(text: str, operand: Operand, labels: dict[str, int]) -> int:
    if operand is TARGET and text in labels:
        return labels[text]
    low, high = operand.limits
    prefix = "" if operand is TARGET else operand.prefix
    digits = text.removeprefix(prefix)
    if not text.startswith(prefix) or not re.fullmatch("-?[0-9]+" if operand.signed else "[0-9]+", digits):
        label = " or a label" if operand is TARGET else ""
        raise ValueError(f"operand {operand.name} must be {prefix}{low} to {prefix}{high}{label}, not {text!r}")
    return int(digits)


def disassemble(word: int, slots: int = 16) -> str:
    """The text of one instruction word; ``.word 0x...`` where it is illegal on a chip with ``slots`` matrix slots."""
    decoded = decode(word, slots)
    if decoded is None:
        return f".word {word:#010x}"
    instruction, values = decoded
    texts, sign, kind = [], "", None
    for operand, value in zip(instruction.operands, values, strict=True):
        if operand.word:
            texts += [operand.word] * value
        elif operand.negates:
            sign = "-" * value
        elif operand is KIND:
            kind = KINDS[value]
        elif kind is not None:
            texts.append(kind if kind == "codes" else f"{kind}{value}")
        else:
            texts.append(f"{sign}{'' if operand is TARGET else operand.prefix}{value}")
            sign = ""
    return f"{instruction.name} {', '.join(texts)}".strip()

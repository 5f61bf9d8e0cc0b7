#!/usr/bin/env python3
"""Rewrites the generated blocks of the documentation from the code: instruction set, programs, registers, timing,
analogue parameters, energy, rules of the macro, test plan.

A block stands between two comment lines in a page of ``docs/``::

    <!-- generated: NAME -->
    ...
    <!-- end -->

Prints the pages that changed. ``verification/product/test_docs.py`` fails while a block is not what this writes.
Clock formulas are evaluated: one that does not give what the cycle model gives, in any configuration, is an error.
"""

import ast
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.resources import files
from inspect import getsource
from pathlib import Path

import numpy as np
import yaml
from systemrdl.node import FieldNode, MemNode, RegNode
from systemrdl.rdltypes.builtin_enums import OnWriteType

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.energy.digital import WIDTHS, digital_rows
from ohmloop.energy.figures import figures
from ohmloop.energy.recorded import energy_of_run
from ohmloop.engines.conformance.rules import RULES
from ohmloop.ensembles import ensemble, heat
from ohmloop.golden import cycles
from ohmloop.golden.assembler import assemble, disassemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.golden.vector import ONE, add_product
from ohmloop.host.job import RESULT, SOURCE, predict
from ohmloop.host.system import answer, iterative_job, solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs, unscale
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import ACCUMULATOR_BITS, MANTISSA_BITS, PRODUCT_FRACTION, guard_bits
from ohmloop_hdl.host.map import address_map, elaborate_rdl
from ohmloop_hdl.isa import INSTRUCTIONS, KIND, KINDS, OPCODE_BITS, OPCODE_LOW, Operand
from ohmloop_hdl.sequencer.traps import TrapCause

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = "chip64"
"""The configuration that the register page shows."""

EVENT_PREFIX = "EVENT_"
"""What the names of the event counters begin with."""

_BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def one_line(text: str | None) -> str:
    """A description without its line breaks."""
    return " ".join((text or "").split())


def member_docs(cls: type) -> dict[str, str]:
    """The string below each member of a class, by name; Python itself does not keep them."""
    body = ast.parse(textwrap.dedent(getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for member, text in zip(body.body, body.body[1:], strict=False):
        target = member.target if isinstance(member, ast.AnnAssign) else \
            member.targets[0] if isinstance(member, ast.Assign) else None
        if isinstance(target, ast.Name) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[target.id] = str(text.value.value)
    return found


# ------------------------------------------------------------------------------------------ instruction set


def _bits(low: int, width: int) -> str:
    return f"{low + width - 1}:{low}" if width > 1 else f"{low}"


def encodings() -> str:
    """One row an instruction: its bits, from high to low."""
    rows = []
    for instruction in INSTRUCTIONS:
        fields = [(operand.low, operand.width, operand.name) for operand in instruction.operands]
        fields = [(OPCODE_LOW, OPCODE_BITS, f"{instruction.opcode}"), *sorted(fields, reverse=True)]
        bits = ", ".join(f"{_bits(low, width)} = {what}" for low, width, what in fields)
        word = instruction.opcode << OPCODE_LOW
        rows.append((f"`{instruction.name}`", bits, f"`{word:#010x}`"))
    return table(("instruction", "bits", "word with all operands 0"), rows)


def instructions() -> str:
    """One row an instruction: what it does, how long, what it may trap beside what all may."""
    def written(operand: Operand) -> str:
        prefix = "" if operand.prefix in ("@", operand.name) else operand.prefix
        return f"[{operand.word}]" if operand.word else prefix + operand.name

    rows = []
    for i in INSTRUCTIONS:
        shown, sign = [], ""
        for operand in i.operands:
            if operand.negates:
                sign = "±"
            else:
                shown.append(sign + written(operand))
                sign = ""
        if KIND in i.operands:
            shown = ["vd or md or codes"]
        rows.append((f"`{i.name}` {', '.join(shown)}".strip(), i.does, i.cycles,
                     ", ".join(trap for trap in i.traps if trap != "watchdog") or "-"))
    return table(("instruction", "does", "clocks", "traps"), rows)


def operands() -> str:
    """One row an operand field."""
    used = dict.fromkeys(operand for i in INSTRUCTIONS for operand in i.operands)

    def written(operand: Operand) -> str:
        if operand.word:
            return f"`{operand.word}`, or left out"
        if operand.negates:
            return "`-` before the next operand"
        if operand is KIND:
            return ", ".join(f"`{kind}`" for kind in KINDS)
        prefix = operand.prefix.replace("@", "")
        low, high = operand.limits
        return f"{prefix}{low} to {prefix}{high}" + (", or a label" if operand.prefix == "@" else "")

    def users(operand: Operand) -> str:
        return ", ".join(i.name for i in INSTRUCTIONS if operand in i.operands)

    return table(("operand", "bits", "of", "written", "meaning"), (
        (f"`{o.name}`", _bits(o.low, o.width), users(o), written(o), o.meaning) for o in used))


def arithmetic() -> str:
    """A sum of two blocks, step by step, as the golden machine computes it for ``chip64``."""
    config = CONFIGS[REFERENCE]
    n, guard = config.size, guard_bits(config.size)
    addend, source = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    addend[:2], source[:2] = (0x6000_0001, -0x4000_0000), (0x2AAA_AAAB, 0x7FFF_FFFF)
    addend_exponent, source_exponent, word = 1, -3, (1 << ACCUMULATOR_BITS) - 1
    grid, product_exponent = max(addend_exponent, source_exponent + ONE.exponent), source_exponent + ONE.exponent
    terms = [(addend << (PRODUCT_FRACTION - MANTISSA_BITS + 1 + guard)) >> (grid - addend_exponent),
             (source * ONE.mantissa << guard) >> (grid - product_exponent)]
    total = terms[0] + terms[1]
    mask = int(np.bitwise_or.reduce(total ^ (total >> (ACCUMULATOR_BITS - 1))))
    length = mask.bit_length()
    mantissas, exponent = add_product(addend, addend_exponent, source * ONE.mantissa, product_exponent, config)
    assert exponent == grid - PRODUCT_FRACTION - guard + length

    def worth(m: int, e: int) -> str:
        return f"{m * 2.0 ** (e - MANTISSA_BITS + 1):.10f}"

    lines = [f"N = {n}, so G = {guard}. Elements 0 and 1 of `AXPY v3, v1, k0, v2`; all others are zero.", "", "```text",
             f"v1   exponent {addend_exponent:3}   mantissas  " + "  ".join(
                 f"{int(m) & 0xFFFF_FFFF:08x} = {worth(m, addend_exponent)}" for m in addend[:2]),
             f"v2   exponent {source_exponent:3}   mantissas  " + "  ".join(
                 f"{int(m) & 0xFFFF_FFFF:08x} = {worth(m, source_exponent)}" for m in source[:2]),
             f"k0   exponent {ONE.exponent:3}   mantissa   {ONE.mantissa:06x}", "",
             f"E = max({addend_exponent}, {source_exponent} + {ONE.exponent}) = {grid}; the products are shifted down "
             f"by {grid - product_exponent}, and then"]
    names = ("addend", "product", "sum")
    lines += [f"{name:8}" + "  ".join(f"{int(v) & word:016x}" for v in values[:2])
              for name, values in zip(names, (*terms, total), strict=True)]
    lines += [f"OR of (sum xor sign)      {mask:016x}, l = {length} bits, shift up by {ACCUMULATOR_BITS - 1 - length}",
              f"exponent {grid} - {PRODUCT_FRACTION} - {guard} + {length} = {exponent}",
              f"v3   exponent {exponent:3}   mantissas  " + "  ".join(
                  f"{int(m) & 0xFFFF_FFFF:08x} = {worth(m, exponent)}" for m in mantissas[:2]), "```", ""]
    return "\n".join(lines)


_PROGRAM_PART = re.compile(r" {2,}(host loads|streams|results|inside|halts) {2,}(.*)")
_ITEM = re.compile(r"\d+ [a-z]|[vkmc]\d+\S* += ")
"""What a continued line of a part begins with where it is an item of its own."""


def _header(text: str) -> tuple[str, dict[str, str]]:
    """The first sentence of a program's leading comment, and its parts: what the host loads, results, halts."""
    lines = []
    for line in text.splitlines():
        if not line.startswith(";"):
            break
        lines.append(line[1:])
    parts, name = {"": ""}, ""
    for line in lines:
        if begins := _PROGRAM_PART.fullmatch(line):
            name = begins[1]
            parts[name] = begins[2]
        elif not line.strip() or not line.startswith("    "):
            name = ""
            parts[""] += "\n" + line
        else:
            parts[name] += ("  " if _ITEM.match(line.strip()) else " ") + line.strip()
    title = one_line(parts.pop("").strip().partition("\n\n")[0].partition(". ")[0]).rstrip(".")
    return title, {part: re.sub(r" {2,}", "; ", meaning.strip()) for part, meaning in parts.items()}


def programs() -> str:
    """One row a program of the chip, from the comment at its head."""
    rows = []
    for path in sorted(files("ohmloop.golden.programs").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".s"):
            title, parts = _header(path.read_text())
            rows.append((f"`{path.name.removesuffix('.s')}`", title,
                         *(parts.get(part, "-") for part in ("host loads", "streams", "results", "halts"))))
    return table(("program", "does", "host loads", "streams", "results", "halt codes"), rows)


def traps() -> str:
    """Trap causes."""
    docs = member_docs(TrapCause)
    return table(("cause", "name", "meaning"), (
        (cause.value, cause.name.lower(), one_line(docs[cause.name])) for cause in TrapCause))


# ------------------------------------------------------------------------------------------ registers


def _access(field: FieldNode) -> str:
    if field.get_property("singlepulse"):
        return "write 1 to act, reads 0"
    if field.get_property("onwrite") == OnWriteType.woclr:
        return "read, write 1 to clear"
    if not field.is_sw_writable:
        return "read"
    return "read; write while halted" if field.get_property("swwe") else "read, write"


def _reset(field: FieldNode) -> str:
    register, name = field.parent.inst_name, field.inst_name
    values = {address_map(config).fields[f"{register}.{name}"].reset for config in CONFIGS.values()}
    if field.get_property("reset") is None:
        return "-"
    value = address_map(CONFIGS[REFERENCE]).fields[f"{register}.{name}"].reset
    text = f"`{value:#010x}`" if value >= 1 << 24 else str(value)
    return text if len(values) == 1 else f"{text} at {REFERENCE}"


def registers() -> str:
    """Every register with its fields."""
    parts = []
    for node in elaborate_rdl(CONFIGS[REFERENCE]).children():
        if not isinstance(node, RegNode) or node.inst_name.startswith(EVENT_PREFIX):
            continue
        parts.append(f"### {node.inst_name} (offset `{node.absolute_address:#04x}`)\n\n"
                     f"{node.get_property('name')}. {one_line(node.get_property('desc'))}".rstrip() + "\n\n")
        parts.append(table(("bits", "field", "access", "reset", "meaning"), (
            (f"{f.high}:{f.low}" if f.width > 1 else f.low, f"`{f.inst_name}`", _access(f), _reset(f),
             one_line(f.get_property("desc"))) for f in node.fields())) + "\n")
    return "".join(parts).rstrip("\n") + "\n"


def events() -> str:
    """Every event with the address of its counter."""
    docs, places = member_docs(Event), address_map(CONFIGS[REFERENCE]).registers
    return table(("offset", "register", "counts"), (
        (f"`{places[EVENT_PREFIX + event.name]:#04x}`", f"`{EVENT_PREFIX}{event.name}`", one_line(docs[event.name]))
        for event in Event))


def objects() -> str:
    """Objects on a stream: what a beat carries, and how many there are."""
    def words(name: str) -> Callable[[ChipConfig], int]:
        return lambda config: address_map(config).windows[name].words

    return table(("object", "instruction", "beats", *CONFIGS), (
        (what, instruction, beats, *(count(config) for config in CONFIGS.values()))
        for what, instruction, beats, count in (
            ("vector", "`LD` vd, `ST` vs", "the exponent as in `EXPONENTS`, then N mantissas as in `MANTISSAS`",
             lambda config: config.size + 1),
            ("matrix slot", "`LD` mslot", "elements as in `SLOTS`, row by row",
             lambda config: words("SLOTS")(config) // config.slots),
            ("code memory", "`LD` codes, `PROG` stream", "words as in `CODES`, row by row", words("CODES")))))


def windows() -> str:
    """Every window, then its length in each configuration."""
    nodes = [n for n in elaborate_rdl(CONFIGS[REFERENCE]).children() if isinstance(n, MemNode)]
    meaning = table(("window", "from", "access", "holds"), (
        (f"`{n.inst_name}`", f"`{n.absolute_address:#x}`", "read, write" if n.is_sw_writable else "read",
         f"{n.get_property('name')}. {one_line(n.get_property('desc'))}") for n in nodes))
    words = table(("words in", *CONFIGS), (
        (f"`{n.inst_name}`", *(address_map(c).windows[n.inst_name].words for c in CONFIGS.values())) for n in nodes))
    return meaning + "\n" + words


def example() -> str:
    """A system of two equations on ``tiny``, word by word, as the driver does it, and what the golden machine answers.
    """
    config, params = CONFIGS["tiny"], AnalogParams.ideal()
    matrix, b = np.array([[2.0, -1.0], [-1.0, 2.0]]), np.array([1.0, 1.0])
    plan, rhs = plan_system(matrix, config, params), scale_rhs(b, config)
    job = solve_job(plan, rhs, config)
    outcome, run = predict(Machine(config, NumpyMacro(Die.sample(config, params))), job)
    places, fields = address_map(config), address_map(config).fields
    n, word = config.size, 0xFFFF_FFFF

    def window(name: str, index: int) -> int:
        return places.windows[name].address + 4 * index

    rows: list[tuple[int, int, str]] = []
    settings = job.settings
    rows += [
        (places.registers["SIZES"], settings.vector_size << 16 | settings.loop_size, "SIZES: two unknowns"),
        (places.registers["SOLVE_INTERVAL"], settings.solve_interval,
         f"SOLVE_INTERVAL: tau = {plan.slowest_time_constant_cycles:.2f} clocks, times ln 5, rounded up"),
        (places.registers["TIMEOUT"], settings.timeout, "TIMEOUT: from the planner"),
    ]
    rows += [(window("PROGRAM", i), w, f"PROGRAM {i}: {disassemble(w)}") for i, w in enumerate(job.program)]
    codes = job.codes.astype("<i1").view("<u4").ravel()
    rows += [(window("CODES", i), int(w), f"CODES row {i}: {', '.join(map(str, job.codes[i]))}")
             for i, w in enumerate(codes)]
    mantissas, exponent = job.vectors[SOURCE]
    rows += [(window("MANTISSAS", SOURCE * n + i), int(m) & word,
              f"MANTISSAS v{SOURCE} element {i}: {m / 2 ** 31:g}") for i, m in enumerate(mantissas)]
    rows.append((window("EXPONENTS", SOURCE), exponent & word, f"EXPONENTS v{SOURCE}: {exponent}"))
    both = fields["INTR_STATE.done"].mask | fields["INTR_STATE.trap"].mask
    rows += [(places.registers["INTR_STATE"], both, "INTR_STATE: clear both"),
             (places.registers["INTR_ENABLE"], both, "INTR_ENABLE: both drive the line"),
             (places.registers["CONTROL"], fields["CONTROL.start"].mask, "CONTROL: start")]
    written = table(("write to", "word", "what it is"),
                    ((f"`{a:#08x}`", f"`{w:#010x}`", text) for a, w, text in rows))

    status = outcome.status
    status_word = (1 << fields["STATUS.halted"].low | status.pc << fields["STATUS.pc"].low
                   | status.halt_code << fields["STATUS.halt_code"].low | status.trap << fields["STATUS.trap"].low)
    answers = [
        (places.registers["STATUS"], status_word, f"STATUS: halted at {status.pc} by HALT {status.halt_code}, no trap"),
        (places.registers["CYCLES"], status.cycles, f"CYCLES: {status.cycles}"),
        *((window("MANTISSAS", RESULT * n + i), int(m) & word,
           f"MANTISSAS v{RESULT} element {i}: {m / 2 ** 31:g}") for i, m in enumerate(outcome.mantissas)),
        (window("EXPONENTS", RESULT), outcome.exponent & word, f"EXPONENTS v{RESULT}: {outcome.exponent}"),
    ]
    read = table(("read from", "word", "what it says"),
                 ((f"`{a:#08x}`", f"`{w:#010x}`", text) for a, w, text in answers))
    y = outcome.mantissas[0] / 2 ** 31 * 2 ** outcome.exponent
    x = unscale(plan, rhs, outcome.mantissas, outcome.exponent)
    phases = ", ".join(f"{p.name.lower()} {run.phases[p]}" for p in Phase if run.phases[p])
    half_lsb = rhs.factor / plan.alpha * 2.0 ** outcome.exponent / 2 ** config.adc_bits
    sums = (
        f"The largest entry is held by code {plan.c_max}, so alpha = {plan.alpha:.6g}; the largest element "
        f"of b became the input code {int(rhs.mantissas[0]) >> (32 - config.dac_bits)}, so beta = {rhs.factor:.6g}. "
        f"The loop clipped in drive ranges 0 to {outcome.exponent - 1} and settled in range {outcome.exponent}, after "
        f"{len(run.scans)} scans; {status.cycles} clocks are {phases}.\n\n"
        f"The result is y = {outcome.mantissas[0] / 2 ** 31:g} x 2^{outcome.exponent} = {y:g} in both elements, and "
        f"x = (beta / alpha) y = ({rhs.factor:.6g} / {plan.alpha:.6g}) x {y:g} = **{x[0]:.5f}**. The exact solution is "
        f"1; half an LSB of this range is {half_lsb:.5f}.\n")
    return written + "\nWait for the interrupt, then read:\n\n" + read + "\n" + sums


# ------------------------------------------------------------------------------------------ timing


def configurations() -> str:
    """Sizes of the named configurations."""
    return table(("", *CONFIGS), (
        (text, *(value(c) for c in CONFIGS.values())) for text, value in (
            ("N, rows and columns", lambda c: c.size), ("cell bits", lambda c: c.cell_bits),
            ("B, DAC bits", lambda c: c.dac_bits), ("B, ADC bits", lambda c: c.adc_bits),
            ("ADCs", lambda c: c.adcs), ("L, lanes", lambda c: c.lanes), ("N/L, elements a lane", lambda c: c.block),
            ("M = N/ADCs, outputs an ADC", lambda c: c.mux_steps),
            ("cpw, codes a word", lambda c: c.codes_per_word))))


def sizes(config: ChipConfig) -> dict[str, int]:
    """What the letters of a formula stand for in a configuration."""
    return {"N": config.size, "L": config.lanes, "B": config.adc_bits, "M": config.mux_steps,
            "cpw": config.codes_per_word}


def evaluated(formula: str, symbols: dict[str, int]) -> int:
    """The value of a formula as the pages write it: a factor beside a factor is a product, ``x`` another sign for it.

    ``ValueError`` names the formula when a division leaves a rest or a symbol is unknown.
    """
    tokens = re.findall(r"[A-Za-z_]+|[0-9]+|[-+/^(),]", formula.replace(" x ", " "))
    text = ""
    for token, before in zip(tokens, ["", *tokens], strict=False):
        factor = re.match(r"[A-Za-z_0-9]", token) or token == "("
        if factor and (re.match(r"[A-Za-z_0-9]", before) or before == ")") and before != "max":
            text += "*"
        text += {"^": "**"}.get(token, token)
    try:
        value = eval(text, {"__builtins__": {}, "max": max}, symbols)
    except (NameError, SyntaxError) as error:
        raise ValueError(f"formula {formula!r}: {error}") from None
    if value != int(value):
        raise ValueError(f"formula {formula!r} is {value}, not a whole number, at {symbols}")
    return int(value)


Count = Callable[[ChipConfig, Settings], int]
"""Clocks in a configuration under register values."""

TERMS: dict[str, tuple[str, Count]] = {
    "T_issue": ("2", lambda c, s: cycles.ISSUE),
    "T_vector": ("6", lambda c, s: cycles.FILL),
    "T_divide": ("29", lambda c, s: cycles.DIVIDE),
    "T_compare": ("2", lambda c, s: cycles.COMPARE),
    "T_write": ("4 + write_cycles", lambda c, s: cycles.attempt_cycles(s.write_cycles)),
    "T_row": ("N/(L cpw) + 2 + 2 T_write", lambda c, s: cycles.row_cycles(c, s.write_cycles)),
    "T_scrub": ("N/(L cpw) + 8", lambda c, s: cycles.load_cycles(c) + 2 * cycles.LOOK + cycles.RECORD),
    "T_refill": ("N/cpw + 3", lambda c, s: cycles.REFILL + cycles.fill_cycles(c.size // c.codes_per_word)),
    "T_drive": ("N/L + 1", lambda c, s: cycles.drive_cycles(c)),
    "T_prepare": ("2 dead + autozero", lambda c, s: cycles.prepare_cycles(s.dead, s.autozero)),
    "T_convert": ("M (B + 1)", lambda c, s: cycles.conversion_cycles(c)),
    "T_scan": ("T_convert + 3", lambda c, s: cycles.scan_cycles(c)),
    "T_store": ("N/L + 1", lambda c, s: cycles.store_cycles(c)),
}
"""Every term of the clock formulas: how the pages write it, and what the cycle model says."""


def symbols(config: ChipConfig, settings: Settings) -> dict[str, int]:
    """All letters and terms; each term's formula is checked against the cycle model."""
    known = sizes(config) | {name: getattr(settings, name) for name in ("dead", "autozero", "write_cycles")}
    for name, (formula, count) in TERMS.items():
        known[name] = evaluated(formula, known)
        if known[name] != count(config, settings):
            raise ValueError(f"{name} = {formula} is {known[name]} at {config.name}, the cycle model says "
                             f"{count(config, settings)}")
    return known


def terms() -> str:
    """Every term of the cycle formulas at reset settings."""
    values = [symbols(c, Settings.reset(c)) for c in CONFIGS.values()]
    return table(("term", "formula", *CONFIGS), (
        (name, formula, *(known[name] for known in values)) for name, (formula, _) in TERMS.items()))


def program_cycles(config: ChipConfig, settings: Settings) -> int:
    """PROG without a retry."""
    return cycles.ISSUE + config.size * cycles.row_cycles(config, settings.write_cycles) + cycles.PROGRAM_END


def overhead(config: ChipConfig, settings: Settings) -> int:
    """INV with one attempt, outside settling and conversion."""
    prepared = cycles.prepare_cycles(settings.dead, settings.autozero)
    return cycles.ISSUE + max(cycles.drive_cycles(config), prepared) + cycles.store_cycles(config)


def loop_cycles(config: ChipConfig, interval: int) -> int:
    """One attempt whose first two scans agree."""
    return cycles.first_sample(interval) - 1 + cycles.sample_spacing(config, interval) + cycles.scan_cycles(config)


def _beats(window: str, config: ChipConfig) -> int:
    return address_map(config).windows[window].words // (config.slots if window == "SLOTS" else 1)


def _program(config: ChipConfig, settings: Settings) -> int:
    return config.size * TERMS["T_row"][1](config, settings) + cycles.PROGRAM_END


CLOCKS: tuple[tuple[str, str, Count, dict[str, Callable[[ChipConfig, Settings], int]]], ...] = (
    ("AXPY", "", lambda c, s: sum(cycles.axpy_cycles(c)), {}),
    ("MAT", "", lambda c, s: sum(cycles.mat_cycles(c)), {}),
    ("DOT", "", lambda c, s: sum(cycles.dot_cycles(c)), {}),
    ("DIV", "", lambda c, s: cycles.DIVIDE, {}),
    ("INV", "1 attempt, 2 scans",
     lambda c, s: overhead(c, s) - cycles.ISSUE + loop_cycles(c, s.solve_interval),
     {"T_loop": lambda c, s: loop_cycles(c, s.solve_interval)}),
    ("MUL", "1 attempt, 2 scans",
     lambda c, s: overhead(c, s) - cycles.ISSUE + loop_cycles(c, s.multiply_interval),
     {"T_loop": lambda c, s: loop_cycles(c, s.multiply_interval)}),
    ("PROG", "no retry", _program, {}),
    ("PROG", "from the stream, no retry", lambda c, s: _program(c, s) + c.size * TERMS["T_refill"][1](c, s), {}),
    ("SCRUB", "nothing to write", lambda c, s: c.size * TERMS["T_scrub"][1](c, s) + cycles.PROGRAM_END, {}),
    ("LD", "a vector", lambda c, s: cycles.fill_cycles(c.size + 1), {"beats": lambda c, s: c.size + 1}),
    ("LD", "a slot", lambda c, s: cycles.fill_cycles(c.size ** 2), {"beats": lambda c, s: _beats("SLOTS", c)}),
    ("LD", "the code memory", lambda c, s: cycles.fill_cycles(_beats("CODES", c)),
     {"beats": lambda c, s: _beats("CODES", c)}),
    ("ST", "", lambda c, s: cycles.send_cycles(c), {}),
    ("SETC", "", lambda c, s: 0, {}),
    ("LOOP", "", lambda c, s: 0, {}),
    ("BLE", "", lambda c, s: cycles.COMPARE, {}),
    ("HALT", "", lambda c, s: 0, {}),
)
"""Instruction, case, clocks behind the issue by the cycle model, and what else its formula in the table needs."""


def latencies() -> str:
    """Clocks of every instruction at reset settings, each checked against its formula in the instruction table."""
    formulas = {i.name: i.cycles for i in INSTRUCTIONS}
    assert formulas.keys() == {name for name, *_ in CLOCKS}
    rows = []
    for name, case, count, more in CLOCKS:
        formula = formulas[formulas[name].removeprefix("as ")] if formulas[name].startswith("as ") else formulas[name]
        formula, *also = re.split(", (?=and |stream )", formula)
        if "stream" in case:
            formula += " + " + re.sub("^and | from the stream$", "", also[0])
        row = []
        for config in CONFIGS.values():
            settings = Settings.reset(config)
            known = symbols(config, settings) | {"attempts": 1, "retries": 0, "rewrites": 0}
            known |= {key: value(config, settings) for key, value in more.items()}
            clocks = cycles.ISSUE + count(config, settings)
            if evaluated(formula, known) != clocks:
                raise ValueError(f"{name} = {formula} is {evaluated(formula, known)} at {config.name}, the cycle model "
                                 f"says {clocks}")
            row.append(clocks)
        rows.append((f"`{name}`" + (f", {case}" if case else ""), *row))
    return table(("instruction", *CONFIGS), rows)


def wipe() -> str:
    """Clocks that a wipe takes at reset settings."""
    def parts(config: ChipConfig) -> tuple[int, int, int]:
        longest = max(window.words for window in address_map(config).windows.values())
        return longest, 1 + _program(config, Settings.reset(config)), 1 + sum(cycles.axpy_cycles(config))

    rows = list(zip(*((*parts(config), 1 + sum(parts(config))) for config in CONFIGS.values()), strict=True))
    names = ("W, words of the longest window", "arrays: 2 + N T_row", "sums: 1 + 2 N/L + T_vector",
             "wipe: 1 + W + arrays + sums")
    return table(("", *CONFIGS), ((name, *row) for name, row in zip(names, rows, strict=True)))


def iterations() -> str:
    """The matrix of the heat plate solved by programs of the chip, as the golden machine predicts it."""
    config, params = CONFIGS[REFERENCE], AnalogParams.reference()
    matrix = heat(config.size)
    plan, rhs = plan_system(matrix, config, params), scale_rhs(matrix.sum(axis=1), config)
    rows = []
    for name in ("refine", "gcr", "digital"):
        job = iterative_job(name, plan, matrix, rhs, config)
        outcome, run = predict(Machine(config, NumpyMacro(Die.sample(config, params))), job)
        found = answer(plan, rhs, outcome)
        rows.append((f"`{name}`", found.iterations, f"{found.relative_residual:.1e}", run.cycles,
                     run.phases[Phase.PROGRAM], run.phases[Phase.VECTOR],
                     sum(run.phases[p] for p in (Phase.DRIVE, Phase.PREPARE, Phase.SETTLE, Phase.CONVERT, Phase.STORE)),
                     run.phases[Phase.SCALAR] + run.phases[Phase.ISSUE]))
    return table(("program", "iterations", "relative residual", "clocks", "program", "vector", "drive to store",
                  "scalar and issue"), rows)


def budget() -> str:
    """INV outside settling and conversion against 16 + 3 N/L."""
    rows = []
    for name, config in CONFIGS.items():
        spent, allowed = overhead(config, Settings.reset(config)), 16 + 3 * config.block
        rows.append((name, spent, allowed, "within" if spent <= allowed else f"over by {spent - allowed}"))
    return table(("configuration", "clocks", "budget", ""), rows)


def phases() -> str:
    """Phases of the trace."""
    docs = member_docs(Phase)
    return table(("value", "phase", "meaning"),
                 ((p.value, p.name.lower(), one_line(docs[p.name])) for p in Phase))


# ------------------------------------------------------------------------------------------ analogue


def parameters() -> str:
    """Analogue parameters with their defaults."""
    rows = []
    for name, text in member_docs(AnalogParams).items():
        summary, _, rest = one_line(text).partition(" Source: ")
        unit, _, meaning = summary.removeprefix(f"{name}, ").partition(": ")
        rows.append((f"`{name}`", unit, f"{getattr(AnalogParams.reference(), name):g}",
                     f"{getattr(AnalogParams.ideal(), name):g}",
                     meaning[0].upper() + meaning[1:] + " " + rest.partition("Requires: ")[2].join(("Requires: ", ""))))
    return table(("parameter", "unit", "reference", "ideal", "meaning"), rows)


# ------------------------------------------------------------------------------------------ energy


def energy_figures() -> str:
    """Figures behind every energy."""
    return table(("figure", "value", "kind", "source or assumption"), (
        (f"`{name}`", f"{one.value:.3g}" + (f" {one.unit}" if one.unit != "1" else ""), one.kind, one.source)
        for name, one in figures().items()))


def energy_solves() -> str:
    """Energy of writing the arrays, of a solve that searches for its range, and of one that knows it."""
    config, params = CONFIGS[REFERENCE], AnalogParams.reference()
    rows = []
    for name in ("heat", "sparse5", "diagdom", "svdlog"):
        matrix = heat(config.size) if name == "heat" else ensemble(name, config.size, 30.0, 1)
        plan = plan_system(matrix, config, params)
        job = replace(solve_job(plan, scale_rhs(matrix @ np.ones(len(matrix)), config), config),
                      program=assemble("PROG\nINV v2, v1\nINV v2, v1\nHALT 0\n"))
        _, run = predict(Machine(config, NumpyMacro(Die.sample(config, params)), record=True), job)
        start = 0
        for what, retired in zip(("writing the arrays", "first solve", "second solve"), run.retired, strict=False):
            energy = energy_of_run(run, plan.codes, config, params, start=start, end=retired.cycles)
            if what != "writing the arrays" or name == "heat":
                rows.append((f"`{name}`, {what}" if start else what, retired.cycles - start,
                             *(f"{joules * 1e9:.1f}" for joules in energy.blocks.values()),
                             f"**{energy.total_J * 1e9:.0f}**"))
            start = retired.cycles
    return table(("step", "clocks", *energy.blocks, "total"), rows)


def energy_digital() -> str:
    """The digital comparison at N = 64."""
    return table(("at n = 64, 90 nm", "arithmetic alone", "with memory traffic"), (
        (row.name, f"{row.arithmetic_J * 1e9:.3g} nJ", f"{row.with_memory_J * 1e9:.3g} nJ")
        for bits in WIDTHS for row in digital_rows(64, bits)))


# ------------------------------------------------------------------------------------------ macro


def macro_rules() -> str:
    """One row a rule that the conformance kit decides."""
    return table(("name", "rule", "a body must keep this", "chip"), (
        (f"`{rule.name}`", rule.number or "-", rule.says, rule.chip or "both") for rule in RULES))


# ------------------------------------------------------------------------------------------ test plan


def testplan() -> str:
    """Entries of the test plan."""
    entries = yaml.safe_load((ROOT / "verification" / "testplan.yaml").read_text())
    return table(("kind", "entry", "stimulus", "checks"), (
        (kind, entry["name"], one_line(entry["stimulus"]), one_line(entry["checks"]))
        for kind, group in entries.items() for entry in group))


BLOCKS: dict[str, Callable[[], str]] = {
    block.__name__: block for block in (
        encodings, instructions, operands, arithmetic, programs, traps, registers, events, windows, objects, example,
        configurations, terms, latencies, wipe, budget, iterations, phases, parameters,
        energy_figures, energy_solves, energy_digital, macro_rules, testplan)}
"""What can stand between the comment lines, by name."""


def updated(text: str) -> str:
    """A page with every generated block as it must be; ``KeyError`` for a name that is no block."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{BLOCKS[m['name']]()}\n{m[3]}", text)


def main():
    """Rewrites the pages."""
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        new = updated(text)
        if new != text:
            page.write_text(new)
            print(f"updated {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

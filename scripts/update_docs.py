#!/usr/bin/env python3
"""Rewrites the generated blocks of the documentation from the code: instruction set, registers, timing, parameters.

A block stands between two comment lines in a page of ``docs/``::

    <!-- generated: NAME -->
    ...
    <!-- end -->

Prints the pages that changed. ``verification/product/test_docs.py`` fails while a block is not what this writes.
"""

import ast
import re
from collections.abc import Callable, Iterable
from inspect import getsource
from pathlib import Path
from textwrap import dedent

import numpy as np
from systemrdl.node import FieldNode, MemNode, RegNode
from systemrdl.rdltypes.builtin_enums import OnWriteType

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.golden import cycles
from ohmloop.golden.assembler import disassemble
from ohmloop.golden.machine import Machine, Settings
from ohmloop.host.job import RESULT, SOURCE, predict, solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs, unscale
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.host.map import address_map, elaborate_rdl
from ohmloop_hdl.isa import INSTRUCTIONS, OPCODE_BITS, OPCODE_LOW, RESERVED
from ohmloop_hdl.sequencer.traps import TrapCause

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = "chip64"
"""The configuration that the register page shows."""

_BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def one_line(text: str | None) -> str:
    """A description without its line breaks."""
    return " ".join((text or "").split())


def member_docs(cls: type) -> dict[str, str]:
    """The string below each member of a class, by name; Python itself does not keep them."""
    body = ast.parse(dedent(getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for member, text in zip(body.body, body.body[1:], strict=False):
        target = member.target if isinstance(member, ast.AnnAssign) else \
            member.targets[0] if isinstance(member, ast.Assign) else None
        if isinstance(target, ast.Name) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[target.id] = str(text.value.value)
    return found


# ------------------------------------------------------------------------------------------ instruction set


def encodings() -> str:
    """One row an instruction: its bits, from high to low."""
    rows = []
    for instruction in INSTRUCTIONS:
        fields = [(OPCODE_LOW, OPCODE_BITS, f"{instruction.opcode}")]
        fields += [(operand.low, operand.width, operand.name) for operand in instruction.operands]
        bits = ", ".join(f"{low + width - 1}:{low} = {what}" for low, width, what in fields)
        word = instruction.opcode << OPCODE_LOW
        rows.append((f"`{instruction.name}`", bits, f"`{word:#010x}`"))
    return table(("instruction", "bits", "word with all operands 0"), rows)


def instructions() -> str:
    """One row an instruction: what it does, how long, what it may trap."""
    return table(("instruction", "does", "clocks", "traps"), (
        (f"`{i.name}`" + "".join(f" {o.prefix}{o.name}," for o in i.operands).rstrip(","), i.does, i.cycles,
         ", ".join(i.traps) or "none") for i in INSTRUCTIONS))


def operands() -> str:
    """One row an operand field."""
    used = {o.name: o for i in INSTRUCTIONS for o in i.operands}
    return table(("operand", "bits", "written", "meaning"), (
        (f"`{o.name}`", f"{o.low + o.width - 1}:{o.low}",
         f"{o.prefix}0 to {o.prefix}{(1 << o.width) - 1}", o.meaning) for o in used.values()))


def reserved() -> str:
    """Operation codes set aside."""
    return table(("name", "operation code"), ((f"`{name}`", code) for name, code in RESERVED.items()))


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
        if not isinstance(node, RegNode):
            continue
        parts.append(f"### {node.inst_name} (offset `{node.absolute_address:#04x}`)\n\n"
                     f"{node.get_property('name')}. {one_line(node.get_property('desc'))}".rstrip() + "\n\n")
        parts.append(table(("bits", "field", "access", "reset", "meaning"), (
            (f"{f.high}:{f.low}" if f.width > 1 else f.low, f"`{f.inst_name}`", _access(f), _reset(f),
             one_line(f.get_property("desc"))) for f in node.fields())) + "\n")
    return "".join(parts).rstrip("\n") + "\n"


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
    rows += [(window("MANTISSAS", SOURCE * n + i), int(m) & word,
              f"MANTISSAS v{SOURCE} element {i}: {m / 2 ** 31:g}") for i, m in enumerate(job.mantissas)]
    rows.append((window("EXPONENTS", SOURCE), job.exponent & word, f"EXPONENTS v{SOURCE}: {job.exponent}"))
    both = fields["INTR_STATE.done"].mask | fields["INTR_STATE.trap"].mask
    rows += [(places.registers["INTR_STATE"], both, "INTR_STATE: clear both"),
             (places.registers["INTR_ENABLE"], both, "INTR_ENABLE: both drive the line"),
             (places.registers["CONTROL"], fields["CONTROL.start"].mask, "CONTROL: start")]
    written = table(("write to", "word", "what it is"),
                    ((f"`{a:#07x}`", f"`{w:#010x}`", text) for a, w, text in rows))

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
                 ((f"`{a:#07x}`", f"`{w:#010x}`", text) for a, w, text in answers))
    y = outcome.mantissas[0] / 2 ** 31 * 2 ** outcome.exponent
    x = unscale(plan, rhs, outcome.mantissas, outcome.exponent)
    phases = ", ".join(f"{p.name.lower()} {run.phases[p]}" for p in Phase if run.phases[p])
    half_lsb = rhs.factor / plan.alpha * 2.0 ** outcome.exponent / 2 ** config.adc_bits
    sums = (
        f"The planner mapped the largest entry to code {plan.c_max}, so alpha = {plan.alpha:.6g}; the largest element "
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


def terms() -> str:
    """Every term of the cycle formulas at reset settings."""
    def over(value: Callable[[ChipConfig, Settings], int]) -> list[int]:
        return [value(c, Settings.reset(c)) for c in CONFIGS.values()]

    return table(("term", "formula", *CONFIGS), (
        ("T_issue", "2", *over(lambda c, s: cycles.ISSUE)),
        ("T_row", "N/(L cpw) + 2 + 2 T_write", *over(lambda c, s: cycles.row_cycles(c, s.write_cycles))),
        ("T_write", "4 + write_cycles", *over(lambda c, s: cycles.attempt_cycles(s.write_cycles))),
        ("PROG, no retry", "T_issue + N T_row + 1", *over(program_cycles)),
        ("T_drive", "N/L + 1", *over(lambda c, s: cycles.drive_cycles(c))),
        ("T_prepare", "2 dead + autozero", *over(lambda c, s: cycles.prepare_cycles(s.dead, s.autozero))),
        ("T_convert", "M (B + 1)", *over(lambda c, s: cycles.conversion_cycles(c))),
        ("T_scan", "T_convert + 3", *over(lambda c, s: cycles.scan_cycles(c))),
        ("T_store", "N/L + 1", *over(lambda c, s: cycles.store_cycles(c))),
        ("INV, 1 attempt, 2 scans", "T_issue + max(T_drive, T_prepare) + T_loop + T_store", *over(shortest_inv)),
    ))


def program_cycles(config: ChipConfig, settings: Settings) -> int:
    """PROG without a retry."""
    return cycles.ISSUE + config.size * cycles.row_cycles(config, settings.write_cycles) + cycles.PROGRAM_END


def overhead(config: ChipConfig, settings: Settings) -> int:
    """INV with one attempt, outside settling and conversion."""
    prepared = cycles.prepare_cycles(settings.dead, settings.autozero)
    return cycles.ISSUE + max(cycles.drive_cycles(config), prepared) + cycles.store_cycles(config)


def shortest_inv(config: ChipConfig, settings: Settings) -> int:
    """INV with one attempt whose first two scans agree."""
    interval = settings.solve_interval
    loop = (cycles.first_sample(interval) - 1 + cycles.sample_spacing(config, interval) + cycles.scan_cycles(config))
    return overhead(config, settings) + loop


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


BLOCKS: dict[str, Callable[[], str]] = {
    block.__name__: block for block in (
        encodings, instructions, operands, reserved, traps, registers, windows, example, configurations, terms, budget,
        phases, parameters)}
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

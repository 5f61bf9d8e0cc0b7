"""Functional coverage of the lock-step, measured on the golden machine while it runs.

A point is a name in ``verification/testplan.yaml``; here stands when it is hit. Arithmetic points look at the operands
before an instruction and at what it wrote.
"""

from collections import Counter

import numpy as np

from ohmloop.analog.body import MacroBody
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Result, Run
from ohmloop.golden.vector import Scalar
from ohmloop_hdl import isa
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_MIN, MANTISSA_BITS
from ohmloop_hdl.sequencer.traps import TrapCause


class ObservedMachine(Machine):
    """A golden machine that counts the coverage points it hits in ``hits``."""

    def __init__(self, config: ChipConfig, macro: MacroBody):
        super().__init__(config, macro)
        self.hits: Counter[str] = Counter()

    def run(self, entry: int = 0) -> Run:
        """Run, and count how it ended."""
        self._last_ranges = self.settings.drive_range, self.settings.feedback
        run = super().run(entry)
        self._hit(f"trap.{run.trap.name.lower()}" if run.trap else "halt")
        if run.trap is not TrapCause.NONE:
            word = isa.decode(int(self.program[run.pc]), self.config.slots)
            name = word[0].name.lower() if word else "unknown"
            self._hit(f"trap.{run.trap.name.lower()}.{name}")
        return run

    def _execute(self, instruction: isa.Instruction, operands: tuple[int, ...]) -> tuple[Result | None, int | None]:
        name, events = instruction.name.lower(), Counter(self.running.events)
        scans = len(self.running.scans)
        self._operands(name, instruction, operands)
        result, target = super()._execute(instruction, operands)
        self._hit(name)
        if result is not None:
            self._result(name, result)
        if instruction in (isa.BLE, isa.LOOP):
            self._hit(f"{name}.{'falls' if target is None else 'jumps'}")
        if instruction in (isa.INV, isa.MUL):
            seen = self.running.events
            clips = seen[Event.CLIPPED] - events[Event.CLIPPED]
            self._hit(f"{name}.clips.{min(clips, 2)}")
            self._hit(f"{name}.scans.{min(len(self.running.scans) - scans, 4)}")
            ranges = self.settings.drive_range, self.settings.feedback
            if ranges < self._last_ranges:
                self._hit(f"{name}.range_down")
            self._last_ranges = ranges
        return result, target

    def _hit(self, point: str) -> None:
        self.hits[point] += 1

    def _operands(self, name: str, instruction: isa.Instruction, values: tuple[int, ...]) -> None:
        named = {operand.name: value for operand, value in zip(instruction.operands, values, strict=True)}
        d, a, s = named.get("d"), named.get("a"), named.get("s")
        if instruction in (isa.AXPY, isa.MAT):
            for pair, same in (("d_a", d == a), ("d_s", d == s), ("a_s", a == s), ("all", d == a == s)):
                if same and d:
                    self._hit(f"{name}.alias.{pair}")
            self._hit(f"{name}.{'subtracts' if named['negate'] else 'adds'}")
        if instruction in (isa.AXPY, isa.MAT, isa.DOT):
            self._blocks(name, instruction, named)
        if instruction in (isa.DIV, isa.BLE):
            self._scalars(name, self.scalars[named["i"]], self.scalars[named["j"]])
        for operand, value in zip(instruction.operands, values, strict=True):
            if operand.prefix in ("v", "k") and value == 0 and operand is not isa.KIND:
                self._hit(f"{name}.{operand.prefix}0.{operand.name}")
            if operand.word and value:
                self._hit(f"{name}.{operand.word}")
        if instruction is isa.LD:
            self._hit(f"ld.{('vector', 'slot', 'codes')[values[0]]}")

    def _blocks(self, name: str, instruction: isa.Instruction, named: dict[str, int]) -> None:
        a, s = named["a"], named["s"]
        counts = min(self.settings.loop_size, self.settings.vector_size)
        if counts < self.config.size:
            self._hit(f"{name}.short")
        for which, v in (("a", a), ("s", s)):
            mantissas = self.mantissas[v]
            if v and self.exponents[v] == EXPONENT_MIN:
                self._hit(f"{name}.zero_exponent.{which}")
            elif v and not mantissas.any():
                self._hit(f"{name}.zero_mantissas.{which}")
            elif v:
                if np.abs(mantissas).max() < 1 << (MANTISSA_BITS - 3):
                    self._hit(f"{name}.unnormalised.{which}")
                if mantissas.min() == -(1 << (MANTISSA_BITS - 1)):
                    self._hit(f"{name}.most_negative.{which}")
        if instruction is isa.DOT or not a or not s or EXPONENT_MIN in (self.exponents[a], self.exponents[s]):
            return
        k = self.scalars[named["k"]] if instruction is isa.AXPY else Scalar(1, 0)
        gap = int(self.exponents[s]) + k.exponent - int(self.exponents[a])
        size = "equal" if gap == 0 else "near" if abs(gap) < 32 else "far" if abs(gap) < 64 else "beyond"
        self._hit(f"{name}.gap.{size}" if gap == 0 else f"{name}.gap.{size}.{'a' if gap > 0 else 'product'}_smaller")

    def _scalars(self, name: str, i: Scalar, j: Scalar) -> None:
        top = 1 << (ELEMENT_BITS - 1)
        for which, scalar in (("i", i), ("j", j)):
            if scalar.zero:
                self._hit(f"{name}.zero.{which}")
            elif scalar.mantissa == -top:
                self._hit(f"{name}.most_negative.{which}")
            elif abs(scalar.mantissa) < top // 2:
                self._hit(f"{name}.unnormalised.{which}")
        if not i.zero and not j.zero:
            self._hit(f"{name}.signs.{'-' if i.mantissa < 0 else '+'}{'-' if j.mantissa < 0 else '+'}")

    def _result(self, name: str, result: Result) -> None:
        values = np.array(result.mantissas if result.mantissas is not None else (0,))
        top = (1 << (MANTISSA_BITS if result.register[0] == "v" else ELEMENT_BITS) - 1) - 1
        if result.exponent == EXPONENT_MIN:
            self._hit(f"{name}.result.{'underflow' if values.any() else 'zero'}")
        if values.max() == top:
            self._hit(f"{name}.result.top")
        if values.min() == -top - 1:
            self._hit(f"{name}.result.most_negative")

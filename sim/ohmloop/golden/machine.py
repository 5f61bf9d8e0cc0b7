"""The golden machine: runs programs bit for bit and clock for clock as the chip must."""

import numpy as np

from ohmloop.analog.body import MacroBody
from ohmloop.errors import NotSolvedError
from ohmloop.golden import cycles, stream
from ohmloop.golden.arrays import program_arrays
from ohmloop.golden.loop import LoopModel
from ohmloop.golden.record import Record
from ohmloop.golden.run import Clock, Result, Retired, Run, Trapped
from ohmloop.golden.settings import Settings
from ohmloop.golden.state import State
from ohmloop.golden.vector import ZERO_EXPONENT, Scalar, add_product, divide, dot, not_above
from ohmloop_hdl import isa
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN
from ohmloop_hdl.sequencer.traps import TrapCause

RUN_LIMIT_CLOCKS = 1 << 28
"""Clocks after which a run is given up: one INV with every attempt at the longest time-out takes half of it."""


class Machine(State):
    """The chip's digital half in integers, around a numpy macro, as it is after reset.

    Parameters
    ----------
    config : ChipConfig
        The same as the macro's.
    macro : MacroBody
        A die of its own: its noise and its arrays have a history.
    record : bool
        Runs note what happens in which clock (:mod:`ohmloop.golden.record`).

    Its members are those of :class:`ohmloop.golden.state.State`, and ``settings``. A program that takes beats from a
    stream needs them in ``source`` before it runs.
    """

    def __init__(self, config: ChipConfig, macro: MacroBody, *, record: bool = False):
        super().__init__(config)
        self.macro, self.record = macro, record
        self.settings = Settings.reset(config)
        self._wipe_arrays()

    def zeroize(self) -> None:
        """Overwrite every memory and both arrays, as reset does; settings stay, and what is on the streams."""
        source, sink = self.source, self.sink
        super().__init__(self.config)
        self.source, self.sink = source, sink
        self._wipe_arrays()

    def run(self, entry: int = 0) -> Run:
        """Run from ``entry`` until HALT or a trap.

        Errors: :class:`NotSolvedError` for a program that is not at its end after :data:`RUN_LIMIT_CLOCKS`, or that
        waits for a beat that is not in ``source``.
        """
        run = Run(pc=entry, record=Record() if self.record else None)
        self.running = run
        self._clock = Clock(run, self.settings.watchdog)
        try:
            while True:
                pc, word = run.pc, int(self.program[run.pc])
                self._clock.issue()
                instruction, operands = self._decode(pc, word)
                result, target = self._execute(instruction, operands)
                run.retired.append(Retired(pc, word, run.cycles, result))
                if instruction is isa.HALT:
                    run.halt_code = operands[0]
                    return run
                run.pc = (pc + 1) % isa.PROGRAM_WORDS if target is None else target
                if run.cycles > RUN_LIMIT_CLOCKS:
                    raise NotSolvedError(f"the program does not halt within {RUN_LIMIT_CLOCKS} clocks")
        except Trapped as trap:
            run.trap = trap.cause
        return run

    def _wipe_arrays(self) -> None:
        """Zeros in both arrays, as reset leaves them; cells that cannot hold one are counted and mapped."""
        self.wiped = Run()
        """What the last wipe did: its events count."""
        # The vector unit clears its sums by an AXPY of zeros into v0.
        n = self.config.size
        self.wiped.events.update({Event.MULTIPLIED: n, Event.VECTOR_READ: 2 * n, Event.VECTOR_WRITTEN: n})
        try:
            program_arrays(self, self.macro, self.settings, Clock(self.wiped, 0))
        except Trapped:
            pass  # more bad cells than the limit at reset, which a wipe does not ask about
        self.valid_codes = self.valid_arrays = False

    def _decode(self, pc: int, word: int) -> tuple[isa.Instruction, tuple[int, ...]]:
        if self.wrong_program[pc]:
            raise Trapped(TrapCause.PARITY)
        decoded = isa.decode(word, self.config.slots)
        if decoded is None or not self._usable(*decoded):
            raise Trapped(TrapCause.ILLEGAL)
        return decoded

    def _usable(self, instruction: isa.Instruction, operands: tuple[int, ...]) -> bool:
        """What the instruction uses is valid."""
        if instruction is isa.MAT:
            return self.valid_slots[operands[3]]
        if instruction in (isa.INV, isa.MUL):
            return self.valid_arrays
        if instruction is isa.PROG:
            return self.valid_codes or operands[0] == 1
        return instruction is not isa.SCRUB or (self.valid_codes and self.valid_arrays)

    def _execute(self, instruction: isa.Instruction, operands: tuple[int, ...]) -> tuple[Result | None, int | None]:
        """Carry out one instruction: what it wrote, and where it jumps to."""
        result, target, clock = None, None, self._clock
        if instruction is isa.AXPY:
            result = self._axpy(*operands)
        elif instruction is isa.MAT:
            result = self._mat(*operands)
        elif instruction is isa.DOT:
            result = self._dot(*operands)
        elif instruction is isa.DIV:
            result = self._div(*operands)
        elif instruction in (isa.INV, isa.MUL):
            multiply = instruction is isa.MUL
            loop = LoopModel(self, self.macro, self.settings, clock, multiply=multiply)
            result = loop.run(operands[0], operands[1], calibrate=not multiply and operands[2] == 1)
        elif instruction is isa.PROG:
            program_arrays(self, self.macro, self.settings, clock, stream=operands[0] == 1)
        elif instruction is isa.SCRUB:
            program_arrays(self, self.macro, self.settings, clock, scrub=True)
        elif instruction is isa.LD:
            kind, place = operands
            if kind == 0:
                stream.load_vector(self, clock, place)
            elif kind == 1:
                stream.load_slot(self, clock, place)
            else:
                stream.load_codes(self, clock)
        elif instruction is isa.ST:
            stream.send_vector(self, clock, operands[0])
        elif instruction is isa.SETC:
            self.counters[operands[0]] = operands[1]
        elif instruction is isa.LOOP:
            self.counters[operands[0]] = (self.counters[operands[0]] - 1) % (1 << isa.COUNTER_BITS)
            target = operands[1] if self.counters[operands[0]] else None
        elif instruction is isa.BLE:
            i, j, power, place = operands
            clock.spend(Phase.SCALAR, cycles.COMPARE - 1)
            clock.spend(Phase.SCALAR, 1, safe=True)
            target = place if not_above(self.scalars[i], self.scalars[j], power) else None
        return result, target

    # Vector and scalar unit

    @property
    def _inside(self) -> np.ndarray:
        """Elements (N,) that the vector unit works on; what it reads of the others is zero."""
        return np.arange(self.config.size) < min(self.settings.loop_size, self.settings.vector_size)

    def _counted(self, v: int) -> tuple[np.ndarray, int, bool]:
        """A vector as the vector unit reads it: mantissas, exponent as a term, and whether it reads zero."""
        mantissas, exponent = self.vector(v)
        zero = exponent == EXPONENT_MIN
        return np.where(self._inside, mantissas, 0), ZERO_EXPONENT if zero else exponent, zero

    def _axpy(self, d: int, a: int, negate: int, k: int, s: int) -> Result:
        (addend, addend_exponent, _), (source, source_exponent, zero) = self._counted(a), self._counted(s)
        factor = self.scalars[k]
        exponent = ZERO_EXPONENT if zero or factor.zero else source_exponent + factor.exponent
        products = source * (0 if factor.zero else factor.mantissa)
        self._work(Event.VECTOR_READ, 2 * self.config.size)
        self._work(Event.MULTIPLIED, self.config.size)
        sums = add_product(addend, addend_exponent, -products if negate else products, exponent, self.config)
        return self._write_vector(d, *sums, *cycles.axpy_cycles(self.config))

    def _mat(self, d: int, a: int, negate: int, slot: int, s: int) -> Result:
        config = self.config
        wrong = np.argwhere(self.wrong_slots[slot].reshape(config.lanes, config.block, config.size).any(axis=0))
        if len(wrong):
            raise self._clock.fault(Phase.VECTOR, cycles.mat_parity_cycles(config, *wrong[0]), TrapCause.PARITY)
        (addend, addend_exponent, _), (source, source_exponent, _) = self._counted(a), self._counted(s)
        products = np.where(self._inside, self.slots[slot] @ source, 0)
        self._work(Event.VECTOR_READ, config.size * (1 + config.size))
        self._work(Event.MULTIPLIED, config.size ** 2)
        self._work(Event.SLOT_READ, config.size ** 2)
        sums = add_product(addend, addend_exponent, -products if negate else products, source_exponent, config)
        return self._write_vector(d, *sums, *cycles.mat_cycles(config))

    def _dot(self, d: int, a: int, s: int) -> Result:
        (left, left_exponent, left_zero), (right, right_exponent, right_zero) = self._counted(a), self._counted(s)
        exponent = ZERO_EXPONENT if left_zero or right_zero else left_exponent + right_exponent
        self._work(Event.VECTOR_READ, 2 * self.config.size)
        self._work(Event.MULTIPLIED, self.config.size)
        before, writing = cycles.dot_cycles(self.config)
        self._clock.spend(Phase.VECTOR, before)
        scalar = self._in_range(dot(left, right, exponent, self.config))
        self._clock.spend(Phase.VECTOR, writing, safe=True)
        return self._write_scalar(d, scalar)

    def _div(self, d: int, i: int, j: int) -> Result:
        if self.scalars[j].zero:
            self._clock.spend(Phase.SCALAR, cycles.ZERO_DIVISOR)
            raise Trapped(TrapCause.DIVIDE)
        quotient = divide(self.scalars[i], self.scalars[j])
        self._clock.spend(Phase.SCALAR, cycles.DIVIDE - 1)
        self._clock.spend(Phase.SCALAR, 1, safe=quotient.exponent <= EXPONENT_MAX)
        return self._write_scalar(d, self._in_range(quotient))

    def _work(self, event: Event, amount: int) -> None:
        self._clock.run.events[event] += amount

    def _write_vector(self, d: int, mantissas: np.ndarray, exponent: int, before: int, writing: int) -> Result:
        self._clock.spend(Phase.VECTOR, before)
        if exponent > EXPONENT_MAX:
            raise Trapped(TrapCause.RANGE)
        self._clock.spend(Phase.VECTOR, writing, safe=True)
        self._work(Event.VECTOR_WRITTEN, self.config.size)
        if d:
            self.mantissas[d], self.exponents[d] = mantissas, exponent
        return Result(f"v{d}", exponent, tuple(int(m) for m in mantissas))

    def _write_scalar(self, d: int, scalar: Scalar) -> Result:
        if d:
            self.scalars[d] = scalar
        return Result(f"k{d}", scalar.exponent, (scalar.mantissa,))

    def _in_range(self, scalar: Scalar) -> Scalar:
        if scalar.exponent > EXPONENT_MAX:
            raise Trapped(TrapCause.RANGE)
        return scalar

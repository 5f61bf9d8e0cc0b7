"""The sequencer: fetch, issue, wait, retire or trap."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.host.windows import WORD_BITS
from ohmloop_hdl.isa import (
    AXPY,
    BLE,
    CODE,
    COUNT,
    DIV,
    DOT,
    HALT,
    INSTRUCTIONS,
    INV,
    KIND,
    LD,
    LOOP,
    MAT,
    MUL,
    OPCODE_LOW,
    PROG,
    SCRUB,
    SETC,
    ST,
    TARGET,
    C,
    D,
    Instruction,
    Operand,
)
from ohmloop_hdl.sequencer.counters import LoopCounters
from ohmloop_hdl.sequencer.program import PC_BITS
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.sequencer.unit import Unit

UNITS: dict[str, tuple[Instruction, ...]] = {
    "vector": (AXPY, MAT, DOT),
    "scalar": (DIV, BLE),
    "loop": (INV, MUL),
    "array": (PROG, SCRUB),
    "stream": (LD, ST),
}
"""Who executes what; the sequencer itself does the rest."""


def field(word: Value, operand: Operand) -> Value:
    """The bits of an operand in an instruction word."""
    return word[operand.low:operand.low + operand.width]


class Sequencer(wiring.Component):
    """Runs a program: one instruction at a time, from fetch to retirement, before the next is fetched.

    Out of reset it wipes the chip (``wiping``): all windows word by word, then both arrays by programming the zeros
    that are in the code memory now, then the accumulators by adding zeros. ::

        BEGIN -> WIPE -> ARRAYS -> SUMS -> HALTED -> FETCH -> DECODE -> RUN -> FETCH
           '------------------------------'  ^----------------'---------'

    Parameters
    ----------
    config : ChipConfig
        Number of matrix slots.
    wipe_words : int
        Words that the wipe walks over.

    Members
    -------
    start, entry, clear : In(1), In(8), In(1)
        Begin at program address ``entry``, or forget how the last run ended; ignored while running.
    wiping : In(1)
        Wipe first; looked at when reset ends.
    wiped : Out(1)
        One clock: the wipe is done.
    wipe, wipe_address : Out(1), Out(18)
        Overwrite this word of every window.
    halted : Out(1)
        Nothing runs.
    halted_by, trapped : Out(1)
        One clock: HALT retired; a trap is taken.
    halt_code, trap_cause : Out(8), Out(TrapCause)
        Of the last run.
    pc, instruction, parity_error : Out(8), In(32), In(1)
        To and from program memory; while halted, ``pc`` is the address of the instruction that stopped the run.
    cycles, waits : Out(32)
        Clocks of the last run, waits for streams apart; wrap.
    watchdog : In(32)
        Clocks that an instruction may take; 0 is no limit.
    usable : In(1)
        What the instruction uses is valid.
    word, fetched, started, retired : Out(32), Out(1), Out(1), Out(1)
        The instruction that is decoded or in work; it was read; it is given to a unit; it retires.
    taken : In(1)
        With ``done`` of the scalar unit: the comparison holds.
    phase : Out(Phase)
        For the trace.
    vector, scalar, loop, array, stream : Out(Unit)
        The units that execute (:data:`UNITS`).

    Latency
    -------
    ``docs/timing.md``: fetch and decode 2 clocks, which is all for SETC, LOOP and HALT.
    """

    def __init__(self, config: ChipConfig, wipe_words: int):
        self.config = config
        self.wipe_words = wipe_words
        super().__init__({
            "start": In(1), "entry": In(PC_BITS), "clear": In(1),
            "wiping": In(1), "wiped": Out(1), "wipe": Out(1), "wipe_address": Out(WORD_BITS),
            "halted": Out(1), "halted_by": Out(1), "trapped": Out(1), "halt_code": Out(8), "trap_cause": Out(TrapCause),
            "pc": Out(PC_BITS), "instruction": In(32), "parity_error": In(1),
            "cycles": Out(32), "waits": Out(32), "watchdog": In(32),
            "usable": In(1), "word": Out(32), "fetched": Out(1), "started": Out(1), "retired": Out(1), "taken": In(1),
            "phase": Out(Phase),
        } | {name: Out(Unit()) for name in UNITS})

    def elaborate(self, platform):
        m = Module()
        units = [getattr(self, name) for name in UNITS]
        kept = Signal(32)
        """The instruction in work."""
        self._counters = m.submodules.counters = LoopCounters()
        done, fault, safe, waiting, expired = (Signal(shape, name=name) for name, shape in (
            ("done", 1), ("fault", TrapCause), ("safe", 1), ("waiting", 1), ("expired", 1)))
        spent = Signal(32)
        """Clocks of the instruction before this one, waits left out."""
        m.d.comb += [
            self.word.eq(kept),
            done.eq(_any(unit.done for unit in units)),
            fault.eq(_any(Value.cast(unit.fault) for unit in units)),
            safe.eq(_any(unit.safe for unit in units)),
            waiting.eq(_any(unit.waiting for unit in units)),
            expired.eq((self.watchdog != 0) & (spent + 1 >= self.watchdog) & ~waiting & ~safe),
            self._counters.index.eq(field(self.word, C)),
        ]
        with m.If(~waiting):
            m.d.sync += spent.eq(spent + 1)

        def counted():
            m.d.sync += self.cycles.eq(self.cycles + 1)

        with m.FSM(name="sequencer"):
            with m.State("BEGIN"):
                with m.If(self.wiping):
                    m.next = "WIPE"
                with m.Else():
                    m.next = "HALTED"
            self._wipe_states(m, kept)
            with m.State("HALTED"):
                m.d.comb += self.halted.eq(1)
                with m.If(self.start | self.clear):
                    m.d.sync += [self.pc.eq(0), self.halt_code.eq(0), self.trap_cause.eq(TrapCause.NONE)]
                with m.If(self.start):
                    m.d.sync += [self.pc.eq(self.entry), self.cycles.eq(0), self.waits.eq(0)]
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.phase.eq(Phase.ISSUE)
                m.d.sync += spent.eq(1)
                counted()
                m.next = "DECODE"
            with m.State("DECODE"):
                m.d.comb += [self.phase.eq(Phase.ISSUE), self.fetched.eq(1), self.word.eq(self.instruction)]
                m.d.sync += kept.eq(self.instruction)
                counted()
                with m.If(self.parity_error):
                    self._trap(m, TrapCause.PARITY)
                with m.Else():
                    self._decode(m)
            with m.State("RUN"):
                for name, instructions in UNITS.items():
                    with m.If(one_of(self.word, instructions)):
                        m.d.comb += self.phase.eq(getattr(self, name).phase)
                with m.If(waiting):
                    m.d.comb += self.phase.eq(Phase.WAIT)
                    m.d.sync += self.waits.eq(self.waits + 1)
                with m.Else():
                    counted()
                with m.If(done):
                    self._retire(m, one_of(self.word, (BLE,)) & self.taken)
                with m.Elif(expired & (fault != TrapCause.PARITY)):
                    self._trap(m, TrapCause.WATCHDOG)
                with m.Elif(fault != TrapCause.NONE):
                    self._trap(m, fault)
        return m

    def _wipe_states(self, m: Module, kept: Signal):
        """Windows, arrays, accumulators; the instructions that do the last two are given to the units directly."""
        begun = Signal()
        with m.State("WIPE"):
            m.d.comb += [self.phase.eq(Phase.WIPE), self.wipe.eq(1), self._counters.set.eq(1),
                         self._counters.index.eq(self.wipe_address)]
            m.d.sync += [self.wipe_address.eq(self.wipe_address + 1), kept.eq(PROG.encode(0)), begun.eq(0)]
            with m.If(self.wipe_address == self.wipe_words - 1):
                m.next = "ARRAYS"
        with m.State("ARRAYS"):
            m.d.comb += [self.phase.eq(Phase.WIPE), self.array.start.eq(~begun)]
            m.d.sync += begun.eq(1)
            with m.If(self.array.done | (self.array.fault != TrapCause.NONE)):
                m.d.sync += [kept.eq(AXPY.encode(0, 0, 0, 0, 0)), begun.eq(0)]
                m.next = "SUMS"
        with m.State("SUMS"):
            m.d.comb += [self.phase.eq(Phase.WIPE), self.vector.start.eq(~begun)]
            m.d.sync += begun.eq(1)
            with m.If(self.vector.done):
                m.d.comb += self.wiped.eq(1)
                m.next = "HALTED"

    def _trap(self, m: Module, cause):
        m.d.comb += self.trapped.eq(1)
        m.d.sync += self.trap_cause.eq(cause)
        m.next = "HALTED"

    def _retire(self, m: Module, jumps):
        m.d.comb += self.retired.eq(1)
        m.d.sync += self.pc.eq(self.pc + 1)
        with m.If(jumps):
            m.d.sync += self.pc.eq(field(self.word, TARGET))
        m.next = "FETCH"

    def _decode(self, m: Module):
        """Dispatch by operation code; what matches no row of the table, sets an unused bit, or uses what is not there,
        is illegal."""
        word = self.instruction
        with m.Switch(word[OPCODE_LOW:]):
            for instruction in INSTRUCTIONS:
                with m.Case(instruction.opcode):
                    stray = (word & ~instruction.used_mask & 0xFFFF_FFFF).any()
                    with m.If(stray | self._missing(instruction) | ~self.usable):
                        self._trap(m, TrapCause.ILLEGAL)
                    with m.Else():
                        self._issue(m, instruction)
            with m.Default():
                self._trap(m, TrapCause.ILLEGAL)

    def _missing(self, instruction: Instruction):
        """LD names something to fill that no chip of this kind has. (No slot that is not there is ever valid.)"""
        slots, word = self.config.slots, self.instruction
        if instruction is LD:
            kind, place = field(word, KIND), field(word, D)
            return (kind == 3) | (kind == 2) & (place != 0) | (kind == 1) & (place >= slots)
        return 0

    def _issue(self, m: Module, instruction: Instruction):
        if instruction is HALT:
            m.d.comb += [self.halted_by.eq(1), self.retired.eq(1)]
            m.d.sync += self.halt_code.eq(field(self.instruction, CODE))
            m.next = "HALTED"
        elif instruction is SETC:
            m.d.comb += [self._counters.set.eq(1), self._counters.value.eq(field(self.instruction, COUNT))]
            self._retire(m, 0)
        elif instruction is LOOP:
            m.d.comb += self._counters.step.eq(1)
            self._retire(m, self._counters.again)
        else:
            (unit,) = (getattr(self, name) for name, executed in UNITS.items() if instruction in executed)
            m.d.comb += [unit.start.eq(1), self.started.eq(1)]
            m.next = "RUN"


def _any(values):
    """OR of values that are zero while they have nothing to say."""
    result = 0
    for value in values:
        result = result | value
    return result


def one_of(word: Value, instructions: tuple[Instruction, ...]):
    """The instruction word is one of these."""
    return _any(word[OPCODE_LOW:] == instruction.opcode for instruction in instructions)

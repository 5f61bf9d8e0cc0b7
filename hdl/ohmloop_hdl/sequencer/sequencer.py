"""The sequencer: fetch, issue, wait, retire or trap."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_BITS, EXPONENT_MAX, EXPONENT_MIN
from ohmloop_hdl.isa import CODE, HALT, INSTRUCTIONS, INV, MUL, OPCODE_BITS, OPCODE_LOW, PROG, D, Operand, S
from ohmloop_hdl.sequencer.program import PC_BITS
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.vector.banks import VECTOR_BITS


class Sequencer(wiring.Component):
    """Runs a program: one instruction at a time, from fetch to retirement, before the next is fetched.

    ``INV`` and ``MUL`` walk the source vector once into the DACs while the loop controller prepares the amplifiers,
    wait for it, and walk the result codes once into the destination. The exponent of the result is decided when the
    loop is done, before anything is written: INV: exponent of s + drive_range; MUL: exponent of s + log2 N +
    2 feedback - 4; all codes zero: zero.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    start, entry : In(1), In(8)
        Begin at program address ``entry``; ignored while running.
    halted : Out(1)
        Nothing runs.
    halted_by, trapped : Out(1)
        One clock: HALT retired; a trap was taken.
    halt_code, trap_cause : Out(8), Out(TrapCause)
        Of the last run.
    pc, instruction : Out(8), In(32)
        To and from program memory; while halted, ``pc`` is the address of the instruction that stopped the run.
    cycles : Out(32)
        Clocks from start to halt of the last run; wraps.
    index : Out
        Element within a block that is driven or stored.
    r_vector, r_exponent, w_vector, w_enable, w_exponent, w_exponent_enable
        Ports of the vector banks.
    drive : Out(1)
        The mantissas of the ``index`` of the clock before are on the banks' read port: load the DACs.
    drive_index : Out
        That index.
    array_start, array_done, array_failed
        Array controller.
    loop_start, multiply, loading, loop_done, clip_trap, settle_trap, loop_phase
        Loop controller; ``loading`` is high until the last clock of the walk into the DACs.
    nonzero, drive_range, feedback : In
        Verdict of the converter bank; ranges of the attempt that gave the result.
    phase, retired, fetched : Out
        For the trace: what the machine does; an instruction retires; its word.

    Latency
    -------
    ``docs/timing.md``: fetch and decode 2, drive N/L + 1, store N/L + 1 clocks.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        exponent = signed(EXPONENT_BITS)
        super().__init__({
            "start": In(1), "entry": In(PC_BITS), "halted": Out(1, init=1),  # type: ignore[call-arg]
            "halted_by": Out(1), "trapped": Out(1), "halt_code": Out(8), "trap_cause": Out(TrapCause),
            "pc": Out(PC_BITS), "instruction": In(32), "cycles": Out(32),
            "index": Out(range(config.block)),
            "r_vector": Out(VECTOR_BITS), "r_exponent": In(exponent),
            "w_vector": Out(VECTOR_BITS), "w_enable": Out(1),
            "w_exponent": Out(exponent), "w_exponent_enable": Out(1),
            "drive": Out(1), "drive_index": Out(range(config.block)),
            "array_start": Out(1), "array_done": In(1), "array_failed": In(1),
            "loop_start": Out(1), "multiply": Out(1), "loading": Out(1), "loop_done": In(1),
            "clip_trap": In(1), "settle_trap": In(1), "loop_phase": In(Phase),
            "nonzero": In(1), "drive_range": In(3), "feedback": In(2),
            "phase": Out(Phase), "retired": Out(1), "fetched": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        last_index = self.index == config.block - 1
        word = Signal(32)
        """The instruction in work."""

        def operand(word, which: Operand):
            return word[which.low:which.low + which.width]

        def trap(cause: TrapCause):
            m.d.comb += self.trapped.eq(1)
            m.d.sync += [self.trap_cause.eq(cause), self.halted.eq(1)]
            m.next = "HALTED"

        def retire():
            m.d.comb += self.retired.eq(1)
            m.d.sync += self.pc.eq(self.pc + 1)
            m.next = "FETCH"

        m.d.comb += [
            self.r_vector.eq(operand(word, S)),
            self.w_vector.eq(operand(word, D)),
            self.fetched.eq(word),
        ]
        m.d.sync += [self.drive.eq(0), self.drive_index.eq(self.index)]
        with m.If(~self.halted):
            m.d.sync += self.cycles.eq(self.cycles + 1)

        with m.FSM(name="sequencer"):
            with m.State("HALTED"):
                m.d.comb += self.phase.eq(Phase.IDLE)
                with m.If(self.start):
                    m.d.sync += [
                        self.halted.eq(0), self.pc.eq(self.entry), self.cycles.eq(0),
                        self.halt_code.eq(0), self.trap_cause.eq(TrapCause.NONE),
                    ]
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.phase.eq(Phase.ISSUE)
                m.next = "DECODE"
            with m.State("DECODE"):
                m.d.comb += self.phase.eq(Phase.ISSUE)
                m.d.comb += self.fetched.eq(self.instruction)
                m.d.sync += [word.eq(self.instruction), self.index.eq(0)]
                self._decode(m, trap, operand)
            with m.State("PROGRAM"):
                m.d.comb += self.phase.eq(Phase.PROGRAM)
                with m.If(self.array_done & self.array_failed):
                    trap(TrapCause.VERIFY)
                with m.Elif(self.array_done):
                    retire()
            with m.State("DRIVE"):
                m.d.comb += [self.phase.eq(Phase.DRIVE), self.loading.eq(1)]
                m.d.sync += [self.index.eq(self.index + 1), self.drive.eq(1)]
                with m.If(last_index):
                    m.d.sync += self.index.eq(0)
                    m.next = "DRIVE_LAST"
            with m.State("DRIVE_LAST"):
                m.d.comb += self.phase.eq(Phase.DRIVE)
                m.next = "LOOP"
            with m.State("LOOP"):
                m.d.comb += self.phase.eq(self.loop_phase)
                with m.If(self.loop_done):
                    self._decide_exponent(m, trap)
                with m.Elif(self.clip_trap):
                    trap(TrapCause.CLIP)
                with m.Elif(self.settle_trap):
                    trap(TrapCause.SETTLE)
            with m.State("STORE"):
                m.d.comb += [self.phase.eq(Phase.STORE), self.w_enable.eq(self.w_vector != 0)]
                m.d.sync += self.index.eq(self.index + 1)
                with m.If(last_index):
                    m.next = "STORE_LAST"
            with m.State("STORE_LAST"):
                m.d.comb += [self.phase.eq(Phase.STORE), self.w_exponent_enable.eq(1)]
                retire()
        return m

    def _decode(self, m: Module, trap, operand):
        """Dispatch by operation code; what matches no row of the table, or sets an unused bit, is illegal."""
        word = self.instruction
        with m.Switch(word[OPCODE_LOW:OPCODE_LOW + OPCODE_BITS]):
            for instruction in INSTRUCTIONS:
                with m.Case(instruction.opcode):
                    with m.If((word & ~instruction.used_mask & 0xFFFF_FFFF).any()):
                        trap(TrapCause.ILLEGAL)
                    with m.Else():
                        self._issue(m, instruction, operand(word, CODE))
            with m.Default():
                trap(TrapCause.ILLEGAL)

    def _issue(self, m: Module, instruction, halt_code):
        if instruction is HALT:
            m.d.comb += [self.halted_by.eq(1), self.retired.eq(1)]
            m.d.sync += [self.halt_code.eq(halt_code), self.halted.eq(1)]
            m.next = "HALTED"
        elif instruction is PROG:
            m.d.comb += self.array_start.eq(1)
            m.next = "PROGRAM"
        elif instruction in (INV, MUL):
            m.d.comb += self.loop_start.eq(1)
            m.d.sync += self.multiply.eq(instruction is MUL)
            m.next = "DRIVE"

    def _decide_exponent(self, m: Module, trap):
        """Exponent of the result, while the ranges that gave it still stand."""
        log2_size = (self.config.size - 1).bit_length()
        shift = Mux(self.multiply, log2_size - 4 + 2 * self.feedback, self.drive_range)
        exponent = Signal(signed(EXPONENT_BITS + 2))
        m.d.comb += exponent.eq(self.r_exponent + shift)
        m.d.sync += self.w_exponent.eq(Mux(self.nonzero & (exponent > EXPONENT_MIN), exponent, EXPONENT_MIN))
        m.next = "STORE"
        with m.If(self.nonzero & (exponent > EXPONENT_MAX)):
            trap(TrapCause.RANGE)

"""The loop unit: executes ``INV`` and ``MUL`` from a vector to a vector."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_BITS, EXPONENT_MAX, EXPONENT_MIN, MANTISSA_BITS
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.sequencer.unit import Unit
from ohmloop_hdl.vector.banks import VectorRead, VectorWrite


class LoopUnit(wiring.Component):
    """Walks a vector into the DACs while the amplifiers are prepared, waits for the loop, walks the codes out.

    The walk in also reads the correction words that the walk out will use, so that a word with wrong parity stops the
    instruction before the loop is closed. Exponent of the result: INV: exponent of s + drive_range; MUL: exponent of
    s + log2 N + 2 feedback - 4; all corrected codes zero: zero. Where that exponent is above the largest, no mantissa
    is written on the walk out, and it ends in a fault unless all codes turn out zero. ::

        DRIVE -> DRIVE_LAST -> LOOP -> STORE -> STORE_LAST

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    control : In(Unit)
        Start and end; faults PARITY, RANGE, CLIP, SETTLE.
    multiply, calibrate, d, s : In
        ``MUL``; drive zero and keep the codes as offsets; the vectors.
    vector_size : In
        Elements that count.
    read, write : Out(VectorRead), Out(VectorWrite)
        Vector registers.
    drive, drive_index, drive_zero : Out
        The mantissas of element ``drive_index`` are on the read port: load the DACs; with zero.
    index : Out
        Element that is read from the correction memory.
    parity_error : In(1)
        The correction words of the clock before's ``index`` are wrong.
    store_index : Out
        Element whose codes are corrected in this clock.
    corrected : In(lanes x signed(adc_bits))
        The corrected codes.
    keep : Out(1)
        Keep the codes of ``store_index`` as offsets.
    loop_start, loading, loop_done, clip_trap, settle_trap, loop_phase
        Loop controller; ``loading`` is high until the last clock of the walk in.
    drive_range, feedback : In
        Ranges of the attempt that gave the result.

    Latency
    -------
    N/L + 1 clocks for the walk in, as many for the walk out; between them the loop controller.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        codes = data.ArrayLayout(signed(config.adc_bits), config.lanes)
        index = range(config.block)
        super().__init__({
            "control": In(Unit()),
            "multiply": In(1), "calibrate": In(1), "d": In(4), "s": In(4), "vector_size": In(range(config.size + 1)),
            "read": Out(VectorRead(config)), "write": Out(VectorWrite(config)),
            "drive": Out(1), "drive_index": Out(index), "drive_zero": Out(1),
            "index": Out(index), "parity_error": In(1),
            "store_index": Out(index), "corrected": In(codes), "keep": Out(1),
            "loop_start": Out(1), "loading": Out(1), "loop_done": In(1), "clip_trap": In(1), "settle_trap": In(1),
            "loop_phase": In(Phase),
            "drive_range": In(3), "feedback": In(2),
        })

    def elaborate(self, platform):
        m = Module()
        control = self.control
        last_index = self.index == self.config.block - 1
        too_large, self.walks_out = Signal(), Signal()

        m.d.comb += [
            self.read.vector.eq(self.s),
            self.read.index.eq(self.index),
            self.drive_zero.eq(self.read.zero | self.calibrate),
        ]
        m.d.sync += [self.drive.eq(0), self.drive_index.eq(self.index)]
        nonzero = self._write(m, too_large)

        def fault(cause: TrapCause):
            m.d.comb += control.fault.eq(cause)
            m.next = "IDLE"

        with m.FSM(name="loop_unit"):
            with m.State("IDLE"):
                m.d.sync += self.index.eq(0)
                with m.If(control.start):
                    m.d.comb += self.loop_start.eq(1)
                    m.next = "DRIVE"
            with m.State("DRIVE"):
                m.d.comb += [control.phase.eq(Phase.DRIVE), self.loading.eq(1), self.read.enable.eq(1)]
                m.d.sync += [self.index.eq(self.index + 1), self.drive.eq(1)]
                with m.If(last_index):
                    m.d.sync += self.index.eq(0)
                    m.next = "DRIVE_LAST"
                with m.If(self.drive & self.parity_error & ~self.calibrate):
                    fault(TrapCause.PARITY)
            with m.State("DRIVE_LAST"):
                m.d.comb += control.phase.eq(Phase.DRIVE)
                m.next = "LOOP"
                with m.If(self.parity_error & ~self.calibrate):
                    fault(TrapCause.PARITY)
            with m.State("LOOP"):
                m.d.comb += control.phase.eq(self.loop_phase)
                with m.If(self.loop_done):
                    self._decide_exponent(m, too_large)
                    m.next = "STORE"
                with m.Elif(self.clip_trap):
                    fault(TrapCause.CLIP)
                with m.Elif(self.settle_trap):
                    fault(TrapCause.SETTLE)
            with m.State("STORE"):
                m.d.comb += [control.phase.eq(Phase.STORE), control.safe.eq(1), self.walks_out.eq(1)]
                m.d.sync += self.index.eq(self.index + 1)
                with m.If(last_index):
                    m.next = "STORE_LAST"
            with m.State("STORE_LAST"):
                m.d.comb += [control.phase.eq(Phase.STORE), control.safe.eq(1)]
                m.next = "IDLE"
                with m.If(too_large & nonzero & ~self.calibrate):
                    fault(TrapCause.RANGE)
                with m.Else():
                    m.d.comb += [control.done.eq(1), self.write.exponent_enable.eq(~self.calibrate)]
        return m

    def _write(self, m: Module, too_large: Signal):
        """The half of the walk out that is a clock behind ``index``; whether any code so far is not zero."""
        config, write = self.config, self.write
        storing, seen, exponent = Signal(), Signal(), Signal(signed(EXPONENT_BITS))
        self.exponent = exponent
        m.d.sync += [self.store_index.eq(self.index), storing.eq(self.walks_out)]
        m.d.comb += [
            write.vector.eq(self.d),
            write.index.eq(self.store_index),
            write.enable.eq(storing & ~too_large & ~self.calibrate),
            self.keep.eq(storing & self.calibrate),
        ]
        any_code = Signal()
        for lane in range(config.lanes):
            counts = lane * config.block + self.store_index < self.vector_size
            code = Mux(counts, self.corrected[lane], 0)
            m.d.comb += write.mantissas[lane].eq(code << (MANTISSA_BITS - config.adc_bits))
            with m.If(code.any()):
                m.d.comb += any_code.eq(1)
        m.d.sync += seen.eq((seen | any_code) & storing)
        nonzero = seen | any_code
        m.d.comb += write.exponent.eq(Mux(nonzero, exponent, EXPONENT_MIN))
        return nonzero

    def _decide_exponent(self, m: Module, too_large: Signal):
        """Exponent of the result, while the ranges that gave it still stand."""
        log2_size = (self.config.size - 1).bit_length()
        shift = Mux(self.multiply, log2_size - 4 + 2 * self.feedback, self.drive_range)
        exponent = Signal(signed(EXPONENT_BITS + 2))
        m.d.comb += exponent.eq(self.read.exponent + shift)
        m.d.sync += [
            self.exponent.eq(Mux(exponent > EXPONENT_MIN, exponent, EXPONENT_MIN)),
            too_large.eq(exponent > EXPONENT_MAX),
        ]

"""The chip: wires the blocks together, nothing else."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ohmloop_hdl.array.bad_cells import BadCellMap
from ohmloop_hdl.array.codes import CodeMemory
from ohmloop_hdl.array.controller import ArrayController
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.convert.bank import ConverterBank
from ohmloop_hdl.drive.dac import DacBank
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import MANTISSA_BITS
from ohmloop_hdl.host.axil import AxiLite, AxiLiteTarget
from ohmloop_hdl.host.registers import RegisterBank
from ohmloop_hdl.host.windows import Windows
from ohmloop_hdl.loop.controller import LoopController
from ohmloop_hdl.loop.ranging import Ranging
from ohmloop_hdl.macro.pins import MacroPins
from ohmloop_hdl.sequencer.program import PC_BITS, ProgramMemory
from ohmloop_hdl.sequencer.sequencer import Sequencer
from ohmloop_hdl.vector.banks import VectorBanks


class Trace(wiring.Signature):
    """What happens inside, for simulation and debug; nothing depends on it.

    Members
    -------
    phase : Out(3)
        What the machine is doing (:class:`ohmloop_hdl.events.Phase`).
    retired, pc, instruction : Out(1), Out(8), Out(32)
        An instruction retires in this clock; it and its address.
    converted, mux, codes : Out(1), Out, Out
        The converters store codes in this clock; which outputs; the codes, converter 0 in the low bits.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "phase": Out(Phase),
            "retired": Out(1),
            "pc": Out(PC_BITS),
            "instruction": Out(32),
            "converted": Out(1),
            "mux": Out(config.mux_bits),
            "codes": Out(config.adcs * config.adc_bits),
        })


class Chip(wiring.Component):
    """The digital half of the chip with its three boundaries: host bus, macro, trace.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths of every block.

    Members
    -------
    axil : In(AxiLite)
        Host bus.
    interrupt : Out(1)
        Level; see INTR_STATE.
    macro : Out(MacroPins)
        Analogue macro.
    trace : Out(Trace)
        For simulation and debug.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "axil": In(AxiLite()),
            "interrupt": Out(1),
            "macro": Out(MacroPins(config)),
            "trace": Out(Trace(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        abort = Signal()
        soft_reset = ResetInserter(abort)
        self.host = m.submodules.host = AxiLiteTarget()
        self.windows = m.submodules.windows = Windows(config)
        self.registers = m.submodules.registers = RegisterBank(config)
        self.program = m.submodules.program = ProgramMemory()
        self.sequencer = Sequencer(config)
        m.submodules.sequencer = soft_reset(self.sequencer)
        self.vectors = m.submodules.vectors = VectorBanks(config)
        self.codes = m.submodules.codes = CodeMemory(config)
        self.array = ArrayController(config)
        m.submodules.array = soft_reset(self.array)
        self.bad_cells = m.submodules.bad_cells = BadCellMap(config)
        self.dacs = m.submodules.dacs = DacBank(config)
        self.loop = LoopController(config)
        m.submodules.loop = soft_reset(self.loop)
        self.ranging = m.submodules.ranging = Ranging(config)
        self.converters = ConverterBank(config)
        m.submodules.converters = soft_reset(self.converters)
        m.d.comb += abort.eq(self.registers.value["CONTROL.abort"])
        self.loop_size = self._size(m, "loop_size", config.size)
        self.vector_size = self._size(m, "vector_size", self.loop_size)

        self._host(m)
        self._instructions(m)
        self._array(m)
        self._loop(m)
        self._trace(m)
        return m

    def _size(self, m: Module, name: str, limit: int | Signal) -> Signal:
        """A size register, cut to ``limit``: an element outside the loop is no result, for nothing judges it."""
        value = self.registers.value[f"SIZES.{name}"]
        signal = Signal(range(self.config.size + 1), name=name)
        m.d.comb += signal.eq(Mux(value > limit, limit, value))
        return signal

    def _host(self, m: Module):
        windows, registers, sequencer = self.windows, self.registers, self.sequencer
        connect(m, self.host.axil, flipped(self.axil))
        connect(m, self.host.bus, windows.bus)
        connect(m, windows.registers, registers.bus)
        connect(m, windows.program, self.program.window)
        connect(m, windows.mantissas, self.vectors.mantissa_window)
        connect(m, windows.exponents, self.vectors.exponent_window)
        connect(m, windows.codes, self.codes.window)
        connect(m, windows.bad_map, self.bad_cells.window)
        drive, value = registers.drive, registers.value
        m.d.comb += [
            windows.halted.eq(sequencer.halted),
            registers.writable.eq(sequencer.halted),
            self.interrupt.eq(registers.interrupt),
            drive["INTR_STATE.done"].eq(sequencer.halted_by | value["INTR_TEST.done"]),
            drive["INTR_STATE.trap"].eq(sequencer.trapped | value["INTR_TEST.trap"]),
            drive["STATUS.halted"].eq(sequencer.halted),
            drive["STATUS.loop_closed"].eq(self.loop.closed),
            drive["STATUS.pc"].eq(sequencer.pc),
            drive["STATUS.halt_code"].eq(sequencer.halt_code),
            drive["STATUS.trap"].eq(sequencer.trap_cause),
            drive["CYCLES.count"].eq(sequencer.cycles),
            drive["BAD_CELLS.count"].eq(self.array.bad_count),
        ]

    def _instructions(self, m: Module):
        sequencer, vectors, value = self.sequencer, self.vectors, self.registers.value
        shift = MANTISSA_BITS - self.config.adc_bits
        m.d.comb += [
            sequencer.start.eq(value["CONTROL.start"]),
            sequencer.entry.eq(value["ENTRY.pc"]),
            self.program.pc.eq(sequencer.pc),
            sequencer.instruction.eq(self.program.instruction),
            vectors.r_vector.eq(sequencer.r_vector),
            vectors.r_index.eq(sequencer.index),
            sequencer.r_exponent.eq(vectors.r_exponent),
            vectors.w_vector.eq(sequencer.w_vector),
            vectors.w_index.eq(sequencer.index),
            vectors.w_enable.eq(sequencer.w_enable),
            vectors.w_exponent.eq(sequencer.w_exponent),
            vectors.w_exponent_enable.eq(sequencer.w_exponent_enable),
            self.converters.index.eq(sequencer.index),
        ]
        for lane in range(self.config.lanes):
            counts = lane * self.config.block + sequencer.index < self.vector_size
            m.d.comb += vectors.w_mantissas[lane].eq(Mux(counts, self.converters.codes[lane] << shift, 0))

    def _array(self, m: Module):
        array, value, macro = self.array, self.registers.value, self.macro
        m.d.comb += [
            array.start.eq(self.sequencer.array_start),
            self.sequencer.array_done.eq(array.done),
            self.sequencer.array_failed.eq(array.failed),
            array.write_cycles.eq(value["ARRAY.write_cycles"]),
            array.retries.eq(value["ARRAY.retries"]),
            array.bad_limit.eq(value["ARRAY.bad_limit"]),
            self.codes.row.eq(array.code_row),
            self.codes.word.eq(array.code_word),
            array.codes.eq(self.codes.codes),
            self.bad_cells.write.eq(array.map_write),
            self.bad_cells.row.eq(array.map_row),
            self.bad_cells.bad.eq(array.map_bad),
            macro.row.eq(array.row),
            macro.plane.eq(array.plane),
            macro.write.eq(array.write),
            macro.write_data.eq(array.write_data),
            macro.read.eq(array.read),
            array.sense.eq(macro.sense),
        ]

    def _loop(self, m: Module):
        sequencer, loop, converters = self.sequencer, self.loop, self.converters
        ranging, registers, macro = self.ranging, self.registers, self.macro
        value = registers.value
        m.d.comb += [
            self.dacs.enable.eq(sequencer.drive),
            self.dacs.index.eq(sequencer.drive_index),
            self.dacs.mantissas.eq(self.vectors.r_mantissas),
            self.dacs.zero.eq(self.vectors.r_zero),
            self.dacs.vector_size.eq(self.vector_size),
            macro.dac.eq(self.dacs.dac),

            loop.start.eq(sequencer.loop_start),
            loop.multiply.eq(sequencer.multiply),
            loop.loading.eq(sequencer.loading),
            sequencer.loop_done.eq(loop.done),
            sequencer.clip_trap.eq(loop.clip_trap),
            sequencer.settle_trap.eq(loop.settle_trap),
            sequencer.loop_phase.eq(loop.phase),
            loop.interval.eq(
                Mux(sequencer.multiply, value["MULTIPLY_INTERVAL.clocks"], value["SOLVE_INTERVAL.clocks"])),
            loop.timeout.eq(value["TIMEOUT.clocks"]),
            loop.dead_cycles.eq(value["SWITCHES.dead"]),
            loop.autozero_cycles.eq(value["SWITCHES.autozero"]),
            loop.loop_size.eq(self.loop_size),
            loop.agree.eq(converters.agree),
            loop.converted.eq(converters.done),
            loop.exhausted.eq(ranging.exhausted),
            loop.clipped.eq(macro.clipped),
            macro.autozero.eq(loop.autozero),
            macro.close_solve.eq(loop.close_solve),
            macro.close_multiply.eq(loop.close_multiply),
            macro.sample.eq(loop.sample),
            macro.bandwidth.eq(value["BANDWIDTH.k"]),

            converters.start.eq(loop.convert),
            converters.tolerance.eq(value["TOLERANCE.lsb"]),
            converters.loop_size.eq(self.loop_size),
            converters.vector_size.eq(self.vector_size),
            converters.above.eq(macro.above),
            macro.mux.eq(converters.mux),
            macro.trial.eq(converters.trial),
            sequencer.nonzero.eq(converters.nonzero),

            ranging.multiply.eq(sequencer.multiply),
            ranging.clip.eq(loop.clip),
            ranging.finish.eq(loop.done),
            ranging.peak.eq(converters.peak),
            ranging.drive_range.eq(value["RANGES.drive_range"]),
            ranging.feedback.eq(value["RANGES.feedback"]),
            registers.drive["RANGES.drive_range"].eq(ranging.next_drive_range),
            registers.drive["RANGES.feedback"].eq(ranging.next_feedback),
            registers.load["RANGES.drive_range"].eq(loop.closed),
            registers.load["RANGES.feedback"].eq(loop.closed),
            macro.drive_range.eq(value["RANGES.drive_range"]),
            macro.feedback.eq(value["RANGES.feedback"]),
            sequencer.drive_range.eq(value["RANGES.drive_range"]),
            sequencer.feedback.eq(value["RANGES.feedback"]),
        ]

    def _trace(self, m: Module):
        m.d.comb += [
            self.trace.phase.eq(self.sequencer.phase),
            self.trace.retired.eq(self.sequencer.retired),
            self.trace.pc.eq(self.sequencer.pc),
            self.trace.instruction.eq(self.sequencer.fetched),
            self.trace.converted.eq(self.converters.stored),
            self.trace.mux.eq(self.converters.mux),
            self.trace.codes.eq(self.converters.latest),
        ]

"""The chip: wires the blocks together, nothing else."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ohmloop_hdl.array.bad_cells import BadCellMap
from ohmloop_hdl.array.codes import CodeMemory
from ohmloop_hdl.array.controller import ArrayController
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.convert.bank import ConverterBank
from ohmloop_hdl.convert.correct import Correction
from ohmloop_hdl.drive.dac import DacBank
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_BITS, MANTISSA_BITS
from ohmloop_hdl.host.axil import AxiLite, AxiLiteTarget
from ohmloop_hdl.host.counters import EventCounters
from ohmloop_hdl.host.registers import RegisterBank
from ohmloop_hdl.host.spi import Spi, SpiTarget
from ohmloop_hdl.host.stream import AxiStream, StreamBuffer, StreamUnit
from ohmloop_hdl.host.windows import Windows
from ohmloop_hdl.host.wishbone import Wishbone, WishboneTarget
from ohmloop_hdl.isa import (
    BLE,
    CAL,
    DK,
    DOT,
    IK,
    IMM,
    INV,
    JK,
    KIND,
    MAT,
    MUL,
    NEGATE,
    SCRUB,
    SLOT,
    ST,
    STREAM,
    A,
    D,
    K,
    S,
)
from ohmloop_hdl.loop.controller import LoopController
from ohmloop_hdl.loop.ranging import Ranging
from ohmloop_hdl.loop.unit import LoopUnit
from ohmloop_hdl.macro.pins import BANDWIDTHS, MacroPins
from ohmloop_hdl.sequencer.program import PC_BITS, ProgramMemory
from ohmloop_hdl.sequencer.sequencer import Sequencer, field, one_of
from ohmloop_hdl.sequencer.valid import Validity
from ohmloop_hdl.vector.banks import VectorBanks
from ohmloop_hdl.vector.scalar import ScalarUnit
from ohmloop_hdl.vector.slots import SlotMemory
from ohmloop_hdl.vector.unit import VectorOperation, VectorUnit

HOSTS: dict[str, tuple[Callable[[], wiring.Signature], Callable[[], Any]]] = {
    "axil": (AxiLite, AxiLiteTarget),
    "wishbone": (Wishbone, WishboneTarget),
    "spi": (Spi, SpiTarget),
}
"""Host buses by the name of their port, each with the target that answers on it."""


class Trace(wiring.Signature):
    """What happens inside, for simulation and debug; nothing depends on it.

    Members
    -------
    phase : Out(4)
        What the machine is doing (:class:`ohmloop_hdl.events.Phase`).
    retired, pc, instruction : Out(1), Out(8), Out(32)
        An instruction retires in this clock; it and its address.
    cycles : Out(32)
        Clocks of the run before this one.
    write, index, mantissas : Out(1), Out, Out
        An instruction writes element ``index`` of every lane's block, lane 0 in the low bits.
    finished, exponent, scalar : Out(1), Out(10), Out(24)
        The exponent of a vector or scalar is written, with the scalar's mantissa: the end of a result.
    converted, mux, codes : Out(1), Out, Out
        The converters store codes in this clock; which outputs; the codes, converter 0 in the low bits.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "phase": Out(Phase),
            "retired": Out(1),
            "pc": Out(PC_BITS),
            "instruction": Out(32),
            "cycles": Out(32),
            "write": Out(1),
            "index": Out(range(config.block)),
            "mantissas": Out(config.lanes * MANTISSA_BITS),
            "finished": Out(1),
            "exponent": Out(EXPONENT_BITS),
            "scalar": Out(ELEMENT_BITS),
            "converted": Out(1),
            "mux": Out(config.mux_bits),
            "codes": Out(config.adcs * config.adc_bits),
        })


class Chip(wiring.Component):
    """The digital half of the chip with its boundaries: host bus, streams, macro, trace.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths of every block.
    host : str
        Host bus, a key of :data:`HOSTS`.

    Members
    -------
    axil, or wishbone, or spi : In
        Host bus.
    source, sink : In(AxiStream), Out(AxiStream)
        Streams in and out.
    interrupt : Out(1)
        Level; see INTR_STATE.
    macro : Out(MacroPins)
        Analogue macro.
    trace : Out(Trace)
        For simulation and debug.
    """

    def __init__(self, config: ChipConfig, host: str = "axil"):
        self.config, self.host = config, host
        super().__init__({
            host: In(HOSTS[host][0]()),
            "source": In(AxiStream()),
            "sink": Out(AxiStream()),
            "interrupt": Out(1),
            "macro": Out(MacroPins(config)),
            "trace": Out(Trace(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        stop, abort, wiping = Signal(), Signal(), Signal(init=1)
        """A unit is stopped; so is the program; memories are being wiped, which reset begins with."""
        self.wiping, self.abort = wiping, abort

        def stopped(component):
            return ResetInserter(stop)(component)

        self.windows = m.submodules.windows = Windows(config)
        self.registers = m.submodules.registers = RegisterBank(config)
        self.counters = m.submodules.counters = EventCounters(self._most(config))
        self.streams_in = m.submodules.streams_in = StreamBuffer(config)
        self.streams_out = m.submodules.streams_out = StreamBuffer(config)
        self.program = m.submodules.program = ProgramMemory()
        self.valid = m.submodules.valid = Validity(config)
        self.sequencer = Sequencer(config, self.windows.wipe_words)
        m.submodules.sequencer = ResetInserter(abort)(self.sequencer)
        self.vectors = m.submodules.vectors = VectorBanks(config)
        self.slots = m.submodules.slots = SlotMemory(config)
        self.codes = m.submodules.codes = CodeMemory(config)
        self.bad_cells = m.submodules.bad_cells = BadCellMap(config)
        self.dacs = DacBank(config)
        m.submodules.dacs = ResetInserter(wiping)(self.dacs)
        self.correction = m.submodules.correction = Correction(config)
        self.ranging = m.submodules.ranging = Ranging(config)
        self.vector_unit, self.scalar_unit = VectorUnit(config), ScalarUnit()
        self.loop_unit, self.loop, self.converters = LoopUnit(config), LoopController(config), ConverterBank(config)
        self.array, self.stream = ArrayController(config), StreamUnit(config)
        m.submodules.vector_unit = stopped(self.vector_unit)
        m.submodules.scalar_unit = stopped(self.scalar_unit)
        m.submodules.loop_unit = stopped(self.loop_unit)
        m.submodules.loop = stopped(self.loop)
        m.submodules.converters = stopped(self.converters)
        m.submodules.array = stopped(self.array)
        m.submodules.stream = stopped(self.stream)

        value, sequencer = self.registers.value, self.sequencer
        m.d.comb += [
            abort.eq(value["CONTROL.zeroize"] | value["CONTROL.abort"] & ~wiping),
            stop.eq(abort | sequencer.trapped),
        ]
        with m.If(value["CONTROL.zeroize"]):
            m.d.sync += wiping.eq(1)
        with m.Elif(sequencer.wiped):
            m.d.sync += wiping.eq(0)
        self.loop_size = self._size(m, "loop_size", config.size)
        self.vector_size = self._size(m, "vector_size", self.loop_size)

        self._host(m)
        self._memories(m)
        self._sequencer(m)
        self._vector(m)
        self._streams(m)
        self._array(m)
        self._loop(m)
        self._events(m)
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
        target = m.submodules.host = HOSTS[self.host][1]()
        connect(m, getattr(target, self.host), flipped(getattr(self, self.host)))
        connect(m, target.bus, windows.bus)
        connect(m, windows.registers, registers.bus)
        drive, value = registers.drive, registers.value
        m.d.comb += [
            windows.halted.eq(sequencer.halted),
            windows.locked.eq(value["LOCK.matrices"]),
            windows.wipe.eq(sequencer.wipe),
            windows.wipe_address.eq(sequencer.wipe_address),
            registers.writable.eq(sequencer.halted),
            self.interrupt.eq(registers.interrupt),
            # What ends in the clock of an abort is aborted.
            drive["INTR_STATE.done"].eq(sequencer.halted_by & ~self.abort | value["INTR_TEST.done"]),
            drive["INTR_STATE.trap"].eq(sequencer.trapped & ~self.abort | value["INTR_TEST.trap"]),
            drive["INTR_STATE.wiped"].eq(sequencer.wiped & ~self.abort | value["INTR_TEST.wiped"]),
            drive["STATUS.halted"].eq(sequencer.halted),
            drive["STATUS.loop_closed"].eq(self.loop.closed),
            drive["STATUS.busy"].eq(self.wiping),
            drive["STATUS.pc"].eq(sequencer.pc),
            drive["STATUS.halt_code"].eq(sequencer.halt_code),
            drive["STATUS.trap"].eq(sequencer.trap_cause),
            drive["CYCLES.count"].eq(sequencer.cycles),
            drive["STREAM_WAITS.count"].eq(sequencer.waits),
            drive["BAD_CELLS.count"].eq(Mux(self.wiping, 0, self.array.bad_count)),
            drive["REPAIRS.count"].eq(Mux(self.wiping, 0, self.array.repairs)),
            drive["VALID.slots"].eq(self.valid.slots),
            drive["VALID.codes"].eq(self.valid.codes),
            drive["VALID.arrays"].eq(self.valid.arrays),
        ]

    def _memories(self, m: Module):
        """Every window's memory."""
        windows, bad_parity = self.windows, self.registers.value["TEST.bad_parity"] & self.sequencer.halted
        for window, port in (
                (windows.program, self.program.window), (windows.mantissas, self.vectors.mantissa_window),
                (windows.exponents, self.vectors.exponent_window), (windows.codes, self.codes.window),
                (windows.bad_map, self.bad_cells.window), (windows.slots, self.slots.window),
                (windows.scalar_mantissas, self.scalar_unit.mantissa_window),
                (windows.scalar_exponents, self.scalar_unit.exponent_window),
                (windows.offsets, self.correction.offsets), (windows.gains, self.correction.gains)):
            connect(m, window, port)
        for memory in (self.program, self.codes, self.slots, self.correction):
            m.d.comb += memory.bad_parity.eq(bad_parity)

    def _sequencer(self, m: Module):
        sequencer, value, valid = self.sequencer, self.registers.value, self.valid
        for control, unit in ((sequencer.vector, self.vector_unit), (sequencer.scalar, self.scalar_unit),
                              (sequencer.loop, self.loop_unit), (sequencer.array, self.array),
                              (sequencer.stream, self.stream)):
            connect(m, control, unit.control)
        m.d.comb += [
            sequencer.start.eq(value["CONTROL.start"]),
            sequencer.entry.eq(value["ENTRY.pc"]),
            sequencer.clear.eq(value["CONTROL.clear"]),
            sequencer.wiping.eq(self.wiping),
            sequencer.watchdog.eq(value["WATCHDOG.clocks"]),
            sequencer.taken.eq(self.scalar_unit.taken),
            self.program.pc.eq(sequencer.pc),
            sequencer.instruction.eq(self.program.instruction),
            sequencer.parity_error.eq(self.program.parity_error),
            valid.written.eq(self.windows.written),
            valid.number.eq(self.windows.number),
            valid.address.eq(self.windows.address),
            valid.instruction.eq(sequencer.word),
            valid.started.eq(sequencer.started),
            valid.retired.eq(sequencer.retired),
            valid.writes.eq(self.array.write),
            valid.wipe.eq(self.wiping),
            sequencer.usable.eq(valid.usable),
        ]

    def _vector(self, m: Module):
        unit, scalar, word = self.vector_unit, self.scalar_unit, self.sequencer.word
        operation = Mux(self._is(MAT), VectorOperation.MAT, Mux(self._is(DOT), VectorOperation.DOT,
                                                               VectorOperation.AXPY))
        m.d.comb += [
            unit.operation.eq(operation),
            unit.negate.eq(field(word, NEGATE)),
            unit.d.eq(field(word, D)),
            unit.a.eq(field(word, A)),
            unit.sv.eq(field(word, S)),
            unit.k.eq(field(word, K)),
            unit.slot.eq(field(word, SLOT)),
            unit.vector_size.eq(self.vector_size),
            scalar.compare.eq(self._is(BLE)),
            scalar.i.eq(field(word, IK)),
            scalar.j.eq(field(word, JK)),
            scalar.d.eq(field(word, DK)),
            scalar.imm.eq(field(word, IMM)),
        ]
        connect(m, unit.read_a, self.vectors.a)
        connect(m, unit.slots, self.slots.read)
        connect(m, unit.read_k, scalar.k)
        connect(m, unit.write_k, scalar.w)
        # Only one unit works at a time: the others' ports are told apart by the instruction.
        with m.If(self._is(INV, MUL)):
            connect(m, self.loop_unit.read, self.vectors.s)
            connect(m, self.loop_unit.write, self.vectors.w)
        with m.Else():
            connect(m, unit.read_s, self.vectors.s)
            connect(m, unit.write, self.vectors.w)

    def _is(self, *instructions):
        """The instruction in work is one of these."""
        return one_of(self.sequencer.word, instructions)

    def _streams(self, m: Module):
        stream, word, value = self.stream, self.sequencer.word, self.registers.value
        connect(m, flipped(self.source), self.streams_in.into)
        connect(m, self.streams_in.out, stream.source)
        connect(m, stream.sink, self.streams_out.into)
        connect(m, self.streams_out.out, flipped(self.sink))
        connect(m, stream.memory, self.windows.inside)
        for buffer in (self.streams_in, self.streams_out):
            m.d.comb += [
                buffer.flush.eq(value["CONTROL.flush"] & self.sequencer.halted),
                buffer.wipe.eq(self.wiping),
            ]
        m.d.comb += [
            stream.store.eq(self._is(ST)),
            stream.kind.eq(field(word, KIND)),
            stream.vector.eq(Mux(stream.store, field(word, S), field(word, D))),
            stream.row_start.eq(self.array.row_start),
            stream.row.eq(self.array.code_row),
            self.array.row_done.eq(stream.row_done),
        ]

    def _array(self, m: Module):
        array, value, macro = self.array, self.registers.value, self.macro
        m.d.comb += [
            array.scrub.eq(self._is(SCRUB)),
            array.refill.eq(field(self.sequencer.word, STREAM) & ~self._is(SCRUB)),
            array.write_cycles.eq(value["ARRAY.write_cycles"]),
            array.retries.eq(value["ARRAY.retries"]),
            array.bad_limit.eq(value["ARRAY.bad_limit"]),
            self.codes.row.eq(array.code_row),
            self.codes.word.eq(array.code_word),
            array.codes.eq(self.codes.codes),
            array.parity_error.eq(self.codes.parity_error),
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
        unit, loop, converters, correction = self.loop_unit, self.loop, self.converters, self.correction
        ranging, registers, macro = self.ranging, self.registers, self.macro
        value, word = registers.value, self.sequencer.word
        moves = loop.closed & ~self.sequencer.trapped
        m.d.comb += [
            unit.multiply.eq(self._is(MUL)),
            unit.calibrate.eq(self._is(INV) & field(word, CAL)),
            unit.d.eq(field(word, D)),
            unit.s.eq(field(word, S)),
            unit.vector_size.eq(self.vector_size),
            unit.drive_range.eq(value["RANGES.drive_range"]),
            unit.feedback.eq(value["RANGES.feedback"]),
            unit.loop_done.eq(loop.done),
            unit.clip_trap.eq(loop.clip_trap),
            unit.settle_trap.eq(loop.settle_trap),
            unit.loop_phase.eq(loop.phase),

            self.dacs.enable.eq(unit.drive),
            self.dacs.index.eq(unit.drive_index),
            self.dacs.mantissas.eq(self.vectors.s.mantissas),
            self.dacs.zero.eq(unit.drive_zero),
            self.dacs.vector_size.eq(self.vector_size),
            macro.dac.eq(self.dacs.dac),

            correction.index.eq(unit.index),
            correction.codes.eq(converters.codes),
            correction.multiply.eq(unit.multiply),
            correction.keep.eq(unit.keep),
            correction.keep_index.eq(unit.store_index),
            unit.corrected.eq(correction.corrected),
            unit.parity_error.eq(correction.parity_error),

            loop.start.eq(unit.loop_start),
            loop.multiply.eq(unit.multiply),
            loop.loading.eq(unit.loading),
            loop.interval.eq(
                Mux(unit.multiply, value["MULTIPLY_INTERVAL.clocks"], value["SOLVE_INTERVAL.clocks"])),
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
            converters.index.eq(unit.store_index),
            converters.wipe.eq(self.sequencer.wipe),
            converters.wipe_address.eq(self.sequencer.wipe_address),
            converters.above.eq(macro.above),
            macro.mux.eq(converters.mux),
            macro.trial.eq(converters.trial),

            ranging.multiply.eq(unit.multiply),
            ranging.clip.eq(loop.clip),
            ranging.finish.eq(loop.done & ~unit.calibrate),
            ranging.peak.eq(converters.peak),
            ranging.drive_range.eq(value["RANGES.drive_range"]),
            ranging.feedback.eq(value["RANGES.feedback"]),
            registers.drive["RANGES.drive_range"].eq(ranging.next_drive_range),
            registers.drive["RANGES.feedback"].eq(ranging.next_feedback),
            registers.load["RANGES.drive_range"].eq(moves),
            registers.load["RANGES.feedback"].eq(moves),
            macro.drive_range.eq(value["RANGES.drive_range"]),
            macro.feedback.eq(value["RANGES.feedback"]),
        ]

    @staticmethod
    def _most(config: ChipConfig) -> dict[Event, int]:
        """How often each event can happen in one clock."""
        wide = {Event.DAC_UPDATED, Event.MULTIPLIED, Event.VECTOR_WRITTEN, Event.SLOT_READ, Event.CODE_READ}
        most = {event: config.lanes if event in wide else 1 for event in Event}
        return most | {Event.CONVERTED: config.adcs, Event.VECTOR_READ: 2 * config.lanes}

    def _events(self, m: Module):
        """Each event by what shows it."""
        amount, lanes, array, loop = self.counters.amount, self.config.lanes, self.array, self.loop
        was_write, was_closed = Signal(), Signal()
        m.d.sync += [was_write.eq(array.write), was_closed.eq(loop.closed)]
        reads = (self.vectors.a.enable.as_unsigned() + self.vectors.s.enable) * lanes
        k = self.registers.value["BANDWIDTH.k"]
        moved = ((self.ranging.next_drive_range != self.ranging.drive_range)
                 | (self.ranging.next_feedback != self.ranging.feedback))
        stream = self.stream
        shows = {
            Event.ROW_WRITTEN: array.write & ~was_write,
            Event.ROW_READ: array.read,
            Event.ROW_REWRITTEN: array.rewritten,
            Event.DAC_UPDATED: Mux(self.dacs.enable, lanes, 0),
            Event.LOOP_CLOSED: loop.closed & ~was_closed,
            Event.SAMPLED: loop.sample,
            Event.CONVERTED: Mux(self.converters.stored, self.config.adcs, 0),
            Event.CLIPPED: loop.clip,
            Event.RANGE_MOVED: moved & loop.closed & ~self.sequencer.trapped,
            Event.MULTIPLIED: Mux(self.vector_unit.multiplying, lanes, 0),
            Event.VECTOR_READ: reads,
            Event.VECTOR_WRITTEN: Mux(self.vectors.w.enable, lanes, 0),
            Event.SLOT_READ: Mux(self.slots.read.enable, lanes, 0),
            Event.CODE_READ: Mux(array.code_read, lanes, 0),
            Event.FETCHED: self.sequencer.fetched,
            Event.BEAT_IN: stream.source.tvalid & stream.source.tready,
            Event.BEAT_OUT: stream.sink.tvalid & stream.sink.tready,
        } | {Event.CLOSED_CLOCK_0 + i: loop.closed & (k == i) for i in range(BANDWIDTHS)}
        for event in Event:
            m.d.comb += [
                amount[event].eq(shows[event]),
                self.registers.drive[f"EVENT_{event.name}.count"].eq(self.counters.count[event]),
            ]

    def _trace(self, m: Module):
        trace, vectors, scalars = self.trace, self.vectors, self.scalar_unit
        m.d.comb += [
            trace.phase.eq(self.sequencer.phase),
            trace.retired.eq(self.sequencer.retired),
            trace.pc.eq(self.sequencer.pc),
            trace.instruction.eq(self.sequencer.word),
            trace.cycles.eq(self.sequencer.cycles),
            trace.write.eq(vectors.w.enable),
            trace.index.eq(vectors.w.index),
            trace.mantissas.eq(vectors.w.mantissas),
            trace.finished.eq(vectors.w.exponent_enable | scalars.written.enable),
            trace.exponent.eq(Mux(scalars.written.enable, scalars.written.exponent, vectors.w.exponent)),
            trace.scalar.eq(scalars.written.mantissa),
            trace.converted.eq(self.converters.stored),
            trace.mux.eq(self.converters.mux),
            trace.codes.eq(self.converters.latest),
        ]

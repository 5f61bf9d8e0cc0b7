"""Streams: AXI4-Stream ports with a buffer each, and the unit that moves words between them and the memories."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_BITS, EXPONENT_MIN
from ohmloop_hdl.host.map import address_map
from ohmloop_hdl.host.windows import WORD_BITS, WindowAccess
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.sequencer.unit import Unit


class AxiStream(wiring.Signature):
    """AXI4-Stream as the transmitter drives it: 32-bit words, ``tlast`` on the last of an object."""

    def __init__(self):
        super().__init__({"tdata": Out(32), "tlast": Out(1), "tvalid": Out(1), "tready": In(1)})


class StreamBuffer(wiring.Component):
    """A stream through a buffer that holds one vector with its exponent.

    1. A beat that was taken at ``into`` comes out at ``out`` once, in order, until ``flush``.
    2. ``out.tvalid`` stays until ``out.tready``, except for a flush or a wipe.
    3. While ``wipe`` is high no beat is taken or given, and the buffer's memory is overwritten with zero.

    Parameters
    ----------
    config : ChipConfig
        Its depth is N + 1 beats.

    Members
    -------
    into, out : In(AxiStream), Out(AxiStream)
        The two sides.
    flush, wipe : In(1)
        Forget what the buffer holds; overwrite it.

    Latency
    -------
    Two clocks through an empty buffer; a beat a clock.
    """

    def __init__(self, config: ChipConfig):
        self.depth = config.size + 1
        super().__init__({
            "into": In(AxiStream()), "out": Out(AxiStream()), "flush": In(1), "wipe": In(1)})

    def elaborate(self, platform):
        m = Module()
        # The clock behind a wipe forgets the zeros again.
        wiped = Signal()
        m.d.sync += wiped.eq(self.wipe)
        fifo = SyncFIFOBuffered(width=33, depth=self.depth)
        m.submodules.fifo = ResetInserter(self.flush | (wiped != self.wipe))(fifo)
        m.d.comb += [
            fifo.w_data.eq(Mux(self.wipe, 0, Cat(self.into.tdata, self.into.tlast))),
            fifo.w_en.eq(self.into.tvalid | self.wipe),
            self.into.tready.eq(fifo.w_rdy & ~self.wipe),
            Cat(self.out.tdata, self.out.tlast).eq(fifo.r_data),
            self.out.tvalid.eq(fifo.r_rdy & ~self.wipe),
            fifo.r_en.eq(self.out.tready & self.out.tvalid),
        ]
        with m.If(wiped & ~self.wipe | self.flush):
            m.d.comb += [fifo.w_en.eq(0), self.into.tready.eq(0), self.out.tvalid.eq(0)]
        return m


class StreamUnit(wiring.Component):
    """Moves one object between a stream and the memories, a word a clock, through the windows' words.

    An object is a vector (its exponent, then N mantissas), a matrix slot (N^2 elements), the code memory, or one row of
    the code memory; each beat carries the word that the window would. ``LD`` of a vector makes it read zero first and
    writes the exponent last. ``tlast`` must come with the last beat of an object (of the last row) and with no other:
    the unit stops at the beat that breaks this.

    Parameters
    ----------
    config : ChipConfig
        Sizes.

    Members
    -------
    control : In(Unit)
        Start and end of ``LD`` and ``ST``; ``waiting`` also while a row is moved.
    store, kind, vector : In(1), In(2), In(4)
        ``ST``; what ``LD`` fills (:data:`ohmloop_hdl.isa.KINDS`); vector or slot.
    row_start, row, row_done : In(1), In, Out(1)
        Fill one row of the code memory, for programming straight from the stream.
    source, sink : In(AxiStream), Out(AxiStream)
        Buffered input and output.
    memory : Out(WindowAccess)
        To the windows.

    Latency
    -------
    Beats + 2 clocks for LD and for a row, N + 2 for ST, and every clock in which the stream has nothing to give or no
    room.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "control": In(Unit()),
            "store": In(1), "kind": In(2), "vector": In(4),
            "row_start": In(1), "row": In(range(config.size)), "row_done": Out(1),
            "source": In(AxiStream()), "sink": Out(AxiStream()),
            "memory": Out(WindowAccess()),
        })

    def elaborate(self, platform):
        m = Module()
        config, control, memory = self.config, self.control, self.memory
        windows = address_map(config).windows
        is_row, sends = Signal(), Signal()
        index, last = Signal(WORD_BITS), Signal(WORD_BITS)
        """Word of the object that is moved next; the last one."""
        exponent = Signal(EXPONENT_BITS)
        is_vector = sends | ~is_row & (self.kind == 0)
        row_words = config.size // config.codes_per_word

        def place(index):
            """Address the word ``index`` of the object."""
            with m.If(is_vector & (index == 0)):
                m.d.comb += [memory.number.eq(windows["EXPONENTS"].number), memory.address.eq(self.vector)]
            with m.Elif(is_vector):
                m.d.comb += [memory.number.eq(windows["MANTISSAS"].number),
                             memory.address.eq(self.vector * config.size + index - 1)]
            with m.Elif(is_row):
                m.d.comb += [memory.number.eq(windows["CODES"].number),
                             memory.address.eq(self.row * row_words + index)]
            with m.Elif(self.kind == 1):
                m.d.comb += [memory.number.eq(windows["SLOTS"].number),
                             memory.address.eq(self.vector * config.size ** 2 + index)]
            with m.Else():
                m.d.comb += [memory.number.eq(windows["CODES"].number), memory.address.eq(index)]

        m.d.comb += control.phase.eq(Mux(control.waiting, Phase.WAIT, Phase.STREAM))
        with m.FSM(name="stream"):
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), is_row.eq(self.row_start), sends.eq(control.start & self.store)]
                with m.If(control.start | self.row_start):
                    m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.comb += control.safe.eq(1)
                place(0)
                # A vector reads zero from here on; ST looks up its exponent.
                m.d.comb += [memory.enable.eq(is_vector), memory.write.eq(~sends),
                             memory.w_data.eq(EXPONENT_MIN & 0xFFFF_FFFF)]
                m.d.sync += last.eq(Mux(is_vector, config.size, Mux(is_row, row_words - 1, Mux(
                    self.kind == 1, config.size ** 2 - 1, config.size * row_words - 1))))
                with m.If(sends):
                    m.next = "SEND"
                with m.Else():
                    m.next = "FILL"
            with m.State("FILL"):
                m.d.comb += [control.safe.eq(1), control.waiting.eq(~self.source.tvalid), self.source.tready.eq(1)]
                place(index)
                m.d.comb += memory.w_data.eq(self.source.tdata)
                with m.If(self.source.tvalid):
                    m.d.sync += index.eq(index + 1)
                    with m.If(is_vector & (index == 0)):
                        m.d.sync += exponent.eq(self.source.tdata)
                    with m.Else():
                        m.d.comb += [memory.enable.eq(1), memory.write.eq(1)]
                    ends = (index == last) & ~(is_row & (self.row != config.size - 1))
                    with m.If(self.source.tlast != ends):
                        m.d.comb += control.fault.eq(TrapCause.STREAM)
                        m.next = "IDLE"
                    with m.Elif(index == last):
                        m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += control.safe.eq(1)
                place(0)
                m.d.comb += [memory.enable.eq(is_vector), memory.write.eq(1), memory.w_data.eq(exponent),
                             control.done.eq(~is_row), self.row_done.eq(is_row)]
                m.next = "IDLE"
            with m.State("SEND"):
                m.d.comb += [control.safe.eq(1), control.waiting.eq(~self.sink.tready), self.sink.tvalid.eq(1),
                             self.sink.tdata.eq(memory.r_data), self.sink.tlast.eq(index == last), memory.enable.eq(1)]
                # The word behind the one that leaves is looked up in the same clock.
                following = Signal.like(index)
                m.d.comb += following.eq(Mux(self.sink.tready, index + 1, index))
                place(following)
                m.d.sync += index.eq(following)
                with m.If(self.sink.tready & (index == last)):
                    m.d.comb += control.done.eq(1)
                    m.next = "IDLE"
        return m

"""The array controller: writes the code memory into both arrays, and checks that it arrived or is still there."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import popcount
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.sequencer.unit import Unit


class ArrayController(wiring.Component):
    """Programs both arrays row by row: write, read back, retry, count and map the cells that stay wrong.

    A row is loaded from the code memory once; its positive codes go to plane 0, the magnitudes of its negative codes to
    plane 1, zero to the other plane. The word line and the write data stand a clock before the write pulse and a clock
    after it, unless a reset (an abort, a trap, a wipe) ends all three at once: the row is then undefined, and the
    arrays are not valid. A scrub reads each row first and writes only what differs. With ``refill`` each row of the
    code memory is filled from the stream before it is loaded. ::

        (REFILL ->) LOAD -> SELECT -> WRITE -> RELEASE -> READ -> CHECK -> RECORD -> next row
                              |^--------- retry, other plane -------'|
                              '-- scrub, first look -> READ          '

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    control : In(Unit)
        Start and end; faults: PARITY of a code that is loaded, VERIFY for more bad cells than ``bad_limit`` allows.
    scrub, refill : In(1)
        Look before writing; fill the code memory first.
    row_start, row_done : Out(1), In(1)
        Ask the stream unit for row ``code_row``.
    write_cycles : In(8)
        Width of the write pulse; 0 counts as 1. Unit: clocks.
    retries : In(4)
        Further attempts for a row and plane that reads back wrong.
    bad_limit : In(16)
        Bad cells that are tolerated.
    bad_count : Out(17)
        Bad cells of the last run.
    repairs : Out(17)
        Rows that the last scrub wrote again.
    code_row, code_word, code_read, codes, parity_error
        Read port of the code memory.
    rewritten : Out(1)
        A row that read back wrong is written again (an event).
    map_write, map_row, map_bad : Out
        Write port of the bad-cell map.
    row, plane, write, write_data, read, sense
        As in the macro contract.

    Latency
    -------
    N (N/(L cpw) + 2 + 2 (4 + write_cycles)) + 1 clocks, and 4 + write_cycles more for each retry; cpw codes a word.
    A scrub looks in 3 clocks instead of 4 + write_cycles, which it spends only on what it writes. A refill costs
    N/cpw + 3 clocks a row more.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "control": In(Unit()),
            "scrub": In(1),
            "refill": In(1),
            "row_start": Out(1),
            "row_done": In(1),
            "write_cycles": In(8),
            "retries": In(4),
            "bad_limit": In(16),
            "bad_count": Out(17),
            "repairs": Out(17),
            "code_row": Out(range(config.size)),
            "code_word": Out(bits_for(config.code_words)),
            "code_read": Out(1),
            "codes": In(data.ArrayLayout(signed(config.cell_bits + 1), config.lanes * config.codes_per_word)),
            "parity_error": In(1),
            "rewritten": Out(1),
            "map_write": Out(1),
            "map_row": Out(range(config.size)),
            "map_bad": Out(config.size),
            "row": Out(config.size),
            "plane": Out(1),
            "write": Out(1),
            "write_data": Out(config.size * config.cell_bits),
            "read": Out(1),
            "sense": In(config.size * config.cell_bits),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        row = Signal(range(config.size))
        load = Signal(range(config.code_words + 1))
        pulse = Signal(8)
        tries = Signal(4)
        mismatch, bad = Signal(config.size), Signal(config.size)
        looks = Signal()
        """The row is read before anything is written to it."""
        # What was counted outlives a trap, and with it reset; each run starts it anew, and the chip shows nothing of it
        # before the first has ended.
        bad_count, repairs = (Signal(17, name=name, reset_less=True) for name in ("bad", "repaired"))
        control = self.control

        self._row_buffer(m, load)
        m.d.comb += [
            control.phase.eq(Phase.PROGRAM),
            self.code_row.eq(row),
            self.code_word.eq(load),
            self.map_row.eq(row),
            self.map_bad.eq(bad),
            self.bad_count.eq(bad_count),
            self.repairs.eq(repairs),
        ]
        differs = Cat(
            (self.sense.word_select(j, config.cell_bits) ^ self.write_data.word_select(j, config.cell_bits)).any()
            for j in range(config.size))

        def select():
            m.d.sync += self.row.eq(Cat(row == i for i in range(config.size)))
            m.next = "SELECT"

        def next_row():
            m.d.sync += load.eq(0)
            with m.If(self.refill):
                m.next = "REFILL"
            with m.Else():
                m.next = "LOAD"

        with m.FSM(name="array"):
            with m.State("IDLE"):
                with m.If(control.start):
                    m.d.sync += [row.eq(0), bad_count.eq(0), repairs.eq(0)]
                    next_row()
            with m.State("REFILL"):
                m.d.comb += self.row_start.eq(1)
                m.next = "REFILLING"
            with m.State("REFILLING"):
                with m.If(self.row_done):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.code_read.eq(load != config.code_words)
                m.d.sync += [load.eq(load + 1), self.plane.eq(0), tries.eq(0), bad.eq(0), looks.eq(self.scrub)]
                with m.If((load != 0) & self.parity_error):
                    m.d.comb += control.fault.eq(TrapCause.PARITY)
                    m.next = "IDLE"
                with m.Elif(load == config.code_words):
                    select()
            with m.State("SELECT"):
                m.d.sync += [pulse.eq(self.write_cycles), self.write.eq(~looks), self.read.eq(looks)]
                m.next = "WRITE"
                with m.If(looks):
                    m.next = "READ"
            with m.State("WRITE"):
                m.d.sync += pulse.eq(pulse - 1)
                with m.If(pulse <= 1):
                    m.d.sync += self.write.eq(0)
                    m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.sync += self.read.eq(1)
                m.next = "READ"
            with m.State("READ"):
                m.d.sync += [self.read.eq(0), self.row.eq(0), mismatch.eq(differs)]
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += looks.eq(0)
                with m.If(mismatch.any() & (looks | (tries < self.retries))):
                    m.d.comb += self.rewritten.eq(1)
                    m.d.sync += [tries.eq(Mux(looks, 0, tries + 1)), repairs.eq(repairs + looks)]
                    select()
                with m.Else():
                    m.d.sync += [bad.eq(bad | mismatch), tries.eq(0), self.plane.eq(1), looks.eq(self.scrub)]
                    with m.If(self.plane):
                        m.next = "RECORD"
                    with m.Else():
                        select()
            with m.State("RECORD"):
                m.d.comb += self.map_write.eq(1)
                m.d.sync += [bad_count.eq(bad_count + popcount(bad)), row.eq(row + 1)]
                next_row()
                with m.If(row == config.size - 1):
                    m.next = "FINISH"
            with m.State("FINISH"):
                with m.If(bad_count > self.bad_limit):
                    m.d.comb += control.fault.eq(TrapCause.VERIFY)
                with m.Else():
                    m.d.comb += control.done.eq(1)
                m.next = "IDLE"
        return m

    def _row_buffer(self, m: Module, load: Signal):
        """Codes of the row in work, and the magnitudes that the selected plane gets."""
        config = self.config
        cpw = config.codes_per_word
        for column in range(config.size):
            lane, element = divmod(column, config.block)
            word, place = divmod(element, cpw)
            code = Signal(signed(config.cell_bits + 1), name=f"code{column}")
            # ``load`` runs one ahead of the word that the memory returns.
            with m.If(load == word + 1):
                m.d.sync += code.eq(self.codes[lane * cpw + place])
            size = Signal(config.cell_bits + 1, name=f"size{column}")
            m.d.comb += [
                size.eq(Mux(code < 0, -code, code)),
                self.write_data.word_select(column, config.cell_bits).eq(
                    Mux((code < 0) == self.plane, Mux(size > config.code_max, config.code_max, size), 0)),
            ]

"""The array controller: writes the code memory into both arrays and checks that it arrived."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.fixed import popcount


class ArrayController(wiring.Component):
    """Programs both arrays row by row: write, read back, retry, count and map the cells that stay wrong.

    A row is loaded from the code memory once; its positive codes go to plane 0, the magnitudes of its negative codes to
    plane 1, zero to the other plane. The word line and the write data stand a clock before the write pulse and a clock
    after it. ::

        LOAD -> SELECT -> WRITE -> RELEASE -> READ -> CHECK -> RECORD -> next row
                  ^---------- retry, other plane -------'

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    start, done : In(1), Out(1)
        Begin in the next clock; last clock.
    failed : Out(1)
        With ``done``: more cells are bad than ``bad_limit`` allows.
    write_cycles : In(8)
        Width of the write pulse; 0 counts as 1. Unit: clocks.
    retries : In(4)
        Further attempts for a row and plane that reads back wrong.
    bad_limit : In(16)
        Bad cells that are tolerated.
    bad_count : Out(17)
        Bad cells of the last programming.
    code_row, code_word, codes : Out, Out, In
        Read port of the code memory.
    map_write, map_row, map_bad : Out
        Write port of the bad-cell map.
    row, plane, write, write_data, read, sense
        As in the macro contract.

    Latency
    -------
    N (N/(L cpw) + 2 + 2 (4 + write_cycles)) + 1 clocks, and 4 + write_cycles more for each retry; cpw codes a word.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "start": In(1),
            "done": Out(1),
            "failed": Out(1),
            "write_cycles": In(8),
            "retries": In(4),
            "bad_limit": In(16),
            "bad_count": Out(17),
            "code_row": Out(range(config.size)),
            "code_word": Out(bits_for(config.code_words)),
            "codes": In(data.ArrayLayout(signed(config.cell_bits + 1), config.lanes * config.codes_per_word)),
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

        self._row_buffer(m, load)
        m.d.comb += [
            self.code_row.eq(row),
            self.code_word.eq(load),
            self.map_row.eq(row),
            self.map_bad.eq(bad),
        ]
        differs = Cat(
            (self.sense.word_select(j, config.cell_bits) ^ self.write_data.word_select(j, config.cell_bits)).any()
            for j in range(config.size))

        def select():
            m.d.sync += self.row.eq(Cat(row == i for i in range(config.size)))
            m.next = "SELECT"

        with m.FSM(name="array"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [row.eq(0), load.eq(0), self.bad_count.eq(0)]
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += [load.eq(load + 1), self.plane.eq(0), tries.eq(0), bad.eq(0)]
                with m.If(load == config.code_words):
                    select()
            with m.State("SELECT"):
                m.d.sync += [pulse.eq(self.write_cycles), self.write.eq(1)]
                m.next = "WRITE"
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
                with m.If(mismatch.any() & (tries < self.retries)):
                    m.d.sync += tries.eq(tries + 1)
                    select()
                with m.Else():
                    m.d.sync += [bad.eq(bad | mismatch), tries.eq(0), self.plane.eq(1)]
                    with m.If(self.plane):
                        m.next = "RECORD"
                    with m.Else():
                        select()
            with m.State("RECORD"):
                m.d.comb += self.map_write.eq(1)
                m.d.sync += [self.bad_count.eq(self.bad_count + popcount(bad)), row.eq(row + 1), load.eq(0)]
                m.next = "LOAD"
                with m.If(row == config.size - 1):
                    m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += [self.done.eq(1), self.failed.eq(self.bad_count > self.bad_limit)]
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

"""The map of bad cells."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.host.window import WindowPort


class BadCellMap(wiring.Component):
    """One bit a cell: 1 where the last programming could not make the cell read back as written, in either array.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    write, row, bad : In(1), In, In(N)
        Store the bits of one row.
    window : In(WindowPort)
        Read-only; ``max(1, N/32)`` words a row, column 0 in bit 0 of the first.

    Latency
    -------
    One clock.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.words = max(1, config.size // 32)
        super().__init__({
            "write": In(1),
            "row": In(range(config.size)),
            "bad": In(config.size),
            "window": In(WindowPort((config.size * self.words - 1).bit_length())),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        word_bits = (self.words - 1).bit_length()
        memory = m.submodules.memory = Memory(shape=config.size, depth=config.size, init=[], attrs={"no_rw_check": "1"})
        write, read = memory.write_port(), memory.read_port()
        word = Signal(bits_for(self.words))
        m.d.sync += word.eq(self.window.address[:word_bits])
        m.d.comb += [
            write.addr.eq(self.row),
            write.data.eq(self.bad),
            write.en.eq(self.write),
            read.addr.eq(self.window.address[word_bits:]),
            read.en.eq(1),
            self.window.r_data.eq(Cat(read.data).word_select(word, min(32, config.size))),
        ]
        return m

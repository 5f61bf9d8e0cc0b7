"""The two passes of a vector instruction: who is where in which clock."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig


class Beat(data.StructLayout):
    """One product of every lane on its way through the pipeline.

    ``first`` and ``last`` of its sum, ``final`` of the instruction; the ``row`` of every lane's block that it belongs
    to (for AXPY and DOT the element), and in which lanes that row lies ``inside`` the vector.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "valid": 1, "first": 1, "last": 1, "final": 1, "row": range(config.block), "inside": config.lanes})


class VectorPasses(wiring.Component):
    """Counts rows and columns through pass 1, which reads and sums, and rows through pass 2, which writes. ::

        clock            AXPY, P = N/L; MAT, P = N^2/L     DOT, P = N/L
        1 .. P           address                           address
        2 .. P + 1       operand                           operand
        3 .. P + 2       product                           product
        4 .. P + 3       sum                               sum
                                                           P + 4 .. P + L + 2   chain
        5 .. P + 4       store                             P + L + 3            store
        P + 5            encode, first read                P + L + 4            encode, read
        P + 6 ..         normalise, N/L times              P + L + 5            normalise
        P + 7 ..         writing, N/L times, then done     P + L + 6            writing, done

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    start : In(1)
        Clock 0; ``is_mat``, ``is_dot`` and ``vector_size`` stay until the last.
    is_mat, is_dot, vector_size : In
        Sums of N products a row; one sum of all products; neither, a product an element. Elements of a vector.
    address, operand, product, sum, store : Out(Beat)
        The beats in the stages of pass 1; ``sum`` is where products are added up. ``store`` of a dot product comes
        after the chain.
    column : Out(range(N))
        Column of ``address``, counted for ``MAT`` only.
    chain : Out(1)
        The sums of the lanes move one lane on, towards the first.
    encode : Out(1)
        All sums are stored; what they are normalised by is found in this clock.
    overflow : In(1)
        Valid with ``normalise``: do not write.
    row, read : Out(range(N/L)), Out(1)
        Row to read for pass 2. A dot product is kept in the last row, so that it ends pass 2 like any other.
    normalise : Out(1)
        The row that was read in the clock before is normalised.
    writing, written_row : Out(1), Out(range(N/L))
        The row that was normalised in the clock before is written.
    done : Out(1)
        Last write.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "start": In(1),
            "is_mat": In(1),
            "is_dot": In(1),
            "vector_size": In(range(config.size + 1)),
            "address": Out(Beat(config)),
            "operand": Out(Beat(config)),
            "product": Out(Beat(config)),
            "sum": Out(Beat(config)),
            "store": Out(Beat(config)),
            "column": Out(range(config.size)),
            "chain": Out(1),
            "encode": Out(1),
            "overflow": In(1),
            "row": Out(range(config.block)),
            "read": Out(1),
            "normalise": Out(1),
            "writing": Out(1),
            "written_row": Out(range(config.block)),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, address = self.config, self.address
        last_row = self.row == config.block - 1
        row_ends = ~self.is_mat | (self.column == config.size - 1)
        m.d.comb += [
            address.first.eq(Mux(self.is_dot, self.row == 0, self.column == 0)),
            address.last.eq(Mux(self.is_dot, last_row, row_ends)),
            address.final.eq(last_row & row_ends),
            address.row.eq(self.row),
            address.inside.eq(Cat(lane * config.block + self.row < self.vector_size for lane in range(config.lanes))),
        ]
        self._pipeline(m)

        normalised_row = Signal.like(self.row)
        m.d.sync += [normalised_row.eq(self.row), self.written_row.eq(normalised_row), self.writing.eq(0)]
        with m.FSM(name="vector"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += address.valid.eq(1)
                with m.If(self.is_mat):
                    m.d.sync += self.column.eq(self.column + 1)
                with m.If(address.final):
                    m.next = "DRAIN"
                with m.If(row_ends & ~(self.is_dot & last_row)):
                    m.d.sync += self.row.eq(self.row + 1)
            with m.State("DRAIN"):
                with m.If(self.store.valid & self.store.final):
                    m.next = "ENCODE"
            with m.State("ENCODE"):
                m.d.comb += [self.encode.eq(1), self.read.eq(1)]
                m.d.sync += self.row.eq(self.row + 1)
                m.next = "NORMALISE"
            with m.State("NORMALISE"):
                m.d.comb += [self.normalise.eq(1), self.read.eq(1)]
                m.d.sync += [self.row.eq(self.row + 1), self.writing.eq(~self.overflow)]
                with m.If(self.overflow):
                    m.next = "IDLE"
                with m.Elif(normalised_row == config.block - 1):
                    m.next = "LAST"
            with m.State("LAST"):
                m.d.comb += self.done.eq(1)
                m.d.sync += self.row.eq(0)
                m.next = "IDLE"
        return m

    def _pipeline(self, m: Module):
        """Beats move on in every clock, but the sum of a dot product first has the lanes to pass.

        The counters rest on its last row meanwhile, and what the stages hold with them.
        """
        finished = self.sum.valid & self.sum.last
        passed = finished & self.is_dot
        for lane in range(1, self.config.lanes):
            passing = Signal(name=f"passing{lane}")
            m.d.sync += passing.eq(passed)
            with m.If(passing):
                m.d.comb += self.chain.eq(1)
            passed = passing
        m.d.sync += [
            self.operand.eq(self.address),
            self.product.eq(self.operand),
            self.sum.eq(self.product),
            self.store.eq(self.sum),
            self.store.valid.eq(Mux(self.is_dot, passed, finished)),
        ]

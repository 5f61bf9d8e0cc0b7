"""Small registers: the exponents of the vectors, and the scalars."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.window import WindowPort

REGISTERS = 16
"""Registers of a file: as many as an operand field can name."""

INDEX_BITS = (REGISTERS - 1).bit_length()


class RegisterFile(wiring.Component):
    """Sixteen registers that are read without latency; register 0 is a constant.

    Made of small memories, one for each reader and byte of the bus word, so that byte strobes are write enables.

    Parameters
    ----------
    shape : Shape
        Shape of a register, at most 32 bits.
    constant : int
        What register 0 reads.
    readers : int
        Read ports.

    Members
    -------
    index, value : In(4), Out(shape), each one a reader
        Register to read, and what it holds in this clock.
    w_index, w_value, w_enable : In
        Store one register.
    window : In(WindowPort)
        Word address ``register``; a value is extended to the word. While ``select`` is high, the first reader and the
        write port are the window's.

    Latency
    -------
    None; through the window one clock.
    """

    def __init__(self, shape: Shape, constant: int, readers: int):
        self.shape, self.constant, self.readers = shape, constant, readers
        super().__init__({
            "index": In(INDEX_BITS).array(readers),
            "value": Out(shape).array(readers),
            "w_index": In(INDEX_BITS),
            "w_value": In(shape),
            "w_enable": In(1),
            "window": In(WindowPort(INDEX_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        window = self.window
        w_index, w_value = Signal(INDEX_BITS), Signal(self.shape)
        m.d.comb += [
            w_index.eq(Mux(window.select, window.address, self.w_index)),
            w_value.eq(Mux(window.select, window.w_data, self.w_value)),
        ]
        for reader in range(self.readers):
            index, stored = Signal(INDEX_BITS, name=f"index{reader}"), Signal(self.shape, name=f"stored{reader}")
            m.d.comb += index.eq(self.index[reader])
            if reader == 0:
                with m.If(window.select):
                    m.d.comb += index.eq(window.address)
            for byte, low in enumerate(range(0, self.shape.width, 8)):
                bits = slice(low, min(low + 8, self.shape.width))
                memory = m.submodules[f"copy{reader}_byte{byte}"] = Memory(
                    shape=bits.stop - low, depth=REGISTERS, init=[])
                write, read = memory.write_port(), memory.read_port(domain="comb")
                m.d.comb += [
                    read.addr.eq(index),
                    stored[bits].eq(read.data),
                    write.addr.eq(w_index),
                    write.data.eq(w_value[bits]),
                    write.en.eq(Mux(window.select, window.w_strobe[byte], self.w_enable)),
                ]
            m.d.comb += self.value[reader].eq(Mux(index == 0, self.constant, stored))
        m.d.sync += window.r_data.eq(self.value[0])
        return m

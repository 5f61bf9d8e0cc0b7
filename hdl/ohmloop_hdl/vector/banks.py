"""Vector registers: mantissas banked by lanes, one exponent a vector."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.fixed import EXPONENT_BITS, EXPONENT_MIN, MANTISSA_BITS, VECTORS
from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.vector.registers import RegisterFile

VECTOR_BITS = (VECTORS - 1).bit_length()


class VectorRead(wiring.Signature):
    """Reading one vector, a word a lane, as the reader holds it.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    enable : Out(1)
        A word of every lane is wanted.
    vector, index : Out
        Vector, and element of every lane's block.
    mantissas : In(lanes x signed(32))
        Mantissas of the clock before's ``vector`` and ``index``; they stay while ``enable`` is low.
    exponent, zero : In(signed(10)), In(1)
        Exponent of ``vector``, and whether it says that the vector reads zero; combinational.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "enable": Out(1),
            "vector": Out(VECTOR_BITS),
            "index": Out(range(config.block)),
            "mantissas": In(data.ArrayLayout(signed(MANTISSA_BITS), config.lanes)),
            "exponent": In(signed(EXPONENT_BITS)),
            "zero": In(1),
        })


class VectorWrite(wiring.Signature):
    """Writing one vector, a word a lane, as the writer holds it.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    vector, index : Out
        Vector, and element of every lane's block.
    enable, mantissas : Out(1), Out(lanes x signed(32))
        Store one mantissa a lane.
    exponent_enable, exponent : Out(1), Out(signed(10))
        Store the exponent.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "vector": Out(VECTOR_BITS),
            "index": Out(range(config.block)),
            "enable": Out(1),
            "mantissas": Out(data.ArrayLayout(signed(MANTISSA_BITS), config.lanes)),
            "exponent_enable": Out(1),
            "exponent": Out(signed(EXPONENT_BITS)),
        })


class VectorBanks(wiring.Component):
    """Vectors v0 to v15: N mantissas SQ(1, 31) and one exponent each; the value of an element is m * 2^(e - 31).

    Lane l holds elements l N/L to (l+1) N/L - 1 in memories of its own: two copies, for two readers. A vector with the
    smallest exponent is zero whatever its mantissas. v0 has the smallest exponent and cannot be written; its mantissas
    take what the window writes, so that a wipe reaches them, and never show it. What a reader sees of a word that is
    written in the same clock is not defined.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    a, s : In(VectorRead)
        The two readers.
    w : In(VectorWrite)
        The writer; both copies take it.
    mantissa_window, exponent_window : In(WindowPort)
        Word addresses ``vector * N + element`` and ``vector``. While ``select`` is high, the window has the ports of
        ``a`` and ``w``.

    Latency
    -------
    Mantissas one clock, exponents none.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "a": In(VectorRead(config)),
            "s": In(VectorRead(config)),
            "w": In(VectorWrite(config)),
            "mantissa_window": In(WindowPort((VECTORS * config.size - 1).bit_length())),
            "exponent_window": In(WindowPort(VECTOR_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        self._mantissas(m)
        self._exponents(m)
        return m

    def _mantissas(self, m: Module):
        config, window, w = self.config, self.mantissa_window, self.w
        index_bits = (config.block - 1).bit_length()
        lane_bits = (config.lanes - 1).bit_length()
        host_index = window.address[:index_bits]
        host_lane = window.address[index_bits:index_bits + lane_bits]
        host_vector = window.address[index_bits + lane_bits:]
        host_address = Cat(host_index, host_vector)
        a_address, s_address, w_address = (Signal(range(VECTORS * config.block), name=f"{port}_address")
                                           for port in ("a", "s", "w"))
        writable, host_lane_read, host_reads_zero = Signal(), Signal(bits_for(config.lanes)), Signal()
        m.d.comb += [
            a_address.eq(Mux(window.select, host_address, Cat(self.a.index, self.a.vector))),
            s_address.eq(Cat(self.s.index, self.s.vector)),
            w_address.eq(Mux(window.select, host_address, Cat(w.index, w.vector))),
            writable.eq(w_address >= config.block),
        ]
        m.d.sync += [host_lane_read.eq(host_lane), host_reads_zero.eq(host_vector == 0)]
        for lane in range(config.lanes):
            host_strobe = Mux(host_lane == lane, window.w_strobe, 0)
            strobe = Mux(window.select, host_strobe, (w.enable & writable).replicate(4))
            word = Mux(window.select, window.w_data, w.mantissas[lane])
            a, s = (self._copy(m, f"{port}{lane}", w_address, strobe, word) for port in ("a", "s"))
            m.d.comb += [
                a.addr.eq(a_address),
                a.en.eq(self.a.enable | window.select),
                self.a.mantissas[lane].eq(a.data),
                s.addr.eq(s_address),
                s.en.eq(self.s.enable),
                self.s.mantissas[lane].eq(s.data),
            ]
            with m.If((host_lane_read == lane) & ~host_reads_zero):
                m.d.comb += window.r_data.eq(a.data)

    def _copy(self, m: Module, name: str, address: Value, strobe: Value, word: Value) -> ReadPort:
        """One reader's copy of a lane's mantissas."""
        memory = m.submodules[name] = Memory(
            shape=MANTISSA_BITS, depth=VECTORS * self.config.block, init=[], attrs={"no_rw_check": "1"})
        write = memory.write_port(granularity=8)
        m.d.comb += [write.addr.eq(address), write.en.eq(strobe), write.data.eq(word)]
        return memory.read_port()

    def _exponents(self, m: Module):
        exponents = m.submodules.exponents = RegisterFile(signed(EXPONENT_BITS), constant=EXPONENT_MIN, readers=2)
        wiring.connect(m, wiring.flipped(self.exponent_window), exponents.window)
        m.d.comb += [
            exponents.w_index.eq(self.w.vector),
            exponents.w_value.eq(self.w.exponent),
            exponents.w_enable.eq(self.w.exponent_enable),
        ]
        for reader, port in enumerate((self.a, self.s)):
            m.d.comb += [
                exponents.index[reader].eq(port.vector),
                port.exponent.eq(exponents.value[reader]),
                port.zero.eq(port.exponent == EXPONENT_MIN),
            ]

"""Vector registers: mantissas banked by lanes, one exponent a vector."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.fixed import EXPONENT_BITS, EXPONENT_MIN, MANTISSA_BITS, VECTORS
from ohmloop_hdl.host.window import WindowPort

VECTOR_BITS = (VECTORS - 1).bit_length()


class VectorBanks(wiring.Component):
    """Vectors v0 to v15: N mantissas SQ(1, 31) and one exponent each; the value of an element is m * 2^(e - 31).

    Lane l holds elements l N/L to (l+1) N/L - 1 in a memory of its own. v0 cannot be written and reads zero. A vector
    with the smallest exponent is zero whatever its mantissas.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    r_vector, r_index : In
        Vector and element of every lane's block to read.
    r_mantissas : Out(lanes x signed(32))
        Mantissas of the clock before's ``r_vector`` and ``r_index``.
    r_exponent, r_zero : Out(signed(10)), Out(1)
        Exponent of ``r_vector``, and whether it says zero; combinational.
    w_vector, w_index, w_enable, w_mantissas : In
        Store one mantissa a lane.
    w_exponent, w_exponent_enable : In
        Store the exponent of ``w_vector``.
    mantissa_window, exponent_window : In(WindowPort)
        Word addresses ``vector * N + element`` and ``vector``.

    Latency
    -------
    Mantissas one clock, exponents none.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        mantissas = data.ArrayLayout(signed(MANTISSA_BITS), config.lanes)
        super().__init__({
            "r_vector": In(VECTOR_BITS),
            "r_index": In(range(config.block)),
            "r_mantissas": Out(mantissas),
            "r_exponent": Out(signed(EXPONENT_BITS)),
            "r_zero": Out(1),
            "w_vector": In(VECTOR_BITS),
            "w_index": In(range(config.block)),
            "w_enable": In(1),
            "w_mantissas": In(mantissas),
            "w_exponent": In(signed(EXPONENT_BITS)),
            "w_exponent_enable": In(1),
            "mantissa_window": In(WindowPort((VECTORS * config.size - 1).bit_length())),
            "exponent_window": In(WindowPort(VECTOR_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        self._mantissas(m)
        self._exponents(m)
        return m

    def _mantissas(self, m: Module):
        config, window = self.config, self.mantissa_window
        index_bits = (config.block - 1).bit_length()
        lane_bits = (config.lanes - 1).bit_length()
        host_index = window.address[:index_bits]
        host_lane = window.address[index_bits:index_bits + lane_bits]
        host_vector = window.address[index_bits + lane_bits:]
        read_address, write_address = Signal(range(VECTORS * config.block)), Signal(range(VECTORS * config.block))
        m.d.comb += [
            read_address.eq(Mux(window.select, Cat(host_index, host_vector), Cat(self.r_index, self.r_vector))),
            write_address.eq(Mux(window.select, Cat(host_index, host_vector), Cat(self.w_index, self.w_vector))),
        ]
        host_lane_read, host_reads_zero = Signal(bits_for(config.lanes)), Signal()
        m.d.sync += [host_lane_read.eq(host_lane), host_reads_zero.eq(host_vector == 0)]
        for lane in range(config.lanes):
            bank = m.submodules[f"lane{lane}"] = Memory(shape=MANTISSA_BITS, depth=VECTORS * config.block, init=[])
            write, read = bank.write_port(granularity=8), bank.read_port()
            host_strobe = Mux(host_lane == lane, window.w_strobe, 0)
            m.d.comb += [
                read.addr.eq(read_address),
                read.en.eq(1),
                self.r_mantissas[lane].eq(read.data),
                write.addr.eq(write_address),
                write.data.eq(Mux(window.select, window.w_data, self.w_mantissas[lane])),
                write.en.eq(Mux(window.select, host_strobe, self.w_enable.replicate(4))),
            ]
            with m.If((host_lane_read == lane) & ~host_reads_zero):
                m.d.comb += window.r_data.eq(read.data)

    def _exponents(self, m: Module):
        window = self.exponent_window
        # Byte strobes reach the two parts of an exponent that lie in different bytes of the bus word.
        parts = {0: (0, 8), 1: (8, EXPONENT_BITS)}
        r_address, w_address = Signal(VECTOR_BITS), Signal(VECTOR_BITS)
        m.d.comb += [
            r_address.eq(Mux(window.select, window.address, self.r_vector)),
            w_address.eq(Mux(window.select, window.address, self.w_vector)),
        ]
        value = Signal(signed(EXPONENT_BITS))
        for byte, (low, high) in parts.items():
            memory = m.submodules[f"exponents{byte}"] = Memory(shape=high - low, depth=VECTORS, init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(r_address),
                value[low:high].eq(read.data),
                write.addr.eq(w_address),
                write.data.eq(Mux(window.select, window.w_data, self.w_exponent)[low:high]),
                write.en.eq(Mux(window.select, window.w_strobe[byte], self.w_exponent_enable)),
            ]
        m.d.comb += [
            self.r_exponent.eq(Mux(r_address == 0, EXPONENT_MIN, value)),
            self.r_zero.eq(self.r_exponent == EXPONENT_MIN),
        ]
        m.d.sync += window.r_data.eq(self.r_exponent)

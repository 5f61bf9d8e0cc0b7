"""The DAC bank: input codes of the loop."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import MANTISSA_BITS, round_half_even, saturate


class DacBank(wiring.Component):
    """Rounds mantissas to input codes and holds one code a DAC.

    d = clamp(round(m / 2^(32-B)), +-(2^(B-1) - 1)), halves to even; zero for elements outside ``vector_size``.
    The codes are plain registers, because the macro needs all of them at once.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    enable : In(1)
        Load element ``index`` of every lane's block at the end of this clock.
    index : In
        Element within a block.
    mantissas : In(lanes x signed(32))
        One mantissa a lane.
    zero : In(1)
        The vector is zero whatever its mantissas.
    vector_size : In
        Elements that count.
    dac : Out(N*dac_bits)
        As in the macro contract.

    Latency
    -------
    One clock; N/L clocks for a vector.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "enable": In(1),
            "index": In(range(config.block)),
            "mantissas": In(data.ArrayLayout(signed(MANTISSA_BITS), config.lanes)),
            "zero": In(1),
            "vector_size": In(range(config.size + 1)),
            "dac": Out(config.size * config.dac_bits),
        })

    def elaborate(self, platform):
        m = Module()
        bits, block = self.config.dac_bits, self.config.block
        for lane in range(self.config.lanes):
            code = Signal(signed(bits), name=f"code{lane}")
            counts = Signal(name=f"counts{lane}")
            rounded = saturate(round_half_even(self.mantissas[lane], MANTISSA_BITS - bits), bits)
            m.d.comb += [
                counts.eq((lane * block + self.index < self.vector_size) & ~self.zero),
                code.eq(Mux(counts, rounded, 0)),
            ]
            for element in range(block):
                with m.If(self.enable & (self.index == element)):
                    m.d.sync += self.dac.word_select(lane * block + element, bits).eq(code)
        return m

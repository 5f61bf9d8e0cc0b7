"""Correction of result codes: the offset of each output, the gain of each converter."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.fixed import GAIN_BITS, GAIN_FRACTION, OFFSET_BITS, OFFSET_FRACTION, round_half_even, saturate
from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.parity import checked, with_parity


class CorrectionMemory(wiring.Component):
    """16-bit words of correction, some a lane, with parity, on the bus as whole words.

    Parameters
    ----------
    config : ChipConfig
        Number of lanes.
    words : int
        Words in all; lane l holds words l*W/L to (l+1)*W/L - 1.
    signed_words : bool
        The bus reads them sign-extended.

    Members
    -------
    window : In(WindowPort)
        Word address.
    bad_parity : In(1)
        Words written through the window get wrong parity.
    index, words, parity_error : In, Out(lanes x 16), Out(1)
        Word ``index`` of every lane, of the clock before; whether the parity of any is wrong.
    write, w_words : In(1), In(lanes x 16)
        Store the word ``index`` of every lane.

    Latency
    -------
    One clock.
    """

    def __init__(self, config: ChipConfig, words: int, *, signed_words: bool):
        self.lanes, self.depth, self.signed_words = config.lanes, words // config.lanes, signed_words
        layout = data.ArrayLayout(16, config.lanes)
        super().__init__({
            "window": In(WindowPort(bits_for(words))),
            "bad_parity": In(1),
            "index": In(bits_for(self.depth)),
            "words": Out(layout),
            "parity_error": Out(1),
            "write": In(1),
            "w_words": In(layout),
        })

    def elaborate(self, platform):
        m = Module()
        window = self.window
        index_bits = (self.depth - 1).bit_length()
        host_lane = window.address[index_bits:]
        address, lane_read = Signal(bits_for(self.depth)), Signal(bits_for(self.lanes))
        m.d.comb += address.eq(Mux(window.select, window.address[:index_bits], self.index))
        m.d.sync += lane_read.eq(host_lane)
        errors = []
        for lane in range(self.lanes):
            memory = m.submodules[f"lane{lane}"] = Memory(
                # An address of no bits does not survive in Verilog.
                shape=18, depth=max(2, self.depth), init=[], attrs={"no_rw_check": "1"})
            write, read = memory.write_port(granularity=9), memory.read_port()
            granules, error = checked(read.data, 8)
            errors.append(error)
            word = Mux(window.select, window.w_data[:16], self.w_words[lane])
            host = Mux(host_lane == lane, window.w_strobe[:2], 0)
            m.d.comb += [
                write.addr.eq(address),
                write.en.eq(Mux(window.select, host, self.write.replicate(2))),
                write.data.eq(with_parity([word[:8], word[8:]], self.bad_parity & window.select)),
                read.addr.eq(address),
                read.en.eq(~write.en.any()),
                self.words[lane].eq(Cat(granules)),
            ]
            with m.If(lane_read == lane):
                m.d.comb += [
                    window.r_data.eq(self.words[lane].as_signed() if self.signed_words else self.words[lane]),
                    window.r_error.eq(error),
                ]
        m.d.comb += self.parity_error.eq(Cat(errors).any())
        return m


class Correction(wiring.Component):
    """corrected = round((code - offset) gain), one rounding, halves to even, saturated to the symmetric range.

    Offsets are subtracted in solve mode only, for they are measured there; gains act in both modes.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    index, codes : In, In(lanes x signed(adc_bits))
        Element of every lane's block; its codes in the clock behind.
    multiply : In(1)
        Gains only.
    corrected : Out(lanes x signed(adc_bits))
        Of the clock before's ``index`` and this clock's ``codes``.
    parity_error : Out(1)
        A word used for ``corrected`` has wrong parity.
    keep : In(1)
        Store this clock's ``codes`` as the offsets of ``keep_index``.
    keep_index : In
        Element of every lane's block.
    bad_parity, offsets, gains
        As of :class:`CorrectionMemory`.

    Latency
    -------
    One clock from ``index``, none from ``codes``.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        codes = data.ArrayLayout(signed(config.adc_bits), config.lanes)
        super().__init__({
            "index": In(range(config.block)),
            "codes": In(codes),
            "multiply": In(1),
            "corrected": Out(codes),
            "parity_error": Out(1),
            "keep": In(1),
            "keep_index": In(range(config.block)),
            "bad_parity": In(1),
            "offsets": In(WindowPort(bits_for(config.size))),
            "gains": In(WindowPort(bits_for(config.adcs))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        offsets = m.submodules.offsets = CorrectionMemory(config, config.size, signed_words=True)
        gains = m.submodules.gains = CorrectionMemory(config, config.adcs, signed_words=False)
        step_bits = (config.mux_steps - 1).bit_length()
        wiring.connect(m, wiring.flipped(self.offsets), offsets.window)
        wiring.connect(m, wiring.flipped(self.gains), gains.window)
        m.d.comb += [
            offsets.bad_parity.eq(self.bad_parity),
            gains.bad_parity.eq(self.bad_parity),
            offsets.index.eq(Mux(self.keep, self.keep_index, self.index)),
            gains.index.eq(self.index[step_bits:]),
            offsets.write.eq(self.keep),
            self.parity_error.eq(gains.parity_error | offsets.parity_error & ~self.multiply),
        ]
        fine_bits = max(config.adc_bits + OFFSET_FRACTION, OFFSET_BITS) + 1
        for lane in range(config.lanes):
            code = self.codes[lane]
            offset = Mux(self.multiply, 0, offsets.words[lane].as_signed())
            fine = Signal(signed(fine_bits), name=f"fine{lane}")
            product = Signal(signed(fine_bits + GAIN_BITS), name=f"product{lane}")
            m.d.comb += [
                fine.eq((code << OFFSET_FRACTION) - offset),
                product.eq(fine * gains.words[lane]),
                self.corrected[lane].eq(
                    saturate(round_half_even(product, OFFSET_FRACTION + GAIN_FRACTION), config.adc_bits)),
                offsets.w_words[lane].eq(saturate(code << OFFSET_FRACTION, OFFSET_BITS)),
            ]
        return m

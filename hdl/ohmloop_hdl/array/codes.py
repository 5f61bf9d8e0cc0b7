"""Code memory: what the arrays are programmed from."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.parity import checked, with_parity

GRANULES = 4
"""Separately writable parts of a word, one a byte of the bus."""


class CodeMemory(wiring.Component):
    """N x N signed cell codes, one single-port memory a lane that holds the lane's columns.

    A word holds ``codes_per_word`` neighbouring codes of a row: signed bytes up to 7 cell bits, signed halves above.
    Up to 7 cell bits only the bits that a code needs are kept; each byte of the bus has its own write enable and parity
    bit. The most negative number that fits, -2^cell_bits, is not a code; it reads back as written and is programmed as
    -C.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    window : In(WindowPort)
        Word address ``row * N/codes_per_word + word``.
    bad_parity : In(1)
        Words written through the window get wrong parity.
    row, word : In
        Word of every lane's block to read.
    codes, parity_error : Out(lanes*codes_per_word x signed(cell_bits + 1)), Out(1)
        Codes of the ``row`` and ``word`` of the clock before, lane by lane; whether the parity of any is wrong.

    Latency
    -------
    One clock.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "window": In(WindowPort((config.size * config.size // config.codes_per_word - 1).bit_length())),
            "bad_parity": In(1),
            "row": In(range(config.size)),
            "word": In(bits_for(config.code_words)),
            "codes": Out(data.ArrayLayout(signed(config.cell_bits + 1), config.lanes * config.codes_per_word)),
            "parity_error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        bytes_a_code = GRANULES // config.codes_per_word
        granule = min(8, config.cell_bits + 1)
        word_bits = (config.code_words - 1).bit_length()
        lane_bits = (config.lanes - 1).bit_length()

        host_word = self.window.address[:word_bits]
        host_lane = self.window.address[word_bits:word_bits + lane_bits]
        host_row = self.window.address[word_bits + lane_bits:]
        address = Signal(range(config.size * config.code_words))
        m.d.comb += address.eq(Mux(self.window.select, Cat(host_word, host_row), Cat(self.word[:word_bits], self.row)))

        read_words, errors = [], []
        for lane in range(config.lanes):
            memory = m.submodules[f"lane{lane}"] = Memory(
                shape=(granule + 1) * GRANULES, depth=config.size * config.code_words, init=[],
                attrs={"no_rw_check": "1"})
            write, read = memory.write_port(granularity=granule + 1), memory.read_port()
            chosen = self.window.select & (host_lane == lane)
            m.d.comb += [
                write.addr.eq(address),
                write.en.eq(Mux(chosen, self.window.w_strobe, 0)),
                write.data.eq(with_parity(
                    [self.window.w_data.word_select(b, 8)[:granule] for b in range(GRANULES)], self.bad_parity)),
                read.addr.eq(address),
                read.en.eq(~write.en.any()),
            ]
            granules, error = checked(read.data, granule)
            errors.append(error)
            codes = [Cat(granules).word_select(c, granule * bytes_a_code)[:config.cell_bits + 1].as_signed()
                     for c in range(config.codes_per_word)]
            m.d.comb += [self.codes[lane * config.codes_per_word + c].eq(code) for c, code in enumerate(codes)]
            sign_extended = Signal(32, name=f"word{lane}")
            bus_bits = 32 // config.codes_per_word
            for c, code in enumerate(codes):
                m.d.comb += sign_extended.word_select(c, bus_bits).eq(code)
            read_words.append(sign_extended)

        lane_read = Signal(bits_for(config.lanes))
        m.d.sync += lane_read.eq(host_lane)
        m.d.comb += self.parity_error.eq(Cat(errors).any())
        with m.Switch(lane_read):
            for lane, (word, error) in enumerate(zip(read_words, errors, strict=True)):
                with m.Case(lane):
                    m.d.comb += [self.window.r_data.eq(word), self.window.r_error.eq(error)]
        return m

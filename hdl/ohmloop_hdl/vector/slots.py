"""Matrix slots: the matrices that products and residuals are computed with."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.fixed import ELEMENT_BITS
from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.parity import checked, with_parity

BYTES = ELEMENT_BITS // 8
"""Separately writable parts of an element, each with a parity bit."""


class SlotRead(wiring.Signature):
    """Reading an element a lane, as the reader holds it.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    enable : Out(1)
        An element of every lane is wanted.
    slot, row, column : Out
        Slot, row of every lane's block, and column.
    elements : In(lanes x signed(24))
        Elements of the clock before; they stay while ``enable`` is low.
    parity_error : In(1)
        Some lane's word of the clock before does not have the parity it was written with.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "enable": Out(1),
            "slot": Out(bits_for(config.slots)),
            "row": Out(range(config.block)),
            "column": Out(range(config.size)),
            "elements": In(data.ArrayLayout(signed(ELEMENT_BITS), config.lanes)),
            "parity_error": In(1),
        })


class SlotMemory(wiring.Component):
    """``slots`` matrices of N x N elements SQ(1, 23), one single-port memory a lane that holds the lane's rows.

    A word is an element with one parity bit a byte, so that each byte of the bus has its own write enable.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    read : In(SlotRead)
        The reader.
    window : In(WindowPort)
        Word address ``(slot * N + row) * N + column``; an element is sign-extended to the word. While ``select`` is
        high, the memories are the window's.
    bad_parity : In(1)
        Words written now get wrong parity, to test the trap.

    Latency
    -------
    One clock.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "read": In(SlotRead(config)),
            "window": In(WindowPort((config.slots * config.size ** 2 - 1).bit_length())),
            "bad_parity": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, read, window = self.config, self.read, self.window
        column_bits = (config.size - 1).bit_length()
        row_bits = column_bits + (config.block - 1).bit_length()
        host_lane = window.address[row_bits:2 * column_bits]
        host_address = Cat(window.address[:row_bits], window.address[2 * column_bits:])
        address = Signal(range(config.slots * config.block * config.size))
        m.d.comb += address.eq(Mux(window.select, host_address, Cat(read.column, read.row, read.slot)))

        host_lane_read = Signal(bits_for(config.lanes))
        m.d.sync += host_lane_read.eq(host_lane)
        host_bytes = [window.w_data.word_select(byte, 8) for byte in range(BYTES)]
        errors = []
        for lane in range(config.lanes):
            memory = m.submodules[f"lane{lane}"] = Memory(
                shape=9 * BYTES, depth=config.slots * config.block * config.size, init=[], attrs={"no_rw_check": "1"})
            write, stored = memory.write_port(granularity=9), memory.read_port()
            strobe = Mux(window.select & (host_lane == lane), window.w_strobe[:BYTES], 0)
            m.d.comb += [
                write.addr.eq(address),
                write.data.eq(with_parity(host_bytes, self.bad_parity)),
                write.en.eq(strobe),
                stored.addr.eq(address),
                stored.en.eq((read.enable | window.select) & ~strobe.any()),
            ]
            element, error = checked(stored.data, 8)
            errors.append(error)
            m.d.comb += read.elements[lane].eq(Cat(element))
            with m.If(host_lane_read == lane):
                m.d.comb += [window.r_data.eq(read.elements[lane]), window.r_error.eq(error)]
        m.d.comb += read.parity_error.eq(Cat(errors).any())
        return m

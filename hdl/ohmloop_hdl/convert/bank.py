"""The converter bank: all outputs of the macro through a few shared converters."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.convert.sar import Sar
from ohmloop_hdl.fixed import magnitude


class ConverterBank(wiring.Component):
    """Converts every held output once a scan, compares each code with the scan before, keeps the newest.

    Converter a serves outputs a*M to a*M + M - 1 with M = N/adcs, one after the other. Each output costs one clock a
    bit and one clock to store, in which the multiplexer moves on. Codes of outputs outside ``loop_size`` are stored but
    never judged.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    start : In(1)
        Begin a scan in the next clock; the held outputs must be valid from then on.
    done : Out(1)
        High in the last clock of the scan; ``agree`` and ``peak`` are valid from the next clock.
    tolerance : In(4)
        Largest difference between scans that counts as agreement. Unit: LSB.
    loop_size : In
        Outputs that are judged.
    agree : Out(1)
        Every judged output is within the tolerance of the scan before.
    peak : Out(adc_bits - 1)
        Bitwise OR of the magnitudes of all judged codes: its top bit gives the largest code's power of two.
    index, codes : In, Out(lanes x signed(adc_bits))
        Reads element ``index`` of every lane's block; combinational.
    stored : Out(1)
        High in each clock that stores codes (for the trace, with ``mux`` and ``latest``).
    latest : Out(adcs x signed(adc_bits))
        Codes being stored.
    wipe, wipe_address : In(1), In
        Overwrite the kept codes, one step of all converters a clock.
    mux, trial, above
        As in the macro contract.

    Latency
    -------
    A scan takes M (adc_bits + 1) clocks after ``start``.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        code = signed(config.adc_bits)
        super().__init__({
            "start": In(1),
            "done": Out(1),
            "tolerance": In(4),
            "loop_size": In(range(config.size + 1)),
            "agree": Out(1),
            "peak": Out(config.adc_bits - 1),
            "index": In(range(config.block)),
            "codes": Out(data.ArrayLayout(code, config.lanes)),
            "stored": Out(1),
            "latest": Out(data.ArrayLayout(code, config.adcs)),
            "wipe": In(1),
            "wipe_address": In(config.mux_bits),
            "mux": Out(config.mux_bits),
            "trial": Out(config.adcs * config.adc_bits),
            "above": In(config.adcs),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        top_bit = 1 << (config.adc_bits - 1)
        mask = Signal(config.adc_bits)
        clear = Signal()

        sars = []
        for a in range(config.adcs):
            sar = m.submodules[f"sar{a}"] = Sar(config.adc_bits)
            sars.append(sar)
            m.d.comb += [
                sar.clear.eq(clear),
                sar.mask.eq(mask),
                sar.above.eq(self.above[a]),
                self.latest[a].eq(sar.result),
            ]
        m.d.comb += self.trial.eq(Cat(sar.trial for sar in sars))

        last_step = self.mux == config.mux_steps - 1
        with m.FSM(name="bank"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [mask.eq(top_bit), self.mux.eq(0)]
                    m.d.comb += clear.eq(1)
                    m.next = "CONVERT"
            with m.State("CONVERT"):
                m.d.sync += mask.eq(mask >> 1)
                with m.If(mask[0]):
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += [self.stored.eq(1), clear.eq(1), self.done.eq(last_step)]
                with m.If(last_step):
                    m.next = "IDLE"
                with m.Else():
                    m.d.sync += [mask.eq(top_bit), self.mux.eq(self.mux + 1)]
                    m.next = "CONVERT"

        self._keep_codes(m, sars)
        self._judge(m, sars)
        return m

    def _keep_codes(self, m: Module, sars: list[Sar]):
        """One small memory a converter; a lane reads its own converters only."""
        config = self.config
        step_bits = (config.mux_steps - 1).bit_length()
        address = Mux(self.stored, self.mux, self.index[:step_bits])
        self.previous = [Signal(signed(config.adc_bits), name=f"previous{a}") for a in range(config.adcs)]
        for a, sar in enumerate(sars):
            if config.mux_steps == 1:
                with m.If(self.stored | self.wipe):
                    m.d.sync += self.previous[a].eq(Mux(self.wipe, 0, sar.result))
                continue
            codes = m.submodules[f"codes{a}"] = Memory(shape=signed(config.adc_bits), depth=config.mux_steps, init=[])
            write, read = codes.write_port(), codes.read_port(domain="comb")
            m.d.comb += [
                write.addr.eq(Mux(self.wipe, self.wipe_address, self.mux)),
                write.en.eq(self.stored | self.wipe),
                write.data.eq(Mux(self.wipe, 0, sar.result)),
                read.addr.eq(address),
                self.previous[a].eq(read.data),
            ]
        converters = config.adcs // config.lanes
        for lane in range(config.lanes):
            with m.Switch(self.index[step_bits:]):
                for c in range(converters):
                    with m.Case(c):
                        m.d.comb += self.codes[lane].eq(self.previous[lane * converters + c])

    def _judge(self, m: Module, sars: list[Sar]):
        """Agreement and peak, accumulated over the scan."""
        config = self.config
        peak, differs = [], []
        for a, sar in enumerate(sars):
            output = Signal(range(config.size), name=f"output{a}")
            m.d.comb += output.eq(a * config.mux_steps + self.mux)
            in_loop = output < self.loop_size
            difference = Signal(signed(config.adc_bits + 1), name=f"difference{a}")
            m.d.comb += difference.eq(sar.result - self.previous[a])
            differs.append(in_loop & ((difference > self.tolerance) | (difference < -self.tolerance)))
            peak.append(Mux(in_loop, magnitude(sar.result), 0))
        with m.If(self.start):
            m.d.sync += [self.agree.eq(1), self.peak.eq(0)]
        with m.Elif(self.stored):
            peaks = 0
            for value in peak:
                peaks = peaks | value
            m.d.sync += [
                self.agree.eq(self.agree & ~Cat(differs).any()),
                self.peak.eq(self.peak | peaks),
            ]

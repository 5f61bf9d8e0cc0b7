"""One successive-approximation register."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.fixed import saturate


class Sar(wiring.Component):
    """Binary search for the greatest code whose level is not above the held input.

    The search runs in offset binary, one bit a clock from the top: the trial is the code so far with one more bit set,
    and the bit stays if the comparator says that the input is not below the trial's level. After ``bits`` steps the raw
    code is max{k : level(k) <= input}, or the bottom code when the input is below every level.

    The result is ``-max(raw, -(2^(bits-1) - 1))``: the range is symmetric, and the one negation of the output path,
    which undoes the sign of the loop, happens here. ::

        clear  _/~\\_______________________
        mask    0  | 80 | 40 | 20 | ...     one bit a clock, from the top
        trial       code | mask             offset binary inside, top bit flipped on the pins
        above            ^    ^    ^        sampled at the end of each clock

    Parameters
    ----------
    bits : int
        Width of the code.

    Members
    -------
    clear : In(1)
        Forget the last conversion; the next clock may carry the first trial.
    mask : In(bits)
        One-hot bit on trial, zero to keep still; shared by all converters of a bank.
    above : In(1)
        Comparator: input not below the level of ``trial``.
    trial : Out(bits)
        Trial code, two's complement.
    result : Out(signed(bits))
        Negated symmetric code, valid after the last step until ``clear``.

    Latency
    -------
    ``bits`` clocks from the first mask to a valid ``result``.
    """

    def __init__(self, bits: int):
        self.bits = bits
        super().__init__({
            "clear": In(1),
            "mask": In(bits),
            "above": In(1),
            "trial": Out(bits),
            "result": Out(signed(bits)),
        })

    def elaborate(self, platform):
        m = Module()
        sign = 1 << (self.bits - 1)
        code = Signal(self.bits)
        m.d.comb += [
            self.trial.eq((code | self.mask) ^ sign),
            self.result.eq(-saturate((code ^ sign).as_signed(), self.bits)),
        ]
        with m.If(self.clear):
            m.d.sync += code.eq(0)
        with m.Elif(self.above):
            m.d.sync += code.eq(code | self.mask)
        return m

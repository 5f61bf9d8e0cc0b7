"""Auto-ranging: the input range of a solve, the feedback range of a multiply."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig


class Ranging(wiring.Component):
    """Decides the ranges; where they stand is kept by the register bank, one range a mode, sticky between runs.

    A clip moves the range up by one (less signal) for another attempt, and is ``exhausted`` where the range is already
    the last. A result whose largest code is under a quarter (solve) or an eighth (multiply) of full scale moves the
    range down by one for the *next* run; no run is repeated because its result is small. The range moves also when the
    result then traps ``range``.

    Parameters
    ----------
    config : ChipConfig
        Width of the output codes.

    Members
    -------
    multiply : In(1)
        The running mode.
    clip : In(1)
        One clock: this attempt clipped.
    finish : In(1)
        One clock: this attempt gave a result whose magnitudes OR to ``peak``.
    peak : In(adc_bits - 1)
        Bitwise OR of the magnitudes of the codes.
    drive_range, feedback : In(3), In(2)
        Where the ranges stand, as in the macro contract.
    next_drive_range, next_feedback : Out(3), Out(2)
        Where they go.
    exhausted : Out(1)
        The running mode is in its last range.

    Latency
    -------
    None.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "multiply": In(1),
            "clip": In(1),
            "finish": In(1),
            "peak": In(config.adc_bits - 1),
            "drive_range": In(3),
            "feedback": In(2),
            "next_drive_range": Out(3),
            "next_feedback": Out(2),
            "exhausted": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # A code of 2^(B-1) is full scale, so a quarter of it is 2^(B-3) and an eighth 2^(B-4).
        quarter = self.peak[self.config.adc_bits - 3:].any()
        eighth = self.peak[self.config.adc_bits - 4:].any()
        for mode, level, next_level, enough in (
                (0, self.drive_range, self.next_drive_range, quarter),
                (1, self.feedback, self.next_feedback, eighth)):
            last = level.all()
            m.d.comb += next_level.eq(level)
            with m.If(self.multiply == mode):
                m.d.comb += self.exhausted.eq(last)
                with m.If(self.clip & ~last):
                    m.d.comb += next_level.eq(level + 1)
                with m.Elif(self.finish & ~enough & level.any()):
                    m.d.comb += next_level.eq(level - 1)
        return m

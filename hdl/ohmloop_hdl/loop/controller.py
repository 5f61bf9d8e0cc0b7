"""The loop controller: switches, settling rule, attempts."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase

INTERVAL_BITS = 20
"""Width of a sampling interval in clocks."""

TIMEOUT_BITS = 24
"""Width of the settling time-out in clocks."""


class LoopController(wiring.Component):
    """Closes the loop, decides by measurement when it has settled, opens it again.

    One attempt: dead time, auto-zero, dead time, close; a first scan ``interval`` clocks after closing, later scans
    ``max(interval, scan time)`` apart. A scan that agrees with the one before, within the tolerance, is the result.
    A clip in any scan ends the attempt: the range moves and the next attempt starts, until the ranges are exhausted.
    A reset opens the loop from any state. Switches break before they make: ``dead_cycles`` clocks with every switch
    open lie between any two that are closed. ::

        OPEN -> DEAD -> AUTOZERO -> DEAD -> SETTLE -> SAMPLE -> HOLD -> CONVERT -> JUDGE -> OPEN
                 ^                            ^----------- not yet ----------------'|
                 '------------------------------- clip, range left -----------------'

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    start, multiply : In(1)
        Begin a run in the next clock; mode of the run (held while it lasts).
    loading : In(1)
        The DACs are still being loaded: prepare, but do not close.
    interval : In(20)
        Sampling interval D of the mode. Unit: clocks.
    timeout : In(24)
        A scan that does not agree, judged this long after closing or later, ends the run. Unit: clocks.
    dead_cycles, autozero_cycles : In(8), In(16)
        Programmed times; a value of 0 counts as 1. Unit: clocks.
    loop_size : In
        Outputs whose clip flags count.
    agree : In(1)
        Verdict of the converter bank on the finished scan.
    convert, converted : Out(1), In(1)
        Start a scan of the converter bank; its last clock.
    clip, exhausted : Out(1), In(1)
        To and from the ranging.
    done, clip_trap, settle_trap : Out(1)
        One clock: the run ended with a result, or with a trap. At most one is high.
    closed : Out(1)
        The loop is closed.
    phase : Out(Phase)
        For the trace.
    autozero, close_solve, close_multiply, sample, clipped
        As in the macro contract.

    Latency
    -------
    See ``docs/timing.md``: an attempt of n scans takes 2 dead + autozero + t_n + M (B + 1) + 2 clocks, with t_1 =
    max(2, D), t_(n+1) = t_n + max(D, M (B + 1) + 3), B = adc_bits, M = N/adcs; the first attempt of a run closes no
    sooner than ``loading`` falls.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "start": In(1),
            "multiply": In(1),
            "loading": In(1),
            "interval": In(INTERVAL_BITS),
            "timeout": In(TIMEOUT_BITS),
            "dead_cycles": In(8),
            "autozero_cycles": In(16),
            "loop_size": In(range(config.size + 1)),
            "agree": In(1),
            "convert": Out(1),
            "converted": In(1),
            "clip": Out(1),
            "exhausted": In(1),
            "done": Out(1),
            "clip_trap": Out(1),
            "settle_trap": Out(1),
            "closed": Out(1),
            "phase": Out(Phase),
            "autozero": Out(1),
            "close_solve": Out(1),
            "close_multiply": Out(1),
            "sample": Out(1),
            "clipped": In(config.size),
        })

    def elaborate(self, platform):
        m = Module()
        wait = Signal(16)
        """Clocks left in a dead time or an auto-zero."""
        since = Signal(INTERVAL_BITS + 1)
        """Rising edges since the one that closed the loop, or that sampled last."""
        elapsed = Signal(TIMEOUT_BITS + 1)
        """Rising edges since the one that closed the loop."""
        zeroed, rescan, clip_seen, sample_now = (Signal(name=name) for name in (
            "zeroed", "rescan", "clip_seen", "sample_now"))

        used = Cat(output < self.loop_size for output in range(self.config.size))
        m.d.comb += [
            self.closed.eq(self.close_solve | self.close_multiply),
            # The sample falls on edge ``since + 2``: this clock's edge, then the edge of the SAMPLE clock.
            sample_now.eq(since + 2 >= self.interval),
        ]
        with m.If(self.closed):
            m.d.sync += [elapsed.eq(elapsed + 1), since.eq(Mux(self.sample, 0, since + 1))]
            with m.If((self.clipped & used).any()):
                m.d.sync += clip_seen.eq(1)

        def dead(next_is_zeroed):
            m.d.sync += [wait.eq(self.dead_cycles), zeroed.eq(next_is_zeroed)]
            m.next = "DEAD"

        def open_switches():
            m.d.sync += [self.autozero.eq(0), self.close_solve.eq(0), self.close_multiply.eq(0), self.sample.eq(0)]

        with m.FSM(name="loop"):
            with m.State("OPEN"):
                m.d.comb += self.phase.eq(Phase.IDLE)
                with m.If(self.start):
                    dead(0)
            with m.State("DEAD"):
                m.d.comb += self.phase.eq(Phase.PREPARE)
                with m.If(wait > 1):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(zeroed):
                    with m.If(~self.loading):
                        m.d.sync += [
                            self.close_solve.eq(~self.multiply),
                            self.close_multiply.eq(self.multiply),
                            since.eq(0),
                            elapsed.eq(0),
                            rescan.eq(0),
                            clip_seen.eq(0),
                        ]
                        m.next = "SETTLE"
                with m.Else():
                    m.d.sync += [self.autozero.eq(1), wait.eq(self.autozero_cycles)]
                    m.next = "AUTOZERO"
            with m.State("AUTOZERO"):
                m.d.comb += self.phase.eq(Phase.PREPARE)
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait <= 1):
                    m.d.sync += self.autozero.eq(0)
                    dead(1)
            with m.State("SETTLE"):
                m.d.comb += self.phase.eq(Phase.SETTLE)
                with m.If(sample_now):
                    m.d.sync += self.sample.eq(1)
                    m.next = "SAMPLE"
            with m.State("SAMPLE"):
                m.d.comb += self.phase.eq(Phase.CONVERT)
                m.d.sync += self.sample.eq(0)
                m.next = "HOLD"
            with m.State("HOLD"):
                m.d.comb += [self.phase.eq(Phase.CONVERT), self.convert.eq(1)]
                m.next = "CONVERT"
            with m.State("CONVERT"):
                m.d.comb += self.phase.eq(Phase.CONVERT)
                with m.If(self.converted):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += self.phase.eq(Phase.CONVERT)
                m.d.sync += rescan.eq(1)
                with m.If(clip_seen):
                    m.d.comb += [self.clip.eq(1), self.clip_trap.eq(self.exhausted)]
                    open_switches()
                    dead(0)
                    with m.If(self.exhausted):
                        m.next = "OPEN"
                with m.Elif(rescan & self.agree):
                    m.d.comb += self.done.eq(1)
                    open_switches()
                    m.next = "OPEN"
                with m.Elif(elapsed >= self.timeout):
                    m.d.comb += self.settle_trap.eq(1)
                    open_switches()
                    m.next = "OPEN"
                with m.Elif(sample_now):
                    m.d.sync += self.sample.eq(1)
                    m.next = "SAMPLE"
                with m.Else():
                    m.next = "SETTLE"
        return m

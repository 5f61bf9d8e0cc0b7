"""The macro contract: the pins between the digital half and the analogue macro.

The module ``ohmloop_macro`` has interchangeable bodies (numpy, real-number SystemVerilog, black box); all of them have
these pins and keep these rules. ``docs/macro.md`` states the electrical meaning, this file the wires.

1. All pins are digital and packed, one vector a bus; element i of a bus of width N*w is bits ``i*w`` up to
   ``(i+1)*w - 1``.
2. ``row`` is one-hot or zero. ``write`` and ``read`` exclude each other, need one word line, and a loop that is open.
3. At most one of ``autozero``, ``close_solve``, ``close_multiply`` is high. All low opens the loop and resets the
   amplifiers.
4. ``feedback`` and ``bandwidth`` change only while the loop is open.
5. Clock 1 of a loop is the first rising edge that sees its close switch high. An edge that sees ``sample`` high holds
   the state after its own step; the first edge that sees it low again makes the held values and ``clipped`` visible.
6. ``above`` and ``sense`` are combinational; the digital half samples them at the next rising edge.
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig

DRIVE_RANGES, FEEDBACKS, BANDWIDTHS = 8, 4, 4
"""Settings of the three range switches."""


class MacroPins(wiring.Signature):
    """Pins of ``ohmloop_macro`` as the digital half sees them: ``Out`` goes to the macro.

    Parameters
    ----------
    config : ChipConfig
        Chip whose sizes and widths fix the bus widths.

    Members
    -------
    row : Out(N)
        Word lines, one-hot or zero.
    plane : Out(1)
        Array that the word line selects: 0 is G+, 1 is G-.
    write, write_data : Out(1), Out(N*cell_bits)
        Write the selected row while high.
    read, sense : Out(1), In(N*cell_bits)
        Read the selected row back.
    dac : Out(N*dac_bits)
        Signed input codes.
    autozero, close_solve, close_multiply : Out(1)
        Switches.
    drive_range : Out(3)
        Input conductance Gin = G0 / 2^k; the unused part of Gin goes to the reference, so the load stays the same.
    feedback : Out(2)
        Multiply mode: feedback conductance N 4^(k-2) G0.
    bandwidth : Out(2)
        Amplifier gain-bandwidth product GBW / 2^k.
    sample : Out(1)
        Track all outputs while high, hold on fall.
    mux : Out(mux_bits)
        ADC a converts held output ``a * N/adcs + mux``.
    trial, above : Out(adcs*adc_bits), In(adcs)
        Trial codes (two's complement); not (held input < level of the trial code).
    clipped : In(N)
        Amplifier at a rail, judged at falls of ``sample``; latches, and freezes the loop, until the loop opens.
    """

    def __init__(self, config: ChipConfig):
        super().__init__({
            "row": Out(config.size),
            "plane": Out(1),
            "write": Out(1),
            "write_data": Out(config.size * config.cell_bits),
            "read": Out(1),
            "sense": In(config.size * config.cell_bits),
            "dac": Out(config.size * config.dac_bits),
            "autozero": Out(1),
            "close_solve": Out(1),
            "close_multiply": Out(1),
            "drive_range": Out(3),
            "feedback": Out(2),
            "bandwidth": Out(2),
            "sample": Out(1),
            "mux": Out(config.mux_bits),
            "trial": Out(config.adcs * config.adc_bits),
            "above": In(config.adcs),
            "clipped": In(config.size),
        })

"""The steps of a scenario beside levels and clocks: where the outputs are looked at, and how closely."""

from typing import NamedTuple

from ohmloop.analog.body import MacroInputs

QUARTER_LSB = 0.25
"""Agreement that the contract asks of two bodies."""

GROSS_LSB = 6.0
"""For scenarios that only ask for a sign."""

PATIENCE = 3
"""Clocks that pins stay before outputs are looked at where timing is not the question: a comparator that is late must
not make every other rule look broken."""


class Look(NamedTuple):
    """Compare outputs as they are now, behind a falling edge.

    ``above`` is wrong where the reference is further than ``tolerance_lsb`` from the level of the trial code and the
    bit is another; ``clipped`` where the output is further than that from the rail.
    """

    outputs: tuple[str, ...]
    tolerance_lsb: float = QUARTER_LSB


class EarlyLook(NamedTuple):
    """One clock with these pins; outputs are compared before its rising edge."""

    pins: MacroInputs
    outputs: tuple[str, ...]
    tolerance_lsb: float = QUARTER_LSB

"""What happens inside the machine, by name: the phases that the trace shows and the cycle table counts."""

from enum import IntEnum


class Phase(IntEnum):
    """What the machine is doing in a clock; the ``trace_phase`` port carries the value.

    Every clock between start and halt belongs to exactly one phase, so the phases add up to the cycle count.
    """

    IDLE = 0
    """Halted; the host owns the memories."""
    ISSUE = 1
    """Fetching and decoding an instruction."""
    PROGRAM = 2
    """Writing the code memory into both arrays and reading it back."""
    DRIVE = 3
    """Rounding a vector to input codes and loading the DACs."""
    PREPARE = 4
    """Loop open: dead time of the switches and auto-zero."""
    SETTLE = 5
    """Loop closed, waiting for the amplifiers until the next sample."""
    CONVERT = 6
    """Loop closed, sampling and converting all outputs, and judging the scan."""
    STORE = 7
    """Writing the result codes into a vector."""

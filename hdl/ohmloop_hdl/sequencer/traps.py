"""Trap causes: why the machine stopped by itself."""

from enum import IntEnum


class TrapCause(IntEnum):
    """Cause of a trap, in the field STATUS.trap. The order of the numbers is the order in which causes are asked for.

    A trap opens the loop, keeps the program counter of the faulting instruction, raises the trap interrupt, and leaves
    every vector as it was before the instruction. Numbers 1, 2, 4 and 9 are set aside for parity, watchdog, divide and
    stream.
    """

    NONE = 0
    """No trap since the last start."""
    ILLEGAL = 3
    """Unknown operation code, or a bit set that the instruction does not use."""
    RANGE = 5
    """The exponent of the result is above the largest; nothing was written."""
    CLIP = 6
    """An output was still at a rail in the last range."""
    SETTLE = 7
    """No two neighbouring conversions agreed within the time-out."""
    VERIFY = 8
    """More cells than allowed read back other than they were written."""

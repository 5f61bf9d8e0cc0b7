"""Trap causes: why the machine stopped by itself."""

from enum import IntEnum


class TrapCause(IntEnum):
    """Cause of a trap, in the field STATUS.trap. Of causes that come in the same clock the smallest number wins.

    A trap opens the loop, keeps the program counter of the faulting instruction, raises the trap interrupt, and leaves
    every register as it was before the instruction, except the destination of an aborted LD, which reads zero. Arrays
    that a PROG was writing, and a matrix that LD was filling, are no longer valid.
    """

    NONE = 0
    """No trap since the last start."""
    PARITY = 1
    """A word of program, code, slot or correction memory does not have the parity it was written with."""
    WATCHDOG = 2
    """The instruction took longer than WATCHDOG allows, waits for a stream not counted."""
    ILLEGAL = 3
    """Unknown operation code, a bit set that the instruction does not use, or a matrix used that is not there."""
    DIVIDE = 4
    """The divisor is zero."""
    RANGE = 5
    """The exponent of the result is above the largest; nothing was written."""
    CLIP = 6
    """An output was still at a rail in the last range."""
    SETTLE = 7
    """No two neighbouring conversions agreed within the time-out."""
    VERIFY = 8
    """More cells than allowed read back other than they were written."""
    STREAM = 9
    """The last beat of an object came early, or was not marked as the last."""

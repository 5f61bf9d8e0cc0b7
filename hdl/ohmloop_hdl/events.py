"""What happens inside the machine, by name: the phases a clock belongs to, and the events that are counted.

The trace, the counters, the golden machine and every report use these two lists and no other.
"""

from enum import IntEnum


class Phase(IntEnum):
    """What the machine is doing in a clock; the ``trace_phase`` port carries the value.

    Every clock between start and halt belongs to exactly one phase. All but ``WAIT`` add up to the cycle count.
    """

    IDLE = 0
    """Halted; the host owns the memories."""
    ISSUE = 1
    """Fetching and decoding an instruction."""
    PROGRAM = 2
    """Writing the code memory into both arrays, or reading it back."""
    DRIVE = 3
    """Rounding a vector to input codes and loading the DACs."""
    PREPARE = 4
    """Loop open: dead time of the switches and auto-zero."""
    SETTLE = 5
    """Loop closed, waiting for the amplifiers until the next sample."""
    CONVERT = 6
    """Loop closed, sampling and converting all outputs, and judging the scan."""
    STORE = 7
    """Correcting the result codes and writing them into a vector."""
    VECTOR = 8
    """The vector unit adds, multiplies or rounds."""
    SCALAR = 9
    """The scalar unit divides or compares."""
    STREAM = 10
    """Words move between a memory and a stream."""
    WAIT = 11
    """A stream has no word to give or no room to take one; not counted as a cycle."""
    WIPE = 12
    """``zeroize`` overwrites the memories and the arrays."""


class Event(IntEnum):
    """What is counted, each in a register ``EVENT_<name>`` of 32 bits that wraps; ``zeroize`` and reset count as well.

    The value is the event's place in every list of events.
    """

    ROW_WRITTEN = 0
    """A row of one array was written."""
    ROW_READ = 1
    """A row of one array was read back."""
    ROW_REWRITTEN = 2
    """A row that read back wrong is written once more."""
    DAC_UPDATED = 3
    """An input code was loaded."""
    LOOP_CLOSED = 4
    """A loop switch closed."""
    CLOSED_CLOCK_0 = 5
    """A clock with the loop closed at bandwidth GBW."""
    CLOSED_CLOCK_1 = 6
    """A clock with the loop closed at bandwidth GBW / 2."""
    CLOSED_CLOCK_2 = 7
    """A clock with the loop closed at bandwidth GBW / 4."""
    CLOSED_CLOCK_3 = 8
    """A clock with the loop closed at bandwidth GBW / 8."""
    SAMPLED = 9
    """All outputs were sampled and held."""
    CONVERTED = 10
    """A converter finished an output code."""
    CLIPPED = 11
    """An attempt ended with an output at a rail."""
    RANGE_MOVED = 12
    """Auto-ranging moved a range."""
    MULTIPLIED = 13
    """A lane took a product into a sum."""
    VECTOR_READ = 14
    """A mantissa was read by the vector or the loop unit; a word for several lanes counts once a lane. What ``ST``
    sends counts as beats."""
    VECTOR_WRITTEN = 15
    """A mantissa was written by the vector or the loop unit. What ``LD`` fills counts as beats."""
    SLOT_READ = 16
    """A matrix element was read for a product."""
    CODE_READ = 17
    """A word of the code memory was read for the arrays."""
    FETCHED = 18
    """An instruction word was read."""
    BEAT_IN = 19
    """A beat was taken from the input stream's buffer."""
    BEAT_OUT = 20
    """A beat was put into the output stream's buffer."""

"""The cycle model: how many clocks each step takes, as formulas in the terms of ``docs/timing.md``."""

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import ELEMENT_BITS

ISSUE = 2
"""Fetch and decode of any instruction; all of SETC, LOOP and HALT."""

# Vector and scalar unit

FILL = 6
"""Clocks from the last operands of a sum to the first clock in which a result may be written, the judging of the
exponent included: memory, multiply, accumulate, align, find the shift, normalise."""


def axpy_cycles(config: ChipConfig) -> tuple[int, int]:
    """AXPY behind its issue: clocks until the exponent is judged, clocks that write."""
    return config.block + FILL, config.block


def mat_cycles(config: ChipConfig) -> tuple[int, int]:
    """MAT behind its issue: clocks until the exponent is judged, clocks that write."""
    return config.size * config.block + FILL, config.block


def dot_cycles(config: ChipConfig) -> tuple[int, int]:
    """DOT behind its issue: clocks until the exponent is judged, clocks that write."""
    return config.block + config.lanes + FILL - 1, 1


def mat_parity_cycles(config: ChipConfig, row: int, column: int) -> int:
    """MAT behind its issue, up to the trap for a wrong element in this row of a lane's block and column."""
    return row * config.size + column + 3


ZERO_DIVISOR = 1
"""DIV behind its issue, up to the trap for a zero divisor."""

DIVIDE = ELEMENT_BITS + 2 + 3
"""DIV behind its issue: two clocks to normalise, one a bit, one to round and write."""

COMPARE = 2
"""BLE behind its issue."""

# Streams


def fill_cycles(beats: int) -> int:
    """LD behind its issue, and a row that PROG takes from the stream: begin, a beat a clock, end."""
    return beats + 2


def send_cycles(config: ChipConfig) -> int:
    """ST behind its issue: begin, then the exponent and the mantissas."""
    return config.size + 2


# Arrays


def row_cycles(config: ChipConfig, write_cycles: int) -> int:
    """Programming one row of both arrays without retries: load, two planes, record."""
    return load_cycles(config) + 2 * attempt_cycles(write_cycles) + RECORD


def load_cycles(config: ChipConfig) -> int:
    """A row from the code memory into the row buffer."""
    return config.code_words + 1


def load_parity_cycles(word: int) -> int:
    """Loading a row, up to the trap for a wrong word at this place in a lane's part of the row."""
    return word + 2


def attempt_cycles(write_cycles: int) -> int:
    """One attempt at one row of one plane: select, write pulse, release, read, check."""
    return 4 + max(1, write_cycles)


SELECT = 1
"""Clocks of an attempt before the write pulse."""

LOOK = 3
"""SCRUB looks at one row of one plane: select, read, check."""

RECORD = 1
"""Keeping the bad cells of a row."""

REFILL = 1
"""Asking for a row from the stream."""

PROGRAM_END = 1
"""Verdict after the last row."""

# Loop


def drive_cycles(config: ChipConfig) -> int:
    """Walking a vector into the DACs."""
    return config.block + 1


def drive_parity_cycles(element: int) -> int:
    """Walking a vector into the DACs, up to the trap for a wrong correction word of this element of a lane's block."""
    return element + 2


def store_cycles(config: ChipConfig) -> int:
    """Walking the result codes through the correction into a vector, its exponent with the last."""
    return config.block + 1


def prepare_cycles(dead: int, autozero: int) -> int:
    """Dead time, auto-zero, dead time before a closing; before the first of a run, the DACs are loaded meanwhile."""
    return 2 * max(1, dead) + max(1, autozero)


def conversion_cycles(config: ChipConfig) -> int:
    """All outputs through the shared converters: a bit a clock and a clock to store, for every multiplexer step."""
    return config.mux_steps * (config.adc_bits + 1)


JUDGE = 1
"""Verdict on a scan."""


def scan_cycles(config: ChipConfig) -> int:
    """A scan from its sample to its verdict: sample, hold, conversion, judge."""
    return conversion_cycles(config) + 2 + JUDGE


def first_sample(interval: int) -> int:
    """Clocks from closing to the first sample."""
    return max(2, interval)


def sample_spacing(config: ChipConfig, interval: int) -> int:
    """Clocks from one sample to the next."""
    return max(interval, scan_cycles(config))

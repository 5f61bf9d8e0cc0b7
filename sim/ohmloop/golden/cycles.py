"""The cycle model: how many clocks each step takes, as formulas in the terms of ``docs/timing.md``."""

from ohmloop_hdl.config import ChipConfig

ISSUE = 2
"""Fetch and decode of any instruction."""


def row_cycles(config: ChipConfig, write_cycles: int) -> int:
    """Programming one row of both arrays without retries: load, two planes, record."""
    words = config.block // config.codes_per_word
    return words + 2 + 2 * attempt_cycles(write_cycles)


def attempt_cycles(write_cycles: int) -> int:
    """One attempt at one row of one plane: select, write pulse, release, read, check."""
    return 4 + max(1, write_cycles)


PROGRAM_END = 1
"""Verdict after the last row."""


def drive_cycles(config: ChipConfig) -> int:
    """Walking a vector into the DACs."""
    return config.block + 1


def store_cycles(config: ChipConfig) -> int:
    """Walking the result codes into a vector, then its exponent."""
    return config.block + 1


def prepare_cycles(dead: int, autozero: int) -> int:
    """Dead time, auto-zero, dead time before a closing; before the first of a run, the DACs are loaded meanwhile."""
    return 2 * max(1, dead) + max(1, autozero)


def conversion_cycles(config: ChipConfig) -> int:
    """All outputs through the shared converters: a bit a clock and a clock to store, for every multiplexer step."""
    return config.mux_steps * (config.adc_bits + 1)


def scan_cycles(config: ChipConfig) -> int:
    """A scan from its sample to its verdict: sample, hold, conversion, judge."""
    return conversion_cycles(config) + 3


def first_sample(interval: int) -> int:
    """Clocks from closing to the first sample."""
    return max(2, interval)


def sample_spacing(config: ChipConfig, interval: int) -> int:
    """Clocks from one sample to the next."""
    return max(interval, scan_cycles(config))

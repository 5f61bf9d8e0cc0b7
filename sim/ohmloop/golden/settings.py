"""The configuration registers that a program runs under."""

from dataclasses import dataclass, fields, replace

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.host.map import address_map


@dataclass
class Settings:
    """The configuration registers that a program runs under; names and resets are those of ``registers.rdl``.

    ``loop_size`` and ``vector_size`` in elements, ``*_interval``, ``timeout``, ``dead``, ``autozero``, ``watchdog`` and
    ``write_cycles`` in clocks, ``tolerance`` in LSB, ``bandwidth``, ``drive_range`` and ``feedback`` as switch codes.
    """

    loop_size: int
    vector_size: int
    solve_interval: int
    multiply_interval: int
    timeout: int
    tolerance: int
    dead: int
    autozero: int
    write_cycles: int
    retries: int
    bad_limit: int
    bandwidth: int
    drive_range: int
    feedback: int
    watchdog: int

    @classmethod
    def reset(cls, config: ChipConfig, **changes: int) -> "Settings":
        """The reset values of the registers, with ``changes``."""
        table = address_map(config).fields
        values = {name: table[SETTING_FIELDS[name]].reset for name in SETTING_FIELDS}
        return cls(**(values | changes))

    def copy(self) -> "Settings":
        """A copy to run with: auto-ranging moves the ranges."""
        return replace(self)


SETTING_FIELDS = {
    "loop_size": "SIZES.loop_size",
    "vector_size": "SIZES.vector_size",
    "solve_interval": "SOLVE_INTERVAL.clocks",
    "multiply_interval": "MULTIPLY_INTERVAL.clocks",
    "timeout": "TIMEOUT.clocks",
    "tolerance": "TOLERANCE.lsb",
    "dead": "SWITCHES.dead",
    "autozero": "SWITCHES.autozero",
    "write_cycles": "ARRAY.write_cycles",
    "retries": "ARRAY.retries",
    "bad_limit": "ARRAY.bad_limit",
    "bandwidth": "BANDWIDTH.k",
    "drive_range": "RANGES.drive_range",
    "feedback": "RANGES.feedback",
    "watchdog": "WATCHDOG.clocks",
}
"""The register field behind each setting."""

assert set(SETTING_FIELDS) == {f.name for f in fields(Settings)}

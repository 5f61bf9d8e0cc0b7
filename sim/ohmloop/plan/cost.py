"""What it costs to apply an inverse made of loops, before it is done: solves, writings of the arrays, clocks.

An array holds one matrix at a time. An inverse asks for its loops in a fixed order, again and again; where it asks
twice in a row for the same one, or has an array for each, nothing is written::

    clocks = solves T_solve + writings T_write + digital multiply-adds / rate
    T_write = T_issue + N (T_refill + T_row) + 1                     the codes come by the stream, each matrix anew
    T_solve = LD + INV + ST                                          a right-hand side in, the loop, a solution out

with the terms of ``docs/timing.md``. How many scans an INV takes is predicted from the slowest time constant of the
plan: an output that starts a full scale away moves by less than the tolerance and half an LSB between scans once

    t >= tau ln(2^(B-1) / (tolerance + 1/2))

so the scan after that ends it. Where the slowest mode has little of the solution, it ends sooner: this is what to
expect at most. A clip adds an attempt: it moves the range, and the next solve keeps it; counted as none. What the host
needs to hand over a vector is not in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.golden import cycles
from ohmloop.golden.settings import Settings
from ohmloop.plan.scaling import Plan
from ohmloop_hdl.config import ChipConfig

HOST_RATE_HZ = 2e9
"""Multiply-adds a second of the host, float64: one core at 2 GHz, one a clock. [own]"""


@dataclass(frozen=True)
class Cost:
    """A number of applications of an inverse."""

    solves: int
    """Analogue solves."""

    writings: int
    """Times that an array is written, the first time included."""

    solve_clocks: int
    """Clocks of the solves, vectors in and out included."""

    writing_clocks: int
    """Clocks of the writings."""

    multiply_adds: int
    """Digital ones of the host."""

    digital_clocks: int
    """What they take at :data:`HOST_RATE_HZ`, in clocks of the chip."""

    @property
    def clocks(self) -> int:
        """All of it, one after the other."""
        return self.solve_clocks + self.writing_clocks + self.digital_clocks


def application_cost(calls: Sequence[int], plans: Sequence[Plan], config: ChipConfig, params: AnalogParams, *,
                     times: int = 1, arrays: int = 1, multiply_adds: int = 0) -> Cost:
    """The cost of applying an inverse ``times`` times.

    ``calls``: numbers of the loops it asks for in one application, in order. ``plans``: that of each loop. ``arrays``:
    chips that hold a loop each. ``multiply_adds``: digital ones, of all applications together.
    """
    written = writings(calls, arrays, times)
    solve = [solve_cycles(plan, config) for plan in plans]
    return Cost(times * len(calls), written, times * sum(solve[k] for k in calls), written * writing_cycles(config),
                multiply_adds, digital_cycles(multiply_adds, params))


def writings(calls: Sequence[int], arrays: int = 1, times: int = 1) -> int:
    """Times that an array is written when a sequence of loops is asked for ``times`` times over.

    What makes room is the loop that is asked for last of all that are held (Belady: no choice writes less). With one
    array: once, and once for every change.

    Errors: :class:`InputError` for fewer than one array.
    """
    if arrays < 1:
        raise InputError(f"arrays: must be at least 1, not {arrays}")
    period, held, count = len(calls), set(), 0
    for place in range(period * times):
        k = calls[place % period]
        if k in held:
            continue
        if len(held) == arrays:
            held.remove(max(held, key=lambda other: _next_use(other, place, calls)))
        held.add(k)
        count += 1
    return count


def writing_cycles(config: ChipConfig, write_cycles: int | None = None) -> int:
    """Clocks of ``PROG`` with the codes from the stream, no retry; the write pulse as after reset unless told."""
    pulse = Settings.reset(config).write_cycles if write_cycles is None else write_cycles
    words = config.size // config.codes_per_word
    row = cycles.REFILL + cycles.fill_cycles(words) + cycles.row_cycles(config, pulse)
    return cycles.ISSUE + config.size * row + cycles.PROGRAM_END


def solve_cycles(plan: Plan, config: ChipConfig) -> int:
    """Clocks of ``LD``, ``INV`` and ``ST``, one attempt, switches as after reset."""
    return (cycles.ISSUE + cycles.fill_cycles(config.size + 1) + inverse_cycles(plan, config)
            + cycles.ISSUE + cycles.send_cycles(config))


def inverse_cycles(plan: Plan, config: ChipConfig) -> int:
    """Clocks of one ``INV`` without a change of range."""
    settings, walk = Settings.reset(config), cycles.drive_cycles(config)
    prepare = max(0, cycles.prepare_cycles(settings.dead, settings.autozero) - walk)
    spacing = cycles.sample_spacing(config, plan.interval_cycles)
    last = cycles.first_sample(plan.interval_cycles) + (scans(plan, config) - 1) * spacing
    return cycles.ISSUE + walk + prepare + last - 1 + cycles.scan_cycles(config) + cycles.store_cycles(config)


def scans(plan: Plan, config: ChipConfig) -> int:
    """Scans until two agree, at most what the slowest mode alone would need (module docstring); at least 2."""
    still = plan.slowest_time_constant_cycles * math.log(2 ** (config.adc_bits - 1) / (plan.tolerance + 0.5))
    late = still - cycles.first_sample(plan.interval_cycles)
    return 2 + max(0, math.ceil(late / cycles.sample_spacing(config, plan.interval_cycles)))


def digital_cycles(multiply_adds: int, params: AnalogParams) -> int:
    """Clocks of the chip that pass while the host does so many multiply-adds: 40 in one at 50 MHz."""
    return math.ceil(multiply_adds / (HOST_RATE_HZ * params.clock_s))


def _next_use(k: int, place: int, calls: Sequence[int]) -> int:
    """Steps from ``place`` until loop k is asked for again."""
    period = len(calls)
    return next(step for step in range(1, period + 1) if calls[(place + step) % period] == k)

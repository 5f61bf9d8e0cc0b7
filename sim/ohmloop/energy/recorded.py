"""Energy of a recorded run, as a whole or between two clocks."""

from bisect import bisect_right
from collections import Counter

import numpy as np

from ohmloop.analog.params import AnalogParams
from ohmloop.energy.model import Energy, energy_of, load_current
from ohmloop.golden.record import Closing
from ohmloop.golden.run import Run, Scan
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event, Phase


def scans_of(run: Run, closing: Closing) -> list[Scan]:
    """The scans of one closing."""
    assert run.record is not None
    closings = run.record.closings
    place = bisect_right(closings, closing.closed, key=lambda other: other.closed)
    return run.scans[closing.first_scan:closings[place].first_scan if place < len(closings) else None]


def energy_of_run(run: Run, codes: np.ndarray, config: ChipConfig, params: AnalogParams, *, start: int = 0,
                  end: int | None = None) -> Energy:
    """Energy of the clocks ``[start, end)`` of a recorded run; of all of it where they are left out.

    ``codes`` (N, N): signed cell codes in the arrays. The array current is that of the held outputs, meant over the
    scans and weighed with the clocks of their closings; what is beyond a rail counts as at the rail. ``start`` and
    ``end`` should be ends of instructions: an event counts where the golden machine counts it, inside of its
    instruction.
    """
    record = run.record
    assert record is not None, "a run is recorded by Machine(..., record=True)"
    stop = record.clocks if end is None else end
    phases, events = Counter[Phase](), Counter[Event]()
    first = max(0, bisect_right(record.spans, start, key=lambda span: span.start) - 1)
    for span in record.spans[first:bisect_right(record.spans, stop, key=lambda span: span.start)]:
        phases[span.phase] += max(0, min(span.end, stop) - max(span.start, start))
    # An instruction is fetched before it counts anything, and may count at its very end.
    first, last = (bisect_right(record.marks, clock, key=lambda mark: mark.clock) for clock in (start, stop))
    for mark in record.marks[first:last]:
        events[mark.event] += mark.amount
    charge = clocks = 0.0
    for closing in record.closings:
        scans = scans_of(run, closing)
        if start <= closing.closed < stop and scans:
            held_V = np.clip(np.nan_to_num([scan.held_V for scan in scans]), -params.swing_V, params.swing_V)
            span = closing.opened - closing.closed
            charge += span * load_current(codes, np.abs(held_V).mean(axis=0), config, params)
            clocks += span
    return energy_of(events, phases, config, params, load_A=charge / clocks if clocks else 0.0)

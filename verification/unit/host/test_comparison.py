"""What counts as agreement with the golden machine, and what a tie explains."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ohmloop.engines.operations import Trace
from ohmloop.golden.machine import Run, Scan
from ohmloop.host.comparison import compare
from ohmloop.host.device import Status
from ohmloop.host.job import Outcome
from ohmloop_hdl.events import Phase
from ohmloop_hdl.sequencer.traps import TrapCause

LEVELS_V = np.arange(-8, 8) - 0.5
"""Thresholds half-way between whole volts."""

TIED, CLEAR = 1.5 + 1e-9, 2.0


def predicted() -> tuple[Outcome, Run]:
    """Two scans of four outputs; output 1 of the first is at a threshold, and nothing else is."""
    scans = [Scan(10, np.array([CLEAR, TIED, CLEAR, CLEAR]), np.array([2, 2, 2, 2])),
             Scan(20, np.full(4, CLEAR), np.array([2, 2, 2, 2]))]
    run = Run(phases=Counter({Phase.ISSUE: 6, Phase.CONVERT: 20}), scans=scans)
    return Outcome(Status(TrapCause.NONE, 0, 2, 26, 0), np.array([5, 5, 5, 5]), 0), run


def seen(*codes: list[int]) -> Trace:
    """A trace with these scans and the predicted clocks."""
    return Trace([np.array(scan) for scan in codes], Counter({Phase.ISSUE: 6, Phase.CONVERT: 20}))


@pytest.mark.parametrize(("codes", "equal", "tied", "agrees", "explained"), [
    ([[2, 2, 2, 2], [2, 2, 2, 2]], 8, 0, True, True),
    ([[2, 1, 2, 2], [2, 2, 2, 2]], 7, 1, False, True),     # a tie fell the other way
    ([[2, 1, 2, 2], [2, 2, 2, 9]], 6, 1, False, True),     # what follows from it cannot be compared
    ([[2, 1, 2, 9], [2, 2, 2, 2]], 6, 1, False, False),    # a tie does not excuse its neighbour
    ([[2, 2, 2, 2], [2, 2, 2, 9]], 7, 0, False, False),
    ([[2, 2, 2, 2]], 4, 0, False, False),                  # a scan is missing
    ([[2, 2, 2, 2]] * 3, 8, 0, False, False),              # one too many
])
def test_codes(codes: list[list[int]], equal: int, tied: int, agrees: bool, explained: bool):
    outcome, run = predicted()
    found = compare(outcome, seen(*codes), outcome, run, LEVELS_V)
    assert (found.codes_equal, found.tied_differences, found.ties) == (equal, tied, 1)
    assert (found.codes_total, found.agrees, found.explained) == (4 * max(2, len(codes)), agrees, explained)


@pytest.mark.parametrize("change", ["trap", "cycles", "phases", "exponent", "mantissas"])
def test_what_differs_with_equal_codes_is_never_explained(change: str):
    outcome, run = predicted()
    trace = seen([2, 2, 2, 2], [2, 2, 2, 2])
    got = outcome
    if change == "trap":
        got = replace(outcome, status=replace(outcome.status, trap=TrapCause.CLIP))
    elif change == "cycles":
        got = replace(outcome, status=replace(outcome.status, cycles=27))
    elif change == "phases":
        trace.phases = Counter({Phase.ISSUE: 7, Phase.CONVERT: 19})
    elif change == "exponent":
        got = replace(outcome, exponent=1)
    else:
        got = replace(outcome, mantissas=np.array([5, 5, 5, 6]))
    found = compare(got, trace, outcome, run, LEVELS_V)
    assert (found.codes_equal, found.agrees, found.explained) == (8, False, False)

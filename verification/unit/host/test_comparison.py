"""What counts as agreement with the golden machine, and what a tie explains."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ohmloop.engines.trace import Trace
from ohmloop.golden.run import Result, Retired, Run, Scan
from ohmloop.golden.vector import Scalar
from ohmloop.host.comparison import compare
from ohmloop.host.driver import Status
from ohmloop.host.job import RESULT, Outcome
from ohmloop_hdl.events import Phase
from ohmloop_hdl.isa import HALT, INV
from ohmloop_hdl.sequencer.traps import TrapCause

TIED, CLEAR = 1e-9, 0.5
"""Distances from a threshold in LSB."""


RETIRED = [Retired(0, INV.encode(RESULT, 1, 0), 24, Result("v2", 0, (5, 5, 5, 5))),
           Retired(1, HALT.encode(0), 26, None)]


def predicted() -> tuple[Outcome, Run]:
    """Two scans of four outputs; output 1 of the first is at a threshold, and nothing else is."""
    scans = [Scan(10, np.zeros(4), np.array([2, 2, 2, 2]), np.array([CLEAR, TIED, CLEAR, CLEAR])),
             Scan(20, np.zeros(4), np.array([2, 2, 2, 2]), np.full(4, CLEAR))]
    run = Run(phases=Counter({Phase.ISSUE: 6, Phase.CONVERT: 20}), scans=scans, retired=list(RETIRED))
    status = Status(TrapCause.NONE, halt_code=0, pc=2, cycles=26, bad_cells=0, repairs=0)
    vectors = {RESULT: (np.array([5, 5, 5, 5]), 0), 5: (np.array([1, 2, 3, 4]), 0)}
    return Outcome(status, vectors, {1: Scalar(7, 0)}, ((0, 1, 2, 3, 4),)), run


def seen(*codes: list[int]) -> Trace:
    """A trace with these scans, and the predicted clocks and instructions."""
    return Trace([np.array(scan) for scan in codes], Counter({Phase.ISSUE: 6, Phase.CONVERT: 20}), list(RETIRED))


@pytest.mark.parametrize(("codes", "equal", "tied", "agrees", "explained"), [
    ([[2, 2, 2, 2], [2, 2, 2, 2]], 8, 0, True, True),
    ([[2, 1, 2, 2], [2, 2, 2, 2]], 7, 1, False, True),     # a tie fell the other way
    ([[2, 1, 2, 2], [2, 2, 2, 9]], 6, 1, False, True),     # what follows from it cannot be compared
    ([[2, 1, 2, 9], [2, 2, 2, 2]], 6, 1, False, False),    # a tie does not excuse its neighbour
    ([[2, 4, 2, 2], [2, 2, 2, 2]], 7, 1, False, False),    # nor more than the next code
    ([[2, 2, 2, 2], [2, 2, 2, 9]], 7, 0, False, False),
    ([[2, 2, 2, 2]], 4, 0, False, False),                  # a scan is missing
    ([[2, 2, 2, 2]] * 3, 8, 0, False, False),              # one too many
])
def test_codes(codes: list[list[int]], equal: int, tied: int, agrees: bool, explained: bool):
    outcome, run = predicted()
    found = compare(outcome, seen(*codes), outcome, run)
    assert (found.codes_equal, found.tied_differences, found.ties) == (equal, tied, 1)
    assert (found.codes_total, found.agrees, found.explained) == (4 * max(2, len(codes)), agrees, explained)


@pytest.mark.parametrize("change", [
    "trap", "repairs", "cycles", "phases", "exponent", "mantissas", "other", "scalars", "objects", "retired", "late"])
def test_what_differs_with_equal_codes_is_never_explained(change: str):
    outcome, run = predicted()
    trace = seen([2, 2, 2, 2], [2, 2, 2, 2])
    got = outcome
    if change == "trap":
        got = replace(outcome, status=replace(outcome.status, trap=TrapCause.CLIP))
    elif change in ("repairs", "cycles"):
        got = replace(outcome, status=replace(outcome.status, **{change: 27}))
    elif change == "phases":
        trace.phases = Counter({Phase.ISSUE: 7, Phase.CONVERT: 19})
    elif change == "exponent":
        got = replace(outcome, vectors=outcome.vectors | {RESULT: (outcome.mantissas, 1)})
    elif change == "mantissas":
        got = replace(outcome, vectors=outcome.vectors | {RESULT: (np.array([5, 5, 5, 6]), 0)})
    elif change == "other":
        got = replace(outcome, vectors=outcome.vectors | {5: (np.array([1, 2, 3, 5]), 0)})
    elif change == "scalars":
        got = replace(outcome, scalars={1: Scalar(7, 1)})
    elif change == "objects":
        got = replace(outcome, objects=((0, 1, 2, 3, 5),))
    elif change == "retired":
        trace.retired[0] = replace(RETIRED[0], result=Result("v2", 0, (5, 5, 5, 4)))
    else:
        trace.retired[0] = replace(RETIRED[0], cycles=25)
    found = compare(got, trace, outcome, run)
    assert (found.codes_equal, found.agrees, found.explained) == (8, False, False)


@pytest.mark.parametrize(("after", "explained"), [(0, True), (1, False)])
def test_a_tie_explains_nothing_that_came_before(after: int, explained: bool):
    outcome, run = predicted()
    run.scans[0].after = after
    trace = seen([2, 1, 2, 2], [2, 2, 2, 2])
    trace.retired[0] = replace(RETIRED[0], cycles=25)
    assert compare(outcome, trace, outcome, run).explained == explained


def test_clocks_that_waited_for_a_stream_were_not_predicted_and_do_not_count():
    outcome, run = predicted()
    trace = seen([2, 2, 2, 2], [2, 2, 2, 2])
    trace.phases[Phase.WAIT] = 1234
    assert compare(outcome, trace, outcome, run).agrees


def test_outcomes_are_the_same_when_everything_is():
    def outcome(**changes) -> Outcome:
        fields: dict[str, Any] = dict(
            status=Status(TrapCause.NONE, 0, 2, 26, 0, 0),
            vectors={2: (np.array([1, -2]), 3), 4: (np.array([0, 5]), -1)},
            scalars={1: Scalar(7, 0)}, objects=((1, 2, 3), (4, 5, 6)))
        return Outcome(**{**fields, **changes})

    assert outcome().same(outcome())
    for changes in (
            dict(status=Status(TrapCause.NONE, 0, 2, 26, 0, 1)),
            dict(vectors={2: (np.array([1, -2]), 3), 4: (np.array([0, 6]), -1)}),
            dict(vectors={2: (np.array([1, -2]), 3), 4: (np.array([0, 5]), -2)}),
            dict(vectors={2: (np.array([1, -2]), 3)}),
            dict(vectors={2: (np.array([1, -2]), 3), 5: (np.array([0, 5]), -1)}),
            dict(scalars={1: Scalar(8, 0)}), dict(scalars={1: Scalar(7, 1)}), dict(scalars={}),
            dict(objects=((1, 2, 3), (4, 5, 7))), dict(objects=((1, 2, 3),)), dict(objects=((4, 5, 6), (1, 2, 3)))):
        assert not outcome().same(outcome(**changes)) and not outcome(**changes).same(outcome()), changes


@pytest.mark.parametrize(("codes", "near_by", "judged", "near"), [
    ([[2, 2, 2, 2], [2, 2, 2, 2]], 8, 8, True),
    ([[1, 3, 2, 2], [2, 2, 3, 2]], 8, 8, True),
    ([[2, 2, 2, 2], [2, 2, 2, 4]], 7, 8, False),
    ([[2, 2, 2, 2]], 8, 8, True),                       # settled a scan earlier
    ([[2, 2, 2, 2], [2, 2, 2, 3], [2, 2, 2, 3]], 12, 12, True),
    ([[2, 2, 2, 2], [2, 2, 2, 3], [2, 2, 2, 4]], 11, 12, False),
    ([], 0, 0, False),
])
def test_codes_within_one_lsb(codes: list[list[int]], near_by: int, judged: int, near: bool):
    outcome, run = predicted()
    found = compare(outcome, seen(*codes), outcome, run)
    assert (found.codes_near, found.codes_judged, found.near) == (near_by, judged, near)


def test_a_scan_that_clips_is_not_held_to_its_codes_and_another_trap_is_no_agreement():
    outcome, run = predicted()
    run.scans[0].clipped = True
    found = compare(outcome, seen([127, 9, 0, 0], [2, 2, 2, 2]), outcome, run)
    assert (found.codes_near, found.codes_judged, found.near) == (4, 4, True)
    trapped = replace(outcome, status=replace(outcome.status, trap=TrapCause.CLIP))
    assert not compare(trapped, seen([2, 2, 2, 2], [2, 2, 2, 2]), outcome, run).near

"""What the chip did beside what the golden machine said that it would do."""

from dataclasses import dataclass

import numpy as np

from ohmloop.engines.trace import Trace
from ohmloop.golden.run import Run
from ohmloop.host.job import Outcome

NEAR_LSB = 1e-6
"""A held voltage this close to a threshold may fall either way: bodies differ by rounding noise of 1e-11 LSB."""


@dataclass(frozen=True)
class Comparison:
    """Counts over one job.

    ``codes_equal`` of ``codes_total`` output codes over all scans are as predicted; ``ties`` held voltages were within
    :data:`NEAR_LSB` of a threshold, ``tied_differences`` of the codes that differ are explained by that.
    ``same_cycles``: phase by phase; ``same_result``: the outcome, and what every instruction wrote and when;
    ``tie_first``: the first scan with a difference differs at ties only and by one LSB, and the instructions before it
    did the same.

    ``codes_near`` of ``codes_judged`` are within one LSB, in scans that were not predicted to clip; ``same_trap``: how
    the run ended. It is what a body can be held to that computes differently. Behind a clip, bodies that stop at their
    rails have other outputs than those that are only looked at there. Scans are compared in order, so that this is for
    programs with one analogue instruction.
    """

    codes_equal: int
    codes_total: int
    ties: int
    tied_differences: int
    same_cycles: bool
    same_result: bool
    tie_first: bool
    codes_near: int
    codes_judged: int
    same_trap: bool

    @property
    def near(self) -> bool:
        """No code is further than one LSB off, and the run ended the same way."""
        return self.codes_near == self.codes_judged and self.same_trap

    @property
    def agrees(self) -> bool:
        """Nothing differs."""
        return self.codes_equal == self.codes_total and self.same_cycles and self.same_result

    @property
    def explained(self) -> bool:
        """Nothing differs before a code at a tie fell the other way; what follows from it cannot be compared."""
        return self.agrees or self.tie_first


def compare(outcome: Outcome, trace: Trace, predicted: Outcome, run: Run) -> Comparison:
    """Compare a job's outcome and trace with the golden machine's.

    Scans that only one side has count as wrong in all their codes.
    """
    equal = ties = tied_differences = 0
    tie_first: bool | None = None
    for codes, scan in zip(trace.scans, run.scans, strict=False):
        near, same = scan.margin_lsb < NEAR_LSB, codes == scan.codes
        equal += int(same.sum())
        ties += int(near.sum())
        tied_differences += int((near & ~same).sum())
        if tie_first is None and not same.all():
            next_code = np.abs(codes - scan.codes) <= 1
            tie_first = bool((near & next_code)[~same].all()
                             and trace.retired[:scan.after] == run.retired[:scan.after])
    near_by = judged = 0
    # A scan more on one side comes from a code at the edge of settled: it is compared with the other's last one.
    for place in range(max(len(trace.scans), len(run.scans)) if trace.scans and run.scans else 0):
        scan = run.scans[min(place, len(run.scans) - 1)]
        if not scan.clipped:
            codes = trace.scans[min(place, len(trace.scans) - 1)]
            near_by += int((np.abs(codes - scan.codes) <= 1).sum())
            judged += len(scan.codes)
    longest = max(trace.scans, run.scans, key=len)
    return Comparison(
        codes_equal=equal,
        codes_total=len(longest) * len(predicted.mantissas),
        ties=ties,
        tied_differences=tied_differences,
        same_cycles=trace.worked == run.phases and outcome.status.cycles == run.cycles,
        same_result=trace.retired == run.retired and outcome.same(predicted),
        tie_first=bool(tie_first),
        codes_near=near_by,
        codes_judged=judged,
        same_trap=outcome.status.trap == predicted.status.trap and bool(trace.scans) == bool(run.scans),
    )

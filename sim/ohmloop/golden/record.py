"""What a run did and in which clock: filled only where it is asked for, and never read by the machine.

Clocks are numbered from the start of the run; waits for streams do not count. A span ``[start, start + clocks)`` holds
every clock of the run exactly once, so that phases, counters and timeline are sums over one list.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ohmloop_hdl.events import Event, Phase


@dataclass(frozen=True)
class Span:
    """Clocks in a row that the machine spent in one phase."""

    phase: Phase
    start: int
    clocks: int

    @property
    def end(self) -> int:
        """The first clock behind it."""
        return self.start + self.clocks


@dataclass(frozen=True)
class Mark:
    """An event that was counted ``amount`` times, by ``clock``: where it happened, or the edge of the step it is part
    of."""

    event: Event
    clock: int
    amount: int


@dataclass
class Closing:
    """One closing of the loop, and what it was closed with.

    ``prepared``: the first clock of its dead times and auto-zero; ``closed``: the first with the close switch high;
    ``opened``: the first with it low again. ``dac``: signed input codes (N,). ``first_scan``: its first scan in the
    run's list.
    """

    prepared: int
    closed: int
    multiply: bool
    dac: np.ndarray
    drive_range: int
    feedback: int
    bandwidth: int
    first_scan: int
    opened: int = 0


@dataclass
class Record:
    """Time-stamped activity of one run."""

    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)

    @property
    def clocks(self) -> int:
        """Clocks so far."""
        return self.spans[-1].end if self.spans else 0

    def spent(self, phase: Phase, clocks: int) -> None:
        """The machine spends clocks in a phase; neighbours of one phase become one span."""
        last = self.spans[-1] if self.spans else None
        if clocks and last is not None and last.phase is phase:
            self.spans[-1] = Span(phase, last.start, last.clocks + clocks)
        elif clocks:
            self.spans.append(Span(phase, self.clocks, clocks))


class RecordedEvents(Counter[Event]):
    """Counters that also note when they count.

    Parameters
    ----------
    record : Record
        Where marks are added.
    """

    def __init__(self, record: Record):
        super().__init__()
        self._record = record

    def __setitem__(self, event: Event, count: int) -> None:
        if count != self[event]:
            self._record.marks.append(Mark(event, self._record.clocks, count - self[event]))
        super().__setitem__(event, count)

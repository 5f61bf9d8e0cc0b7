"""What a run of the golden machine did, and the clock that counts it."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ohmloop.golden import cycles
from ohmloop.golden.record import Record, RecordedEvents
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.sequencer.traps import TrapCause


@dataclass
class Scan:
    """One scan of all outputs: clocks since closing, held voltages (N,), stored codes (N,), smallest distance (N,) in
    LSB of any decision from its threshold, after how many retired instructions of the run, and whether an amplifier was
    at a rail."""

    clock: int
    held_V: np.ndarray
    codes: np.ndarray
    margin_lsb: np.ndarray
    after: int = 0
    clipped: bool = False


@dataclass(frozen=True)
class Result:
    """What an instruction wrote: the register, its exponent, and its mantissas; (N,) for a vector, one for a scalar.

    ``mantissas`` is None where only the exponent was written.
    """

    register: str
    exponent: int
    mantissas: tuple[int, ...] | None


@dataclass(frozen=True)
class Retired:
    """An instruction that retired: address, word, clocks of the run up to and with its last, and its result."""

    pc: int
    instruction: int
    cycles: int
    result: Result | None


@dataclass
class Run:
    """What a run did: how it stopped, and everything that the chip's trace and registers must show.

    ``events`` are exact unless the last instruction was stopped by the parity or the watchdog trap. ``record``, where
    one is given, gets everything with its clock.
    """

    trap: TrapCause = TrapCause.NONE
    halt_code: int = 0
    pc: int = 0
    phases: Counter[Phase] = field(default_factory=Counter)
    events: Counter[Event] = field(default_factory=Counter)
    scans: list[Scan] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)
    record: Record | None = None

    def __post_init__(self):
        if self.record is not None:
            self.events = RecordedEvents(self.record)

    @property
    def cycles(self) -> int:
        """Clocks from start to halt, waits for streams left out."""
        return self.phases.total()

    def spend(self, phase: Phase, clocks: int) -> None:
        """Let clocks pass in a phase."""
        self.phases[phase] += clocks
        if self.record is not None:
            self.record.spent(phase, clocks)


class Trapped(Exception):
    """An instruction ended in a trap."""

    def __init__(self, cause: TrapCause):
        super().__init__(cause.name)
        self.cause = cause


class Clock:
    """Counts the clocks of one instruction after another into a run, and watches that none takes too long.

    Parameters
    ----------
    run : Run
        Where phases are counted.
    limit : int
        Clocks that an instruction may take, 0 for no limit.
    """

    def __init__(self, run: Run, limit: int):
        self.run = run
        self.limit = limit
        self.spent = 0

    def issue(self) -> None:
        """Fetch and decode the next instruction."""
        self.run.spend(Phase.ISSUE, cycles.ISSUE)
        self.run.events[Event.FETCHED] += 1
        self.spent = cycles.ISSUE

    def spend(self, phase: Phase, clocks: int, *, safe: bool = False) -> None:
        """Let clocks pass; in one that is not ``safe`` the watchdog may trap."""
        last = max(self.limit, self.spent + 1)
        if self.limit and not safe and last <= self.spent + clocks:
            self.run.spend(phase, last - self.spent)
            raise Trapped(TrapCause.WATCHDOG)
        self.run.spend(phase, clocks)
        self.spent += clocks

    def fault(self, phase: Phase, clocks: int, cause: TrapCause) -> Trapped:
        """Let clocks pass, in the last of which a unit faults with the highest priority; what to raise."""
        self.spend(phase, clocks - 1)
        self.spend(phase, 1, safe=True)
        return Trapped(cause)

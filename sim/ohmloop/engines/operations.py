"""What an engine can be asked to do: bus operations as values, and the trace that comes back."""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ohmloop_hdl.events import Phase

Result = TypeVar("Result")


@dataclass(frozen=True)
class Write:
    """Write consecutive 32-bit words from a byte address; nothing is sent back."""

    address: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class Read:
    """Read ``count`` consecutive 32-bit words; a list of them is sent back."""

    address: int
    count: int = 1


@dataclass(frozen=True)
class WaitHalt:
    """Wait for the interrupt line, at most ``clocks`` clocks; nothing is sent back."""

    clocks: int


Operation = Write | Read | WaitHalt

Script = Generator[Operation, list[int], Result]
"""A driver procedure: yields operations, is sent the words read, returns its result.

The same script runs on any engine, blocking or not, because it never calls one.
"""


@dataclass
class Trace:
    """What the trace port showed since it was last taken.

    ``scans``: the stored codes (N,) of every scan; ``phases``: clocks spent in each phase, idle left out.
    """

    scans: list[np.ndarray] = field(default_factory=list)
    phases: Counter[Phase] = field(default_factory=Counter)


def drive(script: Script[Result], perform: Callable[[Operation], list[int]]) -> Result:
    """Run a script with ``perform(operation) -> words`` for every operation it yields."""
    words: list[int] = []
    try:
        operation = next(script)
        while True:
            words = perform(operation)
            operation = script.send(words)
    except StopIteration as stop:
        return stop.value

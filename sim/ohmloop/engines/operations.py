"""What an engine can be asked to do: bus and stream operations as values."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from ohmloop.errors import OhmloopError

Result = TypeVar("Result")


class EngineError(OhmloopError):
    """The chip refused an access or did not come to an end."""


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


@dataclass(frozen=True)
class Send:
    """Offer an object's words to the input stream, behind what still waits; nothing is sent back, at once."""

    words: tuple[int, ...]


@dataclass(frozen=True)
class Receive:
    """Take one object from the output stream, waiting at most ``clocks`` clocks; its words are sent back."""

    clocks: int = 1 << 20


@dataclass(frozen=True)
class Connect:
    """Connect both streams, which until then offer and take nothing; nothing is sent back.

    From now on they pause in each clock with a probability, drawn from a seed.
    """

    source_pause: float = 0.0
    sink_pause: float = 0.0
    seed: int = 0


Operation = Write | Read | WaitHalt | Send | Receive | Connect

Script = Generator[Operation, list[int], Result]
"""A driver procedure: yields operations, is sent the words read, returns its result.

The same script runs on any engine, blocking or not, because it never calls one.
"""


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

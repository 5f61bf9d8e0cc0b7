"""Two engines that must answer alike."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ohmloop.analog.cells import Die
from ohmloop.engines.model import ModelEngine
from ohmloop.engines.operations import EngineError, Operation, Read, Result, Script, Write
from ohmloop.engines.rtl.engine import RtlEngine
from ohmloop.engines.simulator import builds_folder
from ohmloop.host.driver import Driver

UNLIKE = ("STREAM_WAITS",)
"""Registers that the model does not have."""


class Pair:
    """Both engines around one kind of die, out of reset and wiped.

    Parameters
    ----------
    stack : ExitStack
        Ends the engines.
    die : Die
        The chip.
    """

    def __init__(self, stack: ExitStack, die: Die):
        self.config, self.driver = die.config, Driver(die.config)
        self.model = stack.enter_context(ModelEngine.of(die))
        self.rtl = stack.enter_context(RtlEngine(die, builds_folder()))
        self.separately(self.driver.ready)
        self._counted: dict[str, int] = {}

    def separately(self, make: Callable[[], Script[Any]]) -> None:
        """Play a script that waits for a wipe, which the model has done at once, and forget that one waited."""
        for engine in (self.model, self.rtl):
            engine.execute(make())
        self.both(Write(self.driver.map.registers["INTR_ENABLE"], (0,)))

    def script(self, script: Script[Result]) -> Result:
        """Play a script on both: every operation must bring the same words."""
        try:
            operation = next(script)
            while True:
                words = self.both(operation)
                assert words is not None, f"{operation} was refused"
                operation = script.send(words)
        except StopIteration as stop:
            return stop.value

    def both(self, operation: Operation) -> list[int] | None:
        """What both answer; None where both refuse."""
        answers = [_answer(engine, operation) for engine in (self.model, self.rtl)]
        assert answers[0] == answers[1], f"{operation}: model {answers[0]}, rtl {answers[1]}"
        return answers[0]

    def compare_registers(self, leave_out: Sequence[str] = ()) -> int:
        """Compare all registers, event counters by how far they moved; how many there are."""
        for name, address in self.driver.map.registers.items():
            if name in (*UNLIKE, *leave_out):
                continue
            model, rtl = (_answer(engine, Read(address)) for engine in (self.model, self.rtl))
            if name.startswith("EVENT_"):
                assert model is not None and rtl is not None
                model = [(model[0] + self._counted.get(name, 0)) % (1 << 32)]
            assert model == rtl, f"{name}: model {model}, rtl {rtl}"
        return len(self.driver.map.registers)

    def forget_events(self) -> None:
        """From now on only what is counted anew must agree."""
        for name, address in self.driver.map.registers.items():
            if name.startswith("EVENT_"):
                model, rtl = (_answer(engine, Read(address)) for engine in (self.model, self.rtl))
                assert model is not None and rtl is not None
                self._counted[name] = rtl[0] - model[0]

    def compare_windows(self) -> int:
        """Compare all memories word by word; how many words there are."""
        total = 0
        for window in self.driver.map.windows.values():
            if self.both(Read(window.address, window.words)) is None:
                for word in range(window.words):
                    self.both(Read(window.address + 4 * word))
            total += window.words
        return total


def _answer(engine: Any, operation: Operation) -> list[int] | None:
    def one() -> Script[list[int]]:
        return (yield operation)

    try:
        return engine.execute(one())
    except EngineError:
        return None

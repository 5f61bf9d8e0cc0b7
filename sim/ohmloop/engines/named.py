"""Engines by name: one interface, four ways to run the same chip."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from ohmloop.analog.cells import Die
from ohmloop.engines.model import ModelEngine
from ohmloop.engines.operations import Result, Script
from ohmloop.engines.rtl.engine import RtlEngine
from ohmloop.engines.simulator import SimulatorEngine, builds_folder
from ohmloop.errors import InputError


class Engine(Protocol):
    """A chip that carries out scripts; enter it before use, and leave it after."""

    name: str

    def __enter__(self) -> "Engine": ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...

    def execute(self, script: Script[Result]) -> Result:
        """Carry out a script of bus operations and return its result."""
        ...


_MAKERS: dict[str, Callable[[Die, Path], Engine]] = {
    "model": lambda die, work: ModelEngine.of(die),
    "rtl": RtlEngine,
    "icarus": lambda die, work: SimulatorEngine("icarus", die, work),
    "verilator": lambda die, work: SimulatorEngine("verilator", die, work),
}

ENGINES = tuple(_MAKERS)
"""``model``: the golden machine around the numpy macro. ``rtl``: the generated Verilog and the real-number macro as a
library of this process. ``icarus``, ``verilator``: the same in a simulator under cocotb."""


def engine_named(name: str, die: Die, work: Path | None = None) -> Engine:
    """The engine ``name`` around a chip; what it builds goes to ``work``, :func:`builds_folder` unless given.

    Errors: :class:`InputError` for a name that is none of :data:`ENGINES`; a simulator that is not installed is missed
    when the engine is entered.
    """
    if name not in _MAKERS:
        raise InputError(f"engine: must be one of {', '.join(ENGINES)}, not {name!r}")
    return _MAKERS[name](die, work or builds_folder())

"""The generated Verilog on Icarus or Verilator, kept running and driven from this process."""

import contextlib
import os
import pickle
import shutil
import tempfile
import threading
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.engines.cosim import DPI_ENGINES, run_bench, waves_of
from ohmloop.engines.operations import EngineError, Operation, Result, Script, drive
from ohmloop.engines.trace import Trace
from ohmloop.errors import InputError
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.verilog import MACRO_SHELL, MACRO_SOURCES, TOP, WAIVERS, macro_build, write_project

SOCKET_VARIABLE = "OHMLOOP_SOCKET"
"""Environment variable that tells the bench where its operations come from."""

VIOLATIONS = {"ohmloop_contract": ["violations"]}
"""Signals below the top that the bench reads: the count of the passive checker of the macro contract."""

BODY_VARIABLE, DIE_VARIABLE = "OHMLOOP_BODY", "OHMLOOP_DIE"
"""Environment variables that tell the bench which Python body answers the pins of the macro, one of :data:`BODIES`, and
the file that holds its die, pickled; without them the macro is SystemVerilog."""

BODIES = ("numpy", "spice")
"""Python bodies of the macro."""

SHELL = {"ohmloop_macro": ["inputs", "edges", "sense", "above", "clipped"]}
"""Signals of the empty macro that a Python body reads and drives."""

BUILDS_VARIABLE = "OHMLOOP_BUILDS"
"""Environment variable with the folder that keeps builds of simulators; ``build/cosim`` unless set."""


def builds_folder() -> Path:
    """Where builds are kept for the next run."""
    return Path(os.environ.get(BUILDS_VARIABLE, "build/cosim"))


class SimulatorEngine:
    """A chip in a simulator that runs in a process of its own; operations go to it one by one.

    The simulation is the generated Verilog around the real-number macro, driven through AXI4-Lite; nothing analogue is
    computed in Python unless ``body`` asks for it. On Verilator the arithmetic of the macro is in C. Simulated time
    stands still between operations. Use as a context manager: leaving it ends the simulation, checks that the passive
    checkers saw nothing, and raises what went wrong inside.

    Parameters
    ----------
    name : str
        ``icarus`` or ``verilator``.
    die : Die
        The analogue chip; its configuration is the chip's.
    work : Path
        Folder for builds and logs; builds are reused when nothing changed.
    waves : bool
        Record a waveform, :attr:`waveform` after the end.
    macro : Path, optional
        SystemVerilog body in place of the real-number macro; it loads the file that the die writes. The real-number
        macro itself, given here, does its arithmetic in SystemVerilog everywhere.
    body : str, optional
        A Python body in its place, one of :data:`BODIES`: the same numpy macro that the golden machine has, or ngspice.
    effective_codes : np.ndarray, optional
        (N, N) signed codes whose effective matrix, wires included, the SystemVerilog body takes for its cells.
    """

    def __init__(self, name: str, die: Die, work: Path, *, waves: bool = False, macro: Path | None = None,
                 body: str | None = None, effective_codes: np.ndarray | None = None):
        if body is not None and (body not in BODIES or macro is not None):
            raise InputError(f"body must be one of {', '.join(BODIES)} and stand alone, not {body!r} with {macro}")
        self.name = name
        self.effective_codes = effective_codes
        self.die = die
        self.work = work
        self.waves = waves
        self.macro = macro
        self.body = body
        self.waveform: Path | None = None
        self._failure: BaseException | None = None
        self._connection: Connection | None = None
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._simulate, daemon=True)

    def cancel(self):
        """End the simulation from another thread, whatever it is doing; who waits for it gets an error."""
        self._cancelled.set()

    def __enter__(self) -> "SimulatorEngine":
        self._folder = Path(tempfile.mkdtemp(prefix="ohmloop-"))
        try:
            with Listener(str(self._folder / "socket"), family="AF_UNIX") as listener:
                self._thread.start()
                # A bench that fails before it connects is answered by the thread itself, with a closed connection.
                self._connection = listener.accept()
            # cocotb wants a period that it can halve.
            self._request((self.die.config, 2 * max(1, round(self.die.params.clock_s * 5e11))))
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if kind is not None:
            self.cancel()  # the bench only looks up after the operation it is at
        if self._connection is not None:
            self._connection.close()
        if self._thread.is_alive():
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._failure is not None and kind is None:
            raise self._failure

    def execute(self, script: Script[Result]) -> Result:
        """Carry out a script and return its result."""
        return drive(script, self._request)

    def take_trace(self) -> Trace:
        """The trace since the last call."""
        return self._request("trace")

    def _request(self, request: Operation | tuple[ChipConfig, int] | str) -> Any:
        assert self._connection is not None
        try:
            self._connection.send(request)
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._thread.join()
            raise self._failure or EngineError(f"the simulation on {self.name} ended before its time") from None
        if isinstance(answer, str):
            raise EngineError(f"{self.name}: {answer}")
        return answer

    def _simulate(self):
        address = self._folder / "socket"
        try:
            macro_file = self.die.write_file(self._folder / "macro.hex", self.effective_codes)
            sources = {path.name: path for path in write_project(self.die.config, self._folder / "verilog")}
            environment, public = {SOCKET_VARIABLE: str(address)}, VIOLATIONS
            build = macro_build(dpi=self.name in DPI_ENGINES and self.body is None and self.macro is None)
            if self.body is not None:
                sources[MACRO_SOURCES[0]] = sources[MACRO_SHELL]
                die_file = self._folder / "die.pickle"
                die_file.write_bytes(pickle.dumps(self.die))
                environment |= {BODY_VARIABLE: self.body, DIE_VARIABLE: str(die_file)}
                public = VIOLATIONS | SHELL
            elif self.macro is not None:
                sources[MACRO_SOURCES[0]] = self.macro
            results = run_bench(
                self.name,
                sources=[sources[name] for name in (*build.sources, f"{TOP}.v")],
                defines=build.defines,
                toplevel=TOP,
                test_module="ohmloop.engines.simulator_bench",
                work=self.work,
                env=environment,
                plusargs=[f"+ohmloop_macro={macro_file}"],
                waves=self.waves,
                waivers=sources[WAIVERS],
                public=public,
                cancel=self._cancelled,
            )
            if self.waves:
                kept = self.work / f"{self.name}-{self.die.config.name}{waves_of(results).suffix}"
                self.waveform = Path(shutil.copyfile(waves_of(results), kept))
            shutil.rmtree(results.parent)
        except BaseException as failure:
            self._failure = failure
        finally:
            with contextlib.suppress(OSError), Client(str(address), family="AF_UNIX"):
                pass


def connect_to_driver() -> Connection:
    """The bench's end of the connection."""
    return Client(os.environ[SOCKET_VARIABLE], family="AF_UNIX")

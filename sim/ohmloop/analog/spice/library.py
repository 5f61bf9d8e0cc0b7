"""libngspice in this process: one transient that advances exactly as far as it is asked to, then waits.

ngspice runs in a thread of Python's (in one of its own every call back would cost ten times as much). Before every step
it asks how far it may go; once it stands at the time that was asked for, the question is not answered until the next
:meth:`Simulation.advance`. Its state is global, so that one transient at a time is all that a process has: a new one
ends the one before, whose owner is then told so.

A transient can only be halted from outside in a thread of ngspice's own. Here it ends because its sources give another
voltage each time they are asked, so that no step, however short, can be solved.
"""

import ctypes
import random
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.spice.batch import SpiceError

Array = NDArray[np.floating]

RAMP_S = 1e-11
"""Time in which a source gets to a new level: ngspice cannot step over a jump that it does not know of."""

RAMP_STEPS = 4
"""Steps in a ramp, at least."""

SLIVER_S = 1e-12
"""How far past the time that was asked for a transient stands."""

NEVER_S = 1.0
"""Nominal end of every transient, far beyond what anyone waits for."""

DISTURBANCE_V = 1e6
"""Range of the voltages that sources give once the transient is to end. Drawn at random: what grows steadily counts as
converged as soon as its steps are small beside it."""

WAIT_S = 300.0
"""Longest wait for ngspice before it counts as lost."""

_text = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
_exit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p)
_source = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_double), ctypes.c_double, ctypes.c_char_p,
                           ctypes.c_int, ctypes.c_void_p)
_sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double, ctypes.POINTER(ctypes.c_double), ctypes.c_double, ctypes.c_int,
                         ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class _Vector(ctypes.Structure):
    """``vector_info`` of sharedspice.h."""

    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_int), ("flags", ctypes.c_short),
                ("real", ctypes.POINTER(ctypes.c_double)), ("complex", ctypes.c_void_p), ("length", ctypes.c_int)]


class Simulation:
    """The one transient of this process.

    Parameters
    ----------
    library : str | Path
        libngspice, as the dynamic linker finds it.

    Raises :class:`SpiceError` where the library cannot be loaded or ngspice refuses, fails or hangs.
    """

    def __init__(self, library: str | Path):
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise SpiceError(f"libngspice: {error}") from None
        self._library.ngGet_Vec_Info.restype = ctypes.POINTER(_Vector)
        self._said: deque[str] = deque(maxlen=20)
        self._stand = threading.Condition()
        self._owner: object = None
        self._nodes: list[bytes] = []
        self._index: dict[bytes, int] = {}
        self._time_s = self._target_s = self._changed_s = 0.0
        self._from_V = self._to_V = np.zeros(0)
        self._waiting = self._leaving = False
        self._thread = threading.Thread()
        self._alive = False
        self._random = random.Random(0)
        # Kept for as long as ngspice may call them.
        self._calls = (_text(self._on_text), _exit(self._on_exit), _source(self._on_source), _sync(self._on_sync))
        text, leave, source, sync = self._calls
        self._library.ngSpice_Init(text, None, leave, None, None, None, None)
        self._library.ngSpice_Init_Sync(source, None, sync, ctypes.byref(ctypes.c_int(0)), None)

    def start(self, owner: object, circuit: str, nodes: Sequence[str], sources: Sequence[str], levels_V: Array,
              options: str, step_s: float) -> None:
        """Load a circuit and hold its transient at time 0.

        Parameters
        ----------
        owner : object
            Who asks; the only one whom :meth:`advance` obeys until the next start.
        circuit : str
            Netlist with initial conditions and EXTERNAL sources.
        nodes : Sequence[str]
            Nodes whose voltages :meth:`volts` returns.
        sources : Sequence[str]
            EXTERNAL sources, in the order of their levels.
        levels_V : Array
            Their voltages at the start.
        options, step_s
            Options of ngspice; its longest step in seconds.
        """
        self.end()
        self._owner, self._nodes = owner, [node.encode() for node in nodes]
        self._index = {name.encode(): i for i, name in enumerate(sources)}
        self._time_s = self._target_s = 0.0
        self._changed_s = -1.0
        self._from_V = self._to_V = np.array(levels_V, dtype=float)
        saved = " ".join(f"v({node})" for node in nodes)
        deck = [b"* ohmloop", *circuit.encode().splitlines(), f".options {options}".encode(),
                f".save {saved}".encode(),
                f".tran {step_s!r} {NEVER_S!r} 0 {step_s!r} uic".encode(), b".end"]
        if self._library.ngSpice_Circ((ctypes.c_char_p * (len(deck) + 1))(*deck, None)):
            raise SpiceError(self._failure("refuses the circuit"))
        self._waiting, self._alive = False, True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def advance(self, owner: object, time_s: float) -> None:
        """Return when the transient stands at ``time_s``, seconds since the start."""
        self._check(owner)
        if time_s <= self._time_s:
            return
        with self._stand:
            self._target_s, self._waiting = time_s, False
            self._stand.notify_all()
        self._wait()

    def change(self, owner: object, levels_V: Array) -> None:
        """New voltages of the sources from where the transient stands on."""
        self._check(owner)
        self._from_V, self._to_V = self._to_V, np.array(levels_V, dtype=float)
        self._changed_s = self._time_s

    def volts(self, owner: object) -> Array:
        """Voltages of the nodes where the transient stands; at the very start there are none yet."""
        self._check(owner)
        volts = np.empty(len(self._nodes))
        for i, node in enumerate(self._nodes):
            vector = self._library.ngGet_Vec_Info(node)
            if not vector or not vector.contents.length:
                raise SpiceError(self._failure(f"knows no voltage of {node.decode()}"))
            volts[i] = vector.contents.real[vector.contents.length - 1]
        return volts

    def end(self) -> None:
        """End the transient, if there is one, and forget its circuit."""
        if not self._nodes:
            return
        self._owner, self._nodes, self._leaving = None, [], True
        with self._stand:
            self._waiting = False
            self._stand.notify_all()
        if self._thread.is_alive():
            self._thread.join(WAIT_S)
        if self._thread.is_alive():
            raise SpiceError(self._failure("did not end"))
        self._leaving = False
        for command in ("destroy all", "remcirc"):
            self._command(command)

    def _run(self) -> None:
        self._command("run")
        self._stopped()

    def _stopped(self) -> None:
        with self._stand:
            self._alive = False
            self._stand.notify_all()

    def _check(self, owner: object) -> None:
        if owner is not self._owner:
            raise SpiceError("libngspice: one circuit at a time in a process, and another one has taken it")

    def _command(self, command: str) -> None:
        self._library.ngSpice_Command(command.encode())

    def _wait(self) -> None:
        """Until ngspice stands where it was sent."""
        with self._stand:
            done = self._stand.wait_for(lambda: self._waiting or not self._alive, WAIT_S)
        if not done:
            raise SpiceError(self._failure(f"did not get to {self._target_s:g} s in {WAIT_S:g} s"))
        if not self._waiting:
            self._owner = None
            raise SpiceError(self._failure(f"gave up at {self._time_s:g} s"))

    def _failure(self, what: str) -> str:
        said = [line for line in self._said if "error" in line.lower() or "small" in line] or list(self._said)
        return f"libngspice {what}: {said[-1] if said else 'it said nothing'}"

    # Called by ngspice

    def _on_text(self, text: bytes, *_) -> int:
        self._said.append(text.decode(errors="replace").partition(" ")[2].strip())
        return 0

    def _on_exit(self, *_) -> int:
        self._stopped()
        return 0

    def _on_source(self, volts, time_s: float, name: bytes, *_) -> int:
        if self._leaving:
            volts[0] = self._random.uniform(-DISTURBANCE_V, DISTURBANCE_V)
            return 0
        i = self._index[name]
        part = min(max((time_s - self._changed_s) / RAMP_S, 0.0), 1.0)
        volts[0] = self._from_V[i] + (self._to_V[i] - self._from_V[i]) * part
        return 0

    def _on_sync(self, time_s: float, step, *_) -> int:
        if self._leaving:
            return 0
        self._time_s = time_s
        with self._stand:
            while not self._leaving and time_s - self._target_s > SLIVER_S / 2:
                self._waiting = True
                self._stand.notify_all()
                self._stand.wait()
        # A point is written down once the step behind it begins, so one sliver more makes the last one known.
        left_s = self._target_s - time_s
        longest_s = left_s if left_s > SLIVER_S / 2 else SLIVER_S
        if time_s - self._changed_s < RAMP_S:
            longest_s = min(longest_s, RAMP_S / RAMP_STEPS)
        step[0] = min(step[0], longest_s)
        return 0

"""Engine ``rtl``: the generated Verilog around the real-number macro, Verilated into this process, at full speed."""

import ctypes
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.engines.operations import (
    Connect,
    EngineError,
    Operation,
    Read,
    Receive,
    Result,
    Script,
    Send,
    WaitHalt,
    Write,
    drive,
)
from ohmloop.engines.rtl.build import BEATS, WORDS, library
from ohmloop.errors import InputError

RESET, WRITE, READ, WAIT, RECEIVE, CONNECT = range(6)
"""Operations of ``ohmloop_rtl.sv``."""

DONE, GOES_ON, FAILED, ENDED = range(4)
"""What a slice of an operation ends with."""

RESET_CLOCKS = 3

LAST = 1 << 32
"""Bit of a beat that marks the last of its object."""


class RtlEngine:
    """A chip in this process; time stands still between operations.

    The same chip as :class:`~ohmloop.engines.simulator.SimulatorEngine` on Verilator, without an interpreter in the
    clock loop. Waits of a closed loop are taken in strides (``ohmloop_rtl.sv``), with the same bits and counts.
    Use as a context manager: leaving it checks that the passive checker of the macro contract saw nothing.

    Parameters
    ----------
    die : Die
        The analogue chip; its configuration is the chip's.
    work : Path
        Folder for builds, reused when nothing changed.
    effective_codes : np.ndarray, optional
        (N, N) signed codes whose effective matrix, wires included, the macro takes for its cells.
    """

    name = "rtl"

    def __init__(self, die: Die, work: Path, *, effective_codes: np.ndarray | None = None):
        self.die, self.work, self.effective_codes = die, work, effective_codes
        self._chip: int | None = None

    def __enter__(self) -> "RtlEngine":
        with ExitStack() as stack:
            self._library = stack.enter_context(library(self.die.config, self.work))
            folder = Path(tempfile.mkdtemp(prefix="ohmloop-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            parameters = self.die.write_file(folder / "macro.hex", self.effective_codes)
            self._chip = self._library.ohm_open(f"+ohmloop_macro={parameters}".encode())
            stack.callback(self._close)
            self._buffer, self._source, self._sink = (
                np.ctypeslib.as_array(getattr(self._library, f"ohm_{name}")(self._chip), shape=(size,))
                for name, size in (("buffer", WORDS), ("source", BEATS), ("sink", BEATS)))
            self._offered = self._taken = self._objects = 0
            self._operate(RESET, limit=RESET_CLOCKS)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        violations = self._library.ohm_violations(self._chip)
        self._stack.close()
        if violations and kind is None:
            raise EngineError(f"rtl: the macro contract was broken {violations} times")

    def _close(self) -> None:
        chip, self._chip = self._chip, None
        self._library.ohm_close(chip)

    @property
    def clocks(self) -> int:
        """Clocks that were simulated so far, inside the context."""
        self._require_open()
        return self._library.ohm_clocks(self._chip)

    @property
    def leapt(self) -> int:
        """Of these, the clocks in which a loop merely settled and which were taken together, inside the context."""
        self._require_open()
        return self._library.ohm_leapt(self._chip)

    def _require_open(self) -> None:
        if self._chip is None:
            raise EngineError("rtl: the engine is not entered, or was left")

    def execute(self, script: Script[Result]) -> Result:
        """Carry out a script and return its result."""
        self._require_open()
        return drive(script, self._perform)

    def _perform(self, operation: Operation) -> list[int]:
        match operation:
            case Write(address, words):
                for first in range(0, len(words), WORDS):
                    part = words[first:first + WORDS]
                    self._buffer[:len(part)] = part
                    if not self._operate(WRITE, address + 4 * first, len(part)):
                        raise EngineError(f"rtl: write of {len(words)} words at {address:#x} refused")
            case Read(address, count):
                words = []
                for first in range(0, count, WORDS):
                    length = min(WORDS, count - first)
                    if not self._operate(READ, address + 4 * first, length):
                        raise EngineError(f"rtl: read of {count} words at {address:#x} refused")
                    words += self._buffer[:length].tolist()
                return words
            case WaitHalt(clocks):
                if not self._operate(WAIT, limit=clocks):
                    raise EngineError(f"rtl: no interrupt within {clocks} clocks")
            case Connect(source_pause, sink_pause, seed):
                chances = (min(int(pause * 2 ** 32), 2 ** 32 - 1) for pause in (source_pause, sink_pause))
                self._library.ohm_pause(self._chip, *chances, seed & 0xFFFF_FFFF)
                self._operate(CONNECT)
            case Send(words):
                self._send(words)
            case Receive(clocks):
                return self._receive(clocks)
        return []

    def _operate(self, code: int, address: int = 0, count: int = 0, limit: int = 0) -> bool:
        """Run one operation to its end; whether it succeeded. Between slices, Ctrl-C gets through."""
        lib, chip = self._library, self._chip
        lib.ohm_start(chip, code, address, count, limit)
        while (state := lib.ohm_go(chip)) == GOES_ON:
            pass
        if state == ENDED:
            raise EngineError(f"rtl: {lib.ohm_message(chip).decode(errors='replace')}")
        return state == DONE

    def _send(self, words: tuple[int, ...]) -> None:
        if not words:
            return
        waiting = self._offered - self._library.ohm_source_begin(self._chip) & 0xFFFF_FFFF
        if waiting + len(words) > BEATS:
            raise InputError(f"input stream: {waiting} beats wait and {len(words)} more are sent, {BEATS} may wait")
        places = (self._offered + np.arange(len(words))) % BEATS
        self._source[places] = words
        self._source[places[-1]] |= LAST
        self._offered = self._offered + len(words) & 0xFFFF_FFFF
        self._library.ohm_put_source(self._chip, ctypes.c_uint32(self._offered))

    def _receive(self, clocks: int) -> list[int]:
        if not self._operate(RECEIVE, count=self._objects + 1, limit=clocks):
            raise EngineError(f"rtl: no object on the output stream within {clocks} clocks")
        words: list[int] = []
        last = 0
        while not last:
            beat = int(self._sink[self._taken % BEATS])
            last = beat & LAST
            words.append(beat ^ last)
            self._taken += 1
        self._objects += 1
        self._library.ohm_take_sink(self._chip, ctypes.c_uint32(self._taken & 0xFFFF_FFFF))
        return words

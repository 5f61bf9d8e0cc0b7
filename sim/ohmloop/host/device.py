"""A chip to work with: an engine, the driver, and what of a system is in the chip now."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator

from ohmloop.analog.cells import Die
from ohmloop.analog.measured import die_named
from ohmloop.engines.named import engine_named
from ohmloop.engines.operations import Script
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.golden.assembler import assemble
from ohmloop.host.driver import Driver, Status
from ohmloop.host.job import RESULT, SOURCE, Job, Outcome, job_script
from ohmloop.host.system import answer, iterative_job, settings_of
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.scaling import Plan, check_magnitude, scale_rhs, unscale
from ohmloop_hdl.config import ChipConfig, config_named
from ohmloop_hdl.events import Event
from ohmloop_hdl.sequencer.traps import TrapCause

PROGRAM = assemble(f"""
        PROG
        HALT 0
        INV  v{RESULT}, v{SOURCE}
        HALT 0
""")
PROGRAM_ARRAYS, INVERT = 0, 2
"""Where the parts of :data:`PROGRAM` begin."""

LIMIT = 60
"""Iterations of a program in one run."""

PROGRAMS = ("refine", "gcr", "gcr5", "digital")
"""Programs of the chip that solve a system; ``digital`` is ``gcr`` with the loop open: the same chip without its
analogue half."""

SLOWEST = 0.5
"""A correction that leaves more than this of the residual stagnates."""

TRAPS = {
    TrapCause.CLIP: "an amplifier reaches its rail at every drive range",
    TrapCause.SETTLE: "the loop does not settle in time",
    TrapCause.VERIFY: "cells do not read back as written",
}
"""Traps that a matrix or a chip can cause, in words."""


class TrapError(NotSolvedError):
    """A program ended in a trap; ``cause`` says which."""

    def __init__(self, cause: TrapCause):
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"the chip trapped {self.cause.name.lower()}: {TRAPS.get(self.cause, 'see the status registers')}"


@dataclass(frozen=True)
class Counters:
    """What was asked of a chip so far."""

    analogue_solves: int
    """Vectors that were driven into a closed loop, whatever came of it; a loop that clips is closed again, which does
    not count."""

    reprogrammings: int
    """Times that both arrays were written as a whole."""

    clock_cycles: int
    """Clocks of all programs."""

    events: Counter[Event]
    """What the chip counted, modulo 2^32 between two looks."""


@dataclass(frozen=True)
class Correction:
    """An answer x (n,), the norm of its residual in float64, iterations of the run that made it, and how that ended."""

    x: np.ndarray
    residual: float
    iterations: int
    status: Status


class Device:
    """One chip on one engine. Use as a context manager, or :meth:`close` it.

    Parameters
    ----------
    config : str or ChipConfig
        Configuration, by name or itself.
    engine : str
        One of :data:`ohmloop.engines.named.ENGINES`.
    chip : str or Die
        The analogue chip: a design or a measured chip by name (:func:`ohmloop.analog.measured.die_named`), or itself.
    seed : int, optional
        Draws the mismatch of the chip anew, for a chip given by the name of a design.
    work : Path, optional
        Folder for builds of simulators.

    ``counters`` says what was asked of it. Errors: ``ConfigError`` and :class:`InputError` for names that are none,
    ``ParamsError`` for a seed that is none, ``ToolMissing`` for an engine that is not installed, :class:`TrapError`
    when the chip traps.

    Worked example::

        with Device("chip64", engine="rtl") as device:
            device.program(A)
            x = device.solve(b)
    """

    def __init__(self, config: str | ChipConfig = "chip64", engine: str = "model", chip: str | Die = "reference", *,
                 seed: int | None = None, work: Path | None = None):
        self.config = config_named(config) if isinstance(config, str) else config
        self.die = die_named(chip, self.config, seed) if isinstance(chip, str) else chip
        if self.die.config != self.config:
            raise InputError(f"chip: made for {self.die.config.name}, not for {self.config.name}")
        self.params = self.die.params
        self.driver = Driver(self.config)
        self.plan: Plan | None = None
        """What was loaded last."""
        self._matrix: np.ndarray | None = None
        self._holds = False  # the chip has the plan and PROGRAM in its memories
        self._clock_cycles = 0
        self._events: Counter[Event] = Counter()
        self._left_beats = 0  # of earlier jobs, on their way into the chip
        self._stack = ExitStack()
        self.engine = self._stack.enter_context(engine_named(engine, self.die, work))
        try:
            self.engine.execute(self.driver.identify())
            self.engine.execute(self.driver.ready())
            self._seen = self.engine.execute(self.driver.read_events())
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """End the engine."""
        self._stack.close()

    @property
    def counters(self) -> Counters:
        """What was asked of the chip so far."""
        now = self.engine.execute(self.driver.read_events())
        self._events.update({event: (now[event] - self._seen[event]) % (1 << 32) for event in Event})
        self._seen, n = now, self.config.size
        rows = self._events[Event.ROW_WRITTEN] - self._events[Event.ROW_REWRITTEN]
        return Counters(self._events[Event.DAC_UPDATED] // n, rows // (2 * n), self._clock_cycles,
                        Counter(self._events))

    def program(self, matrix: Any) -> Plan:
        """Plan A (n, n), dense or sparse, n <= N, as a preconditioner, and write it into the arrays."""
        held = _real("matrix", matrix.toarray() if scipy.sparse.issparse(matrix) else matrix)
        plan = plan_preconditioner(held, self.config, self.params)
        self.load(plan)
        self._matrix = held
        return plan

    def load(self, plan: Plan) -> None:
        """Write a plan into the arrays; nothing happens when they hold it."""
        if self.plan is plan and self._holds:
            return
        if self.plan is not plan:
            self._matrix = None
        # Until all is done nothing is sure about what the chip holds.
        held, self._holds = self._holds, False
        self.plan = plan

        def script() -> Script[Status]:
            yield from self.driver.configure(settings_of(plan, self.config))
            if not held:
                yield from self.driver.load_program(PROGRAM)
            yield from self.driver.load_codes(plan.codes)
            return (yield from self.driver.run(PROGRAM_ARRAYS))

        self._finish(self.engine.execute(script()))
        self._holds = True

    def invert(self, v: np.ndarray) -> np.ndarray:
        """About A^-1 v, (n,) float64: one analogue solve."""
        if self.plan is None:
            raise InputError("invert: no plan is loaded")
        self.load(self.plan)
        v = _real("vector", v, (self.plan.n,))
        if not v.any():
            return np.zeros(self.plan.n)
        rhs = scale_rhs(v, self.config)

        def script() -> Script[tuple[Status, tuple[np.ndarray, int]]]:
            yield from self.driver.load_vector(SOURCE, rhs.mantissas, rhs.exponent)
            status = yield from self.driver.run(INVERT)
            return status, (yield from self.driver.read_vector(RESULT))

        status, found = self.engine.execute(script())
        self._finish(status)
        return unscale(self.plan, rhs, *found)

    def run(self, job: Job) -> Outcome:
        """Run a whole program with everything it works on.

        Errors: :class:`InputError` for a job that reads the stream where an earlier one left beats in it, which would
        come first.
        """
        if job.objects and self._left_beats:
            raise InputError(f"job: {self._left_beats} beats of an earlier job are still in the input stream; "
                             "use a new device")
        self._holds = False
        before = self.counters.events[Event.BEAT_IN]
        outcome = self.engine.execute(job_script(self.config, job))
        self._clock_cycles += outcome.status.cycles
        taken = self.counters.events[Event.BEAT_IN] - before
        self._left_beats += sum(map(len, job.objects)) - taken
        return outcome

    def correction(self, matrix: np.ndarray, plan: Plan, b: np.ndarray, x: np.ndarray, program: str,
                   limit: int = LIMIT) -> Correction:
        """What a run of ``program``, one of :data:`PROGRAMS`, at most ``limit`` iterations, makes of an answer x (n,)
        of A x = b: x and what solves for its residual in float64."""
        rhs = scale_rhs(b - matrix @ x, self.config)
        outcome = self.run(iterative_job(program, plan, matrix, rhs, self.config, limit=limit))
        found = answer(plan, rhs, outcome)
        x = x + found.x
        return Correction(x, float(np.linalg.norm(b - matrix @ x)), found.iterations, outcome.status)

    def solve(self, b: np.ndarray, tol: float = 1e-10, program: str = "gcr") -> np.ndarray:
        """x (n,) with ||b - A x|| <= ``tol`` ||b|| for the matrix that :meth:`program` was given.

        The chip runs ``program``, one of :data:`PROGRAMS`, by itself to 2^-24; the host computes b - A x in float64 and
        gives it what is left.
        """
        if self._matrix is None or self.plan is None:
            raise InputError("solve: no matrix is programmed")
        if program not in PROGRAMS:
            raise InputError(f"program: must be one of {', '.join(PROGRAMS)}, not {program!r}")
        if not 0.0 < tol < 1.0:
            raise InputError(f"tol: must be above 0 and below 1, not {tol}")
        b = _real("right-hand side", b, (self.plan.n,))
        check_magnitude(b, "right-hand side")
        if not b.any():
            return np.zeros(self.plan.n)
        # What is left of a small one would be too small to be scaled.
        peak = float(np.abs(b).max())
        b, x = b / peak, np.zeros(self.plan.n)
        size = left = float(np.linalg.norm(b))
        while not left <= tol * size:
            found = self.correction(self._matrix, self.plan, b, x, program)
            if not found.residual <= tol * size and not found.residual < SLOWEST * left:
                if found.status.trap:
                    raise TrapError(found.status.trap)
                raise NotSolvedError(f"{program}: stagnates at a relative residual of "
                                     f"{min(left, found.residual) / size:.1e}")
            x, left = found.x, found.residual
        return peak * x

    def as_linear_operator(self, tol: float | None = None) -> LinearOperator:
        """The inverse of the programmed matrix for SciPy, (n, n).

        One analogue solve a product, which serves as a preconditioner ``M`` of a flexible method; with ``tol`` solved
        to that relative residual, which serves as ``OPinv`` of ``eigsh``.
        """
        if self.plan is None:
            raise InputError("as_linear_operator: no matrix is programmed")
        return _InverseOperator(self, self.plan.n, tol)

    def _finish(self, status: Status) -> None:
        """Count a run, and raise what stopped it."""
        self._clock_cycles += status.cycles
        if status.trap:
            raise TrapError(status.trap)


def _real(what: str, values: object, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A copy as float64, of a shape where one is asked for."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{what}: is not an array of numbers; rows must be of the same length") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what}: must be real numbers, not {array.dtype}")
    if shape is not None and array.shape != shape:
        raise InputError(f"{what}: must have shape {shape}, not {array.shape}")
    return np.array(array, dtype=np.float64)


class _InverseOperator(LinearOperator):
    """A^-1 of the matrix that a device holds, (n, n), float64."""

    def __init__(self, device: Device, n: int, tol: float | None):
        super().__init__(np.dtype(np.float64), (n, n))
        self._device, self._tol = device, tol

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        v = np.asarray(x).reshape(-1)
        return self._device.invert(v) if self._tol is None else self._device.solve(v, self._tol)

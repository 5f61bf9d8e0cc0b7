"""What one task of a sweep computes: some chips of one point, measured one by one.

``static``: the loop of each chip at rest, what its converters read there, and the range at which it does not clip.
``chip``: the golden machine runs the program ``solve`` on each chip, clock by clock.

Nothing here depends on how chips are split into tasks, on the worker, or on what was computed before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ohmloop.analog.chips import CHUNK, Chips
from ohmloop.analog.loop import LoopRates, jacobian
from ohmloop.analog.macro import NumpyMacro
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.golden.convert import input_codes, result_codes
from ohmloop.golden.machine import Machine
from ohmloop.host.job import predict
from ohmloop.host.system import settings_of, solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.reference import digital_solve, relative_error
from ohmloop.plan.scaling import Plan, ScaledVector, scale_rhs, unscale
from ohmloop.sweep.point import Point
from ohmloop_hdl.macro.pins import DRIVE_RANGES
from ohmloop_hdl.sequencer.traps import TrapCause

QUICK, CHECKED, SLOW = 20 * CHUNK, 4 * CHUNK, CHUNK
"""Chips of one task: some tenths of a second of work at N = 64, some seconds at most."""

OWN_DIES = ("gradient_sigma", "bit_sigma", "inverter_sigma", "wire_ohm", "dac_element_sigma", "adc_element_sigma",
            "adc_gain_sigma", "comparator_offset_V")
"""Parameters that :class:`Chips` makes a die for each chip for, unless they are zero: a hundredth of the speed."""

PROBES, FRAGILE = 8, 0.25
"""A point whose loops are looked at one by one: the slowest mode of one of its first 8 chips decays by a quarter less
than that of the nominal chip. Where it does not, zero is some five standard deviations away."""

OK, UNSTABLE = "ok", "unstable"
"""Outcomes beside the names of the traps."""

LEFT_OUT = ("slew_V_per_s", "upset_probability", "clock_Hz", "lanes", "slots")
"""Parameters that change nothing in ``static``. Poles and bandwidth do where loops are looked at for growing modes."""

_NOISE = 100
"""Noise of chunk c is drawn from the generator of (seed, c, this)."""


_Row = tuple[str, float | None, float | None, int, int | None]
"""A chip: the columns of :class:`Measured`."""


@dataclass(frozen=True)
class Measured:
    """Columns of the chips of one task, or why there are none.

    ``refused``: why the planner refused the point, else empty. ``checked``: every loop was looked at for growing modes.
    A chip a row: ``outcome`` is ``ok``, ``unstable`` or the trap; ``error`` ||x - x0|| / ||x0|| against float64 and
    ``error_digital`` against a digital solve of equal precision, None without an answer; ``drive_range`` at the end;
    ``clocks`` of the program, None for ``static``.
    """

    refused: str = ""
    checked: bool = False
    outcome: tuple[str, ...] = ()
    error: tuple[float | None, ...] = ()
    error_digital: tuple[float | None, ...] = ()
    drive_range: tuple[int, ...] = ()
    clocks: tuple[int | None, ...] = ()


def task_chips(point: Point) -> int:
    """Chips of one task of a point."""
    if point.method.metric == "chip" or any(getattr(point.params, name) for name in OWN_DIES):
        return SLOW
    return CHECKED if point.method.stability else QUICK


@lru_cache(maxsize=4)
def planned(point: Point) -> tuple[Plan, ScaledVector]:
    """The plan of a point and its scaled right-hand side; errors as of :func:`plan_system`."""
    plan = plan_system(point.matrix, point.config, point.params, allow_shift=point.method.allow_shift)
    return plan, scale_rhs(point.b, point.config)


def measure(point: Point, first: int, count: int) -> Measured:
    """Chips ``first`` to ``first + count - 1`` of a point; ``first`` is a multiple of :data:`CHUNK`."""
    try:
        plan, rhs = planned(point)
    except InputError as error:
        return Measured(refused=str(error).partition("\n")[0])
    return {"static": _static, "chip": _chip}[point.method.metric](point, plan, rhs, first, count)


def _static(point: Point, plan: Plan, rhs: ScaledVector, first: int, count: int) -> Measured:
    """V from (A + L/A0) V = -u / 2^k + L Vos at the smallest range k that clips no amplifier of the loop, as the chip
    moves its range up; then read noise and the converters."""
    config, params, used = point.config, point.params, slice(plan.loop_size)
    dac = np.where(np.arange(config.size) < plan.n, input_codes(rhs.mantissas, config), 0)
    start, errors_of = settings_of(plan, config).drive_range, _errors(point, plan)
    checked = _fragile(point) if point.method.stability is None else point.method.stability
    rows: list[_Row] = []
    for chunk in range(first, first + count, CHUNK):
        chips = Chips(config, params, plan.codes, min(CHUNK, first + count - chunk), chunk)
        u_V = np.stack([chips.input_V(dac, k) for k in range(start, DRIVE_RANGES)], axis=1)
        outputs_V = chips.outputs_V(np.broadcast_to(u_V, (chips.count, *u_V.shape[1:])))
        inside: np.ndarray = ~np.any(chips.clipped(outputs_V)[..., used], axis=2)
        fits: np.ndarray = np.any(inside, axis=1)
        step = np.where(fits, np.argmax(inside, axis=1), inside.shape[1] - 1)
        noise = np.random.default_rng([params.seed, chunk // CHUNK, _NOISE])
        codes = result_codes(chips.codes(outputs_V[np.arange(chips.count), step], noise), config)
        grows = ~chips.stable(plan.bandwidth) if checked else np.zeros(chips.count, dtype=bool)
        for k in range(chips.count):
            drive_range = start + int(step[k])
            end = UNSTABLE if grows[k] else OK if fits[k] else TrapCause.CLIP.name.lower()
            x = codes[k, :plan.n] * (2.0 ** drive_range / (1 << config.adc_bits - 1) * rhs.factor / plan.alpha)
            error, digital = errors_of(x) if end == OK else (None, None)
            rows.append((end, error, digital, drive_range, None))
    return _measured(checked, rows)


def _chip(point: Point, plan: Plan, rhs: ScaledVector, first: int, count: int) -> Measured:
    """The program ``solve`` on a machine of its own for each chip."""
    job, errors_of = solve_job(plan, rhs, point.config), _errors(point, plan)
    rows: list[_Row] = []
    for chunk in range(first, first + count, CHUNK):
        chips = Chips(point.config, point.params, plan.codes, 1, chunk)
        for k in range(min(CHUNK, first + count - chunk)):
            machine = Machine(point.config, NumpyMacro(chips.die(k)))
            outcome, run = predict(machine, job)
            end = OK if run.trap is TrapCause.NONE else run.trap.name.lower()
            x = unscale(plan, rhs, outcome.mantissas, outcome.exponent)
            error, digital = errors_of(x) if end == OK else (None, None)
            rows.append((end, error, digital, machine.settings.drive_range, run.cycles))
    return _measured(True, rows)


def _measured(checked: bool, rows: list[_Row]) -> Measured:
    outcome, error, digital, ranges, clocks = zip(*rows, strict=True)
    return Measured("", checked, outcome, error, digital, ranges, clocks)


def _errors(point: Point, plan: Plan) -> Callable[[np.ndarray], tuple[float | None, float | None]]:
    """Errors of an answer against float64 and against a digital solve; None where the latter has no range that fits."""
    exact = np.linalg.solve(point.matrix, point.b)
    try:
        digital = digital_solve(plan, point.b, point.config)
    except NotSolvedError:
        digital = None
    return lambda x: (relative_error(x, exact), None if digital is None else relative_error(x, digital))


@lru_cache(maxsize=4)
def _fragile(point: Point) -> bool:
    """Whether mismatch moves the slowest mode of this point's loops so much that a chip may be unstable."""
    plan, _ = planned(point)
    chips, rates = Chips(point.config, point.params, plan.codes, PROBES), LoopRates.of(point.params, plan.bandwidth)
    slowest = max(np.linalg.eigvals(jacobian(A, L, rates)).real.max() for A, L in zip(chips.A, chips.L, strict=True))
    return bool(-slowest < (1.0 - FRAGILE) * plan.margin * rates.amplifier)

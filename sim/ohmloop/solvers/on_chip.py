"""The chip's own programs as a method: they iterate inside the chip, the host only corrects what 2^-24 leaves."""

from typing import Any

import numpy as np

from ohmloop.errors import InputError
from ohmloop.host.device import SLOWEST, Device, TrapError
from ohmloop.host.system import LIMIT_MAX
from ohmloop.plan.loop import Loop
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.solvers.choice import Choice
from ohmloop.solvers.inverse import SingleLoop
from ohmloop.solvers.krylov import Krylov, OnIteration


def choice_for(program: str, matrix: np.ndarray, device: Device) -> Choice:
    """The plan that ``program`` runs on, (n, n) with n <= N; nothing is predicted.

    Errors: :class:`InputError` for what does not fit or has no stable plan.
    """
    if len(matrix) > device.config.size:
        raise InputError(f"method: {program} runs on the chip, whose array holds {device.config.size} unknowns, not "
                         f"{len(matrix)}; use fgmres")
    method = program if program in ("refine", "gcr") else "gcr"
    plan = plan_preconditioner(matrix, device.config, device.params, method=method)
    return Choice(SingleLoop(Loop.plain(matrix, plan)), np.nan, np.nan,
                  (*plan.reasons, f"{program} iterates on the chip; the host corrects in float64"))


class OnChip:
    """A program as an iteration of :mod:`ohmloop.solvers.krylov`; its ``inverse`` is the chip.

    Parameters
    ----------
    program : str
        One of :data:`ohmloop.host.device.PROGRAMS`.
    device : Device
        The chip.
    loop : Loop
        What :func:`choice_for` made.
    """

    def __init__(self, program: str, device: Device, loop: Loop):
        self.program, self.device, self.plan = program, device, loop.plan

    def __call__(self, matrix: np.ndarray, b: np.ndarray, inverse: Any = None, *, tol: float = 1e-10,
                 limit: int = 200, start: np.ndarray | None = None, recycled: Any = None, keep: int = 0,
                 on_iteration: OnIteration | None = None) -> Krylov:
        """x with ||b - A x|| <= tol ||b||. Of the residuals only those between two runs are known; others are NaN."""
        size = float(np.linalg.norm(b))
        if size == 0.0:
            return Krylov(np.zeros(len(b)), 0.0, np.zeros(1), 0, True, 0, None)
        x = np.zeros(len(b)) if start is None else start
        left = float(np.linalg.norm(b - matrix @ x))
        residuals = [left / size]
        while left > tol * size and len(residuals) <= limit:
            most = min(limit + 1 - len(residuals), LIMIT_MAX)
            found = self.device.correction(matrix, self.plan, b, x, self.program, most)
            residuals += [np.nan] * (found.iterations - 1) + [found.residual / size]
            if on_iteration:
                on_iteration(len(residuals) - 1, residuals[-1])
            stuck = not found.residual < SLOWEST * left
            if stuck and found.status.trap:
                raise TrapError(found.status.trap)
            if found.residual < left:
                x, left = found.x, found.residual
            if stuck:
                break
        return Krylov(x, left / size, np.array(residuals), len(residuals) - 1, left <= tol * size, 0, None)

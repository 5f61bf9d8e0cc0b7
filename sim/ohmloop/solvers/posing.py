"""From a problem to a square real system with an inverse for it: what is planned once and used for any right-hand side.

::

    matrix, ridge, noise --> forms (remap) --> R B C, even rows and columns --> an inverse of loops (choice)

Of the forms of a least squares problem the one whose inverse is expected to need fewest iterations is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ohmloop.errors import InputError, OhmloopError
from ohmloop.plan.planner import CONDITION_MAX
from ohmloop.plan.preparation import equilibration
from ohmloop.solvers import remap
from ohmloop.solvers.choice import Choice
from ohmloop.solvers.recycle import Space
from ohmloop_hdl.config import ChipConfig

UNEVEN = 100.0
"""Rows or columns whose largest entries differ by more than this factor are scaled before the iteration, so that its
norm sees all of them."""

ASYMMETRY = 1e-12
"""Entries that differ from those across the diagonal by this much, relative to the largest, are meant to be equal."""


@dataclass(frozen=True, eq=False)
class Source:
    """What a plan is made for; another problem needs another plan."""

    matrix: np.ndarray
    """A, or its real form, (m, n)."""

    ridge: float
    noise: np.ndarray | None
    form: str
    config: ChipConfig
    method: str
    """The program on the chip, or the method on the host."""

    bad: np.ndarray | None

    @property
    def is_square(self) -> bool:
        """Whether it is A x = b, solved as it is."""
        return self.matrix.shape[0] == self.matrix.shape[1] and not self.ridge and self.noise is None

    def check(self, wanted: "Source") -> None:
        """Raise :class:`InputError` unless a plan for this serves what is ``wanted``."""
        differs = {
            "matrix": not np.array_equal(self.matrix, wanted.matrix),
            "ridge": self.ridge != wanted.ridge,
            "noise": not _same(self.noise, wanted.noise),
            "form": not self.is_square and self.form != wanted.form,
            "configuration": self.config != wanted.config,
            "method": self.method != wanted.method,
            "map of bad cells": not _same(self.bad, wanted.bad),
        }
        for what, other in differs.items():
            if other:
                raise InputError(f"planned: was made for another {what}; leave it out to plan anew")


@dataclass(frozen=True, eq=False)
class Planned:
    """A posed problem B z = c, scaled, and the inverse for what it was scaled to: (R B C) u = R c, z = C u."""

    posed: remap.Posed
    """The square real system that is iterated on."""

    certified: remap.Posed
    """The one that certificates are for: the same, or the normal form of an augmented one."""

    rows: np.ndarray
    """R, (n,)."""

    columns: np.ndarray
    """C, (n,)."""

    scaled: np.ndarray
    """R B C, (n, n)."""

    choice: Choice
    """The inverse of it."""

    source: Source
    """What all that was made from."""

    space: Space | None = None
    """Directions that earlier right-hand sides leave to later ones."""


def posed(source: Source, choose: Callable[[np.ndarray], Choice], definite: bool = False) -> Planned:
    """The plan for a problem; ``choose`` makes an inverse of a square matrix, (n, n).

    ``definite``: the iteration needs a symmetric and positive definite matrix, so that least squares take their normal
    form. Errors: :class:`InputError` for what has no form, is singular or not definite, and what ``choose`` raises.
    """
    matrix, (m, n), size = source.matrix, source.matrix.shape, source.config.size
    if source.is_square:
        held = remap.square(matrix)
        return _scaled(held, held, source, choose, definite)
    normal = remap.normal(matrix, ridge=source.ridge, noise=source.noise)
    fits = m >= n and m + n <= size and not definite
    if source.form == "augmented" and definite:
        raise InputError("form: fcg needs a symmetric positive definite matrix, which the augmented form is not; use "
                         "fgmres, or normal")
    if source.form == "augmented" and not fits:
        raise InputError(f"form: augmented takes {m} + {n} unknowns and as many equations as unknowns at least; "
                         f"the array holds {size}")
    works, refusal = [], None
    for name in ("normal", "augmented"):
        if source.form in ("auto", name) and (name == "normal" or fits):
            held = normal if name == "normal" else remap.augmented(matrix, ridge=source.ridge, noise=source.noise)
            try:
                works.append(_scaled(held, normal, source, choose, definite))
            except OhmloopError as error:
                refusal = refusal or error
    if not works:
        assert refusal is not None
        raise refusal
    return min(works, key=lambda work: work.choice.iterations)


def _scaled(held: remap.Posed, certified: remap.Posed, source: Source, choose: Callable[[np.ndarray], Choice],
            definite: bool) -> Planned:
    size = np.abs(held.matrix)
    n = len(size)
    rows, columns = np.ones(n), np.ones(n)
    across, down = size.max(axis=1), size.max(axis=0)
    if across.all() and down.all() and max(across.max() / across.min(), down.max() / down.min()) > UNEVEN:
        rows, columns = equilibration(held.matrix)
        if definite and np.array_equal(held.matrix, held.matrix.T):
            rows = columns = np.sqrt(rows * columns)
    scaled = rows[:, None] * held.matrix * columns
    if definite:
        _check_definite(scaled)
    condition = np.linalg.cond(scaled)
    if not condition <= CONDITION_MAX:
        form = held.what.split(" of ")[0].split(":")[0]
        raise InputError(f"matrix: {f'the {form} form is ' if form else ''}numerically singular, condition number "
                         f"{condition:.1e} when scaled; at most {CONDITION_MAX:.0e} is allowed")
    return Planned(held, certified, rows, columns, scaled, choose(scaled), source)


def _check_definite(scaled: np.ndarray) -> None:
    """Raise :class:`InputError` unless conjugate gradients work with it."""
    try:
        if np.abs(scaled - scaled.T).max() > ASYMMETRY * np.abs(scaled).max():
            raise np.linalg.LinAlgError
        np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        raise InputError("method: fcg needs a symmetric positive definite matrix; use fgmres") from None


def _same(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    return first is second or first is not None and second is not None and np.array_equal(first, second)

"""What later right-hand sides gain from the first: a few directions on which the preconditioned iteration is slow.

A flexible iteration leaves directions z_j = M^-1 v_j with their products A z_j. Of their span, the part that A M^-1
nearly annihilates is what a Krylov method spends its iterations on, for any right-hand side. Kept as rows of U with
C = A U orthonormal, it costs no analogue solve and no product to use again::

    x <- x + U' (C r),   r <- r - C' (C r),   and later products are made orthogonal to C

The directions come from the harmonic Ritz pairs of smallest modulus (Morgan, SIAM J. Sci. Comput. 24, 2002; de Sturler,
J. Comput. Appl. Math. 67, 1996; flexible: Carvalho, Gratton, Lago, Vasseur, SIAM J. Sci. Comput. 33, 2011): with
A Z = W G, W orthonormal, and v = V y the vectors that went into the preconditioner::

    G' G y = theta G' W' V y
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

KEPT = 8
"""Directions that are kept unless told otherwise."""

DEPENDENT = 1e-10
"""A direction whose product with A is this close to those of the others, relative to the largest, is dropped."""


@dataclass(frozen=True, eq=False)
class Space:
    """Directions and their images: ``directions`` U (k, n), ``images`` C (k, n), U A' = C, the rows of C orthonormal;
    ``inputs`` (k, n) is what the preconditioner made U of."""

    directions: np.ndarray
    images: np.ndarray
    inputs: np.ndarray

    def __len__(self) -> int:
        return len(self.directions)


def harmonic_space(directions: np.ndarray, images: np.ndarray, inputs: np.ndarray, keep: int) -> Space | None:
    """The ``keep`` harmonic Ritz directions of smallest modulus out of a span, or None when there are none.

    ``directions`` (k, n) rows z_j, ``images`` (k, n) rows A z_j, ``inputs`` (k, n) rows v_j with z_j = M^-1 v_j. A pair
    of complex ones counts as two, and is kept or left whole where there is room.
    """
    keep = min(keep, len(directions))
    if keep < 1:
        return None
    gram, cross = images @ images.T, images @ inputs.T
    try:
        # 1 / theta: the largest are wanted, and G' G is the definite side.
        solved: Any = scipy.linalg.eig(cross, gram)
    except (np.linalg.LinAlgError, ValueError):
        return None
    values, vectors = solved
    order = np.argsort(-np.abs(np.where(np.isfinite(values), values, 0.0)), kind="stable")
    chosen: list[np.ndarray] = []
    for place in order:
        vector = vectors[:, place]
        if values[place].imag < 0.0:
            continue
        parts = [vector.real] if values[place].imag == 0.0 else [vector.real, vector.imag]
        chosen += parts
        if len(chosen) >= keep:
            break
    mixed = np.array(chosen)
    return orthonormal_space(mixed @ directions, mixed @ images, mixed @ inputs)


def orthonormal_space(directions: np.ndarray, images: np.ndarray, inputs: np.ndarray) -> Space | None:
    """The span of rows U and A U, with the images made orthonormal and what is dependent dropped."""
    sizes = np.linalg.norm(images, axis=1)
    held = np.isfinite(sizes) & (sizes > 0.0)
    if not held.any():
        return None
    directions, images, inputs = (rows[held] / sizes[held, None] for rows in (directions, images, inputs))
    factored: Any = scipy.linalg.qr(images.T, mode="economic", pivoting=True)
    q, r, order = factored
    rank = int((np.abs(np.diag(r)) > DEPENDENT * abs(r[0, 0])).sum())
    turned, fed = (scipy.linalg.solve_triangular(r[:rank, :rank], rows[order[:rank]], trans=1)
                   for rows in (directions, inputs))
    return Space(turned, np.ascontiguousarray(q[:, :rank].T), fed)

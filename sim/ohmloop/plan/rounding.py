"""Rounding that spares the directions in which a matrix is small.

A preconditioner X of T leaves T X^-1 = I - (X - T) X^-1: what counts is not the rounding error E = X - T but E T^-1,
which magnifies the part of E that meets the small singular directions of T. Rounding to nearest knows nothing of them.
Here each element may go to another neighbour, so that the errors of a row cancel where they hurt::

    least over integers X:   ||(X - T) T^-1||_F^2  =  sum over rows  e G e',   e = row of X - T,  G = T^-1 T^-T

The rows are independent. From the nearest integers on, one column after the other takes the step that is best with
all others as they are, -(e G)_j / G_jj rounded, until no step helps.
"""

import numpy as np

SWEEPS = 30
"""Passes over all columns at most; five are the rule at N = 64."""


def rounded_for_inverse(target: np.ndarray, largest: int) -> np.ndarray:
    """Integers within +-``largest``, int64, of the shape of ``target``, whose inverse is close to that of ``target``.

    ``target``: n x n, not singular, in units of one code.
    """
    inverse = np.linalg.inv(target)
    gram = inverse @ inverse.T
    diagonal = np.diag(gram)
    codes = np.clip(np.rint(target), -largest, largest)
    slope = (codes - target) @ gram
    for _ in range(SWEEPS):
        moved = False
        for j in range(len(target)):
            step = np.clip(codes[:, j] + np.rint(-slope[:, j] / diagonal[j]), -largest, largest) - codes[:, j]
            if step.any():
                moved = True
                codes[:, j] += step
                slope += np.outer(step, gram[j])
        if not moved:
            break
    return codes.astype(np.int64)

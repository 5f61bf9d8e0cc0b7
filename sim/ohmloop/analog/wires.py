"""Wire resistance of an array: the resistor mesh, reduced exactly to what its terminals see.

One array has N column wires, each driven at its end next to row 0, and N row wires, each ending in its summing node
next to column 0. A cell joins row wire i and column wire j where they cross; every stretch of wire from one crossing to
the next, and from the first one to the end, has the same resistance r::

    V_j ──r──┬──r──┬── ...            e_i ──r──┬──r──┬── ...
           cell  cell (row 1)                cell  cell (column 1)

All of it is linear, so the 2 N^2 crossings can be eliminated: the current that flows into summing node i is
sum_j F_ij V_j - sum_k D_ik e_k with F (N, N) and D (N, N). Without resistance F is the array itself and D its row sums.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def mesh(conductance: Array, wire: float) -> tuple[Array, Array]:
    """(F, D) of one array.

    Parameters
    ----------
    conductance : Array
        (N, N) cells over G0, row (summing node) by column (amplifier).
    wire : float
        Resistance of a stretch of wire times G0, above 0.
    """
    n, g = len(conductance), 1.0 / wire
    every = np.arange(n)
    # Row wires, all at once: each is a chain of crossings whose first one also reaches the summing node.
    chains = np.zeros((n, n, n))
    chains[:, every, every] = conductance + 2.0 * g
    chains[:, -1, -1] -= g
    chains[:, every[1:], every[:-1]] = chains[:, every[:-1], every[1:]] = -g
    inside = np.linalg.inv(chains)
    # What is left are the crossings on the column wires, row after row: a block tridiagonal system. It is driven by one
    # summing node after the other at 1 V; by reciprocity the currents say both F and D.
    blocks = -conductance[:, :, None] * inside * conductance[:, None, :]
    blocks[:, every, every] += conductance + 2.0 * g
    blocks[-1, every, every] -= g
    drives = np.zeros((n, n, n))
    drives[every, :, every] = g * conductance * inside[:, :, 0]
    # Blocks are diagonally dominant: their inverses are as good as factors, and quicker to apply.
    inverses = np.empty((n, n, n))
    inverses[0] = np.linalg.inv(blocks[0])
    for row in range(1, n):
        inverses[row] = np.linalg.inv(blocks[row] - g * g * inverses[row - 1])
        drives[row] += g * inverses[row - 1] @ drives[row - 1]
    crossings = np.zeros((n + 1, n, n))
    for row in reversed(range(n)):
        crossings[row] = inverses[row] @ (drives[row] + g * crossings[row + 1])
    forward = g * crossings[0].T
    first = np.einsum("ij,ijk->ik", inside[:, 0] * conductance, crossings[:n])
    first[every, every] += g * inside[:, 0, 0]
    return forward, g * (np.eye(n) - first)


def first_order(conductance: Array, wire: float) -> Array:
    """F to first order in the wire resistance r, to compare the exact mesh with.

    With M_ab = 1 + min(a, b), the stretches that the ways to crossings a and b share, the column wire is down by
    r sum_k M_ik g_kj V_j at crossing (i, j) and the row wire up by r sum_l M_jl g_il V_l. So::

        F = G - r (G * (M G) + (G M) * G)        * element by element
    """
    n = len(conductance)
    shared = 1.0 + np.minimum.outer(np.arange(n), np.arange(n))
    column_drop = conductance * (shared @ conductance)
    row_drop = (conductance @ shared) * conductance
    return conductance - wire * (column_drop + row_drop)

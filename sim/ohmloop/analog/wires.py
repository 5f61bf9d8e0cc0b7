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
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

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
    n = len(conductance)
    crossing = np.arange(n * n).reshape(n, n)
    row_wire, column_wire = crossing, n * n + crossing
    g = 1.0 / wire
    # Branches between unknown nodes: along row wires, along column wires, through cells that conduct.
    cells = np.nonzero(conductance)
    start = np.concatenate([row_wire[:, 1:].ravel(), column_wire[1:].ravel(), row_wire[cells]])
    end = np.concatenate([row_wire[:, :-1].ravel(), column_wire[:-1].ravel(), column_wire[cells]])
    branch = np.concatenate([np.full(2 * n * (n - 1), g), conductance[cells]])
    ends = np.concatenate([row_wire[:, 0], column_wire[0]])
    diagonal = np.bincount(np.concatenate([start, end, ends]),
                           np.concatenate([branch, branch, np.full(2 * n, g)]), 2 * n * n)
    everywhere = np.arange(2 * n * n)
    laplacian = coo_matrix((np.concatenate([-branch, -branch, diagonal]),
                            (np.concatenate([start, end, everywhere]), np.concatenate([end, start, everywhere]))))
    # Drive one row end after the other with 1 V: by reciprocity its currents say both F and D.
    drive = np.zeros((2 * n * n, n))
    drive[row_wire[:, 0], np.arange(n)] = g
    inside = splu(laplacian.tocsc()).solve(drive)
    forward = g * inside[column_wire[0]].T
    load = g * (np.eye(n) - inside[row_wire[:, 0]])
    return forward, load


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

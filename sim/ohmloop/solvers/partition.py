"""Unknowns into blocks that fit an array, so that what lies between the blocks is little and smooth.

A partition is a list of index arrays: disjoint, together all of 0..n-1, none longer than N. How good it is shows in the
coupling: the fewer columns of A12 = A[first, rest] are not zero, the fewer columns of A11^-1 A12 a Schur complement
needs, and the less a block solve leaves behind.
"""

import math

import numpy as np
import scipy.linalg
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from ohmloop.errors import InputError

Blocks = list[np.ndarray]
"""Index arrays of a partition."""

SPARSE = 0.25
"""A matrix with at most this share of elements that are not zero is worth an ordering."""


def chunks(order: np.ndarray, largest: int) -> Blocks:
    """The fewest pieces of at most ``largest`` unknowns, in this order; sizes differ by one at most."""
    return [np.asarray(piece) for piece in np.array_split(order, math.ceil(len(order) / largest))]


def natural(matrix: np.ndarray, largest: int) -> Blocks:
    """Unknowns as they come."""
    return chunks(np.arange(len(matrix)), largest)


def paired(matrix: np.ndarray, largest: int) -> Blocks:
    """Unknown i beside unknown i + n/2: places and speeds, real and imaginary parts, stay together.

    Within a block the first halves come first, so that a block of [[P, Q], [R, S]] has that form too. Requires: n and
    ``largest`` even.
    """
    half = len(matrix) // 2
    return [np.concatenate([piece, piece + half]) for piece in chunks(np.arange(half), largest // 2)]


def banded(matrix: np.ndarray, largest: int) -> Blocks:
    """Unknowns in reverse Cuthill-McKee order of the pattern of A + A': a narrow band, cut across."""
    order = reverse_cuthill_mckee(csr_matrix(_pattern(matrix)), symmetric_mode=True)
    return chunks(order.astype(np.int64), largest)


def bisected(matrix: np.ndarray, largest: int) -> Blocks:
    """Halves of halves, cut where the graph of A + A' is thinnest: by the vector of its second smallest mode.

    The Fiedler vector is the eigenvector of the second smallest eigenvalue of the Laplacian of |A| + |A'|; unknowns
    below its median go left. Levels: ceil(log2 n/N).
    """
    graph = np.abs(matrix) + np.abs(matrix.T)
    np.fill_diagonal(graph, 0.0)

    def split(part: np.ndarray, levels: int) -> Blocks:
        if levels == 0:
            return [np.sort(part)]
        weights = graph[np.ix_(part, part)]
        laplacian = np.diag(weights.sum(axis=1)) - weights
        _, vectors = scipy.linalg.eigh(laplacian, subset_by_index=[0, 1])
        order = part[np.argsort(vectors[:, 1], kind="stable")]
        middle = (len(order) + 1) // 2
        return split(order[:middle], levels - 1) + split(order[middle:], levels - 1)

    return split(np.arange(len(matrix)), max(0, math.ceil(math.log2(len(matrix) / largest))))


def boxes(grid: tuple[int, int], largest: int) -> Blocks:
    """The unknowns of a grid, numbered row by row, in rectangles: the fewest of at most ``largest`` points, and of
    those the ones with the shortest borders. 16 x 16 points with N = 64: four of 8 x 8."""
    rows, columns = grid
    cuts = [(down * across, down * columns + across * rows, down, across)
            for down in range(1, rows + 1) for across in range(1, columns + 1)
            if math.ceil(rows / down) * math.ceil(columns / across) <= largest]
    _, _, down, across = min(cuts)
    numbers = np.arange(rows * columns).reshape(rows, columns)
    return [piece.ravel() for band in np.array_split(numbers, down, axis=0)
            for piece in np.array_split(band, across, axis=1)]


def grid_in(matrix: np.ndarray) -> tuple[int, int] | None:
    """Rows and columns of the grid of which A is a five- or nine-point stencil, row by row; None when it is none.

    Every element that is not zero must join a point to itself or to one of its eight neighbours, and every point must
    be joined to those beside, above and below it.
    """
    n = len(matrix)
    i, j = np.nonzero(_pattern(matrix))
    distances = np.unique(np.abs(i - j))
    far = distances[distances > 2]
    for columns in sorted({int(d) for d in far} | {int(d) + 1 for d in far}):
        if n % columns or n == columns:
            continue
        down, across = np.abs(i // columns - j // columns), np.abs(i % columns - j % columns)
        if max(down.max(), across.max()) > 1:
            continue
        rows = n // columns
        straight = 2 * (rows * (columns - 1) + columns * (rows - 1))
        if int(((down + across) == 1).sum()) == straight:
            return rows, columns
    return None


def has_pairs(matrix: np.ndarray) -> bool:
    """Whether both diagonal halves of A are diagonal matrices: [[D, X], [Y, D']]."""
    n = len(matrix)
    if n % 2:
        return False
    halves = matrix[:n // 2, :n // 2], matrix[n // 2:, n // 2:]
    return all(np.array_equal(half, np.diag(np.diag(half))) for half in halves)


def is_sparse(matrix: np.ndarray) -> bool:
    """Whether few enough elements are not zero (:data:`SPARSE`) for an ordering to find something."""
    return bool(np.count_nonzero(matrix) <= SPARSE * matrix.size)


def partitions(matrix: np.ndarray, largest: int, grid: tuple[int, int] | None = None) -> dict[str, Blocks]:
    """Partitions worth a try, by name: one that fits the structure, and the plain one.

    First boxes on a grid, else pairs, else bisection of a sparse graph; then the band of a sparse matrix; unknowns as
    they come where nothing fits.

    ``grid``: rows and columns of the grid of unknowns, where the caller knows; found from the pattern otherwise.

    Errors: :class:`InputError` when ``grid`` does not have n points.
    """
    n = len(matrix)
    if grid is not None and (len(grid) != 2 or grid[0] * grid[1] != n):
        raise InputError(f"grid: must have {n} points, as many as unknowns, not {grid!r}")
    grid = grid or grid_in(matrix)
    found: dict[str, Blocks] = {}
    if grid is not None:
        found["boxes"] = boxes(grid, largest)
    elif has_pairs(matrix) and largest % 2 == 0:
        found["pairs"] = paired(matrix, largest)
    elif is_sparse(matrix):
        found["bisection"] = bisected(matrix, largest)
    if is_sparse(matrix):
        found["band"] = banded(matrix, largest)
    elif not found:
        found["natural"] = natural(matrix, largest)
    return found


def _pattern(matrix: np.ndarray) -> np.ndarray:
    """Where A + A' may be non-zero, (n, n) bool."""
    return (matrix != 0) | (matrix.T != 0)

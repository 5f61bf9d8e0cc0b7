"""One matrix made ready for the arrays: scaled and permuted on the host, planned, and the way there and back.

The loop is given B = R P A Q C, which the planner finds easier to hold and to keep stable than A: P and Q permute, R
and C are diagonal, exact on the host, signs included::

    A x = v      B z = R P v      x = Q C z
"""

from dataclasses import dataclass

import numpy as np

from ohmloop.plan.scaling import Plan


@dataclass(frozen=True, eq=False)
class Loop:
    """A matrix of the user and the plan of what stands for it in the arrays.

    ``matrix`` (n, n) is A; ``plan`` was made for B with ``B[i, j] = row_factor[i] A[rows[i], columns[j]]
    column_factor[j]``. All four of rows, columns (permutations of 0..n-1) and factors have n elements.
    """

    matrix: np.ndarray
    plan: Plan
    rows: np.ndarray
    columns: np.ndarray
    row_factor: np.ndarray
    column_factor: np.ndarray

    @classmethod
    def plain(cls, matrix: np.ndarray, plan: Plan) -> "Loop":
        """The matrix as it is."""
        n = len(matrix)
        return cls(matrix, plan, np.arange(n), np.arange(n), np.ones(n), np.ones(n))

    @property
    def prepared(self) -> np.ndarray:
        """B, (n, n)."""
        return self.row_factor[:, None] * self.matrix[np.ix_(self.rows, self.columns)] * self.column_factor

    def rhs(self, v: np.ndarray) -> np.ndarray:
        """R P v, (n,): what the chip is given."""
        return self.row_factor * v[self.rows]

    def solution(self, z: np.ndarray) -> np.ndarray:
        """x = Q C z, (n,), from what the chip answered."""
        x = np.empty_like(z)
        x[self.columns] = self.column_factor * z
        return x

"""Small systems with known loop behaviour, as signed cell codes."""

import numpy as np
from numpy.typing import NDArray


def scaled(matrix: NDArray, code_max: int) -> NDArray[np.int64]:
    """Codes of a real matrix, its largest entry at ``code_max``."""
    return np.rint(matrix / np.abs(matrix).max() * code_max).astype(np.int64)


def oscillator(size: int, code_max: int) -> NDArray[np.int64]:
    """One implicit step of an undamped chain, [[I, -h I], [h K, I]] with h = 1.5, K = tridiag(-1, 2, -1)."""
    half, h = size // 2, 1.5
    eye = np.eye(half)
    chain = 2 * eye - np.eye(half, k=1) - np.eye(half, k=-1)
    return scaled(np.block([[eye, -h * eye], [h * chain, eye]]), code_max)


def definite(size: int, code_max: int, seed: int) -> NDArray[np.int64]:
    """A random symmetric positive system."""
    samples = np.random.default_rng(seed).standard_normal((2 * size, size))
    return scaled(samples.T @ samples / (2 * size) + 0.3 * np.eye(size), code_max)

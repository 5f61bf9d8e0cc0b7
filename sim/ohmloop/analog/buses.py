"""Packed buses: element i of a bus of ``width``-bit elements is bits ``i*width`` to ``(i+1)*width - 1``."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def unpack(bus: int, count: int, width: int, signed: bool = False) -> NDArray[np.int64]:
    """The ``count`` elements of a packed bus, two's complement if ``signed``."""
    mask, half = (1 << width) - 1, 1 << (width - 1)
    elements = np.array([bus >> shift & mask for shift in range(0, count * width, width)], dtype=np.int64)
    return np.where(elements >= half, elements - 2 * half, elements) if signed else elements


def pack(elements: Iterable[int] | NDArray, width: int) -> int:
    """One integer that holds the elements side by side, each cut to ``width`` bits."""
    mask, bus = (1 << width) - 1, 0
    for position, element in enumerate(elements):
        bus |= (int(element) & mask) << (position * width)
    return bus

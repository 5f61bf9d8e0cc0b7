"""A point of a sweep: one system on one design, and how its chips are measured.

Apart from the grid, because workers need nothing else.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import ChipConfig

METRICS = ("static", "chip")
"""How a chip is measured: settled outputs, or the whole chip bit by bit."""


@dataclass(frozen=True)
class Method:
    """How each chip of each point is measured.

    ``metric``: one of :data:`METRICS`. ``stability``: whether ``static`` looks at every loop for growing modes; None
    leaves it to each point. ``allow_shift``: the planner may shift the diagonal. ``version``: of the code that does it.
    """

    metric: str = "static"
    stability: bool | None = None
    allow_shift: bool = False
    version: str = ""


@dataclass(frozen=True, eq=False)
class Point:
    """One system on one design: what the tasks of a sweep are made of.

    ``place``: number of the grid point, which may have several systems. ``system``: number of the system there.
    ``matrix`` (n, n) and ``b`` (n,) in any unit.
    """

    place: int
    system: int
    config: ChipConfig
    params: AnalogParams
    matrix: np.ndarray
    b: np.ndarray
    method: Method

    @cached_property
    def key(self) -> str:
        """A digest of everything that the numbers of a chip depend on, but the number of the chip."""
        said = [asdict(self.config), asdict(self.params), asdict(self.method), *map(_digest, (self.matrix, self.b))]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.key == other.key


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()

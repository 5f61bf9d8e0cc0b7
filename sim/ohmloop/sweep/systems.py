"""What a sweep solves: a matrix from a file, the heat plate, or members of an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ohmloop.ensembles import CONDITIONED, ENSEMBLES, ensemble
from ohmloop.errors import InputError
from ohmloop.report.main_job import heat_plate, system_from_file
from ohmloop_hdl.config import ChipConfig

System = tuple[np.ndarray, np.ndarray]
"""A matrix (n, n) and a right-hand side (n,)."""

CONDITION = 30.0
"""Condition number of an ensemble where none is given."""

_ANSWER_STREAM = 1
"""Exact answers of ensembles are drawn from the generator of (seed, this)."""


@dataclass(frozen=True)
class Source:
    """Where systems come from.

    ``matrix``: a file, solved for A 1. ``family``: ensemble, whose member k has the seed ``seed`` + k and a Gaussian
    exact answer; ``count`` members. With neither, the heat plate of as many cells as the chip has rows.
    """

    matrix: Path | None = None
    family: str | None = None
    count: int = 1
    seed: int = 1

    def check(self, cond: Sequence[float]) -> None:
        """Raise :class:`InputError` where the options do not go together."""
        if self.matrix and self.family:
            raise InputError("--ensemble: give a matrix file or an ensemble, not both")
        if self.family and self.family not in ENSEMBLES:
            raise InputError(f"--ensemble must be one of {', '.join(ENSEMBLES)}, not {self.family!r}")
        if cond and self.family not in CONDITIONED:
            raise InputError(f"--cond: only for --ensemble {', '.join(CONDITIONED)}")
        if self.count > 1 and not self.family:
            raise InputError("--systems: only for --ensemble, there is one system without it")

    @property
    def name(self) -> str:
        """For titles."""
        return self.matrix.name if self.matrix else self.family or "heat plate"

    def systems(self, config: ChipConfig, cond: float | None) -> list[System]:
        """The systems for a chip, the same each time; ``cond``: 30 where none is given."""
        if self.matrix:
            return [_from_file(self.matrix)]
        if self.family is None:
            return [_plate(config)]
        return [_member(self.family, config.size, CONDITION if cond is None else cond, self.seed + k)
                for k in range(self.count)]


@lru_cache(maxsize=1)
def _from_file(path: Path) -> System:
    system = system_from_file(path)
    return system.matrix, system.b


@lru_cache
def _plate(config: ChipConfig) -> System:
    system = heat_plate(config)
    return system.matrix, system.b


@lru_cache(maxsize=256)
def _member(family: str, size: int, cond: float, seed: int) -> System:
    matrix = ensemble(family, size, cond, seed)
    return matrix, matrix @ np.random.default_rng([seed, _ANSWER_STREAM]).standard_normal(size)

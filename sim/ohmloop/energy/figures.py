"""The figures behind every energy, each with its unit and where it comes from: ``figures.toml``."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

KINDS = ("published", "own")
"""Others published it, or it is an assumption of this project."""


@dataclass(frozen=True)
class Figure:
    """One figure: SI value, unit, kind (one of :data:`KINDS`), and its source or assumption in a sentence."""

    value: float
    unit: str
    kind: str
    source: str

    def __post_init__(self):
        if self.kind not in KINDS or not self.value > 0 or not self.source:
            raise ValueError(f"a figure needs a value above 0, a source and a kind of {', '.join(KINDS)}, not {self}")


@cache
def figures() -> dict[str, Figure]:
    """All figures by name."""
    text = (files("ohmloop.energy") / "figures.toml").read_text()
    return {name: Figure(**entry) for name, entry in tomllib.loads(text).items()}


def figure(name: str) -> float:
    """Value of a figure in its SI unit."""
    return figures()[name].value


def in_our_node(name: str) -> float:
    """An energy of 45 nm in joules at 90 nm."""
    return figure(name) * figure("node_scaling")

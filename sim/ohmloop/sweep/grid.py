"""The grid of a sweep: which parameters take which values, and what
:class:`~ohmloop.sweep.point.Point` that makes."""

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

from ohmloop.analog.params import PRESETS, AnalogParams, ParamsError
from ohmloop.errors import InputError
from ohmloop.sweep.point import Method, Point
from ohmloop.sweep.systems import Source
from ohmloop_hdl.config import CONFIGS, ChipConfig, ConfigError, config_named

Value = float | int | str
"""A value on an axis: a float, an integer for widths and seeds, a name for configurations."""

PARAMS = tuple(field.name for field in fields(AnalogParams))
CONFIG = tuple(field.name for field in fields(ChipConfig))
INTEGERS = (*CONFIG, "seed")

POINTS_MAX = 10_000
"""Points of the largest grid."""


@dataclass(frozen=True)
class Axis:
    """One parameter and the values that it takes, in the order given."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Grid:
    """All points, in the order of the table: the last axis runs fastest.

    ``axes``: those with the values of the table; ``coordinates``: a tuple of values a grid point; ``points``: a list of
    systems a grid point.
    """

    axes: tuple[Axis, ...]
    coordinates: tuple[tuple[Value, ...], ...]
    points: tuple[tuple[Point, ...], ...]


def parse_axis(text: str) -> Axis:
    """An axis from ``name=value,value,...``; :class:`InputError` in one line for what cannot be one."""
    name, equals, listed = text.partition("=")
    name = name.strip()
    if not equals:
        raise InputError(f"--set must be NAME=VALUE,VALUE,..., not {text!r}")
    if name not in PARAMS + CONFIG:
        near = difflib.get_close_matches(name, PARAMS + CONFIG, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else \
            f"analogue parameters are {', '.join(PARAMS)}; fields of a configuration are {', '.join(CONFIG)}"
        raise InputError(f"--set {name}: no such parameter; {hint}")
    return _axis(f"--set {name}", name, listed, int if name in INTEGERS else float)


def parse_numbers(option: str, name: str, listed: str) -> Axis:
    """An axis of numbers from ``value,value,...``."""
    return _axis(option, name, listed, float)


def _axis(option: str, name: str, listed: str, kind: type) -> Axis:
    words = [word.strip() for word in listed.split(",")]
    if not any(words):
        raise InputError(f"{option}: needs at least one value")
    values: list[Value] = []
    for word in words:
        try:
            values.append(kind(word))
        except ValueError:
            wanted = "whole numbers" if kind is int else "numbers"
            raise InputError(f"{option}: must be {wanted} with commas between them, not {word!r}") from None
    if len(set(values)) < len(values):
        raise InputError(f"{option}: a value is given twice in {listed}")
    return Axis(name, tuple(values))


def config_axis(names: str) -> Axis:
    """The axis of named configurations from ``name,name,...``; :class:`ConfigError` lists the names."""
    found = [config_named(name.strip()) for name in names.split(",")]
    if len(set(found)) < len(found):
        raise InputError(f"--config: a configuration is given twice in {names}")
    return Axis("config", tuple(config.name for config in found))


def build_grid(axes: Sequence[Axis], source: Source, method: Method, *, base: str = "reference", seed: int = 1) -> Grid:
    """The full grid over ``axes``, each an axis of configurations, of a condition number, or of a field.

    ``base``: one of :data:`~ohmloop.analog.params.PRESETS`. ``seed``: picks the population of chips unless an axis
    does.

    Errors: :class:`InputError` for an axis given twice, a grid too large, or values that no design can have.
    """
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--set {name}: is given twice; put all values into one list")
    count = math.prod(len(axis.values) for axis in axes)
    if count > POINTS_MAX:
        raise InputError(f"--set: a grid of {count} points is too large, at most {POINTS_MAX} are allowed")
    coordinates = tuple(product(*(axis.values for axis in axes)))
    points = tuple(tuple(_points(place, dict(zip(names, values, strict=True)), source, method, base, seed))
                   for place, values in enumerate(coordinates))
    return Grid(tuple(axes), coordinates, points)


def _points(place: int, at: dict[str, Value], source: Source, method: Method, base: str, seed: int) -> Iterator[Point]:
    changes: dict[str, Value] = {"seed": seed} | at
    try:
        config = replace(CONFIGS[str(at["config"])], **_only(changes, CONFIG))
        params = replace(PRESETS[base](), **_only(changes, PARAMS))
    except (ParamsError, ConfigError) as error:
        raise InputError(f"--set {error}") from None
    cond = float(at["cond"]) if "cond" in at else None
    for number, (matrix, b) in enumerate(source.systems(config, cond)):
        yield Point(place, number, config, params, matrix, b, method)


def _only(changes: dict[str, Value], names: tuple[str, ...]) -> dict:
    return {name: value for name, value in changes.items() if name in names}

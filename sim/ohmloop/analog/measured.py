"""A chip as it was measured, in place of one that is drawn: from an ``.npz`` file or from a folder of ``.csv`` files.

Everything is optional: what was not measured is that of a perfect chip with the design parameters given.

=============== ============================= ==========================================================================
in an archive   in a folder                   what
=============== ============================= ==========================================================================
a field's name  ``params.csv``: name, value   design parameters, fields of :class:`~ohmloop.analog.params.AnalogParams`
``cells_S``     ``cells.csv``: plane, row,    conductance in siemens of every cell at every magnitude code, in an
                column, code, value           archive (2, N, N, C + 1); lines that are missing are nominal
``offset_V``    ``offsets.csv``: amplifier,   input offset of each amplifier before auto-zero, volts, (N,)
                value
``rail_gain``   ``rails.csv``: column, value  negative rail of each column over minus its positive one, (N,)
``dac_V``       ``dac.csv``: dac, code, value output in volts of each DAC for every code from -2^(B-1) on, (N, 2^B)
``adc_V``       ``adc.csv``: adc, code, value input in volts from which each ADC gives a code from -2^(B-1) on,
                                              (adcs, 2^B); for the first of them any voltage below all others
=============== ============================= ==========================================================================

A folder's files have the header line shown. Errors are an :class:`~ohmloop.errors.InputError` of one line: file, line,
what is wrong, what is allowed.
"""

import zipfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.cells import Die
from ohmloop.analog.params import PRESETS, AnalogParams
from ohmloop.analog.tables import number, numbered_lines, open_archive
from ohmloop.errors import InputError
from ohmloop_hdl.config import ChipConfig

Array = NDArray[np.floating]

_FIELDS = tuple(field.name for field in fields(AnalogParams))


@dataclass(frozen=True)
class _Quantity:
    """One measured array: key in an archive, file and index columns in a folder, shape, and its nominal values."""

    key: str
    file: str
    columns: tuple[str, ...]
    shape: tuple[int, ...]
    first: tuple[int, ...]
    """Index that the first element of each axis has in a file."""


def _quantities(config: ChipConfig) -> tuple[_Quantity, ...]:
    n, inputs, outputs = config.size, 1 << config.dac_bits, 1 << config.adc_bits
    return (
        _Quantity("cells_S", "cells.csv", ("plane", "row", "column", "code"), (2, n, n, config.code_max + 1), (0,) * 4),
        _Quantity("offset_V", "offsets.csv", ("amplifier",), (n,), (0,)),
        _Quantity("rail_gain", "rails.csv", ("column",), (n,), (0,)),
        _Quantity("dac_V", "dac.csv", ("dac", "code"), (n, inputs), (0, -inputs // 2)),
        _Quantity("adc_V", "adc.csv", ("adc", "code"), (config.adcs, outputs), (0, -outputs // 2)),
    )


def die_named(chip: str, config: ChipConfig, seed: int | None = None) -> Die:
    """The chip that a user means: drawn from a design, by name (:data:`~ohmloop.analog.params.PRESETS`) or from a
    ``.csv`` of parameters, or measured (:func:`read_die`). ``seed`` draws a design anew, instead of its own seed."""
    def drawn(params: AnalogParams) -> Die:
        return Die.sample(config, params if seed is None else replace(params, seed=seed))

    if chip in PRESETS:
        return drawn(PRESETS[chip]())
    path = Path(chip)
    if not path.exists():
        raise InputError(f"chip: must be {', '.join(PRESETS)}, a .csv of parameters, or a measured chip "
                         f"(.npz or folder); there is no {chip!r}")
    if path.suffix == ".csv":
        return drawn(AnalogParams.from_file(path))
    if seed is not None:
        raise InputError(f"seed: a measured chip is what it is; {path} cannot be drawn anew")
    return read_die(path, config)


def read_die(path: str | Path, config: ChipConfig) -> Die:
    """The measured chip in an ``.npz`` file or a folder of ``.csv`` files, for a configuration."""
    path = Path(path)
    if path.is_dir():
        design = path / "params.csv"
        params = AnalogParams.from_file(design) if design.exists() else AnalogParams.reference()
        known = {"params.csv", *(quantity.file for quantity in _quantities(config))}
        strangers = sorted({file.name for file in path.glob("*.csv")} - known)
        if strangers or not any((path / name).exists() for name in known):
            raise InputError(f"{path}: a measured chip is in the files {', '.join(sorted(known))}, "
                             f"not {', '.join(strangers) or 'an empty folder'}")
        nominal = _arrays(Die(config, params))
        found = {q.key: _read_csv(path / q.file, q, nominal[q.key]) for q in _quantities(config)
                 if (path / q.file).exists()}
        return _die(path, config, params, found)
    if path.suffix != ".npz":
        raise InputError(f"{path}: a measured chip is an .npz file or a folder of .csv files")
    params = AnalogParams.from_file(path)
    with open_archive(path) as archive:
        known = {*_FIELDS, *(quantity.key for quantity in _quantities(config))}
        strangers = sorted(set(archive.files) - known)
        if strangers:
            raise InputError(f"{path}: no quantity {strangers[0]!r}; there are {', '.join(sorted(known))}")
        found = {}
        for quantity in _quantities(config):
            if quantity.key in archive.files:
                array = _member(path, archive, quantity.key)
                if array.shape != quantity.shape:
                    raise InputError(f"{path}: {quantity.key} must have shape {quantity.shape} for {config.name}, "
                                     f"not {array.shape}")
                found[quantity.key] = array
    return _die(path, config, params, found)


def save_die(path: str | Path, die: Die) -> Path:
    """Write a chip as an ``.npz`` file that :func:`read_die` reads back; returns its path."""
    path = Path(path)
    params = {name: np.array(value) for name, value in asdict(die.params).items()}
    np.savez(path, allow_pickle=False, **params, **_arrays(die))
    return path


def _arrays(die: Die) -> dict[str, Array]:
    """Everything that can be measured of a chip, by key."""
    config, n = die.config, die.config.size
    levels = np.broadcast_to(die.code_levels, (2, n, n, config.code_max + 1))
    return {
        "cells_S": die.cell_factor[..., None] * levels * die.params.g0_S,
        "offset_V": np.array(die.offset_V),
        "rail_gain": np.array(die.rail_gain),
        "dac_V": np.array(np.broadcast_to(die.dac_V, (n, 1 << config.dac_bits))),
        "adc_V": np.array(np.broadcast_to(die.adc_V, (config.adcs, 1 << config.adc_bits))),
    }


def _die(path: Path, config: ChipConfig, params: AnalogParams, found: dict[str, Array]) -> Die:
    for key, array in found.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {key} must hold finite numbers only")
    if "cells_S" in found and (found["cells_S"] < 0).any():
        raise InputError(f"{path}: cells_S must hold no negative conductance")
    changes = {
        "code_levels": found["cells_S"] / params.g0_S if "cells_S" in found else None,
        "offset_V": found.get("offset_V"),
        "rail_gain": found.get("rail_gain"),
        "dac_ratio": found["dac_V"] / params.full_scale_V if "dac_V" in found else None,
        "adc_ratio": found["adc_V"] / params.full_scale_V if "adc_V" in found else None,
    }
    return replace(Die(config, params), **{name: array for name, array in changes.items() if array is not None})


def _member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> Array:
    try:
        return np.asarray(archive[key], dtype=np.float64)
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{path}: {key} must hold numbers") from None


def _read_csv(path: Path, quantity: _Quantity, nominal: Array) -> Array:
    """The nominal values, and in their place what the file has."""
    array = np.array(nominal)
    for line, texts in numbered_lines(path, (*quantity.columns, "value")):
        place = []
        for name, text, size, first in zip(quantity.columns, texts, quantity.shape, quantity.first, strict=False):
            index = number(path, line, text)
            if not isinstance(index, int) or not first <= index < first + size:
                raise InputError(f"{path}, line {line}: {name} must be an integer from {first} to {first + size - 1}, "
                                 f"not {text}")
            place.append(index - first)
        array[tuple(place)] = number(path, line, texts[-1])
    return array

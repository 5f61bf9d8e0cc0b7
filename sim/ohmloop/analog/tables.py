"""Numbers from ``.csv`` files with a header and from ``.npz`` archives; an error is one line: file, line, what."""

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ohmloop.errors import InputError


def open_archive(path: Path) -> np.lib.npyio.NpzFile:
    """The archive in a file; nothing in it is ever unpickled."""
    try:
        archive = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a readable .npz file ({type(error).__name__})") from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"{path}: is not an archive of arrays")
    return archive


def numbered_lines(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines of a file with a header, as many texts each as the header has."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a readable .csv file ({type(error).__name__})") from None
    header = [text.strip() for text in rows[0]] if rows else []
    if header != list(columns):
        found = ",".join(header) or "empty"
        found = found if len(found) <= 40 else found[:40] + "..."
        raise InputError(f"{path}, line 1: the header must be {','.join(columns)}, not {found}")
    for line, row in enumerate(rows[1:], start=2):
        if row:
            if len(row) != len(columns):
                raise InputError(f"{path}, line {line}: {len(columns)} columns wanted, {len(row)} found")
            yield line, [text.strip() for text in row]


def number(path: Path, line: int, text: str) -> float | int:
    """The number that a text of a line says, an int where it has neither point nor exponent."""
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise InputError(f"{path}, line {line}: {text!r} is not a number") from None

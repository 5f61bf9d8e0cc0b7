"""Matrices and vectors from files: ``.mtx``, ``.npy``, ``.npz`` and ``.csv`` become dense float64 arrays.

Everything that can be wrong with a file ends in one :class:`~ohmloop.errors.InputError` of one line: the file, what
is wrong with it, what is allowed. Files are data: nothing is ever unpickled.
"""

import math
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from ohmloop.errors import InputError

SUFFIXES = (".mtx", ".npy", ".npz", ".csv")
"""The suffixes that are read; the suffix, in any case of letters, decides the format."""

MAX_ELEMENTS = 1 << 26
"""Largest number of elements of one array (half a gigabyte as float64); a larger one is refused before it is made."""

SHOWN = 24
"""Letters that are quoted of what is not a number."""

_CSV_ENCODING = "utf-8-sig"
"""UTF-8, with or without the mark that spreadsheets put before it."""

_READ_FAILURES = (ValueError, TypeError, OSError, EOFError, OverflowError, MemoryError, KeyError, zipfile.BadZipFile)
_UNPACK_FAILURES = (ValueError, RuntimeError, NotImplementedError, zlib.error)
"""What an archive raises whose table of contents is whole: Python objects, encryption, another packing, damage."""


def read_matrix(path: str | PathLike[str], *, complex_allowed: bool = False) -> np.ndarray:
    """The matrix in a file, dense, float64, or complex128 where allowed and given, shape (rows, columns).

    ``.mtx`` is Matrix Market (coordinate or array; real, integer, complex or pattern, where pattern entries read 1;
    general, symmetric, skew-symmetric or Hermitian; entries given twice add up). ``.npz`` holds one array, or one named
    ``A``, or what ``scipy.sparse.save_npz`` writes. ``.csv`` holds one row a line, comma between numbers,
    complex ones as 1+2j, no header.

    Errors: :class:`InputError`, one line, for a file that is missing, empty, cut short, not of its format, not
    numeric, complex where that is not allowed, not two-dimensional, of zero size, or holds NaN or infinity.
    """
    array = _read(Path(path), "A", complex_allowed)
    if array.ndim != 2:
        raise InputError(f"{path}: a matrix has 2 dimensions, this array has {array.ndim}")
    return _checked(path, array)


def read_vector(path: str | PathLike[str], *, complex_allowed: bool = False) -> np.ndarray:
    """The vector in a file, float64, or complex128 where allowed and given, shape (n,): a one-dimensional array, one
    row, or one column.

    Formats and errors as :func:`read_matrix`; an ``.npz`` with several arrays must name the vector ``b``.
    """
    array = _read(Path(path), "b", complex_allowed)
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1:
        shape = " x ".join(map(str, array.shape)) or "a single number"
        raise InputError(f"{path}: a vector is one row or one column, this array is {shape}")
    return _checked(path, array)


def require_square(matrix: np.ndarray, what: str = "matrix") -> None:
    """Raise :class:`InputError` unless ``matrix`` has as many rows as columns; ``what`` names it in the message."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = " x ".join(map(str, matrix.shape))
        raise InputError(f"{what}: must be square, as many rows as columns, not {shape}")


def _read(path: Path, key: str, complex_allowed: bool) -> np.ndarray:
    """The raw array of a file, numeric but otherwise unchecked."""
    readers: dict[str, Callable[[Path, str], np.ndarray]] = {
        ".mtx": _read_mtx, ".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: suffix {path.suffix!r} is not known, allowed are {' '.join(SUFFIXES)}")
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            raise InputError(f"{path}: is not a file")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        array = reader(path, key)
    except _READ_FAILURES as error:
        raise InputError(f"{path}: {_one_line(error)}") from None
    return _numbers(path, array, complex_allowed)


def _read_mtx(path: Path, _key: str) -> np.ndarray:
    try:
        rows, columns, *_ = scipy.io.mminfo(str(path))
        _limit(path, rows * columns)
        content: Any = scipy.io.mmread(str(path))
    except _READ_FAILURES as error:
        raise ValueError(f"not a complete Matrix Market file ({_one_line(error)})") from None
    return content.toarray() if scipy.sparse.issparse(content) else np.asarray(content)


def _read_npy(path: Path, _key: str) -> np.ndarray:
    return _load_numpy(path, "a NumPy .npy file")


def _read_npz(path: Path, key: str) -> np.ndarray:
    archive: Any = _load_numpy(path, "a NumPy .npz archive")
    with archive:
        names = archive.files
        if {"format", "shape", "data"} <= set(names):
            return _unpacked_sparse(path, archive)
        if key not in names and len(names) != 1:
            held = ", ".join(names) or "nothing"
            raise InputError(f"{path}: must hold one array, or one named {key}; it holds {held}")
        name = key if key in names else names[0]
        # What the packed array would take, before it is unpacked.
        _limit(path, archive.zip.getinfo(f"{name}.npy").file_size // np.dtype(np.float64).itemsize)
        try:
            return np.asarray(archive[name])
        except _UNPACK_FAILURES:
            raise ValueError(f"array {name} is damaged, packed in another way, or holds Python objects, "
                             "which are never unpickled") from None


def _unpacked_sparse(path: Path, archive: Any) -> np.ndarray:
    """The dense matrix of an archive that ``scipy.sparse.save_npz`` wrote."""
    _limit(path, max(member.file_size for member in archive.zip.infolist()) // np.dtype(np.float64).itemsize)
    try:
        _limit(path, math.prod(archive["shape"].tolist()))
        content: Any = scipy.sparse.load_npz(path)
        if content.format in ("csr", "csc", "bsr"):
            content.check_format(full_check=True)   # Indices that lead out of the array are not looked at before.
        return content.toarray()
    except InputError:
        raise
    except (*_READ_FAILURES, *_UNPACK_FAILURES):
        raise ValueError("not a whole sparse matrix as scipy.sparse.save_npz writes it") from None


def _load_numpy(path: Path, kind: str) -> Any:
    """What ``numpy.load`` makes of a file (an array stays on the disk), checked to be what the suffix says."""
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
    except _READ_FAILURES:
        raise ValueError(f"not {kind} of numbers, or cut short; Python objects are never unpickled") from None
    if isinstance(content, np.ndarray) != (path.suffix.lower() == ".npy"):
        raise ValueError(f"not {kind}, whatever its suffix says")
    return content


def _read_csv(path: Path, _key: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            with suppress(ValueError):
                return np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float64, encoding=_CSV_ENCODING)
            return np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.complex128, encoding=_CSV_ENCODING)
        except UnicodeDecodeError:
            raise ValueError("is not text; a .csv file holds numbers with commas between them") from None
        except ValueError as error:
            raise ValueError("is not a table of numbers with commas between them "
                             f"({_csv_fault(path) or _one_line(error)})") from None


def _csv_fault(path: Path) -> str:
    """The first line of a table that is no row of numbers, or of another length; empty where there is none."""
    width = 0
    with path.open(encoding=_CSV_ENCODING) as file:
        for line, text in enumerate(file, start=1):
            cells = [cell.strip() for cell in text.partition("#")[0].split(",")]
            if cells == [""]:
                continue
            for cell in cells:
                try:
                    complex(cell)
                except ValueError:
                    shown = cell if len(cell) <= SHOWN else cell[:SHOWN] + "..."
                    return f"line {line}: {shown!r} is not a number"
            if width and len(cells) != width:
                return f"line {line}: {len(cells)} in a row, {width} in the rows before"
            width = len(cells)
    return ""


def _numbers(path: Path, array: np.ndarray, complex_allowed: bool) -> np.ndarray:
    """``array`` as float64 or complex128; text and other kinds are refused, complex numbers unless allowed."""
    if array.dtype.kind == "c" and complex_allowed:
        _limit(path, 2 * array.size)
        return np.array(array, dtype=np.complex128, order="C")
    if array.dtype.kind == "c":
        raise InputError(f"{path}: complex numbers are not supported here, allowed are real ones")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: holds {array.dtype} elements, allowed are real numbers")
    _limit(path, array.size)
    with np.errstate(over="ignore"):
        return np.array(array, dtype=np.float64, order="C")


def _checked(path: str | PathLike[str], array: np.ndarray) -> np.ndarray:
    """``array`` itself when it has elements and all are finite."""
    if array.size == 0:
        raise InputError(f"{path}: holds no numbers (size {' x '.join(map(str, array.shape))})")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = ", ".join(str(int(index) + 1) for index in bad[0])
        value = array[tuple(bad[0])]
        raise InputError(f"{path}: element ({place}), counted from 1, is {value}; every element must be finite")
    return array


def _limit(path: Path, elements: int) -> None:
    if elements > MAX_ELEMENTS:
        raise InputError(f"{path}: {elements} elements are too many for a dense array, at most {MAX_ELEMENTS} are read")


def _one_line(error: BaseException) -> str:
    """The message of ``error`` on one line, without the advice libraries add for programmers."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split("; use `")[0].rstrip(".")

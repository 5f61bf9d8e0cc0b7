"""Readers: every format gives the right numbers, everything wrong gives one line that says what and where."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from ohmloop.errors import InputError
from ohmloop.readers import MAX_ELEMENTS, read_matrix, read_vector, require_square
from verification.matrices import MATRICES

EXPECTED = np.array([[1.0, -2.0, 0.0], [0.5, 3.0, 0.0], [0.0, 0.0, 1e-3]])


def refused(path: Path, *, reader=read_matrix) -> str:
    """The one line a bad file is refused with, without the path."""
    with pytest.raises(InputError) as caught:
        reader(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert caught.value.__cause__ is None
    return message.removeprefix(f"{path}: ")


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def npy_bytes(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


def test_every_format_gives_the_same_matrix(tmp_path: Path):
    np.save(tmp_path / "a.npy", EXPECTED)
    np.savez(tmp_path / "one.npz", whatever=EXPECTED)
    np.savez(tmp_path / "named.npz", A=EXPECTED, b=np.ones(3))
    np.savetxt(tmp_path / "a.csv", EXPECTED, delimiter=",")
    scipy.io.mmwrite(str(tmp_path / "dense.mtx"), EXPECTED)
    for name in ("a.npy", "one.npz", "named.npz", "a.csv", "dense.mtx"):
        matrix = read_matrix(tmp_path / name)
        assert matrix.dtype == np.float64 and matrix.tolist() == EXPECTED.tolist(), name


@pytest.mark.parametrize(("header", "body", "expected"), [
    ("coordinate real general", "2 2 2\n1 1 1.5\n2 1 -4\n", [[1.5, 0], [-4, 0]]),
    ("coordinate real symmetric", "2 2 2\n1 1 1.5\n2 1 -4\n", [[1.5, -4], [-4, 0]]),
    ("coordinate real skew-symmetric", "2 2 1\n2 1 -4\n", [[0, 4], [-4, 0]]),
    ("coordinate integer general", "2 3 1\n2 3 7\n", [[0, 0, 0], [0, 0, 7]]),
    ("coordinate pattern symmetric", "2 2 1\n2 1\n", [[0, 1], [1, 0]]),
    ("coordinate real general", "2 2 2\n1 1 1.5\n1 1 2\n", [[3.5, 0], [0, 0]]),
    ("array real general", "2 2\n1\n2\n3\n4\n", [[1, 3], [2, 4]]),
    ("array integer symmetric", "2 2\n1\n2\n3\n", [[1, 2], [2, 3]]),
])
def test_matrix_market_kinds(tmp_path: Path, header: str, body: str, expected: list):
    path = written(tmp_path, "a.MTX", f"%%MatrixMarket matrix {header}\n% a comment\n{body}")
    assert read_matrix(path).tolist() == expected


@pytest.mark.parametrize("array", [np.array([[True, False]]), np.array([[3, -4]], np.int8),
                                   np.array([[0.5, 2]], np.float16), np.array([[1, 2]], ">f4")])
def test_number_kinds_become_float64(tmp_path: Path, array: np.ndarray):
    matrix = read_matrix(written(tmp_path, "a.npy", npy_bytes(array)))
    assert matrix.dtype == np.float64 and matrix.dtype.isnative
    assert matrix.tolist() == array.astype(float).tolist()


def test_vectors_as_list_row_and_column(tmp_path: Path):
    for number, array in enumerate((np.arange(3.0), np.arange(3.0)[None], np.arange(3.0)[:, None])):
        np.save(tmp_path / f"{number}.npy", array)
        assert read_vector(tmp_path / f"{number}.npy").tolist() == [0, 1, 2]
    np.savez(tmp_path / "system.npz", A=EXPECTED, b=[1, 2, 3])
    assert read_vector(tmp_path / "system.npz").tolist() == [1, 2, 3]
    assert read_vector(written(tmp_path, "b.csv", "1,2,3\n")).tolist() == [1, 2, 3]
    assert read_vector(written(tmp_path, "c.csv", "1\n2\n3\n")).tolist() == [1, 2, 3]


def test_what_is_not_a_vector(tmp_path: Path):
    assert refused(written(tmp_path, "a.npy", npy_bytes(EXPECTED)), reader=read_vector) == \
        "a vector is one row or one column, this array is 3 x 3"
    assert refused(written(tmp_path, "b.npy", npy_bytes(7.0)), reader=read_vector) == \
        "a vector is one row or one column, this array is a single number"


def test_missing_empty_folder_and_unknown(tmp_path: Path):
    assert refused(tmp_path / "no.mtx") == "no such file"
    for name in ("a.mtx", "a.npy", "a.npz", "a.csv"):
        assert refused(written(tmp_path, name, "")) == "the file is empty"
    (tmp_path / "folder.npy").mkdir()
    assert refused(tmp_path / "folder.npy") == "is not a file"
    assert refused(written(tmp_path, "a.xlsx", "x")) == "suffix '.xlsx' is not known, allowed are .mtx .npy .npz .csv"
    assert refused(written(tmp_path, "a", "x")) == "suffix '' is not known, allowed are .mtx .npy .npz .csv"
    assert "name too long" in refused(tmp_path / ("x" * 300 + ".mtx")).lower()


@pytest.mark.parametrize("text", [
    "not a matrix\n",
    "%%MatrixMarket matrix coordinate real general\n",
    "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1.0\n",
    "%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 apple\n",
    "%%MatrixMarket matrix coordinate real general\n2 2 1\n3 1 1.0\n",
    "%%MatrixMarket matrix coordinate real general\n2 2 1\n0 1 1.0\n",
    "%%MatrixMarket matrix coordinate real general\n-2 2 1\n1 1 1.0\n",
    "%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n",
    "%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 99999999999999999999999\n",
    b"\x00\xff\x93" * 50,
])
def test_broken_matrix_market(tmp_path: Path, text: str | bytes):
    assert refused(written(tmp_path, "a.mtx", text)).startswith("not a complete Matrix Market file (")


PACKED = "array A is damaged, packed in another way, or holds Python objects, which are never unpickled"


def test_broken_numpy_files(tmp_path: Path):
    whole = npy_bytes(EXPECTED)
    said = "not a NumPy .npy file of numbers, or cut short; Python objects are never unpickled"
    for cut in (1, 5, 20, len(whole) - 1):
        assert refused(written(tmp_path, "a.npy", whole[:cut])) == said
    assert refused(written(tmp_path, "a.npy", b"garbage")) == said
    assert refused(written(tmp_path, "a.npy", npy_bytes(np.array([[None]])))) == said
    np.savez(tmp_path / "good.npz", A=EXPECTED)
    archive = (tmp_path / "good.npz").read_bytes()
    said = "not a NumPy .npz archive of numbers, or cut short; Python objects are never unpickled"
    assert refused(written(tmp_path, "cut.npz", archive[:-30])) == said
    assert refused(written(tmp_path, "swap.npz", whole)) == "not a NumPy .npz archive, whatever its suffix says"
    assert refused(written(tmp_path, "swap.npy", archive)) == "not a NumPy .npy file, whatever its suffix says"
    np.savez(tmp_path / "object.npz", A=np.array([None]))
    assert refused(tmp_path / "object.npz") == PACKED
    flipped = bytearray(archive)
    flipped[archive.index(b"\x93NUMPY") + 140] ^= 1
    assert "CRC" in refused(written(tmp_path, "flipped.npz", bytes(flipped)))
    np.savez_compressed(tmp_path / "packed.npz", A=np.arange(4096.0).reshape(64, 64))
    packed = bytearray((tmp_path / "packed.npz").read_bytes())
    extra = int.from_bytes(packed[28:30], "little")
    packed[30 + len("A.npy") + extra] = 0xFF    # a kind of block that deflate does not have
    assert refused(written(tmp_path, "packed.npz", bytes(packed))) == PACKED
    np.savez_compressed(tmp_path / "bomb.npz", A=np.zeros(MAX_ELEMENTS + 16))
    assert "are too many for a dense array" in refused(tmp_path / "bomb.npz")


def test_several_arrays_without_the_name(tmp_path: Path):
    np.savez(tmp_path / "two.npz", left=EXPECTED, right=EXPECTED)
    assert refused(tmp_path / "two.npz") == "must hold one array, or one named A; it holds left, right"
    np.savez(tmp_path / "none.npz")
    assert refused(tmp_path / "none.npz") == "must hold one array, or one named A; it holds nothing"


TABLE = "is not a table of numbers with commas between them"


@pytest.mark.parametrize(("text", "said"), [
    ("1,2\n3\n", f"{TABLE} (line 2: 1 in a row, 2 in the rows before)"),
    ("a,b\n1,2\n", f"{TABLE} (line 1: 'a' is not a number)"),
    ("1;2\n3;4\n", f"{TABLE} (line 1: '1;2' is not a number)"),
    ("# x\n1,2\n\n3,x # y\n", f"{TABLE} (line 4: 'x' is not a number)"),
    (" ".join(["0.25"] * 9) + "\n", f"{TABLE} (line 1: '0.25 0.25 0.25 0.25 0.25...' is not a number)"),
    ("1,1_0\n", f"{TABLE} (could not convert string '1_0' to complex128"),
    (b"\xff\xfe1\x00", "is not text; a .csv file holds numbers with commas between them"),
    ("# nothing\n", "holds no numbers (size 0 x 1)"),
])
def test_broken_csv(tmp_path: Path, text: str | bytes, said: str):
    assert refused(written(tmp_path, "a.csv", text)).startswith(said)


def test_complex_csv_as_numpy_writes_it(tmp_path: Path):
    held = np.array([[1.5 - 2j, 3.0], [0.0, 1e-9j]])
    np.savetxt(tmp_path / "a.csv", held, delimiter=",")
    np.savetxt(tmp_path / "x.csv", held[0], fmt="%.17g%+.17gj")
    assert np.array_equal(read_matrix(tmp_path / "a.csv", complex_allowed=True), held)
    assert np.array_equal(read_vector(tmp_path / "x.csv", complex_allowed=True), held[0])
    assert refused(tmp_path / "a.csv") == "complex numbers are not supported here, allowed are real ones"
    assert "line 1: '1+x' is not a number" in refused(written(tmp_path, "a.csv", "1+x,2\n"))


def test_csv_of_a_spreadsheet(tmp_path: Path):
    assert read_matrix(written(tmp_path, "a.csv", b"\xef\xbb\xbf1,2\r\n3,4\r\n")).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_archive(tmp_path: Path, form: str):
    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.coo_array(EXPECTED).asformat(form))
    assert read_matrix(tmp_path / "a.npz").tolist() == EXPECTED.tolist()


def test_broken_sparse_archive(tmp_path: Path):
    whole = dict(format=b"csr", shape=(2, 2), data=np.ones(2), indices=np.array([0, 1]), indptr=np.array([0, 1, 2]))
    np.savez(tmp_path / "a.npz", **whole)  # pyright: ignore[reportArgumentType]
    assert read_matrix(tmp_path / "a.npz").tolist() == [[1, 0], [0, 1]]
    for fault in (dict(indices=np.array([0, 10 ** 6])), dict(indptr=np.array([0, 1, 9])), dict(format=b"xyz"),
                  dict(data=np.array([None, None])), dict(shape="x")):
        np.savez(tmp_path / "a.npz", **(whole | fault))  # pyright: ignore[reportArgumentType]
        assert refused(tmp_path / "a.npz") == "not a whole sparse matrix as scipy.sparse.save_npz writes it"
    scipy.sparse.save_npz(tmp_path / "huge.npz", scipy.sparse.coo_array(([1.0], ([0], [0])), shape=(10 ** 6, 10 ** 6)))
    assert "are too many for a dense array" in refused(tmp_path / "huge.npz")


def test_complex_text_shape_and_size(tmp_path: Path):
    assert refused(written(tmp_path, "a.npy", npy_bytes([[1j]]))) == \
        "complex numbers are not supported here, allowed are real ones"
    assert refused(written(tmp_path, "a.npy", npy_bytes([["x"]]))) == "holds <U1 elements, allowed are real numbers"
    assert refused(written(tmp_path, "a.npy", npy_bytes(np.zeros((2, 2), "M8[s]")))).startswith("holds datetime64[s]")
    assert refused(written(tmp_path, "a.npy", npy_bytes(np.ones(3)))) == \
        "a matrix has 2 dimensions, this array has 1"
    assert refused(written(tmp_path, "a.npy", npy_bytes(np.ones((0, 3))))) == "holds no numbers (size 0 x 3)"
    complex_mtx = "%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n"
    assert refused(written(tmp_path, "a.mtx", complex_mtx)) == \
        "complex numbers are not supported here, allowed are real ones"


def test_too_large_is_refused_before_it_is_made(tmp_path: Path):
    huge = "%%MatrixMarket matrix coordinate real general\n1000000 1000000 1\n1 1 1\n"
    assert refused(written(tmp_path, "a.mtx", huge)) == \
        f"{10 ** 12} elements are too many for a dense array, at most {MAX_ELEMENTS} are read"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_the_place(tmp_path: Path, value: float):
    matrix = np.ones((3, 4))
    matrix[1, 2] = value
    for name in ("a.npy", "a.csv"):
        np.save(tmp_path / name, matrix) if name == "a.npy" else np.savetxt(tmp_path / name, matrix, delimiter=",")
        assert refused(tmp_path / name) == f"element (2, 3), counted from 1, is {value}; every element must be finite"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user may read everything")
def test_no_permission(tmp_path: Path):
    path = written(tmp_path, "a.csv", "1\n")
    path.chmod(0)
    assert "Permission denied" in refused(path)


def test_require_square():
    require_square(np.eye(3))
    with pytest.raises(InputError, match="^S: must be square, as many rows as columns, not 2 x 3$"):
        require_square(np.ones((2, 3)), "S")
    with pytest.raises(InputError, match="not 4$"):
        require_square(np.ones(4))


@pytest.mark.skipif(not MATRICES.is_dir(), reason=f"real matrices not present in {MATRICES}")
@pytest.mark.parametrize(("name", "shape", "entries", "condition"), [
    ("mesh1e1", (48, 48), 306, 5.2), ("LFAT5", (14, 14), 46, 1.4e8), ("bfwa62", (62, 62), 450, 553),
    ("bcsstk02", (66, 66), 4356, 4.3e3), ("ash219", (219, 85), 438, 3.0)])
def test_real_matrices(name: str, shape: tuple[int, int], entries: int, condition: float):
    matrix = read_matrix(MATRICES / f"{name}.mtx")
    assert matrix.shape == shape
    assert np.count_nonzero(matrix) == entries
    assert np.linalg.cond(matrix) == pytest.approx(condition, rel=0.05)

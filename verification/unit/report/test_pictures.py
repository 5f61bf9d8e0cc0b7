"""The pictures: the right size, the same bytes twice, one-line refusals."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from ohmloop.errors import InputError
from ohmloop.report.pictures import SettlingTrace, convergence_picture, solution_picture

X = np.linspace(-1, 1, 16)
TIMES_S = np.linspace(0, 2e-6, 50)
TRACE = SettlingTrace(TIMES_S, np.outer(1 - np.exp(-TIMES_S / 3e-7), [0.2, -0.1]), ("V0", "V1"), (6e-7, 1.2e-6))


@pytest.mark.parametrize("grid", [None, (4, 4)])
@pytest.mark.parametrize("trace", [None, TRACE])
def test_same_bytes_twice_and_as_wide_as_promised(tmp_path: Path, grid, trace):
    for name in ("a.png", "b.png"):
        solution_picture(tmp_path / name, X + 0.01, X, "test", grid=grid, settling=trace)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in (tmp_path / "a.png").read_bytes()
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] == 960 and (picture.shape[0] > 800) == (trace is not None)


def test_extreme_values_are_drawn(tmp_path: Path):
    solution_picture(tmp_path / "zero.png", 0 * X, 0 * X, "zero", grid=(2, 8))
    solution_picture(tmp_path / "tiny.png", 1e-12 * X, 1.1e-12 * X, "a long title " * 12)
    assert imread(tmp_path / "zero.png").shape[1] == imread(tmp_path / "tiny.png").shape[1] == 960


@pytest.mark.parametrize(("arguments", "said"), [
    ({"x": X[1:]}, "picture: solution and exact solution must be vectors of one length, not of shapes (15,) and (16,)"),
    ({"grid": (3, 5)}, "picture: a grid of 3 x 5 does not hold 16 values"),
    ({"settling": SettlingTrace(TIMES_S, np.zeros((50, 7)), tuple("abcdefg"))},
     "picture: settling volts must be of shape (times, labels) = (50, 7) with 1 to 6 labels, not (50, 7)"),
])
def test_refusals(tmp_path: Path, arguments: dict, said: str):
    with pytest.raises(InputError) as caught:
        solution_picture(tmp_path / "a.png", **({"x": X, "x_exact": X, "title": "t"} | arguments))
    assert str(caught.value) == said


def test_unwritable_path(tmp_path: Path):
    with pytest.raises(InputError, match="cannot write the picture"):
        solution_picture(tmp_path / "no" / "a.png", X, X, "t")


CURVES = {"gcr": [np.array([[0, 1.0], [1500, 1e-3], [3000, 1e-7]])], "refine": [np.array([[0, 1.0], [1400, 0.5]])] * 2}


@pytest.mark.parametrize(("panels", "height"), [(1, 510), (2, 510), (3, 900), (4, 900)])
def test_convergence_same_bytes_twice_and_a_row_for_two_panels(tmp_path: Path, panels: int, height: int):
    for name in ("a.png", "b.png"):
        convergence_picture(tmp_path / name, {f"cond {k}": CURVES for k in range(panels)}, "test", wanted=2.0 ** -24)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert imread(tmp_path / "a.png").shape[:2] == (height, 960)


def test_convergence_draws_every_program_in_its_colour(tmp_path: Path):
    """Blue and orange are there with two programs, and no orange with one."""
    found = []
    for number, curves in enumerate((CURVES, {"gcr": CURVES["gcr"]})):
        convergence_picture(tmp_path / f"{number}.png", {"one": curves}, "t")
        pixels = imread(tmp_path / f"{number}.png")[..., :3]
        found.append(bool(((pixels[..., 0] > 0.75) & (pixels[..., 2] < 0.5) & (pixels[..., 1] < 0.75)).any()))
    assert found == [True, False]


@pytest.mark.parametrize("panels", [{}, {"a": {}}, {"a": CURVES, "b": {"gcr": CURVES["gcr"]}},
                                    {"a": {str(k): CURVES["gcr"] for k in range(7)}}])
def test_convergence_refusals(tmp_path: Path, panels: dict):
    with pytest.raises(InputError, match="^picture: panels must have the same 1 to 6 programs$"):
        convergence_picture(tmp_path / "a.png", panels, "t")

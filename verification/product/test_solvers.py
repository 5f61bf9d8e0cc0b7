"""What the solvers reach on real matrices and where loops shine, on chips that no planner has seen."""

from dataclasses import replace

import numpy as np
import pytest
from verification.matrices import MATRICES
from verification.programs.solver_counts import Counts, counted, systems, table

from ohmloop.solvers.solve import solve

CHIPS = 5


def counts(name: str) -> Counts:
    """The row of one system."""
    ((title, matrix),) = systems(name)
    found = counted(title, matrix, chips=CHIPS)
    print(f"{title}: none {found.none}, Jacobi {found.jacobi}, ILU(0) {found.ilu0}, chip {found.iterations}, "
          f"solves {found.solves:.1f}")
    assert found.residual <= 1e-10
    return found


@pytest.mark.skipif(not MATRICES.is_dir(), reason=f"real matrices not present in {MATRICES}")
@pytest.mark.parametrize(("name", "first", "later", "none", "jacobi", "ilu0"), [
    ("mesh1e1", 8, 8, 23, 20, 8), ("LFAT5", 10, 8, 14, 11, 7), ("bfwa62", 20, 12, 58, 50, 22),
    ("bcsstk02", 24, 16, 66, 66, 1), ("ash219", 8, 8, 31, 23, 8)])
def test_real_matrices(name: str, first: float, later: float, none: int, jacobi: int, ilu0: int):
    """Mean iterations at 4-bit cells; the baselines within one of what they are in exact arithmetic."""
    found = counts(name)
    assert found.iterations[0] <= first and max(found.iterations[1:]) <= later
    for ours, wanted in ((found.none, none), (found.jacobi, jacobi), (found.ilu0, ilu0)):
        assert isinstance(ours, int) and abs(ours - wanted) <= 1
    assert found.solves <= 24


@pytest.mark.parametrize(("name", "most", "least_ilu0"), [("oscillator", 10, 30), ("impedance", 12, 30)])
def test_wide_imaginary_spectra_are_where_loops_shine(name: str, most: float, least_ilu0: int):
    found = counts(name)
    assert max(found.iterations) <= most and isinstance(found.ilu0, int) and found.ilu0 >= least_ilu0


def test_the_golden_machine_needs_what_the_settled_model_does():
    ((_, matrix),) = systems("oscillator")
    b = matrix @ np.random.default_rng(3).standard_normal(64)
    static = solve(matrix, b, engine="static", seed=7)
    golden = solve(matrix, b, engine="model", seed=7, planned=replace(static.planned, space=None))
    assert abs(golden.iterations[0] - static.iterations[0]) <= 1
    assert golden.counters["clocks"] > 500 * golden.iterations[0]
    assert np.abs(golden.x - static.x).max() <= 1e-8 * np.abs(golden.x).max()


def test_the_table_has_a_row_a_system():
    rows = [Counts("some", "4 x 4", 4, 4, "ILU(0) breaks down in row 1", [3.0, 2.0, 1.0], 4, 3.0, 1.0, 1e-11, 1e-9, ())]
    shown = table(rows, "tiny")
    assert [next(iter(column.cells)) for column in shown.columns] == [
        "some", "4 x 4", "4", "4", "-", "3.0", "1.5", "4", "3.0", "1e-09"]

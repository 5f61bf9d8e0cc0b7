"""A short campaign, and its bookkeeping: what it calls solved, refused and failed."""

import os
from collections import Counter
from dataclasses import replace
from statistics import median

import numpy as np
import scipy.sparse
from rich.console import Console

from verification.programs import random_systems
from verification.programs.random_systems import KINDS, SCALINGS, drawn, outcome, summary

FIRST = 7 * int(os.environ.get("OHMLOOP_SEED", "0"))


def test_small_random_systems_are_solved_or_refused_with_a_reason():
    """Three of each kind up to 64 unknowns. Everything these draw is solved; bounds hold."""
    print(f"OHMLOOP_SEED={FIRST // 7}")
    found = [outcome(number, size_max=64) for number in range(FIRST, FIRST + 21)]
    for o in found:
        print(o.number, o.kind, o.scaling, o.size, f"{o.condition:.0e}", o.end, o.iterations, o.without, o.jacobi,
              o.message)
    assert Counter(o.kind for o in found) == dict.fromkeys(KINDS, 3)
    assert all(o.end == "solved" or o.end == "refused" and o.message for o in found)
    assert sum(o.end == "solved" for o in found) >= 19
    solved = [o for o in found if o.end == "solved"]
    assert all(o.residual <= 1.000001e-10 and o.error <= o.bound for o in solved)
    assert median(o.bound / o.error for o in solved if o.error > 0) < 1e3


def test_systems_are_drawn_from_their_number():
    scalings, kinds = set(), set()
    for number in range(40):
        kind, scaling, matrix, x = drawn(number, 64)
        again = drawn(number, 64)
        dense = matrix.toarray() if scipy.sparse.issparse(matrix) else matrix
        assert (kind, scaling) == again[:2] and np.array_equal(x, again[3])
        assert 1 <= len(x) <= 64 and dense.shape == (len(x), len(x)) and np.isfinite(dense).all()
        assert np.iscomplexobj(dense) == (kind == "complex") and scipy.sparse.issparse(matrix) == ("sparse" in kind)
        kinds.add(kind)
        scalings.add(scaling)
        if kind == "dense symmetric positive" and scaling == "even":
            assert np.linalg.eigvalsh(dense).min() > 0
    assert kinds == set(KINDS) and scalings == set(SCALINGS)


def test_wrong_answers_and_bounds_are_failures(monkeypatch):
    solution = random_systems.solve
    monkeypatch.setattr(random_systems, "solve", lambda *a, **k: replace(
        (s := solution(*a, **k)), x=s.x * (1 + 1e-6)))
    assert outcome(4, size_max=8).end == "wrong"
    monkeypatch.setattr(random_systems, "solve", lambda *a, **k: replace(
        (s := solution(*a, **k)), certificates=(replace(s.certificate, forward_bound=0.0),)))
    found = outcome(5, size_max=8)
    assert found.end == "bound"
    console = Console(width=160, record=True)
    console.print(summary([found, replace(found, end="refused"), replace(found, end="solved", iterations=9)]))
    (row,) = (line for line in console.export_text().splitlines() if "sparse unsymmetric" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[1:5] == ["3", "2", "1", "1"] and cells[5].endswith("(9)")

"""Systems above the array, the short version: the numbers that the page stands on, and the campaign's bookkeeping."""

import json
import os
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.host.device import Device
from ohmloop.plan.cost import inverse_cycles
from ohmloop.solvers import large
from ohmloop.solvers.baselines import baseline_counts
from ohmloop.solvers.krylov import fgmres
from ohmloop.solvers.loops import DeviceLoops
from ohmloop_hdl.config import CONFIGS
from verification.programs.large_systems import (
    CHIP_SEED,
    SETTINGS,
    Case,
    Row,
    cases,
    choice_table,
    formula_solves,
    iterations_table,
    run,
)

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
CHIP64, LAB, REFERENCE = CONFIGS["chip64"], CONFIGS["lab"], AnalogParams.reference()
CHIPS = 3

KEPT, FULL = "elimination, W kept", "recursion into halves, full"
REACH = {
    ("heat", 256, large.SCHWARZ): (12, 48),
    ("heat", 512, large.SCHWARZ): (13, 104),
    ("oscillator", 256, large.GAUSS_SEIDEL): (10, 40),
    ("skew", 256, KEPT): (20, 80),
    ("impedance", 256, KEPT): (18, 72),
    ("wishart", 256, FULL): (21, 189),
}
"""Most iterations, and solves, on the mean of the chips: what was reached, and a little more for other seeds."""


def best(family: str, n: int, method: str) -> large.Measured:
    """A method on its best split, on chips that nothing was chosen with."""
    matrix = Case(family, n, SEED).matrix
    found = large.ranked(matrix, CHIP64, REFERENCE, methods=(method,), seed=SEED).measured[0]
    return large.measure(found.candidate, found.inverse, matrix, CHIP64, REFERENCE, seed=SEED,
                         chips=range(CHIP_SEED, CHIP_SEED + CHIPS))


@pytest.mark.parametrize("family, n, method", REACH)
def test_iterations_and_solves(family: str, n: int, method: str):
    print(f"OHMLOOP_SEED={SEED}, chips from {CHIP_SEED}")
    iterations, solves = REACH[family, n, method]
    found = best(family, n, method)
    an_application = formula_solves(method, found.inverse.blocks)
    assert found.inverse.blocks == -(-n // 64) and len(large.calls(found.inverse)) == an_application
    assert found.solved and found.mean <= iterations and found.mean * an_application <= solves, found.sentence()


def test_without_a_chip_the_chain_of_oscillators_takes_four_times_as_many():
    print(f"OHMLOOP_SEED={SEED}")
    matrix = Case("oscillator", 256).matrix
    counts = baseline_counts(matrix, matrix @ np.random.default_rng(SEED).standard_normal(256))
    assert counts["none"] == counts["Jacobi"] and all(isinstance(count, int) for count in counts.values())
    assert int(counts["none"]) > 60 and 30 <= int(counts["ILU(0)"]) <= 40


@pytest.mark.parametrize("n", [65, 100, 128, 200, 256])
def test_poisson_of_every_size(n: int):
    """A border for one row more, boxes from then on; solves are iterations times the formula, one writing for all."""
    print(f"OHMLOOP_SEED={SEED}")
    ranking = large.ranked(Case("heat", n).matrix, CHIP64, REFERENCE, seed=SEED)
    found = ranking.measured[0]
    assert found.candidate.name == ("digital border (last rows)" if n == 65 else "two-level Schwarz (boxes)")
    blocks = 1 if n == 65 else 2 if n <= 128 else 4
    assert found.cost.solves == int(np.ceil(found.mean)) * blocks and found.cost.writings == 1
    assert found.mean <= (8 if n == 65 else 11)


@pytest.mark.parametrize("family, method", [("heat", large.SCHWARZ), ("oscillator", large.GAUSS_SEIDEL)])
def test_the_golden_machine_needs_what_the_model_counts(family: str, method: str):
    """The same inverse, asked by the same iteration, on a chip that runs INV and PROG."""
    print(f"OHMLOOP_SEED={SEED}, chip {CHIP_SEED}")
    matrix = Case(family, 256).matrix
    found = large.ranked(matrix, CHIP64, REFERENCE, methods=(method,), seed=SEED).measured[0]
    b = matrix @ np.random.default_rng(SEED).standard_normal(256)
    with Device(CHIP64, "model", Die.sample(CHIP64, replace(REFERENCE, seed=CHIP_SEED))) as device:
        loops = DeviceLoops(found.inverse.loops, device)
        ended = fgmres(matrix, b, partial(found.inverse.apply, loops))
        assert ended.solved and abs(ended.iterations - found.mean) <= 1
        assert loops.solves == ended.iterations * formula_solves(method, 4) and loops.reprogrammings == 1
        predicted = loops.solves * inverse_cycles(found.inverse.loops[0].plan, CHIP64)
        assert 0.7 * predicted < loops.counters["clocks"] < 1.2 * predicted


@pytest.fixture(scope="module")
def row() -> Row:
    """One system on the small chip, all methods."""
    return run(Case("heat", 40, SEED), LAB, REFERENCE, chips=2)


def test_a_row_holds_all_that_was_measured(row: Row):
    assert row.title == "heat 40" and row.refused == () and all(result.formula for result in row.results)
    methods = [result.method for result in row.results]
    assert methods == [method for method in large.METHODS if method != large.BORDER]
    assert all(result.solved and len(result.iterations) == 2 for result in row.results)
    assert list(row.chosen) == list(SETTINGS)
    for choice in row.chosen.values():
        assert choice.name.rpartition(" (")[0] in methods
        assert any(reason.startswith("chosen of 14 for ") and choice.name in reason for reason in choice.reasons)
    assert float(row.without["none"]) > float(row.without["ILU(0)"]) > 1
    assert json.loads(json.dumps(asdict(row)))["title"] == "heat 40"


def test_the_tables_show_it(row: Row):
    console = Console(width=240, record=True)
    console.print(iterations_table([row], LAB))
    console.print(choice_table([row]))
    lines = [line for line in console.export_text().splitlines() if "heat 40" in line]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    schwarz = row.results[0]
    shown = f"{schwarz.mean:.3g} ({schwarz.mean * schwarz.solves:.3g} / {1 + schwarz.mean * schwarz.changes:.3g})"
    assert cells[0][4] == shown and cells[0][1] == f"{row.without['none']:.3g}"
    assert cells[1][1::2] == [choice.name for choice in row.chosen.values()]


def test_formulas():
    assert [formula_solves(FULL, blocks) for blocks in (1, 2, 4, 8)] == [1, 3, 9, 27]
    assert [formula_solves("elimination, full", blocks) for blocks in (1, 2, 4, 8)] == [1, 3, 7, 15]
    for method in (KEPT, large.SCHWARZ, large.GAUSS_SEIDEL, "elimination, triangular"):
        assert [formula_solves(method, blocks) for blocks in (1, 2, 4, 8)] == [1, 2, 4, 8]
    assert formula_solves(large.BORDER, 1) == 1


def test_the_systems_of_the_campaign():
    titles = [case.title for case in cases()]
    sizes = (65, 100, 128, 200, 256, 512)
    assert {f"{family} {n}" for family in ("heat", "wishart", "sparse5") for n in sizes} <= set(titles)
    assert [case.title for case in cases("oscillator (256|512)$")] == ["oscillator 256", "oscillator 512"]

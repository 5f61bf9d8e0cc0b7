"""The campaign's bookkeeping: what it reports of a system is what the programs did."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import CONDITIONED
from ohmloop.golden import cycles
from ohmloop.golden.settings import Settings
from ohmloop.host.system import TOLERANCE
from ohmloop_hdl.config import CONFIGS
from verification.programs.convergence import (
    PROGRAMS,
    SLACK,
    Case,
    Solve,
    cases,
    histogram,
    model_runner,
    pictures,
    solve_case,
    summary,
)

LAB, REFERENCE = CONFIGS["lab"], AnalogParams.reference()


@pytest.fixture(scope="module")
def solves() -> list[Solve]:
    """One system, all programs."""
    return solve_case(Case("wishart", 16, 10.0, 0), LAB, REFERENCE, False, model_runner(LAB, REFERENCE))


def test_every_program_solves_and_is_measured(solves: list[Solve]):
    assert [solve.program for solve in solves] == list(PROGRAMS)
    rows = LAB.size * cycles.row_cycles(LAB, Settings.reset(LAB).write_cycles) + cycles.PROGRAM_END
    for solve in solves:
        assert (solve.title, solve.solved, solve.end, solve.equal) == ("wishart 16, cond 10", True, "halt 0", True)
        assert solve.array_clocks == (0 if solve.program == "digital" else rows)
        assert len(solve.history) == solve.iterations + 1 and solve.history[0][1] == 1.0
        clocks, sizes = zip(*solve.history, strict=True)
        assert sorted(clocks) == list(clocks) and 0 < clocks[0] and solve.clocks - 100 < clocks[-1] < solve.clocks
        assert sizes[-1] == pytest.approx(solve.relative_residual, rel=1e-2) and sizes[-1] <= SLACK * TOLERANCE
        assert sum(solve.bits) == pytest.approx(-math.log2(sizes[-1]))


def test_the_tables_count_what_there_is(solves: list[Solve]):
    console = Console(width=160, record=True)
    console.print(summary(solves, LAB))
    console.print(histogram(solves))
    text = console.export_text()
    (row,) = (line for line in text.splitlines() if "wishart 16" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[1:] == ["1", *(f"{s.iterations} ({s.iterations})" for s in solves), *(str(s.clocks) for s in solves)]
    counts = [[int(cell) for cell in line.strip("│").split("│")[1:]] for line in text.splitlines()
              if line.startswith("│") and line.strip("│").split("│")[0].strip()[0] in "b0123456"]
    assert np.sum(counts, axis=0).tolist() == [solve.iterations for solve in solves]


def test_what_is_written_can_be_read(solves: list[Solve], tmp_path: Path):
    assert json.loads(json.dumps([asdict(solve) for solve in solves]))[1]["iterations"] == solves[1].iterations
    pictures(solves, LAB, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wishart-16-lab.png"]


def test_a_refusal_is_reported():
    class Unplanned(Case):
        @property
        def matrix(self) -> np.ndarray:
            return -np.eye(4)

    refused = solve_case(Unplanned("none", 4, 0, 0), CONFIGS["tiny"], REFERENCE, False,
                         model_runner(CONFIGS["tiny"], REFERENCE))
    assert [(solve.solved, solve.end) for solve in refused] == [(False, "refused")] * 4
    assert refused[0].plan.startswith("matrix: unstable in the loop")


def test_two_hundred_and_forty_systems_and_what_stands_beside_them():
    campaign = [case for case in cases(CONFIGS["chip64"]) if case.cond and case.n == 64]
    assert len(campaign) == 240 and len({case.title for case in campaign}) == 20
    others = {case.title for case in cases(CONFIGS["chip64"])} - {case.title for case in campaign}
    assert {"heat 64", "wishart 32, cond 30", "wishart 32, cond 30, two digits"} <= others
    assert {case.title for case in cases(CONFIGS["lab"], 1, "heat|cond 30$")} == {
        "heat 16", "wishart 8, cond 30", *(f"{family} 16, cond 30" for family in CONDITIONED)}

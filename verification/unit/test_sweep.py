"""The sweep in one process: chips measured right whatever the split, grids, the folder of results, tables, pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from ohmloop.analog.chips import CHUNK, Chips
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.golden.convert import input_codes
from ohmloop.golden.machine import Machine
from ohmloop.host.job import predict
from ohmloop.host.system import solve_job
from ohmloop.plan.reference import digital_solve, relative_error
from ohmloop.plan.scaling import unscale
from ohmloop.report.sweep_pictures import Curve, error_picture, yield_picture
from ohmloop.sweep.grid import Axis, build_grid, config_axis, parse_axis
from ohmloop.sweep.measure import OK, UNSTABLE, Measured, measure, planned
from ohmloop.sweep.point import Method, Point
from ohmloop.sweep.store import PART, TASKS, Store, Task
from ohmloop.sweep.systems import Source
from ohmloop.sweep.table import chip_rows, summarise, wilson
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.sequencer.traps import TrapCause

LAB = CONFIGS["lab"]
FINE = replace(LAB, cell_bits=8)


def plate(metric: str = "static", base: str = "reference", **changes: float) -> Point:
    """The heat plate on the lab chip."""
    axes = [config_axis("lab"), *(Axis(name, (value,)) for name, value in changes.items())]
    return build_grid(axes, Source(), Method(metric), base=base).points[0][0]


def nearly_singular(mismatch_sigma: float, method: Method) -> Point:
    """A matrix with one eigenvalue near zero: mismatch turns its sign on some chips."""
    matrix = np.eye(16) - 0.98 / 16 * np.ones((16, 16))
    params = replace(AnalogParams.reference(), mismatch_sigma=mismatch_sigma)
    return Point(0, 0, FINE, params, matrix, matrix @ np.linspace(-1.0, 1.0, 16), method)


def test_static_is_the_settled_loop_read_by_the_converters():
    """By hand from Chips: each range in turn until nothing clips, then noise, codes, scales."""
    point = plate(mismatch_sigma=0.02)
    plan, rhs = planned(point)
    chips = Chips(LAB, point.params, plan.codes, 3)
    dac = input_codes(rhs.mantissas, LAB)
    digital, exact = digital_solve(plan, point.b, LAB), np.linalg.solve(point.matrix, point.b)
    noise_V = 0.3e-3 * np.random.default_rng([1, 0, 100]).standard_normal((3, 16))
    measured = measure(point, 0, 3)
    assert measured.outcome == (OK,) * 3 and max(measured.drive_range) > 0
    for k in range(3):
        for drive_range in range(8):
            outputs_V = chips.outputs_V(dac / 128 * 0.4 / 2 ** drive_range)[k]
            if np.abs(outputs_V).max() < 0.4:
                break
        codes = -np.clip(np.floor((outputs_V + noise_V[k]) / (0.4 / 128) + 0.5 + 2.0 ** -20), -127, 127)
        x = codes / 128 * 2 ** drive_range * rhs.factor / plan.alpha
        assert measured.drive_range[k] == drive_range
        assert measured.error[k] == pytest.approx(relative_error(x, exact), rel=1e-12)
        assert measured.error_digital[k] == pytest.approx(relative_error(x, digital), rel=1e-12)


def test_chip_is_the_golden_machine_on_each_die():
    point = plate("chip")
    plan, rhs = planned(point)
    exact, measured = np.linalg.solve(point.matrix, point.b), measure(point, CHUNK, 3)
    chips = Chips(LAB, point.params, plan.codes, 3, CHUNK)
    for k in range(3):
        outcome, run = predict(Machine(LAB, NumpyMacro(chips.die(k))), solve_job(plan, rhs, LAB))
        assert run.trap is TrapCause.NONE and measured.clocks[k] == run.cycles
        x = unscale(plan, rhs, outcome.mantissas, outcome.exponent)
        assert measured.error[k] == relative_error(x, exact)


def test_both_metrics_see_the_same_chips():
    """Settled outputs and the whole chip differ by what is left of settling and by noise: an LSB or so."""
    errors = []
    for metric in ("static", "chip"):
        measured = measure(plate(metric, mismatch_sigma=0.03), 0, CHUNK)
        assert set(measured.outcome) == {OK}
        errors.append(np.array(measured.error, dtype=float))
    assert np.abs(errors[0] - errors[1]).max() < 0.015 < np.ptp(errors[0])
    assert np.corrcoef(errors)[0, 1] > 0.95


@pytest.mark.parametrize("metric", ["static", "chip"])
def test_a_chip_does_not_depend_on_the_split_into_tasks(metric: str):
    point = plate(metric, base="detailed" if metric == "static" else "reference", read_noise_V=1e-3)
    whole, first, rest = (measure(point, *part) for part in ((0, CHUNK + 3), (0, CHUNK), (CHUNK, 3)))
    for column in ("outcome", "error", "error_digital", "drive_range", "clocks"):
        assert getattr(whole, column) == getattr(first, column) + getattr(rest, column)
    assert len(set(whole.error)) > CHUNK / 2


@pytest.fixture
def reckless(monkeypatch):
    """A planner that takes a loop without a margin, which is what it takes to have unstable chips."""
    monkeypatch.setattr("ohmloop.plan.stability.MARGIN_SIGMAS", 0.0)


def test_loops_are_looked_at_where_a_chip_may_be_unstable(reckless):
    own, asked, never = (measure(nearly_singular(0.05, Method(stability=s)), 0, 100) for s in (None, True, False))
    assert own == asked and own.checked and own.outcome.count(UNSTABLE) > 0
    assert not never.checked and UNSTABLE not in never.outcome
    assert all((error is None) == (outcome == UNSTABLE) for error, outcome in zip(own.error, own.outcome, strict=True))
    assert not measure(nearly_singular(0.005, Method()), 0, CHUNK).checked


def test_unstable_chips_clip_in_the_golden_machine(reckless):
    """And no others do, though some are too slow to settle in time, which is nothing that a loop at rest can tell."""
    static, chip = (measure(nearly_singular(0.05, Method(metric)), 0, 4 * CHUNK) for metric in ("static", "chip"))
    assert UNSTABLE in static.outcome
    assert [outcome == "clip" for outcome in chip.outcome] == [outcome == UNSTABLE for outcome in static.outcome]
    assert set(chip.outcome) <= {OK, "clip", "settle"}


def test_a_clip_at_every_range_is_an_outcome():
    assert set(measure(plate(rail_V=1e-4), 0, 2).outcome) == {"clip"}


def test_a_point_that_cannot_be_planned_is_refused_with_the_reason():
    point = replace(plate(), matrix=np.diag([1.0] * 15 + [-1.0]))
    refused = measure(point, 0, 5)
    assert "eigenvalue -0.5" in refused.refused and refused.outcome == ()
    row = summarise((), 10, [refused, measure(plate(), 0, 5)], 0.05)
    assert (row.chips, row.answered, row.refused, row.yield_share) == (10, 5, 5, 0.5)


def test_grid_runs_over_everything_the_last_axis_fastest():
    axes = [config_axis("tiny,lab"), parse_axis("gain_dB=60,inf"), parse_axis("adc_bits=6,10"), Axis("cond", (5.0,))]
    grid = build_grid(axes, Source(family="spdlog", count=2, seed=3), Method(), seed=9)
    assert grid.coordinates[:3] == (("tiny", 60.0, 6, 5.0), ("tiny", 60.0, 10, 5.0), ("tiny", float("inf"), 6, 5.0))
    assert len(grid.points) == 8 and all(len(points) == 2 for points in grid.points)
    last = grid.points[-1][1]
    assert (last.config.size, last.config.adc_bits, last.params.gain_dB, last.params.seed) == (16, 10, float("inf"), 9)
    assert np.linalg.cond(last.matrix) == pytest.approx(5.0)
    assert len({point.key for points in grid.points for point in points}) == 16
    assert replace(last, place=0, system=0).key == last.key != replace(last, b=2 * last.b).key


def test_summary_counts_failures_against_the_yield():
    parts = [Measured("", True, (OK, OK, "clip", UNSTABLE, "settle"), (0.01, 0.2, None, None, None),
                      (0.02, 0.1, None, None, None), (0,) * 5, (100, 200, 1, 1, 1)),
             Measured("", True, (OK,) * 3, (0.02, 0.03, 0.05), (None,) * 3, (0,) * 3, (None,) * 3)]
    row = summarise((1.0,), 8, parts, 0.05)
    assert (row.answered, row.clipped, row.unstable, row.trapped, row.refused) == (5, 1, 1, 1, 0)
    assert row.error_median == 0.03 and row.error_p95 == pytest.approx(0.17)
    assert row.error_digital == pytest.approx(0.06)
    assert row.yield_share == 0.5 and row.yield_low == pytest.approx(0.2152, abs=1e-4)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0
    assert list(chip_rows((1.0,), 2, 50, parts[0]))[1] == (1.0, 2, 51, OK, 0.2, 0.1, 0, 200)


def test_store_keeps_results_and_finds_damage(tmp_path: Path):
    task, measured = Task(plate(), 0, 3), measure(plate(), 0, 3)
    store = Store(tmp_path, "asked", "1", [task.key])
    assert store.load(task.key, 3) is None and store.damaged == 0
    store.save(task.key, measured)
    assert store.load(task.key, 3) == measured
    path = tmp_path / TASKS / f"{task.key}.json"
    whole = path.read_bytes()
    for damage in (b"", whole[:-20], whole.replace(b"ok", b"ko"), b"[]", b"\xff" + whole):
        path.write_bytes(damage)
        assert store.load(task.key, 3) is None and not path.exists()
    assert store.damaged == 5
    (tmp_path / TASKS / f"x.json{PART}").write_text("half")
    store.save(task.key, measured)
    with pytest.raises(InputError, match="another process"):
        Store(tmp_path, "asked", "1", [task.key])
    store.close()
    with pytest.raises(InputError, match=r"holds another sweep \(asked\)"):
        Store(tmp_path, "other", "1", ["other"])
    with pytest.raises(InputError, match="another version"):
        Store(tmp_path, "asked", "2", [task.key])
    Store(tmp_path, "asked", "1", [task.key]).close()
    assert not list(tmp_path.rglob(f"*{PART}"))
    path.unlink()
    Store(tmp_path, "other", "1", ["other"]).close()  # nothing in it is lost


def test_pictures_take_gaps_infinities_and_names(tmp_path: Path):
    curves = [Curve("a", (0.1, None, 0.3), (0.05, None, 0.2), (0.2, None, 0.4)), Curve("none", *[(None,) * 3] * 3)]
    for number, values in enumerate(((1.0, 10.0, 100.0), (60.0, 70.0, float("inf")), ("tiny", "lab", "chip64"))):
        for draw in (error_picture, yield_picture):
            files = [tmp_path / f"{number}{draw.__name__}{copy}.png" for copy in range(2)]
            for file in files:
                draw(file, "name", values, curves, "title", 0.05)
            assert image.imread(files[0]).shape[1] == 960
            assert files[0].read_bytes() == files[1].read_bytes()

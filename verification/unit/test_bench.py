"""The bench measures what it says; how fast anything is, no test asserts."""

import time

from ohmloop import bench
from ohmloop_hdl.config import CONFIGS


def test_the_best_of_some_runs_counts():
    pauses = iter((0.0, 0.05, 0.01, 0.05))
    assert 0.01 <= bench.best_time(lambda: time.sleep(next(pauses)), 3) < 0.05


def test_every_line_is_a_ratio(monkeypatch, capsys):
    monkeypatch.setattr(bench, "CHIPS", 20)
    monkeypatch.setattr(bench, "ENGINES", ("model", "rtl"))
    ratios = bench.run_bench_table(CONFIGS["tiny"])
    *times, share = ratios
    assert len(times) == 19 and all(0 < line.ratio < 1e6 for line in times)
    assert share.ratio < 1.0
    assert "at most 3" in capsys.readouterr().out


def test_what_takes_longer_has_the_larger_ratio(monkeypatch):
    """ngspice against a numpy macro that waits."""
    monkeypatch.setattr(bench.NumpyMacro, "hold", lambda self: time.sleep(0.3))
    slow = bench.against_ngspice(CONFIGS["tiny"], bench.heat(4), "method=trap")
    monkeypatch.undo()
    assert slow < 0.2 * bench.against_ngspice(CONFIGS["tiny"], bench.heat(4), "method=trap")

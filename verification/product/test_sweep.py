"""``ohmloop sweep`` as a user runs it: killed, interrupted, damaged and resumed to the same bytes; refusals in one
line."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from ohmloop import cli

ARGUMENTS = ("--config", "lab", "--set", "mismatch_sigma=0.01,0.03", "--set", "adc_bits=8,10", "--chips", "400",
             "--stability", "--yield-limit", "0.03")
TASKS = 16


def start(out: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """The command in a process group of its own."""
    # In the background of a shell SIGINT is ignored, and so it would be in what is started from there.
    return subprocess.Popen([sys.executable, "-m", "ohmloop", "sweep", *map(str, arguments), "--out", str(out)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def finish(process: subprocess.Popen[str]) -> str:
    """What a command that succeeds prints."""
    out, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    return out


def done_tasks(out: Path) -> list[Path]:
    """Files of tasks that are done."""
    return sorted(out.glob("tasks/*.json"))


def stopped(out: Path, number: int) -> tuple[int, str, int]:
    """Exit code, stderr and tasks done of a sweep whose whole process group gets a signal after the first tasks."""
    process = start(out, *ARGUMENTS, "--workers", "1")
    deadline = time.monotonic() + 60.0
    while len(done_tasks(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, error = process.communicate(timeout=30)
    left = subprocess.run(["pgrep", "-f", str(out)], capture_output=True, text=True).stdout
    assert left == "", "something goes on"
    assert 2 <= len(done_tasks(out)) < TASKS, "the signal came too late to test anything"
    return process.returncode, error, len(done_tasks(out))


def results(out: Path) -> dict[str, bytes]:
    """Bytes of everything that a sweep makes."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing stopped."""
    out = tmp_path_factory.mktemp("sweep") / "whole"
    shown = finish(start(out, *ARGUMENTS, "--workers", "2", "--json", out.parent / "points.json"))
    assert f"{TASKS} tasks computed, 0 were there already" in shown
    return out


def test_tables_and_pictures(whole: Path):
    points = list(csv.DictReader((whole / "points.csv").open()))
    chips = list(csv.DictReader((whole / "chips.csv").open()))
    assert [(p["mismatch_sigma"], p["adc_bits"]) for p in points] == [
        ("0.01", "8"), ("0.01", "10"), ("0.03", "8"), ("0.03", "10")]
    assert len(chips) == 1600 and [c["chip"] for c in chips[:400]] == [str(k) for k in range(400)]
    for point in points:
        errors = [float(c["error"]) for c in chips
                  if (c["mismatch_sigma"], c["adc_bits"]) == (point["mismatch_sigma"], point["adc_bits"])]
        assert float(point["error_median"]) == np.median(errors)
        assert float(point["yield_share"]) == np.mean(np.array(errors) <= 0.03)
    listed = json.loads((whole.parent / "points.json").read_text())
    assert [row["error_p95"] for row in listed] == [float(point["error_p95"]) for point in points]
    assert float(points[2]["yield_share"]) < float(points[0]["yield_share"])
    for name in ("error-mismatch_sigma", "yield-mismatch_sigma", "error-adc_bits", "yield-adc_bits"):
        assert image.imread(whole / f"{name}.png").shape[1] == 960


def test_killed_damaged_and_resumed_is_bit_equal(whole: Path, tmp_path: Path):
    out = tmp_path / "killed"
    code, _, done = stopped(out, signal.SIGKILL)
    assert code == -signal.SIGKILL
    damaged = done_tasks(out)[0]
    damaged.write_bytes(damaged.read_bytes()[:200])
    shown = finish(start(out, *ARGUMENTS, "--workers", "2"))
    assert "1 damaged task file will be computed again" in shown
    assert f"{TASKS - done + 1} tasks computed, {done - 1} were there already" in shown
    assert results(out) == results(whole)


def test_interrupted_says_how_to_go_on(whole: Path, tmp_path: Path):
    out = tmp_path / "interrupted"
    code, error, done = stopped(out, signal.SIGINT)
    assert (code, error) == (130, f"ohmloop: interrupted: {done} of {TASKS} tasks are done; the same command with "
                                  f"--out {out} goes on from there\n")
    assert not list(out.rglob("*.part")) and not (out / "points.csv").exists()
    finish(start(out, *ARGUMENTS))
    assert results(out) == results(whole)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of ``ohmloop sweep`` with these arguments, in this process."""
    monkeypatch.setattr(sys, "argv", ["ohmloop", "sweep", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


REFUSED = {
    "near": (("--set", "mismatch=0.1"), "did you mean mismatch_sigma?"),
    "unknown": (("--set", "colour=1"), "analogue parameters are g0_S, "),
    "range": (("--set", "mismatch_sigma=0.01,0.5"), "mismatch_sigma must be from 0 to 0.1, not 0.5"),
    "config range": (("--set", "adc_bits=20"), "adc_bits must be from 6 to 14, not 20"),
    "number": (("--set", "gain_dB=60,many"), "must be numbers with commas between them, not 'many'"),
    "whole number": (("--set", "cell_bits=4.5"), "must be whole numbers"),
    "not a number": (("--set", "mismatch_sigma=nan"), "not nan"),
    "no value": (("--set", "gain_dB="), "needs at least one value"),
    "form": (("--set", "gain_dB"), "must be NAME=VALUE,VALUE,..."),
    "twice": (("--set", "gain_dB=60", "--set", "gain_dB=70"), "is given twice"),
    "value twice": (("--set", "gain_dB=60,60.0"), "a value is given twice"),
    "chips": (("--chips", "0"), "--chips must be at least 1, not 0"),
    "many chips": (("--chips", "1000000000000"), "are too many"),
    "seed": (("--seed", "-1"), "--seed must be from 0 to 2^64 - 1, not -1"),
    "config": (("--config", "chip65"), "config must be one of tiny, lab"),
    "metric": (("--metric", "speed"), "--metric must be one of static, chip, not 'speed'"),
    "base": (("--base", "best"), "--base must be one of reference, ideal, detailed"),
    "workers": (("--workers", "0"), "--workers must be at least 1"),
    "limit": (("--yield-limit", "nan"), "--yield-limit must be above 0, not nan"),
    "ensemble": (("--ensemble", "magic"), "--ensemble must be one of spdlog"),
    "cond": (("--ensemble", "spdlog", "--cond", "0.5"), "cond must be above 1, not 0.5"),
    "cond alone": (("--cond", "10"), "--cond: only for --ensemble spdlog"),
    "systems": (("--systems", "2"), "--systems: only for --ensemble"),
    "table": (("--table", "chips.xls"), "--table: must end in .csv or .parquet"),
    "address": (("--scheduler", "here"), "--scheduler must be tcp://HOST:PORT, not 'here'"),
    "no file": (("missing.npy",), "missing.npy: no such file"),
    "unstable": (("unstable.npy",), "eigenvalue -0.5"),
    "large": (("large.npy",), "does not fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    arguments, says = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    np.save("unstable.npy", np.diag([1.0, -1.0]))
    np.save("large.npy", np.eye(70))
    assert run(monkeypatch, *arguments, "--out", "sweep") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("ohmloop: ") and says in error
    assert not (tmp_path / "sweep").exists()


def test_scheduler_that_is_not_there_is_refused_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    began = time.monotonic()
    assert run(monkeypatch, "--config", "tiny", "--scheduler", "tcp://127.0.0.1:1", "--out", tmp_path / "sweep") == 2
    assert "no Dask scheduler of this version answers at tcp://127.0.0.1:1" in capsys.readouterr().err
    assert time.monotonic() - began < 20.0


def test_another_sweep_is_not_mixed_in(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = results(whole)
    assert run(monkeypatch, *ARGUMENTS, "--seed", "2", "--out", whole) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "holds another sweep (heat plate --config lab" in error
    assert results(whole) == before
    # Another limit is no other sweep: nothing is computed again.
    assert run(monkeypatch, *ARGUMENTS[:-1], "0.05", "--out", whole, "--table", whole.parent / "chips.csv") == 0
    assert f"all {TASKS} tasks were there already" in capsys.readouterr().out
    assert (whole.parent / "chips.csv").read_bytes() == before["chips.csv"]
    assert (whole / "points.csv").read_bytes() != before["points.csv"]
    assert run(monkeypatch, *ARGUMENTS, "--out", whole) == 0
    assert results(whole) == before


def test_the_command_line_starts_without_dask():
    code = "import sys, ohmloop.cli; print([name for name in ('dask', 'distributed', 'pandas') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"

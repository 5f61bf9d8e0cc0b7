"""The main job as a user runs it: a table that is right, a waveform with a view, a picture, refusals in one line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from verification.matrices import MATRICES

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines import tools
from ohmloop.engines.simulator import BUILDS_VARIABLE, SimulatorEngine
from ohmloop.host.driver import Driver
from ohmloop.report.main_job import run_main_job
from ohmloop.report.waveform import write_view
from ohmloop_hdl.config import CONFIGS

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / "build" / "cosim"
FIELDS = {"engine", "config", "size", "codes_equal", "codes_total", "relative_error", "relative_error_digital",
          "clock_cycles"}


def ohmloop(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as typed."""
    return subprocess.run([sys.executable, "-m", "ohmloop", *map(str, arguments)], cwd=cwd, capture_output=True,
                          text=True, timeout=600, env=os.environ | {BUILDS_VARIABLE: str(BUILDS)})


def run_sim(tmp_path: Path, *arguments: str | Path) -> tuple[list[dict], str]:
    """The runs that ``ohmloop sim`` writes, and what it prints."""
    done = ohmloop("sim", *arguments, "--out", tmp_path / "sim", "--json", tmp_path / "runs.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "runs.json").read_text()), done.stdout


def test_heat_plate_on_both_simulators(tmp_path: Path):
    runs, shown = run_sim(tmp_path, "--config", "lab")
    assert [run["engine"] for run in runs] == ["icarus", "verilator"]
    for run in runs:
        assert set(run) >= FIELDS and run["config"] == "lab" and run["size"] == 16
        assert run["codes_equal"] == run["codes_total"] > 0
        assert run["clock_cycles"] == sum(run["phases"].values()) == runs[0]["clock_cycles"]
        assert 0 < run["relative_error"] < 0.03 and 0 < run["relative_error_digital"] < 0.03
        assert f"{run['relative_error']:.2%}" in shown
    assert image.imread(tmp_path / "sim" / "solution.png").shape[1] == 960


def test_saved_view_names_signals_of_the_waveform(tmp_path: Path):
    """Every signal of the view is declared in a waveform, with the same width; a VCD, because it can be read here."""
    config = CONFIGS["tiny"]
    engine = SimulatorEngine("verilator", Die.sample(config, AnalogParams.ideal()), BUILDS, waves=True)
    with engine:
        engine.execute(Driver(config).identify())
    assert engine.waveform is not None
    declared, scope = {}, []
    for line in engine.waveform.read_text().partition("$enddefinitions")[0].splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            scope.append(words[2])
        elif words[:1] == ["$upscope"]:
            scope.pop()
        elif words[:1] == ["$var"]:
            declared[".".join([*scope, words[4]])] = int(words[2])
    wanted = re.findall(r"^(ohmloop\.[\w.]+)(?:\[(\d+):0\])?$", write_view(engine.waveform, config).read_text(), re.M)
    assert len(wanted) > 20
    assert {name: int(top or 0) + 1 for name, top in wanted} == {name: declared.get(name) for name, _ in wanted}


def test_ideal_chip_is_closer_to_arithmetic(tmp_path: Path):
    ideal, _ = run_sim(tmp_path, "--config", "tiny", "--chip", "ideal")
    assert all(run["relative_error_digital"] < 1e-12 for run in ideal)


def test_matrix_file_smaller_than_the_array_is_embedded(tmp_path: Path):
    matrix = np.array([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]])
    np.save(tmp_path / "rod.npy", matrix)
    runs, _ = run_sim(tmp_path, tmp_path / "rod.npy", "--config", "tiny")
    assert all(run["size"] == 3 and run["relative_error"] < 0.05 for run in runs)


@pytest.mark.skipif(not MATRICES.exists(), reason=f"no folder {MATRICES.name} beside the project")
def test_mesh1e1_is_explained_by_quantisation(tmp_path: Path):
    """The error against arithmetic with the same codes is a fraction of the error against float64."""
    runs, _ = run_sim(tmp_path, MATRICES / "mesh1e1.mtx")
    for run in runs:
        assert run["size"] == 48 and run["codes_equal"] == run["codes_total"]
        assert run["relative_error"] < 0.08 and run["relative_error_digital"] < 0.02


BAD_INPUT = {
    "nan.npy": (np.diag([1.0, np.nan]), "nan"),
    "singular.npy": (np.ones((3, 3)), "numerically singular"),
    "rectangle.npy": (np.ones((3, 4)), "must be square"),
    "large.npy": (np.eye(70), "more than one array of chip64 holds, at most 64"),
    "huge.npy": (np.full((2, 2), 1e308) + np.diag([5e307, 5e307]), "largest magnitude"),
    "unstable.npy": (np.diag([1.0, -1.0]), "eigenvalue -0.5"),
    "empty.mtx": ("", "empty"),
    "letter.mtx": ("Dear Sir\n", "Matrix Market"),
    "missing.mtx": (None, "no such file"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, name: str):
    content, says = BAD_INPUT[name]
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    elif content is not None:
        np.save(tmp_path / name, content)
    done = ohmloop("sim", tmp_path / name, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("ohmloop: ") and says in done.stderr
    assert not (tmp_path / "build").exists(), "nothing is written for a system that is refused"


def test_a_missing_simulator_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def find(name: str) -> tools.Tool:
        if name == "icarus":
            raise tools.ToolMissing("icarus is not installed: apt-get install iverilog")
        return found(name)

    found = tools.find
    monkeypatch.setattr(tools, "find", find)
    monkeypatch.setenv(BUILDS_VARIABLE, str(BUILDS))
    runs = run_main_job(CONFIGS["tiny"], None, tmp_path / "sim")
    assert [run.engine for run in runs] == ["verilator"] and runs[0].agrees
    assert "left out: icarus is not installed: apt-get install iverilog" in capsys.readouterr().out
    assert (tmp_path / "sim" / "waves.vcd").exists() and (tmp_path / "sim" / "waves.gtkw").exists()


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for arguments in (("verilog", "--out", "file"), ("sim", "--out", "file"), ("sim", "--json", "file/x.json"),
                      ("report", "--out", "file")):
        done = ohmloop(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), arguments
        assert done.stderr.startswith("ohmloop: file"), done.stderr


def test_a_name_in_brackets_is_shown_whole(tmp_path: Path):
    np.save(tmp_path / "[bold] A.npy", np.eye(4))
    done = ohmloop("report", "[bold] A.npy", "--config", "tiny", "--out", "[x]", cwd=tmp_path)
    assert done.stdout.startswith("[bold] A.npy on tiny") and "page [x]/report.html" in done.stdout


@pytest.mark.parametrize("name", ["sim", "report"])
def test_a_system_above_the_array_is_sent_to_solve(tmp_path: Path, name: str):
    np.save(tmp_path / "A.npy", np.eye(5))
    done = ohmloop(name, "A.npy", "--config", "tiny", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "ohmloop: A.npy: 5 unknowns are more than one array of tiny holds, at most 4; `ohmloop solve` takes larger "
           "systems\n")


def test_a_trap_is_said_and_the_table_still_written(tmp_path: Path):
    """A loop that the planner lets pass and whose answer does not fit any range: exit code 3, null for its errors."""
    np.save(tmp_path / "steep.npy", np.array([[255.0, -255.0], [-254.0, 255.0]]))
    done = ohmloop("sim", tmp_path / "steep.npy", "--config", "chip64hp", "--chip", "ideal", "--json", "x.json",
                   cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done.stderr
    assert "clip" in done.stderr


def test_interrupt_ends_everything(tmp_path: Path):
    """Ctrl-C while simulators are built or run: exit code 130, one line, soon."""
    # In the background of a shell SIGINT is ignored, and so it would be in what is started from there.
    process = subprocess.Popen([sys.executable, "-m", "ohmloop", "sim", "--out", str(tmp_path / "sim")], cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.monotonic() + 60.0
    while not list(tmp_path.glob("build/cosim/*/build.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, "ohmloop: interrupted\n")
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True).stdout
    assert left == "", "a build or a simulation goes on"


@pytest.mark.parametrize(("macro", "least"), [("numpy", 1.0), ("spice", 0.5)])
def test_other_bodies_of_the_macro(tmp_path: Path, macro: str, least: float):
    """ngspice differs where a scan clips, and by a code at a threshold."""
    runs, shown = run_sim(tmp_path, "--config", "tiny", "--macro", macro)
    for run in runs:
        assert run["agrees"] and run["codes_near"] == run["codes_judged"] > 0
        assert run["codes_equal"] >= least * run["codes_total"]
    assert ("within 1 LSB" in shown) == any(run["codes_equal"] < run["codes_total"] for run in runs)


def test_an_unknown_macro_is_refused(tmp_path: Path):
    done = ohmloop("sim", "--macro", "vhdl", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "ohmloop: macro must be one of sv, numpy, spice, not 'vhdl'\n")

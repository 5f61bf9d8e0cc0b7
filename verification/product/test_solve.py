"""``ohmloop solve`` as a user types it: answers that are right, numbers that agree, refusals in one line."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from verification.matrices import MATRICES

from ohmloop.ensembles import heat, tridiagonal
from ohmloop.errors import InterruptedWorkError
from ohmloop.report import solve_run
from ohmloop.solvers import large
from ohmloop_hdl.config import CONFIGS

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"status", "relative_residual", "backward_error", "iterations", "analogue_solves", "clock_cycles",
        "chip_time_s", "energy_J", "engine", "config", "size"}
SEED = 11


def command(*arguments: object) -> list[str]:
    """The command line of ``ohmloop solve``."""
    return [sys.executable, "-m", "ohmloop", "solve", *map(str, arguments)]


def solve(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``ohmloop solve`` in a process of its own."""
    env = os.environ | {"OHMLOOP_BUILDS": str(ROOT / "build" / "cosim"), "COLUMNS": "100"}
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=600, env=env)


def solved(*arguments: object, cwd: Path) -> tuple[dict, str]:
    """What a solve that must succeed writes and prints."""
    done = solve(*arguments, "--json", cwd / "run.json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads((cwd / "run.json").read_text()), done.stdout


@pytest.fixture
def system(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file with a matrix of 14 unknowns, and the matrix."""
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    matrix = np.diag(rng.uniform(1.0, 2.0, 14)) + 0.1 * rng.standard_normal((14, 14))
    np.save(tmp_path / "A.npy", matrix)
    return tmp_path / "A.npy", matrix


def test_answer_table_and_json_say_the_same(tmp_path: Path, system):
    path, matrix = system
    x = np.random.default_rng(SEED).standard_normal(14)
    np.savetxt(tmp_path / "b.csv", matrix @ x, delimiter=",", fmt="%.17g")
    run, shown = solved(path, "--rhs", tmp_path / "b.csv", "--config", "lab", "--compare", "--explain",
                        "--answer", tmp_path / "x.npy", cwd=tmp_path)
    assert set(run) >= KEYS
    assert (run["status"], run["engine"], run["config"], run["size"]) == ("solved", "model", "lab", 14)
    found = np.load(tmp_path / "x.npy")
    residual = np.linalg.norm(matrix @ (x - found)) / np.linalg.norm(matrix @ x)
    assert residual == pytest.approx(run["relative_residual"], rel=1e-3) and residual <= 1e-10
    error = np.abs(found - x).max() / np.abs(found).max()
    assert error <= run["forward_bound"] < 1e-7
    assert run["chip_time_s"] == pytest.approx(run["clock_cycles"] * 20e-9)
    assert run["iterations"] == run["analogue_solves"] == len(run["history"]) - 1
    assert 0 < run["iterations"] < run["compared"]["none"] <= 14
    assert f"{run['clock_cycles']:,}" in shown and f"{run['relative_residual']:.1e}" in shown
    assert "multiply by a cached inverse" in shown and "full-scale code" in shown


def test_engines_give_the_same_answer(tmp_path: Path, system):
    path, _ = system
    answers, histories = [], []
    for engine in ("model", "rtl", "verilator"):
        run, _ = solved(path, "--config", "lab", "--engine", engine, "--answer", tmp_path / "x.npy", cwd=tmp_path)
        answers.append(np.load(tmp_path / "x.npy"))
        histories.append((run["history"], run["clock_cycles"]))
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], answers[2])
    assert histories[0] == histories[1] == histories[2]


def test_another_seed_is_another_chip(tmp_path: Path, system):
    path, _ = system
    histories = [solved(path, "--config", "lab", "--seed", seed, cwd=tmp_path)[0]["history"] for seed in (1, 2, 1)]
    assert histories[0] == histories[2] != histories[1]


@pytest.mark.parametrize("method", ["fcg", "gcr", "digital"])
def test_other_methods(tmp_path: Path, method: str):
    scipy.io.mmwrite(tmp_path / "plate.mtx", scipy.sparse.coo_array(heat(16)))
    run, _ = solved(tmp_path / "plate.mtx", "--config", "lab", "--method", method, cwd=tmp_path)
    assert run["relative_residual"] <= 1e-10 and run["relative_error"] < 1e-8
    assert run["reprogrammings"] == {"fcg": 1, "gcr": 2, "digital": 0}[method]  # a run each, and digital needs none
    assert run["analogue_solves"] == (0 if method == "digital" else run["iterations"])


def test_complex_and_rectangular_systems(tmp_path: Path):
    rng = np.random.default_rng(SEED)
    matrix = np.diag(rng.uniform(2.0, 3.0, 7)) + 0.2 * (rng.standard_normal((7, 7)) + 1j * rng.standard_normal((7, 7)))
    scipy.io.mmwrite(tmp_path / "c.mtx", matrix)
    run, _ = solved(tmp_path / "c.mtx", "--config", "lab", "--compare", cwd=tmp_path)
    assert run["relative_error"] < 1e-8 and run["size"] == 7
    tall = rng.standard_normal((30, 6))
    y = rng.standard_normal(30)
    np.savez(tmp_path / "tall.npz", A=tall)
    np.save(tmp_path / "y.npy", y)
    run, shown = solved(tmp_path / "tall.npz", "--rhs", tmp_path / "y.npy", "--config", "lab", "--answer",
                        tmp_path / "x.csv", cwd=tmp_path)
    x = np.loadtxt(tmp_path / "x.csv", delimiter=",")
    assert np.allclose(x, np.linalg.lstsq(tall, y)[0], rtol=1e-7)
    assert "normal equations" in shown and run["residual_of"] == "normal equations"
    wide = tall[:4]
    np.savez(tmp_path / "wide.npz", A=wide)
    np.save(tmp_path / "y.npy", y[:4])
    run, shown = solved(tmp_path / "wide.npz", "--rhs", tmp_path / "y.npy", "--config", "lab", "--answer",
                        tmp_path / "x.npy", cwd=tmp_path)
    left = np.linalg.norm(y[:4] - wide @ np.load(tmp_path / "x.npy")) / np.linalg.norm(y[:4])
    assert run["residual_of"] == "A x = b" and run["relative_residual"] == pytest.approx(left, abs=1e-13)
    assert "normal equations" not in shown


def test_a_tolerance_out_of_reach_is_not_solved(tmp_path: Path, system):
    path, _ = system
    done = solve(path, "--config", "lab", "--limit", 2, "--json", tmp_path / "run.json", cwd=tmp_path)
    assert done.returncode == 3
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["status"] == "not solved" and 1e-10 < run["relative_residual"] < 1
    assert run["history"][0] == 1.0 and len(run["history"]) - 1 == run["iterations"]
    assert run["iterations"] == run["analogue_solves"] == 2 and run["clock_cycles"] > 500
    assert "best relative residual" in done.stderr and done.stderr.count("\n") == 1


BAD_FILES = {
    "header.mtx": "%%MatrixMarket tensor coordinate real general\n2 2 1\n1 1 1\n",
    "short.mtx": "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n2 2 1\n",
    "long.mtx": "%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 1\n2 2 1\n",
    "zero.mtx": "%%MatrixMarket matrix coordinate real general\n2 2 2\n0 1 1\n2 2 1\n",
    "past.mtx": "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1\n3 2 1\n",
    "text.mtx": "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 one\n2 2 1\n",
    "overflow.mtx": "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1e999\n2 2 1\n",
    "empty.mtx": "",
    "nothing.csv": "\n",
    "ragged.csv": "1,2\n3\n",
    "singular.csv": "1,2\n2,4\n",
    "zeros.csv": "0,0\n0,0\n",
    "nan.csv": "1,nan\n0,1\n",
    "unknown.txt": "1\n",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str):
    (tmp_path / name).write_text(BAD_FILES[name])
    done = solve(tmp_path / name, "--config", "tiny", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("ohmloop: ") and "Traceback" not in done.stdout + done.stderr


def test_a_refusal_is_in_the_json_too(tmp_path: Path):
    done = solve(tmp_path / "nowhere.mtx", "--json", tmp_path / "run.json", cwd=tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    assert done.returncode == 2 and run["status"] == "refused" and "no such file" in run["message"]


def test_pickled_objects_are_refused(tmp_path: Path):
    np.save(tmp_path / "objects.npy", np.array([[1, "a"], [None, 2]], dtype=object), allow_pickle=True)
    done = solve(tmp_path / "objects.npy", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "said"), [
    (("--rhs", "b.csv"), "must have 14"),
    (("--engine", "cloud"), "model, rtl, icarus, verilator"),
    (("--config", "huge"), "tiny"),
    (("--method", "magic"), "fgmres"),
    (("--tol", "2"), "tol"),
    (("--chip", "nowhere"), "nowhere"),
    (("--answer", "x.txt"), ".npy or .csv"),
    (("--json", "."), "folder"),
    (("--config", "tiny", "--method", "gcr"), "holds 4 unknowns"),
])
def test_bad_options_are_refused_in_one_line(tmp_path: Path, system, arguments, said: str):
    (tmp_path / "b.csv").write_text("1,2,3\n")
    done = solve(system[0], *arguments, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_an_engine_that_is_not_installed(tmp_path: Path, system):
    env = os.environ | {"PATH": "/nowhere", "OHMLOOP_BUILDS": str(tmp_path)}
    done = subprocess.run(command(system[0], "--config", "lab", "--engine", "icarus"), cwd=tmp_path, env=env,
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 3 and "icarus is not installed" in done.stderr and done.stderr.count("\n") == 1


def test_ctrl_c_says_how_far_it_was_and_writes_nothing(tmp_path: Path):
    rng = np.random.default_rng(SEED)
    # Interrupted from inside, at the third iteration, as a key would.
    script = ("import os, signal, sys; from ohmloop.report import solve_run; keep = solve_run.Status.update\n"
              "def update(self, text):\n    keep(self, text)\n"
              "    if text.startswith('iteration 3,'): os.kill(os.getpid(), signal.SIGINT)\n"
              "solve_run.Status.update = update; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
              "sys.argv = ['ohmloop', *sys.argv[1:]]; from ohmloop.cli import main; main()")
    np.save(tmp_path / "A.npy", np.diag(rng.uniform(1.0, 2.0, 14)) + 0.1 * rng.standard_normal((14, 14)))
    done = subprocess.run([sys.executable, "-c", script, "solve", str(tmp_path / "A.npy"), "--config", "lab", "--json",
                           str(tmp_path / "run.json")], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 130, done.stderr
    assert re.search(r"interrupted at iteration 3, relative residual \d\.\de-\d+; nothing was written", done.stderr)
    assert done.stderr.count("\n") == 1 and [path.name for path in tmp_path.iterdir()] == ["A.npy"]


def test_ctrl_c_before_the_first_iteration_says_what_was_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system):
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(solve_run, "solve", interrupted)
    with pytest.raises(InterruptedWorkError, match="^interrupted while planning for 14 unknowns; nothing was written$"):
        solve_run.run_solve(CONFIGS["lab"], solve_run.Request(system[0]))
    np.save(tmp_path / "large.npy", tridiagonal(24))
    monkeypatch.undo()
    monkeypatch.setattr(large, "measure", interrupted)
    where = r"^interrupted while planning for 24 unknowns: way 1 of \d+ to split them: digital border \(.*\);"
    with pytest.raises(InterruptedWorkError, match=where):
        solve_run.run_solve(CONFIGS["lab"], solve_run.Request(tmp_path / "large.npy"))
    assert not logging.getLogger("ohmloop.solvers").handlers
    monkeypatch.setattr(solve_run, "Device", interrupted)
    with pytest.raises(InterruptedWorkError, match="^interrupted while building or loading rtl; nothing was written$"):
        solve_run.run_solve(CONFIGS["lab"], solve_run.Request(system[0], engine="rtl"))


@pytest.mark.parametrize("width", [50, 80])
def test_labels_keep_their_indent_in_a_narrow_terminal(tmp_path: Path, system, width: int):
    env = os.environ | {"COLUMNS": str(width)}
    done = subprocess.run(command(system[0], "--config", "lab"), cwd=tmp_path, env=env, capture_output=True, text=True,
                          timeout=100)
    shown = [line for line in done.stdout.splitlines() if "memory" in line]
    assert len(shown) == 2 and all(line.startswith("\N{BOX DRAWINGS LIGHT VERTICAL}   ") for line in shown)
    assert all(len(line) <= width for line in done.stdout.splitlines())


@pytest.mark.skipif(not MATRICES.exists(), reason="the real matrices are not here")
@pytest.mark.parametrize(("name", "most"), [("mesh1e1", 10), ("LFAT5", 11)])
def test_real_matrices_alike_on_model_and_rtl(tmp_path: Path, name: str, most: int):
    runs = [solved(MATRICES / f"{name}.mtx", "--engine", engine, "--tol", "1e-10", cwd=tmp_path)[0]
            for engine in ("model", "rtl")]
    assert runs[0]["history"] == runs[1]["history"] and runs[0]["clock_cycles"] == runs[1]["clock_cycles"]
    assert runs[0]["iterations"] <= most and runs[0]["relative_residual"] <= 1e-10

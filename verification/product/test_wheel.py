"""The wheel, built from the tree and used away from it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SOLVE = """
import numpy as np
import ohmloop
print(ohmloop.__file__)
rng = np.random.default_rng(3)
A = np.diag(rng.uniform(1, 3, 16)) + 0.1 * rng.standard_normal((16, 16))
x = rng.standard_normal(16)
found = ohmloop.solve(A, A @ x, config="lab")
print(np.abs(found.x - x).max() < 1e-8, found.relative_residuals[0] <= 1e-10)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, made from a copy of what is under version control or new."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("hdl", "sim"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out), str(tree),
         folder=tree)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel in it and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    _run(sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", str(folder), str(wheel), folder=folder)
    return folder


def test_every_file_that_is_no_module_is_in_it(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {str(path.relative_to(ROOT / root)) for root in ("hdl", "sim") for path in (ROOT / root).rglob("*")
              if path.is_file() and path.suffix not in (".pyc",) and ".egg-info" not in str(path)}
    assert wanted - held == set()
    assert len(wanted) > 100


def test_it_solves_and_writes_verilog_away_from_the_tree(installed, tmp_path):
    out = _run(sys.executable, "-P", "-c", SOLVE, folder=tmp_path, path=installed)
    place, numbers = out.splitlines()
    assert Path(place).is_relative_to(installed)
    assert numbers == "True True"
    _run(sys.executable, "-P", "-m", "ohmloop", "verilog", "--config", "tiny", "--out", "v", folder=tmp_path,
         path=installed)
    assert (tmp_path / "v/ohmloop.v").read_text().count("module ") > 20
    assert (tmp_path / "v/ohmloop_macro.sv").stat().st_size > 10_000


def _run(*command: str, folder: Path, path: Path | None = None) -> str:
    env = dict(os.environ)
    env.pop("PYTHONPATH", None)
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout

"""Build folders: built once, whole or not at all, kept while used, pruned when old."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ohmloop.engines.cache import KEEP, cached_build, digest


def test_digest_sees_content_and_name_but_not_the_folder(tmp_path: Path):
    for folder, text in {"a": "one", "b": "one", "c": "two"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f.v").write_text(text)
    assert digest(tmp_path / "a/f.v") == digest(tmp_path / "b/f.v") != digest(tmp_path / "c/f.v")
    assert digest("ab", "c") != digest("a", "bc")


def test_built_once(tmp_path: Path):
    calls: list[Path] = []
    for _ in range(2):
        with cached_build(tmp_path, "x", digest("k"), calls.append) as folder:
            assert folder.is_dir()
    assert len(calls) == 1


def test_failed_build_is_started_afresh(tmp_path: Path):
    def broken(folder: Path):
        (folder / "half").touch()
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError), cached_build(tmp_path, "x", digest("k"), broken):
        pass
    with cached_build(tmp_path, "x", digest("k"), lambda folder: None) as folder:
        assert not (folder / "half").exists()


def test_two_processes_build_once(tmp_path: Path):
    program = """
import sys, time
from pathlib import Path
from ohmloop.engines.cache import cached_build, digest

def build(folder):
    with open(folder.parent / "builds", "a") as log:
        log.write("built ")
    time.sleep(0.3)
    (folder / "whole").touch()

with cached_build(Path(sys.argv[1]), "x", digest("k"), build) as folder:
    assert (folder / "whole").exists()
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=env) for _ in range(3)]
    assert [process.wait(timeout=60) for process in both] == [0, 0, 0]
    assert (tmp_path / "builds").read_text() == "built "


def test_old_folders_go_but_not_one_in_use(tmp_path: Path):
    with cached_build(tmp_path, "x", digest("first"), lambda folder: None) as used:
        for count in range(KEEP + 2):
            with cached_build(tmp_path, "x", digest(str(count)), lambda folder: None) as folder:
                os.utime(used / "complete", (1, 1))
                os.utime(folder / "complete", (count + 2, count + 2))
        assert used.exists()
    left = {path.name for path in tmp_path.glob("x-*")}
    assert f"x-{digest('0')}" not in left
    assert f"x-{digest(str(KEEP + 1))}" in left

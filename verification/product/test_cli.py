"""The command line: exit codes, and errors as one line."""

import sys

import pytest

from ohmloop import cli
from ohmloop.engines import tools
from ohmloop.errors import InputError, NotSolvedError, OhmloopError
from ohmloop_hdl.config import ConfigError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of ``ohmloop`` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["ohmloop", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(("error", "code", "line"), [
    (InputError("file x: row 3 must have 4 numbers, not 5"), 2, "ohmloop: file x: row 3 must have 4 numbers, not 5"),
    (ConfigError("lanes must be a power of two, not 3"), 2, "ohmloop: lanes must be a power of two, not 3"),
    (NotSolvedError("diverged; best residual 1e-3"), 3, "ohmloop: diverged; best residual 1e-3"),
    (OhmloopError("first line\nsecond line"), 1, "ohmloop: first line"),
    (FileNotFoundError(2, "No such file or directory", "x/y"), 2, "ohmloop: x/y: No such file or directory"),
    (OSError(28, "No space left on device"), 2, "ohmloop: [Errno 28] No space left on device"),
    (KeyboardInterrupt(), 130, "ohmloop: interrupted"),
])
def test_errors_become_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
):
    def fail(name: str):
        raise error

    monkeypatch.setattr(tools, "find", fail)
    assert run(monkeypatch, "doctor") == code
    assert capsys.readouterr().err.strip() == line


def test_doctor_lists_every_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "doctor", "--require", "icarus,verilator,ngspice") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in tools.NAMES)


def test_doctor_demands_what_is_required(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def missing(name: str) -> tools.Tool:
        raise tools.ToolMissing(f"{name} is not installed: install it")

    monkeypatch.setattr(tools, "find", missing)
    assert run(monkeypatch, "doctor") == 0
    assert run(monkeypatch, "doctor", "--require", "icarus,ngspice") == 3
    missed = "icarus is not installed: install it; ngspice is not installed: install it"
    assert capsys.readouterr().err == f"ohmloop: {missed}\n"


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "doctor", "--require", "vcs") == 2
    assert "--require must name tools out of icarus, verilator" in capsys.readouterr().err
    assert run(monkeypatch, "sim", "--config", "chip65") == 2
    assert run(monkeypatch, "no-such-command") == 2


@pytest.mark.parametrize("command", ["solve", "macro-check", "sweep"])
def test_help_shows_no_value_behind_a_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    assert run(monkeypatch, command, "--help") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "--" in line and "--help" not in line]
    assert lines and not any("bool" in line for line in lines)

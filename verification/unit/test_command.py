"""How commands end: one line, the exit code that belongs to it, and errors that survive the way between processes."""

import pickle
from pathlib import Path

import pytest

from ohmloop.command import ends
from ohmloop.engines.cosim import SimulationError
from ohmloop.engines.tools import ToolMissing
from ohmloop.errors import InputError, NotSolvedError, OhmloopError
from ohmloop.plan.stability import UnstableError
from ohmloop_hdl.config import ChipConfig, ConfigError


def log(folder: Path) -> Path:
    (folder / "run.log").write_text("first\nlast\n")
    return folder / "run.log"


def every_error(folder: Path) -> list[OhmloopError]:
    return [InputError("bad"), NotSolvedError("far"), UnstableError("grows", 1 + 2j), ToolMissing("no icarus"),
            SimulationError("bench failed", log(folder))]


def test_errors_come_back_from_another_process(tmp_path: Path):
    for error in every_error(tmp_path):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (type(error), str(error))
    assert pickle.loads(pickle.dumps(UnstableError("grows", 1 + 2j))).eigenvalue == 1 + 2j


def test_each_error_is_one_line_and_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def raises(error: BaseException):
        def command():
            raise error
        return command

    with pytest.raises(ConfigError) as refused:
        ChipConfig(size=3)
    cases = [(InputError("bad"), 2, "bad"), (NotSolvedError("far"), 3, "far"), (refused.value, 2, str(refused.value)),
             (SimulationError("bench failed", log(tmp_path)), 1, f"bench failed; log: {tmp_path / 'run.log'}"),
             (FileNotFoundError(2, "No such file or directory", "there"), 2, "there: No such file or directory"),
             (KeyboardInterrupt(), 130, "interrupted"), (SystemExit(130), 130, "interrupted")]
    for error, code, line in cases:
        with pytest.raises(SystemExit) as end:
            ends("campaign", raises(error))
        assert end.value.code == code
        assert capsys.readouterr().err == f"campaign: {line}\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_what_a_command_returns_is_the_code(returned: int | None, code: int, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        ends("campaign", lambda: returned)
    assert end.value.code == code and capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="a mistake of ours"):
        ends("campaign", lambda: int("a mistake of ours"))

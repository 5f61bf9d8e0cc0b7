"""The process in which one bench is built or run; :mod:`ohmloop.engines.cosim` starts it and reads its log.

It is a process of its own because cocotb-test sets signal handlers, warning filters and the log of whoever calls it,
and because a process group is what can be ended as a whole: simulator, compiler and make included.
"""

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from cocotb_test import simulator


def _end_group(*_: object):
    os.killpg(0, signal.SIGKILL)


def _end_with_parent(parent: int):
    """Asks Linux for a signal when the parent ends in a way that lets it clean up nothing."""
    signal.signal(signal.SIGTERM, _end_group)
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            _end_group()


def _runner(base: type[simulator.Simulator], run_only: bool) -> type[simulator.Simulator]:
    """``base`` with our ways to run its commands: straight into our log, and no build when all that is left is to run.

    The base class decides by time stamps (Icarus) or not at all (Verilator) whether to build again; our caller has
    decided by content.
    """

    class Runner(base):
        def build_command(self) -> list[list[str]]:
            commands = super().build_command()
            return commands[-1:] if run_only else commands

        def execute(self, cmds: list[list[str]]):
            for command in cmds:
                print("$", shlex.join(command), flush=True)
                done = subprocess.run(command, cwd=self.work_dir, env=self.env, stdin=subprocess.DEVNULL)
                if done.returncode:
                    raise SystemExit(f"{Path(command[0]).name} ended with exit code {done.returncode}")

        def exit_gracefully(self, signum: int, frame: object):
            _end_group()

    return Runner


def main(job_file: str):
    """Carries out the job described by the JSON file: ``engine``, ``run_only``, ``parent`` and the keyword
    ``arguments`` of cocotb-test."""
    job: dict[str, Any] = json.loads(Path(job_file).read_text())
    _end_with_parent(job["parent"])
    base = {"icarus": simulator.Icarus, "verilator": simulator.Verilator}[job["engine"]]
    _runner(base, job["run_only"])(**job["arguments"]).run()


if __name__ == "__main__":
    main(sys.argv[1])

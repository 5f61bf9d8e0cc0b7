"""Runs cocotb benches on Icarus and Verilator: one call, quiet, built once per content.

A build lives in ``work/<engine>-<toplevel>-<key>``, a run in ``work/runs/...`` with ``run.log``, ``results.xml`` and,
if asked for, the waveform. Why each flag is there is said where it is listed.
"""

import contextlib
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ohmloop.engines.cache import cached_build, digest, exclusive, prune
from ohmloop.engines.ports import port_names
from ohmloop.engines.tools import Tool, ToolMissing, find, run_environment
from ohmloop.errors import InputError, OhmloopError
from ohmloop_hdl.verilog import REAL_FLAGS

ENGINES = ("icarus", "verilator")

DPI_ENGINES = ("verilator",)
"""Simulators that call C functions through DPI-C."""

_TIMESCALE = "1ns/1ps"  # Icarus falls back to whole seconds where the source says nothing
_TAIL_LINES = 20
_CANCEL_POLL_S = 0.1
_KEEP_RUNS = 50  # of one bench on one engine
_WAVES = {"icarus": "waves.fst", "verilator": "waves.vcd"}  # FST from Verilator would need headers of lz4 and zlib
_FLAGS = {
    "icarus": ["-Wall", "-Wno-timescale"],
    "verilator": [
        "-Wall",
        "-O3",
        # Unrolled, the loops of the macro become tens of megabytes of C++ that compile for minutes.
        "--unroll-count", "1",
        # Files of a size that both cores share.
        "--output-split", "5000", "--output-split-cfuncs", "500",
        "-CFLAGS", " ".join(["-march=native", *REAL_FLAGS]),
        # cocotb-test makes every signal public, which stops most optimisation; `public` below names the few.
        "--no-public-flat-rw",
    ],
}


class SimulationError(OhmloopError):
    """A build or a run that failed: one line with the place of the log, then the last lines of the log."""

    def __init__(self, what: str, log: Path):
        text = log.read_text(errors="replace") if log.exists() else ""
        self.what, self.log = what, log
        self.tail = text.splitlines()[-_TAIL_LINES:]
        super().__init__("\n".join([f"{what}; log: {log}", *(f"  | {line}" for line in self.tail)]))

    def __reduce__(self):
        # Campaigns run in processes of their own, whose errors come back pickled.
        return type(self), (self.what, self.log)


class BuildError(SimulationError):
    """The simulator does not accept the sources."""


@dataclass(frozen=True)
class _Build:
    """Everything that the simulator's executable depends on."""

    engine: str
    tool: Tool
    sources: tuple[Path, ...]
    toplevel: str
    parameters: Mapping[str, int | float | str]
    defines: tuple[str, ...]
    public: Mapping[str, Sequence[str]]
    waivers: Path | None
    waves: bool

    def key(self, env: Mapping[str, str]) -> str:
        described = [self.engine, str(self.tool), self.toplevel, sorted(self.parameters.items()), self.defines,
                     self.waves, {module: list(names) for module, names in self.public.items()}, _FLAGS[self.engine]]
        parts: list[str | bytes | Path] = [json.dumps(described), *self.sources]
        if self.waivers is not None:
            parts.append(self.waivers)
        if self.engine == "verilator":
            parts += [env["MAKEFLAGS"], processor(), Path(__file__)]
        return digest(*parts)

    def arguments(self, folder: Path) -> dict[str, Any]:
        """The arguments of cocotb-test, the same whether it builds or only runs."""
        flags = list(_FLAGS[self.engine])
        files = list(self.sources)
        if self.engine == "verilator":
            controls = [folder / "public.vlt"] + ([self.waivers] if self.waivers else [])
            files = controls + files
            if self.waivers is None:
                flags.append("-Wno-fatal")
            if self.waves:
                flags.append("--trace-vcd")
        return {
            "toplevel": self.toplevel,
            "sim_build": str(folder),
            "verilog_sources": [str(path) for path in files],
            "parameters": dict(self.parameters),
            "defines": list(self.defines),
            "compile_args": flags,
            "timescale": _TIMESCALE,
            "waves": self.waves and self.engine == "icarus",
        }

    def public_file(self) -> str:
        """A Verilator control file that lets cocotb reach the ports of the top level and what was asked for."""
        signals = {self.toplevel: port_names(self.sources, self.toplevel)}
        for module, names in self.public.items():
            signals[module] = [*signals.get(module, []), *names]
        lines = [f'public_flat_rw -module "{module}" -var "{name}"'
                 for module, names in signals.items() for name in names]
        return "\n".join(["`verilator_config", *dict.fromkeys(lines), ""])


def run_bench(
    engine: str,
    *,
    sources: Sequence[Path],
    toplevel: str,
    test_module: str,
    work: Path,
    parameters: Mapping[str, int | float | str] | None = None,
    defines: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    plusargs: Sequence[str] = (),
    waves: bool = False,
    testcase: str | None = None,
    python_path: Sequence[Path] = (),
    waivers: Path | None = None,
    public: Mapping[str, Sequence[str]] | None = None,
    cancel: threading.Event | None = None,
) -> Path:
    """Builds ``toplevel`` if nothing the build depends on is built yet, runs a cocotb bench on it, returns its results.

    Parameters
    ----------
    engine
        ``"icarus"`` or ``"verilator"``.
    sources
        Verilog and SystemVerilog files in the order to read them; for Verilator also C files with DPI functions, for
        Icarus also ``.vpi`` modules. Files that these include are not looked at when deciding whether to build.
    toplevel
        Name of the top module; its ports are always visible to the bench.
    test_module
        Importable name of the Python module that holds the cocotb tests.
    work
        Folder for builds, logs and results; made if missing, and safe to share between processes.
    parameters
        Parameters of the top module.
    defines
        Names that the preprocessor of the simulator knows.
    env
        Environment variables for the bench, on top of this process's. The random seed of cocotb is 1 unless
        ``COCOTB_RANDOM_SEED`` says otherwise.
    plusargs
        Arguments for the running simulation, such as ``+seed=3``.
    waves
        Keep a waveform of everything; :func:`waves_of` says where.
    testcase
        Run only the tests whose whole name matches this regular expression, with all their variants.
    python_path
        Folders to import ``test_module`` from, ahead of this process's ``sys.path``.
    waivers
        Verilator control file with the warnings that are accepted. Given, every other warning stops the build; not
        given, warnings only go to the log.
    public
        Signals below the top level that the bench touches, by module name: ``{"sar": ["state", "code"]}``. Icarus
        shows everything anyway; Verilator only these.
    cancel
        Setting it from another thread ends the build or the run, with a :class:`SimulationError`.

    Returns
    -------
    Path
        ``results.xml`` of the run; ``run.log`` lies beside it. Every test passed and at least one ran.

    Raises
    ------
    BuildError
        The build failed; it is a :class:`SimulationError`.
    SimulationError
        A test failed, or no test ran.
    ToolMissing
        The simulator is not installed.
    InputError
        ``engine``, a source or ``toplevel`` is not what it must be.
    """
    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    if importlib.util.find_spec("cocotb_test") is None:
        raise ToolMissing(f"{engine} needs cocotb: install it (pip install 'ohmloop[sim]')")
    sources = tuple(Path(path).resolve() for path in sources)
    for path in [*sources, *([waivers] if waivers else [])]:
        if not path.is_file():
            raise InputError(f"source must be a file that exists, not {path}")
    if engine == "verilator" and any(re.search(r"\s", str(path)) for path in [work.resolve(), *sources]):
        raise InputError(f"work and sources must have no spaces in their paths for verilator, not {work.resolve()}")
    build = _Build(engine, find(engine), sources, toplevel, parameters or {}, tuple(defines), public or {},
                   waivers.resolve() if waivers else None, waves)
    environment = _environment(env or {}, python_path)
    work = work.resolve()
    key = build.key(environment)

    def make(folder: Path):
        if engine == "verilator":
            (folder / "public.vlt").write_text(build.public_file())
        arguments = build.arguments(folder) | {"module": test_module, "compile_only": True, "force_compile": True}
        if engine == "verilator":
            arguments["make_args"] = ["-j", str(os.cpu_count() or 1)]
        # Named, or cocotb-test leaves an empty file of its own in the folder.
        quiet = environment | {"COCOTB_RESULTS_FILE": str(folder / "results.xml")}
        _start(engine, arguments, folder, "build", quiet, f"building {toplevel} for {engine} failed", cancel)
        # Objects and compiled headers are a hundred times the size of what runs.
        for product in (path for ending in ("gch", "o", "a") for path in folder.glob(f"*.{ending}")):
            product.unlink()

    with cached_build(work, f"{engine}-{toplevel}", key, make) as folder:
        run_key = digest(key, json.dumps([test_module, testcase, sorted((env or {}).items()), list(plusargs)]))
        runs, name = work / "runs", f"{engine}-{test_module}"
        run = runs / f"{name}-{run_key}"
        prune(runs, name, _KEEP_RUNS)
        with exclusive(runs, run.name):
            run.mkdir(parents=True, exist_ok=True)
            arguments = build.arguments(folder) | {"module": test_module, "work_dir": str(run)}
            arguments["plus_args"] = list(plusargs)
            if waves and engine == "verilator":
                arguments["plus_args"] += ["--trace", "--trace-file", _WAVES[engine]]
            _run(engine, arguments, run, environment, testcase, cancel)
            return run / "results.xml"


def waves_of(results: Path) -> Path:
    """The waveform of the run that wrote ``results``, made with ``waves=True``."""
    for name in _WAVES.values():
        if results.with_name(name).exists():
            return results.with_name(name)
    raise InputError(f"results must be of a run with waves=True, not {results}")


def _run(engine: str, arguments: dict[str, Any], folder: Path, environment: Mapping[str, str], testcase: str | None,
         cancel: threading.Event | None):
    """Runs a built bench in ``folder``; the results file tells more than the exit code, so it is asked first."""
    results = folder / "results.xml"
    for stale in [results, *(folder / name for name in _WAVES.values())]:
        stale.unlink(missing_ok=True)
    environment = {**environment, "COCOTB_RESULTS_FILE": str(results)}
    if testcase is not None:
        # cocotb takes a pattern over "module.test" and "module.test/variant".
        environment["COCOTB_TEST_FILTER"] = rf"(^|\.)({testcase})(/.*)?$"
    where = f"{arguments['module']} on {engine}"
    stopped = None
    try:
        _start(engine, arguments, folder, "run", environment, f"{where} stopped with an error", cancel)
    except SimulationError as error:
        stopped = error
    if results.exists():
        _judge(results, where, folder / "run.log")
    if stopped is not None:
        raise stopped
    dump = folder / f"{arguments['toplevel']}.fst"
    if dump.exists():
        dump.replace(folder / _WAVES["icarus"])


def _judge(results: Path, where: str, log: Path):
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    ran = [case for case in cases if case.find("skipped") is None]
    if failed:
        names = ", ".join(case.get("name", "?") for case in failed)
        raise SimulationError(f"{where}: {len(failed)} of {len(ran)} tests failed: {names}", log)
    if not ran:
        raise SimulationError(f"{where}: no test ran", log)


def _start(engine: str, arguments: dict[str, Any], folder: Path, step: str, environment: Mapping[str, str], what: str,
           cancel: threading.Event | None):
    """Carries out one step; a :class:`SimulationError` says where its log is."""
    job, log = folder / f"{step}.json", folder / f"{step}.log"
    job.write_text(json.dumps({"engine": engine, "run_only": step == "run", "parent": os.getpid(),
                               "arguments": arguments}))
    command = [sys.executable, "-P", "-m", "ohmloop.engines.cosim_job", str(job)]
    with log.open("wb") as output:
        code = run_group(command, folder, environment, output, cancel)
    if code:
        raise (BuildError if step == "build" else SimulationError)(what, log)


def run_group(command: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes],
              cancel: threading.Event | None = None) -> int:
    """The exit code of a command in a process group of its own, which is gone when this returns, however it returns."""
    child = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                             stderr=subprocess.STDOUT, start_new_session=True)
    try:
        return _wait(child, cancel)
    finally:
        _end_group(child)


def _wait(child: subprocess.Popen[bytes], cancel: threading.Event | None) -> int:
    """The exit code of ``child``; 1 as soon as ``cancel`` is set, with the child left to the caller."""
    if cancel is None:
        return child.wait()
    while not cancel.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(_CANCEL_POLL_S)
    return 1


def _end_group(leader: subprocess.Popen[bytes]):
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    leader.wait()


def _environment(extra: Mapping[str, str], python_path: Sequence[Path]) -> dict[str, str]:
    """What the bench and its simulator see: nothing that a shell has set for another bench, and colours off."""
    kept = ("COCOTB_RANDOM_SEED", "COCOTB_LOG_LEVEL")
    foreign = ("SIM", "WAVES", "MODULE", "TOPLEVEL", "TESTCASE", "RANDOM_SEED", "PYTHONHOME")
    env = {name: value for name, value in run_environment().items()
           if name in kept or not (name in foreign or name.startswith(("COCOTB_", "GPI_")))}
    env.setdefault("COCOTB_RANDOM_SEED", "1")
    env["COCOTB_ANSI_OUTPUT"] = "0"
    env["PYTHONUNBUFFERED"] = "1"
    paths = [str(Path(path).resolve()) for path in [*python_path, *sys.path]]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return env | dict(extra)


def processor() -> str:
    """What ``-march=native`` depends on: a build folder may travel to another machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())

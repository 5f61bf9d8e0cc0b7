"""Runs the conformance kit on a SystemVerilog body of the macro: file in, one verdict a rule and simulator out."""

import json
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ohmloop.engines.conformance import bench
from ohmloop.engines.conformance.rules import BROKEN, Finding, Sighting, Verdict, judge
from ohmloop.engines.cosim import BuildError, SimulationError, run_bench
from ohmloop.engines.ports import port_names
from ohmloop.errors import InputError
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.macro.pins import MacroPins
from ohmloop_hdl.verilog import MACRO

CONTRACT = "ohmloop_contract"
"""Module of the passive checker, which a body may instantiate."""

BUILD_LIMIT_S = 900.0
"""Longest that building a body may take."""

TWO_STATE = ("verilator",)
"""Simulators without unknown values."""

_POLL_S = 0.2
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Checked:
    """One body on one simulator."""

    engine: str
    clocks: int
    """Clocks that were simulated."""

    seconds: float
    verdicts: list[Verdict]
    failure: str = ""
    """Why the simulation did not reach its end; then there are no verdicts."""

    @property
    def broken(self) -> list[str]:
        """Names of the rules that it breaks."""
        return [verdict.rule.name for verdict in self.verdicts if verdict.verdict == BROKEN]


def macro_parameters(config: ChipConfig) -> dict[str, int]:
    """Parameters of ``ohmloop_macro`` for a configuration."""
    return {"N": config.size, "CELL_BITS": config.cell_bits, "DAC_BITS": config.dac_bits, "ADC_BITS": config.adc_bits,
            "ADCS": config.adcs}


def require_macro(macro: Path) -> None:
    """Raises :class:`InputError` unless the file holds a module ``ohmloop_macro`` with the ports of the contract."""
    if not macro.is_file():
        raise InputError(f"macro must be a file that exists, not {macro}")
    try:
        given = port_names([macro], MACRO)
    except InputError:
        raise InputError(f"{macro}: must hold a module {MACRO}, has none") from None
    pins = ["clk", *MacroPins(ChipConfig()).members]
    missing = [name for name in pins if name not in given]
    unknown = [name for name in given if name not in pins]
    if missing or unknown:
        parts = [f"{what} {', '.join(names)}" for what, names in (("lacks", missing), ("has also", unknown)) if names]
        raise InputError(f"{macro}: {MACRO} must have the ports of the contract; it {' and '.join(parts)}")


def check_macro(macro: Path, config: ChipConfig, engine: str, chip: str, work: Path, *, seed: int = 1,
                timeout_s: float = 120.0, further: Sequence[Path] = (), defines: Sequence[str] = ()) -> Checked:
    """Check one body on one simulator.

    Parameters
    ----------
    macro : Path
        Source file.
    config : ChipConfig
        A named configuration.
    engine : str
        ``icarus`` or ``verilator``.
    chip : str
        ``ideal`` or ``reference``; the body finds its parameter file in the plusarg ``+ohmloop_macro``.
    work : Path
        Folder for builds and logs.
    seed : int
        Of everything random in the stimulus.
    timeout_s : float
        Longest that a single step may take, such as closing a loop.
    further : Sequence[Path]
        What else the body is made of, such as C files with its DPI functions.
    defines : Sequence[str]
        Names that the preprocessor of the simulator knows.

    Errors: :class:`InputError` where the file holds no macro of this contract, or does not build; a body that hangs or
    ends the simulation is :attr:`Checked.failure`.
    """
    require_macro(macro)
    for file in further:
        if not file.is_file():
            raise InputError(f"further source must be a file that exists, not {file}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ohmloop-") as place:
        folder = Path(place)
        findings, progress = folder / "findings.json", folder / "progress"
        file = bench.die_of(config, chip).write_file(folder / "die.hex")
        watch = _Watch(progress, timeout_s)
        failure = ""
        try:
            with watch:
                run_bench(
                    engine, sources=[*_sources(macro), *further], toplevel=MACRO, test_module=bench.__name__, work=work,
                    parameters=macro_parameters(config), defines=defines, plusargs=[f"+ohmloop_macro={file}"],
                    env={bench.CONFIG: config.name, bench.CHIP: chip, bench.SEED: str(seed),
                         bench.FINDINGS: str(findings), bench.PROGRESS: str(progress)},
                    cancel=watch.cancel)
        except BuildError as error:
            if not watch.cancel.is_set():
                raise InputError(f"{macro}: does not build on {engine}; log: {error.log}") from None
            failure = f"did not build within {BUILD_LIMIT_S:g} s; log: {error.log}"
        except SimulationError as error:
            where = progress.read_text() if progress.exists() else "power-up"
            if watch.cancel.is_set():
                failure = f"did not return within {timeout_s:g} s, at {where}"
            else:
                failure = f"ended the simulation, at {where}; log: {error.log}"
        seconds = time.perf_counter() - began
        if failure:
            return Checked(engine, 0, seconds, [], failure)
        found = json.loads(findings.read_text())
    if "wrong_ports" in found:
        raise InputError(f"{macro}: {found['wrong_ports']}")
    by_rule = {}
    for entry in found["findings"]:
        first = Sighting(**entry.pop("first")) if entry["first"] else entry.pop("first")
        by_rule[entry["rule"]] = Finding(**entry, first=first)
    return Checked(engine, found["clocks"], seconds, judge(by_rule, chip, engine in TWO_STATE))


def _sources(macro: Path) -> list[Path]:
    """The body, and the passive checker unless it brings one of its own."""
    text = _COMMENT.sub(" ", macro.read_text(encoding="utf-8", errors="replace"))
    if re.search(rf"\bmodule\s+{CONTRACT}\b", text):
        return [macro]
    return [macro, Path(str(files("ohmloop_hdl.macro"))) / f"{CONTRACT}.sv"]


class _Watch:
    """Sets ``cancel`` when a file has not been written to for too long; while it is not there, a build is going on."""

    def __init__(self, progress: Path, timeout_s: float):
        self.cancel = threading.Event()
        self._progress, self._timeout_s = progress, timeout_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        seen, last = 0, began
        while not self._over.wait(_POLL_S):
            now = time.monotonic()
            stamp = self._progress.stat().st_mtime_ns if self._progress.exists() else 0
            if stamp != seen:
                seen, last = stamp, now
            if now - last > (self._timeout_s if seen else BUILD_LIMIT_S):
                self.cancel.set()
                return

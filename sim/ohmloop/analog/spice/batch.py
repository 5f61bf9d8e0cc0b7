"""One circuit through ``ngspice -b``: its DC point, and its transient from the moment the loop closes."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ohmloop.errors import OhmloopError

Array = NDArray[np.floating]

DC_OPTIONS = "reltol=1e-9 abstol=1e-18 vntol=1e-12 gmin=1e-18 itl1=1000"
"""Tolerances of a DC point: far inside the 10 uV that bodies are compared to."""

TRAN_OPTIONS = "reltol=1e-5 abstol=1e-14 vntol=1e-9 chgtol=1e-20 trtol=1 gmin=1e-18"
"""Tolerances of a transient."""

TIMEOUT_S = 600.0


class SpiceError(OhmloopError):
    """ngspice did not come to an end; the message is one line and holds its own last word."""

    exit_code = 3


@dataclass(frozen=True)
class Plot:
    """What ngspice wrote of one analysis: ``values`` (points, vectors), the first vector is time in a transient."""

    name: str
    vectors: tuple[str, ...]
    values: Array

    def volts(self, nodes: list[str]) -> Array:
        """Voltages (points, nodes)."""
        return self.values[:, [self.vectors.index(f"v({node})") for node in nodes]]

    @property
    def times_s(self) -> Array:
        """Time of every point of a transient, seconds."""
        return self.values[:, self.vectors.index("time")]


def operating_point(ngspice: Path, circuit: str, nodes: list[str]) -> Array:
    """DC voltages (nodes,). Raises :class:`SpiceError`."""
    return run(ngspice, circuit, nodes, ".op", DC_OPTIONS).volts(nodes)[0]


def transient(ngspice: Path, circuit: str, nodes: list[str], stop_s: float, step_s: float,
              options: str = TRAN_OPTIONS) -> tuple[Array, Array]:
    """Times (points,) in seconds and voltages (points, nodes) from the initial conditions of the netlist on.

    No step is longer than ``step_s``. Raises :class:`SpiceError`.
    """
    plot = run(ngspice, circuit, nodes, f".tran {step_s!r} {stop_s!r} 0 {step_s!r} uic", options)
    if plot.times_s[-1] < stop_s * (1 - 1e-6):
        raise SpiceError(f"ngspice: the transient ended at {plot.times_s[-1]:g} s, before {stop_s:g} s")
    return plot.times_s, plot.volts(nodes)


def run(ngspice: Path, circuit: str, nodes: list[str], analysis: str, options: str) -> Plot:
    """One analysis of a circuit; the voltages of ``nodes`` are kept. Raises :class:`SpiceError`."""
    saved = " ".join(f"v({node})" for node in nodes)
    with tempfile.TemporaryDirectory(prefix="ohmloop-") as folder:
        deck, raw = Path(folder, "loop.cir"), Path(folder, "loop.raw")
        deck.write_text(f"* ohmloop\n{circuit}.options {options}\n.save {saved}\n{analysis}\n.end\n")
        try:
            # -n: no start-up file of the user, which might change options.
            done = subprocess.run([ngspice, "-n", "-b", "-r", raw, deck], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise SpiceError(f"ngspice: no end after {TIMEOUT_S:g} s") from None
        if done.returncode or not raw.exists():
            raise SpiceError(f"ngspice: {_last_word(done.stdout + done.stderr)}")
        return read_raw(raw.read_bytes())


def read_raw(data: bytes) -> Plot:
    """A raw file of one analysis with real vectors, binary, as ngspice writes it."""
    header, _, body = data.partition(b"Binary:\n")
    lines = header.decode().splitlines()
    fields = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    count, points = int(fields["No. Variables"]), int(fields["No. Points"])
    vectors = tuple(line.split()[1].lower() for line in lines[-count:])
    return Plot(fields["Plotname"], vectors, np.frombuffer(body, "<f8", count * points).reshape(points, count))


def _last_word(text: str) -> str:
    """The line that says what is wrong, or the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "singular" in line.lower() or "too small" in line]
    return (wrong or lines or ["it ended without a word"])[-1]

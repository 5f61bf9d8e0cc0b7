"""Each imperfection alone, in every body, beside its first-order formula.

One loop, the heat plate of N points, settled after auto-zero; the entry is how far the outputs are from those of a
perfect chip, ||V - V0|| / ||V0||. The formula is :func:`ohmloop.analog.sensitivity.first_order_change`, the bodies are
numpy, the real-number SystemVerilog on Icarus, and ngspice.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.sensitivity import first_order_change, ideal_outputs
from ohmloop.analog.spice.batch import operating_point
from ohmloop.analog.spice.netlist import Setting, circuit, outputs
from ohmloop.command import ends
from ohmloop.engines.conformance.check import macro_parameters
from ohmloop.engines.cosim import run_bench
from ohmloop.engines.simulator import builds_folder
from ohmloop.engines.tools import find
from ohmloop.ensembles import heat
from ohmloop.errors import NotSolvedError
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from ohmloop_hdl.verilog import MACRO_SOURCES

MACRO_FOLDER = Path(__file__).resolve().parents[2] / "hdl/ohmloop_hdl/macro"
CODES_VARIABLE, HELD_VARIABLE = "OHMLOOP_EFFECT", "OHMLOOP_HELD"
"""Environment variables of the bench: what it programs and drives, and where it leaves the held outputs."""

IDEAL = AnalogParams.ideal()
SETTLED_CLOCKS = 100_000

ALONE: dict[str, tuple[dict[str, float], float]] = {
    "gain 70 dB": (dict(gain_dB=70.0), 0.02),
    "offset 1 mV, auto-zeroed": (dict(offset_sigma_V=1e-3), 1e-9),
    "offset 1 mV, no auto-zero": (dict(offset_sigma_V=1e-3, autozero_residue=1.0), 1e-9),
    "load 30 uS and gain": (dict(gain_dB=70.0, gpar_S=30e-6), 0.03),
    "mismatch 0.2 %": (dict(mismatch_sigma=0.002), 0.03),
    "gradient 0.2 %": (dict(gradient_sigma=0.002), 0.03),
    "bits 0.2 %": (dict(bit_sigma=0.002), 0.03),
    "negative rails 0.2 %": (dict(inverter_sigma=0.002), 0.03),
    "wires 2 ohm": (dict(wire_ohm=2.0), 0.05),
    "DAC elements 5 %": (dict(dac_element_sigma=0.05), 1e-9),
    "40 degrees warmer": (dict(temperature_C=67.0, offset_drift_V_per_C=0.0), 0.01),
    "drift of offsets, 40 degrees": (dict(temperature_C=67.0, cell_drift_per_C=0.0, gbw_drift_per_C=0.0), 1e-9),
    "supply 0.1 V lower": (dict(supply_V=1.1), 1e-9),
}
"""Name to changes of the ideal chip, and what second order may leave of the formula, as a part of the effect."""

BODIES_AGREE = 1e-6
"""Largest difference of two bodies, as a part of the effect; below 1 nV counts as none."""


@dataclass(frozen=True, eq=False)
class Effect:
    """Changes (N,) in volts of the outputs, as the formula and each body have them; V0 (N,)."""

    name: str
    ideal_V: np.ndarray
    predicted_V: np.ndarray
    by_body_V: dict[str, np.ndarray]

    def part(self, change_V: np.ndarray) -> float:
        """||dV|| / ||V0||."""
        return float(np.linalg.norm(change_V) / np.linalg.norm(self.ideal_V))

    @property
    def agrees(self) -> bool:
        """The bodies with one another, and numpy with the formula up to second order."""
        exact = self.by_body_V["numpy"]
        size = np.linalg.norm(exact)
        bodies = all(np.linalg.norm(change - exact) <= BODIES_AGREE * size + 1e-9 for change in self.by_body_V.values())
        return bodies and bool(np.linalg.norm(exact - self.predicted_V) <= (ALONE[self.name][1] + 1e-7) * size)


def plate(config: ChipConfig) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, N) of the heat plate and input codes (N,) that leave all outputs inside the rails."""
    codes = (heat(config.size) * (config.code_max // 5)).astype(np.int64)
    dac = np.random.default_rng(3).integers(-8, 9, config.size)
    return codes, dac


def measure(name: str, config: ChipConfig, folder: Path, bodies: tuple[str, ...] = ("numpy", "icarus", "ngspice"),
            ) -> Effect:
    """One effect in some bodies; files of the simulation go to ``folder``."""
    codes, dac = plate(config)
    die = Die.sample(config, replace(IDEAL, **ALONE[name][0]))
    ideal_V = ideal_outputs(codes, dac, die)
    found = {body: _body(body, die, codes, dac, folder) - ideal_V for body in bodies}
    return Effect(name, ideal_V, first_order_change(codes, dac, die), found)


def _body(body: str, die: Die, codes: np.ndarray, dac: np.ndarray, folder: Path) -> np.ndarray:
    if body == "numpy":
        macro = NumpyMacro(die)
        for plane, rows in enumerate(planes_of(codes, die.config)):
            for row, held in enumerate(rows):
                macro.write_row(plane, row, held)
        macro.autozero()
        macro.close(False, dac)
        macro.advance(SETTLED_CLOCKS)
        return macro.hold()[0]
    if body == "ngspice":
        setting = Setting(codes=planes_of(codes, die.config), level_V=die.input_V(dac), offset_V=die.zeroed_V)
        return operating_point(find("ngspice").path, circuit(die, setting, clamped=False), outputs(die.config.size))
    held = folder / "held.json"
    file = die.write_file(folder / "die.hex", codes if die.params.wire_ohm else None)
    config = die.config
    run_bench(
        body, sources=[MACRO_FOLDER / name for name in MACRO_SOURCES if name.endswith(".sv")],
        toplevel="ohmloop_macro", test_module="verification.spice.bench_effect", work=builds_folder(),
        parameters=macro_parameters(config),
        plusargs=[f"+ohmloop_macro={file}"], public={"ohmloop_macro": ["held_bits"]},
        env={CODES_VARIABLE: json.dumps({"codes": codes.tolist(), "dac": dac.tolist(), "cell_bits": config.cell_bits,
                                         "dac_bits": config.dac_bits}), HELD_VARIABLE: str(held)},
        python_path=[Path(__file__).resolve().parents[2]])
    return np.array(json.loads(held.read_text()))


def main():
    """Arguments in, table out; exit code 3 where a body disagrees."""
    parser = argparse.ArgumentParser(prog="make effects", description="Imperfections in every body.")
    parser.add_argument("--config", choices=CONFIGS, default="lab")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    config, console = config_named(options.config), Console()
    with tempfile.TemporaryDirectory() as folder:
        names = track(ALONE, "effects", console=console, transient=True)
        effects = [measure(name, config, Path(folder)) for name in names]
    bodies = list(effects[0].by_body_V)
    table = Table("effect", "formula", *bodies, title_justify="left",
                  title=f"Change of the outputs, heat plate of {config.size} points, part of the outputs")
    for effect in effects:
        table.add_row(effect.name, *(f"{effect.part(change):.4%}" for change in
                                     (effect.predicted_V, *effect.by_body_V.values())))
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({e.name: {"formula": e.part(e.predicted_V)} | {
            body: e.part(change) for body, change in e.by_body_V.items()} for e in effects}, indent=2) + "\n")
    wrong = [effect.name for effect in effects if not effect.agrees]
    if wrong:
        raise NotSolvedError(f"bodies or formula disagree: {', '.join(wrong)}")


if __name__ == "__main__":
    ends("effects", main)

#!/usr/bin/env python3
"""Synthesises the chip for an ECP5 with pyosys and prints what each block takes: LUT4, flip-flops, block RAM, DSP.

The macro is a black box. Run as ``make area [CONFIG=chip64]``; the folder of the run keeps the netlist and the log.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.verilog import BLACK_BOX, TOP, write_project

CELLS = {
    "LUT4": "LUT4", "TRELLIS_FF": "flops", "DP16KD": "block RAM", "TRELLIS_DPR16X4": "LUT RAM", "MULT18X18D": "DSP",
    "CCU2C": "carry", "PFUMX": "wide mux", "L6MUX21": "wide mux",
}
"""Cells of the library that are counted, by column."""

COLUMNS = ("LUT4", "carry", "LUT RAM", "flops", "block RAM", "DSP")

LUTS = {"LUT4": 1, "carry": 2, "LUT RAM": 4}
"""Four-input tables that a cell of a column takes: a carry cell two, a 16 x 4 memory four."""


def synthesise(black_box: Path, chip: Path, out: Path) -> dict:
    """The netlist as Yosys writes it in JSON, with the hierarchy kept down to the blocks of the chip."""
    netlist, log = out / "netlist.json", out / "yosys.log"
    # Only a block's own name: what is in it has one dot more, and is made part of it.
    blocks = re.findall(rf"^module (\\{TOP}\.chip(?:\.[^.\s]+)?) \(", chip.read_text(), flags=re.MULTILINE)
    commands = [f"read_verilog {black_box} {chip}", f"hierarchy -top {TOP}", "proc",
                *(f"setattr -mod -set keep_hierarchy 1 {block}" for block in blocks), "flatten", "opt_clean",
                # ABC makes names of its own, and finds some of them taken.
                "rename -hide w:* c:*", f"synth_ecp5 -top {TOP} -nowidelut -json {netlist}"]
    # In a process of its own, because Yosys prints from C++ and ends the process on an error.
    program = ("import sys\nfrom pyosys import libyosys as ys\ndesign = ys.Design()\n"
               "for command in sys.argv[1:]:\n    ys.run_pass(command, design)\n")
    with log.open("w") as file:
        done = subprocess.run([sys.executable, "-c", program, *commands], stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        tail = log.read_text().splitlines()[-3:]
        raise SystemExit(f"area: synthesis failed, log: {log}\n" + "\n".join(tail))
    return json.loads(netlist.read_text())


def count(modules: dict, name: str) -> Counter[str]:
    """Cells of a module and of everything in it."""
    total: Counter[str] = Counter()
    for cell in modules[name]["cells"].values():
        if cell["type"] in CELLS:
            total[CELLS[cell["type"]]] += 1
        elif cell["type"] in modules and modules[cell["type"]]["cells"]:
            total += count(modules, cell["type"])
    return total


def report(modules: dict, top: str) -> list[tuple[str, Counter[str]]]:
    """One row a block of the chip, one for what stands between them, one for all."""
    chip = next(cell["type"] for cell in modules[top]["cells"].values() if re.search(r"chip$", cell["type"]))
    rows, inside = [], Counter()
    for cell in modules[chip]["cells"].values():
        if cell["type"] in modules and modules[cell["type"]]["cells"]:
            # Blocks of equal kind are numbered, `slots$723`.
            name = cell["type"].split(".")[-1].partition("$")[0]
            counted = count(modules, cell["type"])
            rows.append((name, counted))
            inside += counted
    total = count(modules, top)
    rows.sort(key=lambda row: -row[1]["LUT4"])
    return [*rows, ("between the blocks", total - inside), ("chip", total)]


def main() -> int:
    """Parse the options, synthesise, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", choices=tuple(CONFIGS), default="chip64")
    parser.add_argument("--out", type=Path, default=Path("build/area"))
    options = parser.parse_args()
    out = options.out / options.config
    files = {path.name: path for path in write_project(CONFIGS[options.config], out)}
    modules = synthesise(files[BLACK_BOX], files[f"{TOP}.v"], out)["modules"]
    print(f"{'block':20}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'all as LUT4':>13}")
    for name, counted in report(modules, TOP):
        luts = sum(counted[column] * weight for column, weight in LUTS.items())
        print(f"{name:20}" + "".join(f"{counted[column]:12}" for column in COLUMNS) + f"{luts:13}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

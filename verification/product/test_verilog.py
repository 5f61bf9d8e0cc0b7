"""The Verilog that a user takes away: the same every time, free of machine paths, clean, with one macro inside."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.lib.wiring import Out

from ohmloop.engines.tools import find, run_environment
from ohmloop_hdl.chip import HOSTS
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.macro.pins import MacroPins
from ohmloop_hdl.verilog import BLACK_BOX, MACRO, TOP, chip_verilog, write_project

PORTS = {"clk", "rst", "interrupt"} | {f"s_axil_{name}" for name in (
    "awaddr", "awprot", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid", "bready",
    "araddr", "arprot", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready")}
PORTS |= {f"{stream}_{name}" for stream in ("s_axis", "m_axis") for name in ("tdata", "tlast", "tvalid", "tready")}
"""The canonical names; what starts with ``trace_`` comes on top."""


SINGLE = ChipConfig(size=8, adcs=2, lanes=2)
"""One converter a lane: memories of one word."""


def write(config: str, out: Path, hash_seed: str) -> dict[str, str]:
    """Files that ``ohmloop verilog`` writes, by name, from a process of its own."""
    command = [sys.executable, "-m", "ohmloop", "verilog", "--config", config, "--out", str(out)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": hash_seed}, stdout=subprocess.DEVNULL)
    return {path.name: path.read_text() for path in out.iterdir()}


@pytest.mark.parametrize("config", CONFIGS)
def test_verilog_is_identical_and_names_no_machine(config: str, tmp_path: Path):
    first, second = write(config, tmp_path / "one", "1"), write(config, tmp_path / "two", "2")
    assert first == second
    root = str(Path(__file__).resolve().parents[2])
    for name, text in first.items():
        assert root not in text and str(tmp_path) not in text and sys.prefix not in text, name
        assert "src =" not in text, name
    assert set(first["files.f"].split()) <= set(first)


def test_top_level_ports_are_canonical():
    header = chip_verilog(CONFIGS["tiny"]).split(f"module {TOP}(")[1].split(");")[0]
    ports = set(re.findall(r"\w+", header))
    assert {port for port in ports if not port.startswith("trace_")} == PORTS


def test_black_box_has_the_pins_of_the_contract():
    text = (Path(sys.modules[MacroPins.__module__].__file__ or "").parent / BLACK_BOX).read_text()
    body = text.split(f"module {MACRO}")[1].split("endmodule")[0]
    declared = {name: side for side, name in re.findall(r"^ *(input|output) +wire.*?(\w+),?$", body, re.M)}
    wanted = {name: "input" if member.flow == Out else "output"
              for name, member in MacroPins(CONFIGS["tiny"]).members.items()}
    assert declared == wanted | {"clk": "input"}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("body", ["files.f", "files_dpi.f", BLACK_BOX])
def test_verilator_finds_nothing_beyond_the_waivers(config: str, body: str, tmp_path: Path):
    files = write(config, tmp_path, "0")
    lint(tmp_path, files[body].split() if body.endswith(".f") else ["generated.vlt", BLACK_BOX, f"{TOP}.v"])


@pytest.mark.parametrize("host", HOSTS)
def test_verilator_finds_nothing_in_the_narrowest_chip(host: str, tmp_path: Path):
    write_project(SINGLE, tmp_path, host)
    lint(tmp_path, (tmp_path / "files.f").read_text().split())


def lint(folder: Path, sources: list[str]) -> None:
    """Verilator reads the sources without a word."""
    found = subprocess.run(
        [str(find("verilator").path), "--lint-only", "-Wall", "--unroll-count", "1", "--top-module", TOP, *sources],
        cwd=folder, env=run_environment(), capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_icarus_elaborates_the_black_box_chip(tmp_path: Path):
    write("lab", tmp_path, "0")
    built = subprocess.run(
        [str(find("icarus").path), "-g2012", "-s", TOP, "-o", "chip.vvp", BLACK_BOX, f"{TOP}.v"],
        cwd=tmp_path, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")

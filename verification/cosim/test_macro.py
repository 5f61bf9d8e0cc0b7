"""The real-number SystemVerilog macro against the numpy macro, on both simulators."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from verification.cosim.bench_macro import PARAMS, die_named

from ohmloop.engines.cosim import run_bench
from ohmloop.engines.ports import port_names
from ohmloop.engines.tools import find, run_environment
from ohmloop_hdl.config import config_named
from ohmloop_hdl.macro.pins import MacroPins
from ohmloop_hdl.verilog import macro_build

ROOT = Path(__file__).parents[2]
MACRO = ROOT / "hdl/ohmloop_hdl/macro"
WORK = ROOT / "build/cosim/macro"


def parameters(config: str) -> dict[str, int]:
    """Parameters of ``ohmloop_macro`` for a named configuration."""
    chip = config_named(config)
    return {"N": chip.size, "CELL_BITS": chip.cell_bits, "DAC_BITS": chip.dac_bits, "ADC_BITS": chip.adc_bits,
            "ADCS": chip.adcs}


def run(engine: str, config: str, test: str, folder: Path, params: str = "ideal", stimulus: str = "everything",
        with_file: bool = True, toplevel: str = "ohmloop_macro", dpi: bool = False, seed: str = "") -> Path:
    """One bench run; returns the place of its report."""
    seed = seed or os.environ.get("OHMLOOP_SEED", str(random.randrange(1 << 32)))
    build = macro_build(dpi)
    report = folder / "report.json"
    print(f"OHMLOOP_SEED={seed}")
    file = die_named(config, params).write_file(folder / "die.hex")
    run_bench(
        engine, sources=[MACRO / name for name in build.sources], defines=build.defines, toplevel=toplevel,
        test_module="bench_macro", testcase=test, work=WORK, parameters=parameters(config),
        plusargs=[f"+ohmloop_macro={file}"] if with_file else [],
        env={"MACRO_CONFIG": config, "MACRO_PARAMS": params, "MACRO_STIMULUS": stimulus, "OHMLOOP_SEED": seed,
             "MACRO_REPORT": str(report)},
        python_path=[Path(__file__).parent],
        public={"ohmloop_macro": ["held_bits"], "ohmloop_contract": ["violations"]})
    return report


@pytest.mark.parametrize("name", ["ohmloop_macro.sv", "blackbox.v"])
def test_pins_are_those_of_the_contract(name):
    pins = ["clk", *MacroPins(config_named("chip64")).members]
    assert port_names([MACRO / name], "ohmloop_macro") == pins


@pytest.mark.parametrize("dpi", [False, True])
@pytest.mark.parametrize("config", ["tiny", "chip64hp"])
def test_sources_are_free_of_warnings(config, dpi):
    build = macro_build(dpi)
    command = [find("verilator").path, "--lint-only", "-Wall", "--unroll-count", "1", "--top", "ohmloop_macro",
               *(f"-G{name}={value}" for name, value in parameters(config).items()),
               *(f"-D{name}" for name in build.defines), *(MACRO / name for name in build.sources)]
    lint = subprocess.run(command, env=run_environment(), capture_output=True, text=True)
    assert lint.returncode == 0 and "%Warning" not in lint.stderr, lint.stderr


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
@pytest.mark.parametrize("params", ["ideal", "ideal_node", "reference", "reference_slaved", "reference_detailed"])
@pytest.mark.parametrize("config", ["tiny", "lab"])
def test_bodies_agree(engine, config, params, tmp_path):
    report = run(engine, config, "equivalence", tmp_path, params)
    print(json.loads(report.read_text()))


@pytest.mark.parametrize("config, params", [("chip64", "ideal"), ("chip64", "reference"), ("chip64hp", "reference")])
def test_bodies_agree_at_full_size(config, params, tmp_path):
    report = run("verilator", config, "equivalence", tmp_path, params, "few")
    print(json.loads(report.read_text()))


@pytest.mark.parametrize(("config", "params", "stimulus"), [
    *((config, params, "everything") for config in ("tiny", "lab") for params in PARAMS),
    ("chip64", "reference", "few"), ("chip64hp", "reference_slaved", "few")])
def test_arithmetic_in_c_gives_the_same_bits(config, params, stimulus, tmp_path):
    seed, recorded = str(random.randrange(1 << 32)), []
    for dpi in (False, True):
        folder = tmp_path / str(dpi)
        folder.mkdir()
        report = run("verilator", config, "record", folder, params, stimulus, dpi=dpi,
                     seed=os.environ.get("OHMLOOP_SEED", seed))
        recorded.append(report.read_text().splitlines())
    assert len(recorded[0]) > 100 and len(set(recorded[0])) > 20
    for in_sv, in_c in zip(*recorded, strict=True):
        assert in_c == in_sv


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
def test_built_in_parameters_are_ideal(engine, tmp_path):
    run(engine, "tiny", "equivalence", tmp_path, "ideal", with_file=False)


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
def test_checker_counts_every_breach(engine, tmp_path):
    run(engine, "tiny", "breaches", tmp_path, with_file=False, toplevel="ohmloop_contract")


def test_checker_sees_unknown_pins(tmp_path):
    run("icarus", "tiny", "unknown_pins", tmp_path, with_file=False, toplevel="ohmloop_contract")

"""The real-number SystemVerilog macro against the numpy macro, on both simulators."""

import json
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from verification.cosim import macro_speed
from verification.cosim.against_golden import SOLVE, planned_job
from verification.cosim.bench_macro import PARAMS, die_named
from verification.cosim.test_solve import BACK_AND_FORTH

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.cosim import run_bench
from ohmloop.engines.ports import port_names
from ohmloop.engines.simulator import SimulatorEngine
from ohmloop.engines.tools import find, run_environment
from ohmloop.ensembles import ensemble
from ohmloop.host.job import job_script
from ohmloop.plan.planner import plan_system
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
        with_file: bool = True, toplevel: str = "ohmloop_macro", dpi: bool = False, seed: str = "",
        sources: Path = MACRO) -> Path:
    """One bench run; returns the place of its report."""
    # Only so many builds of one name are kept in a folder.
    work = WORK if not dpi else WORK / ("dpi" if sources == MACRO else "wrong_dpi")
    seed = seed or os.environ.get("OHMLOOP_SEED", str(random.randrange(1 << 32)))
    build = macro_build(dpi)
    report = folder / "report.json"
    print(f"OHMLOOP_SEED={seed}")
    file = die_named(config, params).write_file(folder / "die.hex")
    run_bench(
        engine, sources=[sources / name for name in build.sources], defines=build.defines, toplevel=toplevel,
        test_module="bench_macro", testcase=test, work=work, parameters=parameters(config),
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


@pytest.mark.parametrize(("config", "engine"), [("tiny", "icarus"), ("lab", "icarus"), ("lab", "verilator")])
@pytest.mark.parametrize("params", ["ideal", "ideal_node", "reference", "reference_slaved", "reference_detailed"])
def test_bodies_agree(engine, config, params, tmp_path):
    report = run(engine, config, "equivalence", tmp_path, params)
    print(json.loads(report.read_text()))


@pytest.mark.parametrize("config, params", [("chip64", "ideal"), ("chip64", "reference"), ("chip64hp", "reference")])
def test_bodies_agree_at_full_size(config, params, tmp_path):
    report = run("verilator", config, "equivalence", tmp_path, params, "few")
    print(json.loads(report.read_text()))


@pytest.mark.parametrize(("config", "params", "stimulus"), [
    *(("lab", params, "everything") for params in PARAMS), ("tiny", "reference", "everything"),
    ("chip64", "reference", "few")])
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


@pytest.mark.parametrize(("old", "new"), [
    ("for (int k = 0; k < n; k++) {\n            Four x0", "for (int k = 1; k < n; k++) {\n            Four x0"),
    ("scale*(x2[q] - old2*leak)", "(scale*x2[q] - scale*(old2*leak))"),
    ("sum -= f[i + j*stride]*V[j];", "sum -= f[i + j*stride]*(V[j]*(1.0 + 4.0e-16));"),
    ("fabs(left[i]) > fabs(left[best])", "fabs(left[i]) < fabs(left[best])"),
    ("if (!bounded || power == LAST_POWER) return 1;", "if (!bounded || power == LAST_POWER) return 0;"),
], ids=["a_term_missing", "a_rounding", "a_last_bit", "smallest_pivot", "no_runaway"])
def test_a_wrong_line_in_c_is_seen(old, new, tmp_path):
    """Comparing bits tells even a fault of one rounding."""
    for name in macro_build(dpi=True).sources:
        text = (MACRO / name).read_text()
        if name.endswith(".c"):
            assert text.count(old) == 1
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    seed = os.environ.get("OHMLOOP_SEED", str(random.randrange(1 << 32)))
    right, wrong = (run("verilator", "lab", "record", tmp_path, "reference", "few", dpi=True, seed=seed,
                        sources=folder).read_text() for folder in (MACRO, tmp_path))
    assert right != wrong


def test_a_chip_solves_the_same_with_the_arithmetic_in_c(work):
    die = Die.sample(config_named("chip64"), AnalogParams.reference())
    jobs = []
    for name, seed in (("diagdom", 1), ("spdlog", 2)):
        plan = plan_system(ensemble(name, die.config.size, cond=10.0, seed=seed), die.config, die.params)
        b = np.random.default_rng(seed).standard_normal(die.config.size)
        jobs += [planned_job(plan, b, die.config, words) for words in (SOLVE, BACK_AND_FORTH)]
    shown = []
    for macro in (None, MACRO / "ohmloop_macro.sv"):
        with SimulatorEngine("verilator", die, work, macro=macro) as chip:
            for job in jobs:
                outcome, trace = chip.execute(job_script(die.config, job)), chip.take_trace()
                shown.append((macro is None, outcome, trace))
    in_c, in_sv = ([(outcome, trace) for c, outcome, trace in shown if c is wanted] for wanted in (True, False))
    for (outcome_c, trace_c), (outcome_sv, trace_sv) in zip(in_c, in_sv, strict=True):
        assert len(trace_c.scans) >= 2 and np.array_equal(trace_c.scans, trace_sv.scans)
        assert trace_c.phases == trace_sv.phases
        assert np.array_equal(outcome_c.mantissas, outcome_sv.mantissas)
        assert (outcome_c.exponent, outcome_c.status) == (outcome_sv.exponent, outcome_sv.status)


def test_speed_is_measured_on_the_same_codes():
    timed, spice_s = macro_speed.measure(config_named("lab"), repeats=2, rounds=1)
    in_sv, in_c = timed.values()
    assert in_sv.codes == in_c.codes and in_sv.clocks == in_c.clocks
    for name, codes in in_c.codes.items():
        assert len(set(bytes.fromhex(codes))) > 1, name  # neither nothing nor all at the top
        assert min(in_sv.tables_s, in_c.tables_s, in_sv.solve_s[name], in_c.solve_s[name], spice_s[name]) > 0


def test_macros_of_several_sizes_share_a_design(tmp_path):
    """The C functions are declared once for all sizes."""
    bits = {"row": "N", "write_data": "4*N", "dac": "8*N", "drive_range": "3", "feedback": "2", "bandwidth": "2",
            "trial": "32"}
    pins = ", ".join(f".{name}(pins[{bits.get(name, '1')}-1:0])" for name in
                     MacroPins(config_named("tiny")).members if name not in ("sense", "above", "clipped"))
    top = tmp_path / "two.sv"
    top.write_text(f"""module two(input wire clk, input wire [255:0] pins, output wire [5:0] any);
    for (genvar size = 0; size < 2; size = size + 1) begin : macros
        localparam int N = 4 << size;
        wire [4*N-1:0] sense;
        wire [3:0] above;
        wire [N-1:0] clipped;
        ohmloop_macro #(.N(N), .ADCS(4)) macro (.clk(clk), {pins}, .sense(sense), .above(above), .clipped(clipped));
        assign any[3*size +: 3] = {{^sense, ^above, ^clipped}};
    end
endmodule
""")
    build = macro_build(dpi=True)
    command = [find("verilator").path, "--cc", "--unroll-count", "1", "-Wno-fatal", "--top", "two", "-Mdir", tmp_path,
               *(f"-D{name}" for name in build.defines), top, *(MACRO / name for name in build.sources)]
    done = subprocess.run(command, env=run_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
def test_built_in_parameters_are_ideal(engine, tmp_path):
    run(engine, "tiny", "equivalence", tmp_path, "ideal", with_file=False)


@pytest.mark.parametrize("engine", ["icarus", "verilator"])
def test_checker_counts_every_breach(engine, tmp_path):
    run(engine, "tiny", "breaches", tmp_path, with_file=False, toplevel="ohmloop_contract")


def test_checker_sees_unknown_pins(tmp_path):
    run("icarus", "tiny", "unknown_pins", tmp_path, with_file=False, toplevel="ohmloop_contract")

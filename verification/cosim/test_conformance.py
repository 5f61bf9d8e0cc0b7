"""The conformance kit: our body breaks no rule, wrong bodies are named by the rule that they break and by no other."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from verification.cosim.conftest import installed

from ohmloop.engines.conformance.check import Checked, check_macro
from ohmloop.engines.conformance.rules import BY_NAME, IDEAL, REFERENCE, RULES, UNDECIDED
from ohmloop.engines.cosim import ENGINES
from ohmloop_hdl.config import config_named
from ohmloop_hdl.verilog import macro_build

ROOT = Path(__file__).resolve().parents[2]
MACRO = ROOT / "hdl/ohmloop_hdl/macro/ohmloop_macro.sv"
WORK = ROOT / "build/cosim/conformance"


@dataclass(frozen=True)
class Mutant:
    """Our body with one fault: each ``old`` text, which it has once, becomes ``new``."""

    name: str
    broken: set[str]
    patches: list[tuple[str, str]]
    chip: str = IDEAL
    engines: tuple[str, ...] = ("icarus",)  # which builds them at once; the likeliest faults run on both

    def write(self, folder: Path) -> Path:
        """The file; fails where a patch does not fit our body any more."""
        text = MACRO.read_text()
        for old, new in self.patches:
            assert text.count(old) == 1, f"{self.name}: {old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        path = folder / f"{self.name}.sv"
        path.write_text(text)
        return path


MUTANTS = [
    Mutant("threshold_in_the_middle", {"tie"}, [(
        "v - ratio*full_scale_V", "v - (ratio + TIE_LSB/real'(LEVELS_ADC/2))*full_scale_V")],
        engines=ENGINES),
    Mutant("runaway_settles_at_zero", {"runaway", "nan-reads-top"}, [(
        "else if (runaway) v = $bitstoreal(NOT_A_NUMBER);", "else if (runaway) v = 0.0;")]),
    Mutant("nan_reads_bottom", {"nan-reads-top"}, [
        ("above[a] = !(", "above[a] = ("), ("int'(place)) < 0.0);", "int'(place)) >= 0.0);")],
        engines=ENGINES),
    Mutant("planes_swapped_at_the_lines", {"planes"}, [("{plane, position(row)}", "{!plane, position(row)}")]),
    Mutant("planes_swapped_in_the_loop", {"planes"}, [
        ("= g_plus - rail_gain[j]*g_minus;", "= rail_gain[j]*g_minus - g_plus;")], engines=ENGINES),
    Mutant("late_comparator", {"comparator-timing"}, [
        ("always @(trial or mux or samples) compare;", "always @(posedge clk) compare;")], engines=ENGINES),
    Mutant("mux_counts_converters", {"mux-order"}, [
        ("a*STEPS + (STEPS == 1 ? 0 : int'(mux))", "a + (STEPS == 1 ? 0 : int'(mux)*ADCS)")], engines=ENGINES),
    Mutant("autozero_ignored", {"autozero"}, [
        ("if (autozero === 1'b1) zeroed = 1'b1;", "")], chip=REFERENCE),
    Mutant("clip_does_not_latch", {"clip-latches"}, [("if (flags != '0) frozen = 1'b1;", "")]),
    Mutant("drive_range_ignored", {"drive-range"}, [("real'(diagonal ? 1 : 1 << drive_range)", "1.0")]),
    Mutant("first_clock_missing", {"clock-count"}, [("pending = 1;", "pending = 0;")]),
    Mutant("matrix_transposed", {"rows-columns"}, [
        ("matrix[i*N + j] = g_plus", "matrix[j*N + i] = g_plus")]),
    # Within 1/4 LSB everywhere: only what allows no difference is broken.
    Mutant("a_tenth_of_an_lsb_off", {"tie"}, [
        ("else v = dc_V[i] + dev_V[i];", "else v = (dc_V[i] + dev_V[i])*1.001;")]),
    Mutant("sense_floats", {"unknown"}, [("cells[line] : '0;", "cells[line] : 'x;")]),
]
"""Wrong bodies, and all the rules that each breaks."""

CASES = [(engine, mutant) for mutant in MUTANTS for engine in mutant.engines]


def check(macro: Path, engine: str, seed: int, config: str = "tiny", chip: str = IDEAL, folder: str = "ours",
          **options) -> Checked:
    """Verdicts of a body, which is built in a folder of its own, so that builds do not crowd out each other."""
    print(f"OHMLOOP_SEED={seed}")
    return check_macro(macro, config_named(config), installed(engine), chip, WORK / folder, seed=seed, **options)


@pytest.mark.parametrize(("engine", "mutant"), CASES, ids=lambda case: getattr(case, "name", case))
def test_a_wrong_body_is_named_by_its_rule_and_no_other(engine: str, mutant: Mutant, seed: int, tmp_path: Path):
    checked = check(mutant.write(tmp_path), engine, seed, chip=mutant.chip, folder=mutant.name)
    assert checked.failure == "" and set(checked.broken) == mutant.broken
    for verdict in checked.verdicts:
        if verdict.rule.name in mutant.broken:
            first = verdict.finding.first
            assert verdict.finding.count > 0 and first is not None and first.given != first.expected


@pytest.mark.parametrize(("engine", "config", "chip", "dpi"), [
    ("icarus", "tiny", IDEAL, False), ("verilator", "tiny", IDEAL, False), ("icarus", "tiny", REFERENCE, False),
    ("verilator", "lab", IDEAL, False), ("verilator", "lab", REFERENCE, False),
    ("verilator", "tiny", IDEAL, True), ("verilator", "tiny", REFERENCE, True), ("verilator", "lab", REFERENCE, True)])
def test_our_body_breaks_no_rule(engine: str, config: str, chip: str, dpi: bool, seed: int):
    build = macro_build(dpi)
    further = [MACRO.with_name(name) for name in build.sources if name.endswith(".c")]
    checked = check(MACRO, engine, seed, config, chip, further=further, defines=build.defines)
    assert checked.failure == "" and checked.broken == []
    undecided = {verdict.rule.name for verdict in checked.verdicts if verdict.verdict == UNDECIDED}
    hidden = {rule.name for rule in RULES if rule.chip not in (None, chip)}
    assert undecided == hidden | ({"unknown"} if engine == "verilator" else set())


@pytest.mark.parametrize(("fault", "text"), [
    ("initial while (1) begin end", "did not return within 5 s, at power-up"),
    ("always @(posedge clk) while (close_multiply) begin end", "did not return within 5 s, at planes"),
    ("always @(posedge clk) if (close_multiply) $fatal(1, \"no\");", "ended the simulation, at planes"),
    ("always @(posedge clk) if (close_multiply) $finish;", "ended the simulation, at planes"),
])
def test_a_body_that_does_not_come_to_an_end_is_one_line(fault: str, text: str, seed: int, tmp_path: Path):
    source = MACRO.read_text()
    macro = tmp_path / "stops.sv"
    end = source.rindex("endmodule")
    macro.write_text(f"{source[:end]}{fault}\n{source[end:]}")
    checked = check(macro, "icarus", seed, folder="stops", timeout_s=5.0)
    assert text in checked.failure and "\n" not in checked.failure and checked.verdicts == []


def test_rules_need_rules_that_are_decided_before_them():
    seen: set[str] = set()
    for rule in RULES:
        assert set(rule.needs) <= seen, rule.name
        seen.add(rule.name)
    assert len(BY_NAME) == len(RULES)

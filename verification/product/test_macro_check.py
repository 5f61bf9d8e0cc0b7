"""``ohmloop macro-check`` as a user runs it: refusals in one line, exit codes, the table and the file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ohmloop.engines.conformance.rules import BROKEN, KEPT, RULES, Finding, Sighting, judge
from ohmloop.engines.simulator import BUILDS_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
MACRO = ROOT / "hdl/ohmloop_hdl/macro/ohmloop_macro.sv"
BUILDS = ROOT / "build/cosim/macro_check"


def macro_check(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as typed."""
    return subprocess.run([sys.executable, "-m", "ohmloop", "macro-check", *map(str, arguments)], cwd=cwd,
                          capture_output=True, text=True, timeout=600,
                          env=os.environ | {BUILDS_VARIABLE: str(BUILDS), "COLUMNS": "120"})


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that refuses its input."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("ohmloop: ") and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(("change", "arguments", "line"), [
    (None, (), "macro must be a file that exists, not "),
    (lambda text: text.replace("module ohmloop_macro", "module my_macro"), (),
     "must hold a module ohmloop_macro, has none"),
    (lambda text: "", (), "must hold a module ohmloop_macro, has none"),
    (lambda text: text.replace("autozero, ", "").replace("autozero,", "zero,", 1), (),
     "must have the ports of the contract; it lacks autozero and has also zero"),
    (lambda text: text.replace("[N*DAC_BITS-1:0]                                dac", "[7:0] dac", 1)
     .replace("[N*DAC_BITS-1:0]                           dac", "[7:0] dac", 1),
     ("--engine", "icarus"), "port dac must have 32 bits at tiny, not 8"),
    (lambda text: text.replace("endmodule", "wire = 1; endmodule"), ("--engine", "icarus"), "does not build on icarus"),
    (str, ("--engine", "vcs"), "--engine must be one of icarus, verilator, both, not 'vcs'"),
    (str, ("--config", "chip65"), "config must be one of tiny, lab, chip64, chip64hp, not 'chip65'"),
    (str, ("--timeout", "0"), "--timeout must be above 0 s, not 0"),
])
def test_bad_input_is_one_line(change: Callable[[str], str] | None, arguments: tuple[str, ...], line: str,
                               tmp_path: Path):
    macro = tmp_path / "mine.sv"
    if change is not None:
        macro.write_text(change(MACRO.read_text()))
    assert line in refused(macro_check(macro, *arguments, cwd=tmp_path))


def test_our_macro_passes(tmp_path: Path):
    file = tmp_path / "new" / "verdicts.json"
    done = macro_check(MACRO, "--json", file, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    written = json.loads(file.read_text())
    assert (written["config"], written["chip"]) == ("tiny", "ideal")
    assert [entry["engine"] for entry in written["engines"]] == ["icarus", "verilator"]
    for entry in written["engines"]:
        assert [rule["name"] for rule in entry["rules"]] == [rule.name for rule in RULES]
        assert all(rule["count"] == 0 for rule in entry["rules"])
    assert all(rule.name in done.stdout for rule in RULES)


def test_a_wrong_macro_is_shown_and_ends_with_3(tmp_path: Path):
    macro, file = tmp_path / "mine.sv", tmp_path / "verdicts.json"
    macro.write_text(MACRO.read_text().replace("{plane, position(row)}", "{!plane, position(row)}"))
    done = macro_check(macro, "--engine", "icarus", "--json", file, cwd=tmp_path)
    assert done.returncode == 3 and done.stderr == f"ohmloop: {macro}: breaks planes\n"
    assert "needs planes" in done.stdout
    rules = {rule["name"]: rule for rule in json.loads(file.read_text())["engines"][0]["rules"]}
    broken = rules["planes"]
    assert broken["verdict"] == BROKEN and broken["count"] > 1 and broken["first"]["output"] == "above"
    assert broken["first"]["clock"] > 0 and broken["first"]["pins"]["dac"]
    assert str(broken["first"]["clock"]) in done.stdout


def test_a_macro_that_hangs_is_one_line_and_ends_with_3(tmp_path: Path):
    macro = tmp_path / "mine.sv"
    macro.write_text(MACRO.read_text().replace("wire fall =", "initial while (1) begin end\n    wire fall ="))
    done = macro_check(macro, "--engine", "icarus", "--timeout", "3", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == f"ohmloop: {macro}: on icarus it did not return within 3 s, at power-up\n"


def findings(**counts: int) -> dict[str, Finding]:
    """All rules looked at, these broken so often."""
    first = Sighting(1, "above", "0", "1", {})
    given = {name.replace("_", "-"): count for name, count in counts.items()}
    return {rule.name: Finding(rule.name, looks=9, count=given.get(rule.name, 0),
                               first=first if rule.name in given else None) for rule in RULES}


def test_verdicts_follow_needs():
    def verdicts(**counts: int) -> dict[str, tuple[str, str]]:
        return {v.rule.name: (v.verdict, v.reason) for v in judge(findings(**counts), "ideal", two_state=False)}

    assert {name for name, (verdict, _) in verdicts().items() if verdict != KEPT} == {"autozero"}
    assert verdicts(sequence=2)["sequence"] == (BROKEN, "")
    found = verdicts(planes=1, runaway=1, tie=1, sequence=5, sense=1)
    assert {name for name, (verdict, _) in found.items() if verdict == BROKEN} == {"planes", "sense"}
    assert found["runaway"] == ("undecided", "needs planes") and found["sequence"] == ("undecided", "needs sense")

"""Imports run downwards only: every module stands on a floor, and imports from its own or a lower one, in no circle."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FLOORS = {
    "ohmloop_hdl": ("config fixed isa events parity macro host.map host.window host.bus sequencer.traps sequencer.unit",
                    "convert.sar drive array vector sequencer.program sequencer.counters host",
                    "loop convert sequencer",
                    "chip",
                    "verilog"),
    "ohmloop": ("errors command readers ensembles analog",
                "golden energy",
                "engines",
                "plan",
                "host",
                "solvers",
                "report sweep bench",
                "cli",
                "__main__"),
}
"""Modules and packages by floor, lowest first; the longest name that fits a module counts."""


def modules(package: str) -> dict[str, Path]:
    """Dotted names and files of a source root's package."""
    root = ROOT / ("hdl" if package == "ohmloop_hdl" else "sim")
    return {".".join(path.relative_to(root).with_suffix("").parts): path
            for path in (root / package).rglob("*.py") if path.name != "__init__.py"}


def floor_of(module: str) -> int:
    """The floor of a module; a test fails when it stands on none."""
    package, _, name = module.partition(".")
    found = [(len(entry), floor) for floor, entries in enumerate(FLOORS[package]) for entry in entries.split()
             if name == entry or name.startswith(entry + ".")]
    assert found, f"{module} stands on no floor"
    return max(found)[1]


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules out of ``known`` that a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & set(known)


def test_no_import_runs_upwards_and_none_in_a_circle():
    hardware, software = modules("ohmloop_hdl"), modules("ohmloop")
    graph = {module: imported(path, hardware | software) for module, path in (hardware | software).items()}
    upwards = [f"{module} imports {other}" for module, others in graph.items() for other in others
               if module.split(".")[0] == other.split(".")[0] and floor_of(other) > floor_of(module)]
    assert upwards == []
    assert [f"{module} imports {other}" for module, others in graph.items() for other in others
            if module in hardware and other in software] == []
    graphlib.TopologicalSorter(graph).prepare()


def test_package_files_hold_a_docstring_and_nothing_else():
    public = ROOT / "sim/ohmloop/__init__.py"  # where the everyday names are
    for path in {*(ROOT / "hdl").rglob("__init__.py"), *(ROOT / "sim").rglob("__init__.py")} - {public}:
        body = ast.parse(path.read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), path

"""The test plan as data: points, the tests that hit them, and what is missing."""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PLAN = Path(__file__).with_name("testplan.yaml")

_GROUP = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Item:
    """One entry of the plan: its points, whether they are measured, and the tests that it names."""

    name: str
    points: tuple[str, ...]
    measured: bool
    tests: tuple[str, ...]


def expanded(pattern: str) -> list[str]:
    """``a.{b,c}`` is ``a.b`` and ``a.c``."""
    parts = _GROUP.split(pattern)
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return ["".join(choice) for choice in product(*choices)]


def read_plan(path: Path = PLAN) -> list[Item]:
    """All entries; ``ValueError`` names the entry in which something is missing."""
    items = []
    for kind, entries in yaml.safe_load(path.read_text()).items():
        for entry in entries:
            missing = [key for key in ("name", "points", "stimulus", "checks", "tests") if not entry.get(key)]
            if missing:
                raise ValueError(f"{path.name}: {entry.get('name', entry)} has no {', '.join(missing)}")
            points = tuple(point for pattern in entry["points"] for point in expanded(pattern))
            items.append(Item(entry["name"], points, kind == "measured", tuple(entry["tests"])))
    return items


def missing_tests(items: list[Item]) -> list[str]:
    """Tests that are named and do not exist, as ``entry: file::test``."""
    return [f"{item.name}: {test}" for item in items for test in item.tests if not _exists(test)]


def never_hit(items: list[Item], hits: Counter[str]) -> list[str]:
    """Measured points that were not hit."""
    return [point for item in items if item.measured for point in item.points if not hits[point]]


def measured_points(items: list[Item]) -> list[str]:
    """All measured points."""
    return [point for item in items if item.measured for point in item.points]


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    file = ROOT / path
    if not file.exists():
        return False
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
               for node in ast.walk(ast.parse(file.read_text())))

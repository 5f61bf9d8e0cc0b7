"""Chip and golden machine in lock-step over random programs, and what these programs cover."""

import os
from collections import Counter

import pytest
from verification.lockstep.lockstep import golden_only, lockstep
from verification.plan import measured_points, missing_tests, never_hit, read_plan

from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "1"))

COVERING = 20_000
"""Instructions of each configuration in which every measured point must be hit."""

SHORT = [
    ("verilator", "tiny", "hash", 2500), ("verilator", "lab", "hash", 1500), ("verilator", "chip64", "hash", 600),
    ("icarus", "tiny", "hash", 1000), ("icarus", "lab", "hash", 500), ("icarus", "chip64", "hash", 100),
    ("verilator", "lab", "real", 300), ("icarus", "tiny", "real", 300),
]


@pytest.mark.parametrize(("simulator", "config", "macro", "count"), SHORT)
def test_chip_and_golden_machine_agree(simulator: str, config: str, macro: str, count: int):
    tally = lockstep(simulator, CONFIGS[config], macro, SEED, count)
    print(tally)
    assert not tally.difference, tally
    assert tally.instructions >= count


def test_random_programs_cover_the_plan():
    """The golden side of the first rounds of the campaign, whose chip side ``make lockstep`` runs."""
    plan, hits = read_plan(), Counter()
    for config in ("tiny", "lab", "chip64"):
        hits.update(golden_only(CONFIGS[config], "hash", SEED, COVERING).hits)
    missed, points = never_hit(plan, hits), measured_points(plan)
    print(f"seed {SEED}: {len(points) - len(missed)} of {len(points)} points hit")
    for point in sorted(points, key=lambda point: hits[point])[:10]:
        print(f"  {point}: {hits[point]}")
    assert not missed


def test_every_planned_test_exists():
    assert missing_tests(read_plan()) == []

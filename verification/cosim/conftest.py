"""Fixtures of the co-simulation tests: simulators, the build folder, the generated chip under a bench."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from verification.cosim.chip_bench import SEED_VARIABLE
from verification.cosim.chip_runs import WORK, run_on_chip

from ohmloop.engines.cosim import ENGINES
from ohmloop.engines.tools import ToolMissing, find
from ohmloop_hdl.config import ChipConfig

RunChipBench = Callable[..., list[str]]
"""``run_chip_bench(config, test_module, **options of run_on_chip)`` of the fixture with that name."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each simulator in turn; one that is not installed fails the test with what to install."""
    return installed(request.param)


def installed(name: str) -> str:
    """``name``, if that simulator is installed; else the test fails and says what to install."""
    try:
        find(name)
    except ToolMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    return name


@pytest.fixture(scope="session")
def work() -> Path:
    """The shared build folder."""
    WORK.mkdir(parents=True, exist_ok=True)
    return WORK


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed of everything random; OHMLOOP_SEED repeats a run."""
    return int(os.environ.get(SEED_VARIABLE, random.randrange(1 << 32)))


@pytest.fixture
def run_chip_bench(engine: str, seed: int) -> RunChipBench:
    """Runs a bench module on the generated chip on each simulator; prints the seed and what the bench counted."""
    def run(config: ChipConfig, test_module: str, **options) -> list[str]:
        print(f"{SEED_VARIABLE}={seed}")
        counted = run_on_chip(engine, config, test_module, seed=seed, **options)
        print("\n".join(counted))
        return counted
    return run

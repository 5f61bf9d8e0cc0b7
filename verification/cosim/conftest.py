"""Fixtures of the co-simulation tests: simulators, the build folder, the generated chip under a bench."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from verification.cosim.chip_bench import CONFIG_VARIABLE, PUBLIC, SEED_VARIABLE

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.cosim import ENGINES, run_bench
from ohmloop.engines.tools import ToolMissing, find
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.verilog import MACRO_SOURCES, TOP, WAIVERS, write_project

WORK = Path(__file__).parents[2] / "build" / "cosim"
"""Where every co-simulation builds, so that a build made by one test serves the others and the next run."""

RunChipBench = Callable[..., Path]
"""``run_chip_bench(config, test_module, testcase=None, die=None)`` of the fixture with that name."""


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
def run_chip_bench(engine: str, work: Path, seed: int, tmp_path: Path) -> RunChipBench:
    """Runs a bench module on the generated chip around the real-number macro, an ideal die unless told otherwise.

    The checker of the macro contract is part of that macro; benches made with
    :func:`verification.cosim.chip_bench.chip_test` end by asking it.
    """
    def run(config: ChipConfig, test_module: str, testcase: str | None = None, die: Die | None = None) -> Path:
        print(f"{SEED_VARIABLE}={seed}")
        die = die or Die.sample(config, AnalogParams.ideal())
        written = {path.name: path for path in write_project(config, tmp_path / "verilog")}
        return run_bench(
            engine,
            sources=[written[name] for name in (*MACRO_SOURCES, f"{TOP}.v")],
            toplevel=TOP,
            test_module=test_module,
            testcase=testcase,
            work=work,
            env={CONFIG_VARIABLE: json.dumps(asdict(config)), SEED_VARIABLE: str(seed),
                 "COCOTB_LOG_LEVEL": "WARNING"},
            plusargs=[f"+ohmloop_macro={die.write_file(tmp_path / 'die.hex')}"],
            waivers=written[WAIVERS],
            public=PUBLIC,
        )
    return run

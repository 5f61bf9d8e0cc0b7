"""The hash macro: its SystemVerilog body against its Python twin, and the chip around both."""

import json
import os
import random
import subprocess
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from verification.cosim.against_golden import Pair
from verification.lockstep.hash_macro import BODY, HashDie, HashMacro, HashSettings
from verification.unit import chip_and_golden, simulated_chip

from ohmloop.engines.cosim import ENGINES, run_bench
from ohmloop.engines.ports import port_names
from ohmloop.engines.simulator import SimulatorEngine
from ohmloop.engines.tools import find, run_environment
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.host.driver import Driver
from ohmloop.host.job import SOURCE, Job
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.macro.pins import MacroPins
from ohmloop_hdl.sequencer.traps import TrapCause

ROOT = Path(__file__).parents[2]
SOURCES = [BODY, ROOT / "hdl/ohmloop_hdl/macro/ohmloop_contract.sv"]
WORK = ROOT / "build/cosim/hash_macro"

SHAPES = {
    "tiny": CONFIGS["tiny"],
    "lab": CONFIGS["lab"],
    "chip64": CONFIGS["chip64"],
    "narrow": ChipConfig(size=4, cell_bits=3, dac_bits=6, adc_bits=6, adcs=4, lanes=1),
    "wide": ChipConfig(size=8, cell_bits=8, dac_bits=14, adc_bits=14, adcs=8, lanes=4),
}
"""Narrow and wide have a converter for every output, and buses that are no whole number of words."""


def parameters(config: ChipConfig) -> dict[str, int]:
    """Parameters of ``ohmloop_macro``."""
    return {"N": config.size, "CELL_BITS": config.cell_bits, "DAC_BITS": config.dac_bits,
            "ADC_BITS": config.adc_bits, "ADCS": config.adcs}


def run(engine: str, config: ChipConfig, folder: Path, settings: HashSettings | None, clocks: int) -> dict[str, int]:
    """Drive both bodies for some clocks; what was seen. Without settings the body gets no file either."""
    seed = os.environ.get("OHMLOOP_SEED", str(random.randrange(1 << 32)))
    print(f"OHMLOOP_SEED={seed}")
    die, report = HashDie.of(config, settings), folder / "report.json"
    file = die.write_file(folder / "die.hex")
    run_bench(
        engine, sources=SOURCES, toplevel="ohmloop_macro", test_module="verification.lockstep.bench_hash_macro",
        work=WORK, parameters=parameters(config), plusargs=[f"+ohmloop_macro={file}"] if settings else [],
        env={"HASH_CONFIG": json.dumps(asdict(config)), "HASH_SETTINGS": json.dumps(asdict(die.settings)),
             "HASH_CLOCKS": str(clocks), "HASH_REPORT": str(report), "OHMLOOP_SEED": seed},
        public={"ohmloop_macro": ["held"], "ohmloop_contract": ["violations"]})
    return json.loads(report.read_text())


def test_pins_are_those_of_the_contract():
    assert port_names([BODY], "ohmloop_macro") == ["clk", *MacroPins(CONFIGS["chip64"]).members]


@pytest.mark.parametrize("shape", SHAPES)
def test_source_is_free_of_warnings(shape):
    command = [find("verilator").path, "--lint-only", "-Wall", "--unroll-count", "1", "--top", "ohmloop_macro",
               *(f"-G{name}={value}" for name, value in parameters(SHAPES[shape]).items()), *SOURCES]
    lint = subprocess.run(command, env=run_environment(), capture_output=True, text=True)
    assert lint.returncode == 0 and not lint.stderr, lint.stderr
    command = [find("icarus").path, "-g2012", "-Wall", "-Wno-timescale", "-t", "null", "-s", "ohmloop_macro",
               *(f"-Pohmloop_macro.{name}={value}" for name, value in parameters(SHAPES[shape]).items()), *SOURCES]
    lint = subprocess.run(command, capture_output=True, text=True)
    assert lint.returncode == 0 and not lint.stderr, lint.stderr


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_bodies_agree(engine, shape, tmp_path):
    config = SHAPES[shape]
    settings = HashSettings(seed=random.randrange(1 << 32), never=48, zero=64, stuck=(1 << 12) // config.size,
                            weak=(1 << 15) // config.size)
    print(settings)
    run(engine, config, tmp_path, settings, 4000 if config.size == 64 else 12000)


@pytest.mark.parametrize("engine", ENGINES)
def test_settings_built_in_are_the_defaults(engine, tmp_path):
    seen = run(engine, SHAPES["tiny"], tmp_path, None, 12000)
    assert "not taken" not in seen


def random_job(config: ChipConfig, rng: np.random.Generator) -> Job:
    """Both modes on a random matrix and a random vector, a few of them zero, under settings that traps come of."""
    n, top = config.size, 1 << 31
    settings = Settings.reset(
        config, loop_size=int(rng.integers(1, n + 1)), vector_size=int(rng.integers(1, n + 1)), timeout=3000,
        solve_interval=int(rng.integers(200)), multiply_interval=int(rng.integers(200)),
        tolerance=int(rng.integers(4)), bandwidth=int(rng.integers(4)), drive_range=int(rng.integers(8)),
        feedback=int(rng.integers(4)), write_cycles=int(rng.integers(4)), retries=int(rng.integers(1, 5)),
        bad_limit=0 if rng.random() < 0.2 else 100)
    codes = rng.integers(-config.code_max, config.code_max + 1, (n, n))
    mantissas = rng.integers(-top, top, n) * int(rng.random() < 0.8)
    program = assemble("PROG\nINV v2, v1\nMUL v3, v2\nINV v4, v1\nMUL v2, v1\nHALT 3")
    return Job(codes, settings, program, vectors={SOURCE: (mantissas, 0)})


TRAPS = {TrapCause.NONE, TrapCause.CLIP, TrapCause.SETTLE, TrapCause.VERIFY}
"""How the programs of :func:`random_job` end."""


# The lock-step goes on from here, at full size too.
@pytest.mark.parametrize("engine, shape", [("icarus", "tiny"), ("icarus", "lab"), ("verilator", "lab")])
def test_chip_and_golden_machine_agree(engine, shape):
    """Codes of every scan, clocks of every phase, status, ranges and result, until the programs have ended in every
    way."""
    seed = int(os.environ.get("OHMLOOP_SEED", random.randrange(1 << 32)))
    print(f"OHMLOOP_SEED={seed}")
    config, rng = SHAPES[shape], np.random.default_rng(seed)
    per_plane = (1 << 16) // config.size ** 2
    die = HashDie.of(config, HashSettings(seed=seed, clip=128, never=40, stuck=per_plane // 4, weak=per_plane))
    ends: Counter[TrapCause] = Counter()
    with SimulatorEngine(engine, die, WORK, macro=BODY) as simulated:
        both = Pair(simulated, Machine(config, HashMacro(die)), Driver(config))
        while ends.total() < 20 or (set(ends) < TRAPS and ends.total() < 300):
            outcome, _ = both.run(random_job(config, rng), f"job {ends.total()}")
            ends[TrapCause(outcome.status.trap)] += 1
    print(both.report(), dict(ends))
    assert set(ends) == TRAPS


def test_chip_in_amaranth_agrees(monkeypatch):
    """The pin level of the twin around the chip, its event level in the golden machine."""
    for module in (chip_and_golden, simulated_chip):
        monkeypatch.setattr(module, "NumpyMacro", HashMacro)
    config, rng = SHAPES["tiny"], np.random.default_rng(5)
    both = chip_and_golden.ChipAndGolden(HashDie.of(config, HashSettings(clip=128, never=40, weak=1 << 13)))
    traps = set()

    async def bench(ctx):
        for _ in range(8):
            job = random_job(config, rng)
            await both.load(ctx, job.codes, job.vectors)
            await both.configure(ctx, **asdict(job.settings))
            traps.add((await both.go(ctx, job.program)).trap)

    both.run(bench)
    assert len(traps) >= 3

"""Runs benches on the generated chip, for tests and campaigns alike."""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from verification.cosim.chip_bench import (
    AMOUNT_VARIABLE,
    CONFIG_VARIABLE,
    COUNTED,
    HOST_VARIABLE,
    PUBLIC,
    SEED_VARIABLE,
)

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.cosim import DPI_ENGINES, run_bench
from ohmloop.engines.simulator import builds_folder
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.verilog import TOP, WAIVERS, macro_build, write_project

WORK = builds_folder().resolve()
"""Where every co-simulation builds, so that a build made by one test serves the others and the next run."""

BYTES = ChipConfig(size=8, adcs=4, lanes=2, slots=2)
HALVES = ChipConfig(size=8, cell_bits=8, dac_bits=9, adc_bits=9, adcs=8, lanes=4)
CHIPS = {"axil": BYTES, "wishbone": HALVES}
"""The chip behind each parallel bus: cell codes that are bytes, and that are halves."""


def run_on_chip(engine: str, config: ChipConfig, test_module: str, *, seed: int, host: str = "axil",
                testcase: str | None = None, die: Die | None = None, amount: int = 0, work: Path = WORK) -> list[str]:
    """Run a bench module on the generated chip around the real-number macro, and return what the bench counted.

    ``testcase``: only tests of this name (a regular expression). ``die``: an ideal one unless given. ``amount``: how
    much the long tests do, where 0 leaves that to them. The checker of the macro contract is part of the macro; benches
    made with :func:`verification.cosim.chip_bench.chip_test` end by asking it.
    """
    with TemporaryDirectory(prefix="ohmloop-") as folder:
        die = die or Die.sample(config, AnalogParams.ideal())
        written = {path.name: path for path in write_project(config, Path(folder) / "verilog", host)}
        build = macro_build(dpi=engine in DPI_ENGINES)
        results = run_bench(
            engine,
            sources=[written[name] for name in (*build.sources, f"{TOP}.v")],
            defines=build.defines,
            toplevel=TOP,
            test_module=test_module,
            testcase=testcase,
            work=work,
            env={CONFIG_VARIABLE: json.dumps(asdict(config)), HOST_VARIABLE: host, SEED_VARIABLE: str(seed),
                 AMOUNT_VARIABLE: str(amount), "COCOTB_LOG_LEVEL": "WARNING"},
            plusargs=[f"+ohmloop_macro={die.write_file(Path(folder) / 'die.hex')}"],
            waivers=written[WAIVERS],
            public=PUBLIC,
        )
    log = results.with_name("run.log").read_text(errors="replace")
    return [line.removeprefix(COUNTED) for line in log.splitlines() if line.startswith(COUNTED)]

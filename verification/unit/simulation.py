"""What the tests of the gateware share: running a bench on a design, seeds, small shapes, packed buses."""

import os
import random
from collections.abc import Callable, Coroutine
from typing import Any

from amaranth.sim import Simulator

from ohmloop_hdl.config import CONFIGS, ChipConfig

Bench = Callable[[Any], Coroutine[Any, Any, None]]
"""An async function of the simulation context."""

SHAPES: dict[str, ChipConfig] = {
    "tiny": CONFIGS["tiny"],
    "lab": CONFIGS["lab"],
    # A converter an output: nothing to multiplex.
    "unshared": ChipConfig(size=8, adcs=8, lanes=2),
    # A converter a lane.
    "single": ChipConfig(size=8, adcs=2, lanes=2, adc_bits=6, dac_bits=10),
    # Codes in halves, one word of them a lane.
    "halves": ChipConfig(size=8, cell_bits=8, adcs=4, lanes=4, adc_bits=10, dac_bits=6),
    # One converter for everything.
    "alone": ChipConfig(size=4, adcs=1, lanes=1, cell_bits=3),
}
"""Small configurations that take every branch of the gateware's geometry."""


def simulate(dut, bench: Bench, *processes: Bench, beside: Bench | None = None) -> None:
    """Run ``bench`` to its end on ``dut`` in Amaranth's simulator.

    ``processes`` model logic around it; ``beside`` is a second bench, which may look at signals within a clock.
    """
    simulator = Simulator(dut)
    simulator.add_clock(2e-8, if_exists=True)
    for process in processes:
        simulator.add_process(process)
    if beside is not None:
        simulator.add_testbench(beside, background=True)
    simulator.add_testbench(bench)
    simulator.run()


def seeded(salt: object = "") -> random.Random:
    """A random generator of the run's seed (environment variable ``OHMLOOP_SEED``, 1 by default), which it prints."""
    seed = os.environ.get("OHMLOOP_SEED", "1")
    print(f"OHMLOOP_SEED={seed} salt={salt}")
    return random.Random(f"{seed}/{salt}")


def signed(value: int, bits: int) -> int:
    """The low ``bits`` bits of ``value`` as a two's complement number."""
    value &= (1 << bits) - 1
    return value - ((value >> (bits - 1)) << bits)

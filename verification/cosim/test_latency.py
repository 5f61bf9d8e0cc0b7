"""Clocks of every instruction in the generated Verilog against the table of the documentation, whose every entry is a
formula of the instruction table evaluated (``scripts/update_docs.py``)."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from verification.cosim.against_golden import pair

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.golden.assembler import assemble
from ohmloop.golden.settings import Settings
from ohmloop.golden.stream import pack_codes
from ohmloop.golden.vector import Scalar
from ohmloop.host.job import Job
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named

TIMING = Path(__file__).resolve().parents[2] / "docs" / "timing.md"

PROGRAM = {
    "LD, the code memory": "LD codes", "LD, a slot": "LD m0", "LD, a vector": "LD v3",
    "PROG, from the stream, no retry": "PROG stream", "PROG, no retry": "PROG", "SCRUB, nothing to write": "SCRUB",
    "AXPY": "AXPY v4, v1, -k1, v3", "MAT": "MAT v5, v1, -m0, v3", "DOT": "DOT k2, v1, v3", "DIV": "DIV k3, k1, k4",
    "INV, 1 attempt, 2 scans": "INV v2, v1", "MUL, 1 attempt, 2 scans": "MUL v6, v1", "ST": "ST v1",
    "SETC": "SETC c1, 1", "LOOP": "LOOP c1, 0", "BLE": "BLE k1, k4, -60, 0", "HALT": "HALT 0",
}
"""One of each, in an order in which each finds what it needs."""


def table(config: str) -> dict[str, int]:
    """The column of a configuration, by instruction and case."""
    _, block = TIMING.read_text().split("<!-- generated: latencies -->")
    head, _, *rows = block.split("<!-- end -->")[0].strip().splitlines()
    column = [cell.strip() for cell in head.split("|")].index(config)
    return {cells[1].strip().replace("`", ""): int(cells[column])
            for cells in (re.split(r"\|", row) for row in rows)}


def every_instruction(config: ChipConfig) -> Job:
    """A job with one of each: unit matrices everywhere, so that one range holds every result and nothing is retried."""
    n = config.size
    codes = np.eye(n, dtype=int) * config.code_max
    words = tuple(pack_codes(codes, config))
    vector, exponent = np.full(n, 1 << 29), 0
    slot = tuple((np.eye(n, dtype=int) << 22).ravel().tolist())
    return Job(
        codes, replace(Settings.reset(config), tolerance=15), assemble("\n".join(PROGRAM.values())),
        vectors={1: (vector, exponent)}, scalars={1: Scalar(1 << 22, 3), 4: Scalar(1 << 22, 1)},
        objects=(words, slot, (exponent, *vector.tolist()), words), reads=(2, 4, 5, 6))


@pytest.mark.parametrize(("engine", "name"), [("icarus", "tiny"), *(("verilator", name) for name in CONFIGS)],
                         indirect=["engine"])
def test_every_instruction_takes_what_the_table_says(engine, work, name):
    config, expected = config_named(name), table(name)
    assert expected.keys() == PROGRAM.keys()
    with pair(engine, Die.sample(config, AnalogParams.ideal()), work) as both:
        # That the chip took the same clocks for every instruction as this run, the pair has compared.
        _, run = both.run(every_instruction(config), name)
    ends = [0, *(retired.cycles for retired in run.retired)]
    measured = dict(zip(PROGRAM, (end - start for start, end in pairwise(ends)), strict=True))
    print("\n".join(f"{case:32} {expected[case]:6} {clocks:6}" for case, clocks in measured.items()))
    assert measured == expected

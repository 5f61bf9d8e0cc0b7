"""How many clocks each instruction takes in the chip, from fetch to retirement, against the formulas of the cycle
model; and what is left of an INV without settling and conversion."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect
from ohmloop.golden import cycles
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Retired
from ohmloop.golden.settings import Settings
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.isa import INSTRUCTIONS
from ohmloop_hdl.sequencer.traps import TrapCause
from verification.unit.chip_and_golden import ChipAndGolden, mantissas_of
from verification.unit.simulation import SHAPES

IDEAL = AnalogParams.ideal()
TWO = ChipConfig(size=8, cell_bits=8, adcs=4, lanes=2, slots=2)
"""Two of everything: lanes, words of codes a lane, converters a lane, codes a word, slots."""

each_shape = pytest.mark.parametrize("config", [*SHAPES.values(), TWO], ids=[*SHAPES.keys(), "two"])
two_shapes = pytest.mark.parametrize("config", [SHAPES["tiny"], TWO], ids=["tiny", "two"])

ISSUE = 2


def formulas(config: ChipConfig) -> dict[str, int]:
    """Clocks of every instruction whose time does not depend on what the loop does, with the settings at reset, spelled
    out in N, L, cpw (codes a word) and the width of a write pulse."""
    n, lanes, cpw, pulse = config.size, config.lanes, config.codes_per_word, 4
    attempt = 4 + pulse
    row = n // (lanes * cpw) + 1 + 2 * attempt + 1
    return {
        "AXPY v2, v1, -k1, v3": ISSUE + 2 * n // lanes + 6,
        "AXPY v0, v0, k0, v0": ISSUE + 2 * n // lanes + 6,
        "MAT v2, v1, -m0, v3": ISSUE + n * n // lanes + n // lanes + 6,
        "DOT k2, v1, v3": ISSUE + n // lanes + lanes + 6,
        "DIV k3, k1, k4": ISSUE + 29,
        "BLE k1, k0, 3, 255": ISSUE + 2,
        "SETC c1, 1": ISSUE,
        "LOOP c1, 255": ISSUE,
        "LD v2": ISSUE + n + 1 + 2,
        "LD m0": ISSUE + n * n + 2,
        "LD codes": ISSUE + n * n // cpw + 2,
        "ST v2": ISSUE + n + 2,
        "PROG": ISSUE + n * row + 1,
        "PROG stream": ISSUE + n * (row + n // cpw + 3) + 1,
        "SCRUB": ISSUE + n * (n // (lanes * cpw) + 1 + 2 * 3 + 1) + 1,
        "HALT 0": ISSUE,
    }


def clocks_of(retired: list[Retired]) -> list[int]:
    """Clocks of each instruction of a run."""
    ends = [0, *(each.cycles for each in retired)]
    return [end - start for start, end in pairwise(ends)]


def loop_clocks(config: ChipConfig, settings: Settings, attempts: int, scans: int, interval: int) -> int:
    """INV or MUL: ``scans`` scans in the last of ``attempts``, one in those before, which clipped."""
    n_by_lanes, convert = config.size // config.lanes, config.size // config.adcs * (config.adc_bits + 1)
    prepare = 2 * max(1, settings.dead) + max(1, settings.autozero)
    one = max(2, interval) - 1 + convert + 3
    more = max(interval, convert + 3)
    return (ISSUE + max(n_by_lanes + 1, prepare) + (attempts - 1) * prepare + attempts * one + (scans - 1) * more
            + n_by_lanes + 1)


@each_shape
def test_every_instruction(config: ChipConfig):
    """One program with everything that takes the same clocks whatever its operands; formula, cycle model and trace."""
    pair = ChipAndGolden(Die.sample(config, IDEAL))
    wanted, model = formulas(config), cycles
    good = np.eye(config.size, dtype=int) * config.code_max
    instructions = [text for text in wanted if text != "HALT 0"] + ["HALT 0"]
    assert {text.split()[0] for text in instructions} == {i.name for i in INSTRUCTIONS} - {"INV", "MUL"}

    async def bench(ctx):
        await pair.perform(ctx, Connect())
        await pair.fill(ctx, 1, good)
        await pair.load_scalar(ctx, 1, Scalar(1 << 22, 9))
        words, cpw = config.size ** 2 // config.codes_per_word, config.codes_per_word
        codes = [0] * words
        for i in range(config.size):
            place = i * config.size + i
            codes[place // cpw] |= config.code_max << 32 // cpw * (place % cpw)
        # The stream never makes it wait: what the buffer holds when it starts, and a beat a clock.
        await pair.send(ctx, [1] * (config.size + 1), [5] * config.size ** 2, codes, codes)
        run = await pair.go(ctx, "\n".join(instructions), windows=False)
        assert run.trap is TrapCause.NONE
        measured = clocks_of(pair.chip.trace.retired)
        assert dict(zip(instructions, measured, strict=True)) == wanted

    pair.run(bench)
    n, block = config.size, config.block
    assert wanted["AXPY v2, v1, -k1, v3"] == ISSUE + sum(model.axpy_cycles(config))
    assert wanted["MAT v2, v1, -m0, v3"] == ISSUE + sum(model.mat_cycles(config))
    assert wanted["DOT k2, v1, v3"] == ISSUE + sum(model.dot_cycles(config))
    assert wanted["DIV k3, k1, k4"] == ISSUE + model.DIVIDE and wanted["BLE k1, k0, 3, 255"] == ISSUE + model.COMPARE
    assert wanted["LD v2"] == ISSUE + model.fill_cycles(n + 1) and wanted["ST v2"] == ISSUE + model.send_cycles(config)
    assert wanted["PROG"] == ISSUE + n * model.row_cycles(config, 4) + model.PROGRAM_END
    assert block == n // config.lanes and model.ISSUE == ISSUE


@two_shapes
def test_sizes_and_operands_change_no_clock(config: ChipConfig):
    """Vectors of no elements, zeros of every kind, quotients of every length, branches and loops that are taken."""
    pair = ChipAndGolden(Die.sample(config, IDEAL))
    wanted = formulas(config)

    async def bench(ctx):
        await pair.fill(ctx, 1, np.eye(config.size, dtype=int) * config.code_max)
        for k, scalar in ((1, Scalar(1, 9)), (4, Scalar(-(1 << 23), 0)), (5, Scalar(1 << 22, EXPONENT_MIN))):
            await pair.load_scalar(ctx, k, scalar)
        for sizes in (dict(loop_size=0, vector_size=0), dict(vector_size=1), dict(loop_size=1)):
            await pair.configure(ctx, **sizes)
            texts = ["AXPY v2, v1, -k1, v3", "AXPY v0, v0, k0, v0", "MAT v2, v1, -m0, v3", "DOT k2, v1, v3"]
            await pair.go(ctx, "\n".join([*texts, "HALT 0"]), windows=False)
            assert clocks_of(pair.chip.trace.retired)[:-1] == [wanted[text] for text in texts]
        await pair.go(ctx, "DIV k3, k1, k4\nDIV k3, k4, k1\nDIV k3, k5, k4\nDIV k0, k0, k0\nHALT 0", windows=False)
        assert clocks_of(pair.chip.trace.retired) == [wanted["DIV k3, k1, k4"]] * 4 + [ISSUE]
        await pair.go(ctx, "SETC c1, 2\nBLE k0, k0, 0, 3\nHALT 1\nLOOP c1, 1\nHALT 0", windows=False)
        assert clocks_of(pair.chip.trace.retired) == [2, 4, 2, 4, 2, 2]

    pair.run(bench)


@pytest.mark.parametrize("config", [SHAPES["tiny"], SHAPES["unshared"], SHAPES["alone"], TWO],
                         ids=["tiny", "unshared", "alone", "two"])
def test_inverse_and_product(config: ChipConfig):
    """One attempt and three, intervals that are shorter and longer than a scan, preparing that hides behind the walk
    into the DACs and preparing that does not."""
    pair = ChipAndGolden(Die.sample(config, IDEAL))
    full, part = np.eye(config.size, dtype=int) * config.code_max, config.code_max // 4 + 1

    async def bench(ctx):
        await pair.fill(ctx, 1, full)
        await pair.load(ctx, vectors={1: (mantissas_of([3, -20, 15, 0], config), 0),
                                      2: (np.full(config.size, 0x7800_0000), 0)})
        await pair.go(ctx, "PROG\nHALT 0", windows=False)
        short = dict(solve_interval=2, multiply_interval=30, dead=0, autozero=0)
        for changes in ({}, short, dict(dead=9, autozero=40)):
            await pair.configure(ctx, **changes, tolerance=15)
            settings = pair.machine.settings
            for text in ("INV v3, v1", "MUL v3, v1", "INV v0, v1, cal"):
                run = await pair.go(ctx, f"{text}\nHALT 0", windows=False)
                interval = settings.multiply_interval if text.startswith("MUL") else settings.solve_interval
                # The identity clips nowhere; how many scans it takes is a matter of the analogue half.
                clocks = clocks_of(pair.chip.trace.retired)[0]
                assert clocks == loop_clocks(config, settings, 1, len(run.scans), interval)
        # 15/16 of full scale through a quarter of the conductance: two ranges too much.
        await pair.load(ctx, full // config.code_max * part)
        await pair.configure(ctx, tolerance=15)
        run = await pair.go(ctx, "PROG\nINV v3, v2\nHALT 0", windows=False)
        assert run.events[Event.CLIPPED] == 2 and len(run.scans) == 4
        clocks = clocks_of(pair.chip.trace.retired)[1]
        assert clocks == loop_clocks(config, pair.machine.settings, 3, 2, pair.machine.settings.solve_interval)

    pair.run(bench)


@two_shapes
def test_rows_that_are_written_again(config: ChipConfig):
    """Each row that a scrub finds changed, in either array, and each retry, costs an attempt."""
    pair = ChipAndGolden(Die.sample(config, IDEAL))

    async def bench(ctx):
        await pair.fill(ctx, 1, np.eye(config.size, dtype=int) * config.code_max)
        await pair.go(ctx, "PROG\nHALT 0", windows=False)
        for pulse in (0, 1, 9):
            await pair.configure(ctx, write_cycles=pulse)
            for rows in ((), (0,), (1, config.size - 1)):
                for row in rows:
                    for macro in (pair.chip.macro, pair.machine.macro):
                        macro.write_row(row % 2, row, np.full(config.size, 3))
                await pair.go(ctx, "SCRUB\nHALT 0", windows=False)
                again = len(rows) * (4 + max(1, pulse))
                assert clocks_of(pair.chip.trace.retired)[0] == formulas(config)["SCRUB"] + again
                assert pair.machine.repairs == len(rows)

    pair.run(bench)


BUDGET = {"tiny": 27, "lab": 31, "chip64": 39, "chip64hp": 31}
"""Clocks of one INV outside settling and conversion with the settings at reset."""


@pytest.mark.parametrize("name", BUDGET)
def test_inverse_outside_settling_and_conversion(name: str):
    """At most 16 + 3 N/L; measured on the chip where it is small, else on the golden machine."""
    config = CONFIGS[name]
    die = Die.sample(config, IDEAL)
    identity = np.eye(config.size, dtype=int) * config.code_max
    program = "PROG\nINV v2, v1\nHALT 0"
    measured = []

    def outside(phases: Counter[Phase]) -> int:
        programming = phases[Phase.PROGRAM] + 2 * ISSUE
        return phases.total() - programming - phases[Phase.SETTLE] - phases[Phase.CONVERT]

    async def bench(ctx):
        await pair.fill(ctx, 1, identity)
        await pair.go(ctx, program, windows=False)
        measured.append(outside(pair.chip.trace.phases))

    if config.size <= 16:
        pair = ChipAndGolden(die)
        pair.run(bench)
    else:
        machine = Machine(config, NumpyMacro(die))
        machine.codes[:], machine.valid_codes = identity, True
        machine.mantissas[1] = 1 << 28
        words = assemble(program)
        machine.program[:len(words)] = words
        measured.append(outside(machine.run().phases))
    assert measured == [BUDGET[name]]
    assert BUDGET[name] <= 16 + 3 * config.block
    settings = Settings.reset(config)
    assert BUDGET[name] == ISSUE + max(cycles.drive_cycles(config), cycles.prepare_cycles(
        settings.dead, settings.autozero)) + cycles.store_cycles(config)

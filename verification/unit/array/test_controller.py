"""The array controller around two small arrays: what is written where, retries, verdicts, pulses and clocks; scrubs,
rows from the stream, wrong parity."""

from collections import Counter
from collections.abc import Set
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from verification.unit.simulation import SHAPES, seeded, simulate

from ohmloop.analog.buses import pack, unpack
from ohmloop.golden import cycles
from ohmloop.golden.arrays import program_arrays
from ohmloop.golden.run import Clock, Run, Trapped
from ohmloop.golden.settings import Settings
from ohmloop.golden.state import State
from ohmloop_hdl.array.controller import ArrayController
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.sequencer.traps import TrapCause

TINY = CONFIGS["tiny"]
each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())

Cell = tuple[int, int, int]
"""Plane, row, column."""


@dataclass
class Arrays:
    """Two arrays of cells that remember magnitudes.

    ``stuck``: cells that hold a code for ever. ``slow``: cells that take so many writes before they follow.
    ``write_row`` and ``read_row`` are what the golden machine calls.
    """

    config: ChipConfig
    stuck: dict[Cell, int] = field(default_factory=dict)
    slow: dict[Cell, int] = field(default_factory=dict)

    def __post_init__(self):
        n = self.config.size
        self.refusing: set[Cell] = set()
        self.cells = [[[0] * n for _ in range(n)] for _ in range(2)]
        for (plane, row, column), code in self.stuck.items():
            self.cells[plane][row][column] = code

    def write(self, plane: int, row: int, values: list[int], first: bool):
        """One clock with the write pulse high; the ``first`` of a pulse counts against slow cells."""
        cells = [(plane, row, column) for column in range(len(values))]
        if first:
            self.refusing = {cell for cell in cells if cell in self.stuck or self.slow.get(cell, 0)}
            for cell in self.refusing & self.slow.keys():
                self.slow[cell] -= 1
        for cell, value in zip(cells, values, strict=True):
            if cell not in self.refusing:
                self.cells[plane][row][cell[2]] = value

    def write_row(self, plane: int, row: int, values: np.ndarray):
        self.write(plane, row, values.tolist(), first=True)

    def read_row(self, plane: int, row: int) -> np.ndarray:
        return np.array(self.cells[plane][row])

    def disturb(self, random, count: int):
        """Change the codes of ``count`` cells that are not stuck."""
        n = self.config.size
        for _ in range(count):
            plane, row, column = random.randrange(2), random.randrange(n), random.randrange(n)
            if (plane, row, column) not in self.stuck:
                self.cells[plane][row][column] ^= 1 << random.randrange(self.config.cell_bits)


@dataclass
class Outcome:
    """Clocks from the clock after the start to the end, how it ended, the map, rows taken from the stream, clocks in
    which the code memory was read, rows written once more, and one tuple of the pins a clock."""

    clocks: int = 0
    fault: TrapCause = TrapCause.NONE
    bad_count: int = 0
    repairs: int = 0
    bad_map: dict[int, int] = field(default_factory=dict)
    refilled: list[int] = field(default_factory=list)
    code_reads: int = 0
    rewritten: int = 0
    pins: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    @property
    def pulses(self) -> int:
        """Write pulses."""
        return sum(now[2] and not before[2] for before, now in zip(self.pins, self.pins[1:], strict=False))


def program(arrays: Arrays, codes: list[list[int]], write_cycles: int = 3, retries: int = 0, bad_limit: int = 0,
            times: int = 1, scrub: bool = False, refill: list[int] | None = None,
            wrong: Set[tuple[int, int]] = frozenset()) -> Outcome:
    """Program the arrays ``times`` times; the outcome of the last.

    ``refill``: clocks that the stream takes for each row, which the code memory holds no sooner. ``wrong``: rows and
    words of a lane's part of the row that have wrong parity. A fault resets the controller, as the sequencer does.
    """
    config, dut, reset = arrays.config, ArrayController(arrays.config), Signal()
    cpw, outcome = config.codes_per_word, Outcome()
    there = [refill is None] * config.size

    async def code_memory(ctx):
        watched = (dut.code_row, dut.code_word, dut.code_read)
        async for _, _, row, word, read in ctx.tick().sample(*watched):
            # What nobody asked for may be anything.
            ctx.set(dut.parity_error, not read or (row, word) in wrong)
            for lane in range(config.lanes):
                for c in range(cpw):
                    column = lane * config.block + word * cpw + c
                    ctx.set(dut.codes[lane * cpw + c], codes[row][column] if read and there[row] else 1)

    async def stream(ctx):
        left = row = 0
        async for _, _, start, code_row in ctx.tick().sample(dut.row_start, dut.code_row):
            ctx.set(dut.row_done, 0)
            if start:
                assert refill is not None and not left
                outcome.refilled.append(code_row)
                left, row = refill[code_row], code_row
            if left:
                left -= 1
                if not left:
                    ctx.set(dut.row_done, 1)
                    there[row] = True

    async def store(ctx):
        pulse = 0
        async for _, _, row, plane, write, data in ctx.tick().sample(dut.row, dut.plane, dut.write, dut.write_data):
            if write:
                arrays.write(plane, row.bit_length() - 1, unpack(data, config.size, config.cell_bits).tolist(),
                             first=not pulse)
            pulse = write

    async def sense(ctx):
        async for row, plane, read in ctx.changed(dut.row, dut.plane, dut.read):
            selected = arrays.cells[plane][row.bit_length() - 1] if row and read else [0] * config.size
            ctx.set(dut.sense, pack(selected, config.cell_bits))

    async def bench(ctx):
        nonlocal outcome
        control = dut.control
        for signal, value in ((dut.write_cycles, write_cycles), (dut.retries, retries), (dut.bad_limit, bad_limit),
                              (dut.scrub, scrub), (dut.refill, refill is not None)):
            ctx.set(signal, value)
        for _ in range(times):
            outcome = Outcome()
            there[:] = [refill is None] * config.size
            ctx.set(control.start, 1)
            await ctx.tick()
            ctx.set(control.start, 0)
            done = 0
            while not done and outcome.fault is TrapCause.NONE:
                outcome.clocks += 1
                assert outcome.clocks < 10_000, "there is no end"
                outcome.code_reads += ctx.get(dut.code_read)
                outcome.rewritten += ctx.get(dut.rewritten)
                outcome.pins.append(tuple(ctx.get(pin) for pin in (dut.row, dut.plane, dut.write, dut.write_data,
                                                                   dut.read)))
                if ctx.get(dut.map_write):
                    assert ctx.get(dut.map_row) not in outcome.bad_map
                    outcome.bad_map[ctx.get(dut.map_row)] = ctx.get(dut.map_bad)
                done, outcome.fault = ctx.get(control.done), TrapCause(ctx.get(control.fault))
                assert not (done and outcome.fault)
                assert ctx.get(control.phase) == Phase.PROGRAM
                assert not ctx.get(control.safe) and not ctx.get(control.waiting)
                outcome.bad_count, outcome.repairs = ctx.get(dut.bad_count), ctx.get(dut.repairs)
                ctx.set(reset, outcome.fault != TrapCause.NONE)
                await ctx.tick()
                ctx.set(reset, 0)
            for _ in range(3):
                assert not any(ctx.get(pin) for pin in (dut.row, dut.write, dut.read, control.done, control.fault,
                                                        dut.row_start, dut.map_write, dut.code_read, dut.rewritten))
                await ctx.tick()
            assert (ctx.get(dut.bad_count), ctx.get(dut.repairs)) == (outcome.bad_count, outcome.repairs)

    simulate(ResetInserter(reset)(dut), bench, code_memory, stream, store, sense)
    check_pins(outcome, max(1, write_cycles))
    return outcome


def check_pins(outcome: Outcome, write_cycles: int):
    """What must hold in any run: word lines, and the shape of every write pulse."""
    pins = [(0, 0, 0, 0, 0), *outcome.pins, (0, 0, 0, 0, 0)]
    pulse = 0
    for before, now in zip(pins, pins[1:], strict=False):
        row, _, write, _, read = now
        assert row & (row - 1) == 0, "word lines are one-hot or zero"
        assert not (write and read)
        assert row or not (write or read)
        if write or before[2]:
            assert now[:2] + now[3:4] == before[:2] + before[3:4], "row, plane and data stand around the pulse"
        if before[2] and not write:
            assert pulse == write_cycles
        pulse = pulse + 1 if write else 0


def formula(config: ChipConfig, write_cycles: int, retries: int = 0) -> int:
    """Clocks of a programming with so many retries in all."""
    return (config.size * cycles.row_cycles(config, write_cycles) + retries * cycles.attempt_cycles(write_cycles)
            + cycles.PROGRAM_END)


def random_codes(config: ChipConfig, random, lowest: int | None = None) -> list[list[int]]:
    top = config.code_max
    return [[random.choice([random.randint(-top, top), top, 0, -top if lowest is None else lowest])
             for _ in range(config.size)] for _ in range(config.size)]


def planes(codes: list[list[int]], top: int) -> list[list[list[int]]]:
    """What both arrays must hold: positive codes in plane 0, magnitudes of negative ones in plane 1, at most C."""
    return [[[min(top, max(0, code * sign)) for code in row] for row in codes] for sign in (1, -1)]


@each_shape
def test_both_arrays_hold_the_codes_by_sign(config: ChipConfig):
    arrays, codes = Arrays(config), random_codes(config, seeded(config))
    outcome = program(arrays, codes)
    assert arrays.cells == planes(codes, config.code_max)
    assert (outcome.fault, outcome.bad_count, outcome.repairs) == (TrapCause.NONE, 0, 0)
    assert outcome.bad_map == dict.fromkeys(range(config.size), 0)
    assert outcome.code_reads == config.size * config.code_words


@each_shape
def test_the_most_negative_number_is_programmed_as_the_largest_code(config: ChipConfig):
    arrays = Arrays(config)
    codes = random_codes(config, seeded(config), lowest=-(1 << config.cell_bits))
    outcome = program(arrays, codes)
    assert arrays.cells == planes(codes, config.code_max)
    assert max(map(max, arrays.cells[1])) == config.code_max
    assert outcome.bad_count == 0


@each_shape
@pytest.mark.parametrize("write_cycles", [0, 1, 2, 9])
def test_clocks_without_retries(config: ChipConfig, write_cycles: int):
    n, words = config.size, config.size // config.lanes // config.codes_per_word
    outcome = program(Arrays(config), random_codes(config, seeded(config)), write_cycles, retries=3)
    assert outcome.clocks == n * (words + 2 + 2 * (4 + max(1, write_cycles))) + 1 == formula(config, write_cycles)


def test_the_longest_pulse():
    assert program(Arrays(TINY), random_codes(TINY, seeded()), 255).clocks == formula(TINY, 255)


@pytest.mark.parametrize("attempts", [1, 2, 3])
@pytest.mark.parametrize("write_cycles", [0, 4])
def test_a_slow_cell_costs_its_retries_and_nothing_else(attempts: int, write_cycles: int):
    codes = [[7] * 4, [-7] * 4, [7, -7, 7, -7], [1, 2, 3, 4]]
    arrays = Arrays(TINY, slow={(0, 2, 0): attempts, (1, 1, 3): 1})
    outcome = program(arrays, codes, write_cycles, retries=3)
    assert arrays.cells == planes(codes, 15)
    assert outcome.clocks == formula(TINY, write_cycles, retries=attempts + 1)
    assert (outcome.fault, outcome.bad_count, outcome.rewritten) == (TrapCause.NONE, 0, attempts + 1)


@pytest.mark.parametrize(("retries", "attempts_needed", "bad"), [
    (0, 1, 1), (2, 2, 0), (2, 3, 1), (15, 15, 0), (15, 16, 1),
])
def test_retries_end_at_their_limit(retries: int, attempts_needed: int, bad: int):
    arrays = Arrays(TINY, slow={(0, 3, 1): attempts_needed})
    outcome = program(arrays, [[5] * 4] * 4, retries=retries)
    assert (outcome.bad_count, outcome.fault) == (bad, TrapCause.VERIFY if bad else TrapCause.NONE)
    assert outcome.bad_map == {0: 0, 1: 0, 2: 0, 3: bad << 1}
    assert outcome.clocks == formula(TINY, 3, retries=min(retries, attempts_needed))


@each_shape
def test_stuck_cells_are_counted_and_mapped(config: ChipConfig):
    random = seeded(config)
    n, top = config.size, config.code_max
    cells = [(random.randrange(2), random.randrange(n), random.randrange(n)) for _ in range(n)]
    arrays = Arrays(config, stuck={cell: random.randint(0, top) for cell in cells})
    codes = random_codes(config, random)
    outcome = program(arrays, codes, write_cycles=1, retries=2)
    wanted = planes(codes, top)
    wrong = {(plane, row, column) for (plane, row, column), code in arrays.stuck.items()
             if wanted[plane][row][column] != code}
    bad = {(row, column) for _, row, column in wrong}
    assert outcome.bad_map == {row: sum(1 << c for r, c in bad if r == row) for row in range(n)}
    assert outcome.bad_count == len(bad)
    assert outcome.clocks == formula(config, 1, retries=2 * len({(plane, row) for plane, row, _ in wrong}))


def test_a_cell_that_is_bad_in_both_arrays_counts_once():
    arrays = Arrays(TINY, stuck={(0, 1, 2): 3, (1, 1, 2): 4, (1, 3, 0): 1})
    outcome = program(arrays, [[0] * 4] * 4, retries=1)
    assert outcome.bad_count == 2
    assert outcome.bad_map == {0: 0, 1: 0b0100, 2: 0, 3: 0b0001}


def test_a_stuck_cell_that_holds_the_wanted_code_is_good():
    arrays = Arrays(TINY, stuck={(0, 0, 0): 9, (1, 0, 0): 0})
    outcome = program(arrays, [[9] * 4] * 4, retries=3)
    assert (outcome.bad_count, outcome.clocks) == (0, formula(TINY, 3))


@pytest.mark.parametrize(("bad_limit", "failed"), [(0, 1), (2, 1), (3, 0), (4, 0), (0xFFFF, 0)])
def test_more_bad_cells_than_the_limit_trap(bad_limit: int, failed: int):
    arrays = Arrays(TINY, stuck={(0, row, row): 1 for row in range(3)})
    outcome = program(arrays, [[0] * 4] * 4, bad_limit=bad_limit)
    assert (outcome.bad_count, outcome.fault) == (3, TrapCause.VERIFY if failed else TrapCause.NONE)


def test_counts_start_anew_each_time():
    arrays = Arrays(TINY, stuck={(1, 2, 3): 8}, slow={(0, 0, 0): 1})
    outcome = program(arrays, [[5] * 4] * 4, retries=1, times=3)
    assert outcome.bad_count == 1 and outcome.bad_map[2] == 0b1000
    assert outcome.clocks == formula(TINY, 3, retries=1)


def test_every_cell_bad_at_once():
    arrays = Arrays(TINY, stuck={(plane, r, c): 1 for plane in (0, 1) for r in range(4) for c in range(4)})
    outcome = program(arrays, [[0] * 4] * 4, bad_limit=15)
    assert (outcome.bad_count, outcome.fault) == (16, TrapCause.VERIFY)


@pytest.mark.parametrize("bit", range(4))
def test_one_wrong_bit_is_enough(bit: int):
    arrays = Arrays(TINY, stuck={(0, 0, 0): 15 ^ 1 << bit})
    assert program(arrays, [[15] * 4] * 4).bad_count == 1


def scrub_formula(config: ChipConfig, write_cycles: int, attempts: int = 0) -> int:
    """Clocks of a scrub that writes so many times in all."""
    row = cycles.load_cycles(config) + 2 * cycles.LOOK + cycles.RECORD
    return config.size * row + attempts * cycles.attempt_cycles(write_cycles) + cycles.PROGRAM_END


@each_shape
def test_a_scrub_of_right_arrays_writes_nothing(config: ChipConfig):
    arrays, codes = Arrays(config), random_codes(config, seeded(config))
    arrays.cells = planes(codes, config.code_max)
    outcome = program(arrays, codes, write_cycles=7, retries=3, scrub=True)
    assert arrays.cells == planes(codes, config.code_max)
    assert (outcome.fault, outcome.bad_count, outcome.repairs, outcome.rewritten) == (TrapCause.NONE, 0, 0, 0)
    assert outcome.pulses == 0 and outcome.bad_map == dict.fromkeys(range(config.size), 0)
    words = config.size // config.lanes // config.codes_per_word
    assert outcome.clocks == config.size * (words + 2 + 2 * 3) + 1 == scrub_formula(config, 7)


@pytest.mark.parametrize("write_cycles", [0, 1, 6])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_scrub_writes_the_rows_that_differ_and_no_other(write_cycles: int, retries: int):
    codes = [[7] * 4, [-7] * 4, [7, -7, 7, -7], [1, 2, 3, 4]]
    arrays = Arrays(TINY)
    arrays.cells = planes(codes, 15)
    arrays.cells[0][0][3] ^= 8
    arrays.cells[0][2] = [0, 0, 1, 0]
    arrays.cells[1][2][0] ^= 1
    outcome = program(arrays, codes, write_cycles, retries, scrub=True)
    assert arrays.cells == planes(codes, 15)
    assert (outcome.fault, outcome.bad_count) == (TrapCause.NONE, 0)
    assert (outcome.repairs, outcome.rewritten, outcome.pulses) == (3, 3, 3)
    assert outcome.clocks == scrub_formula(TINY, write_cycles, attempts=3)


@pytest.mark.parametrize(("slow", "attempts", "bad"), [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 3, 1)])
def test_a_repair_has_all_its_retries_behind_the_look(slow: int, attempts: int, bad: int):
    arrays = Arrays(TINY, slow={(1, 3, 2): slow})
    outcome = program(arrays, [[-5] * 4] * 4, retries=2, scrub=True)
    assert outcome.clocks == scrub_formula(TINY, 3, attempts=attempts + 3)
    assert (outcome.repairs, outcome.rewritten) == (4, attempts + 3)
    assert outcome.bad_map == {0: 0, 1: 0, 2: 0, 3: bad << 2}
    assert outcome.fault is (TrapCause.VERIFY if bad else TrapCause.NONE)


def test_a_scrub_counts_what_it_cannot_repair():
    arrays = Arrays(TINY, stuck={(0, 1, 2): 3, (1, 1, 0): 4, (1, 3, 0): 0})
    outcome = program(arrays, [[0] * 4] * 4, retries=1, bad_limit=2, scrub=True)
    assert (outcome.fault, outcome.bad_count, outcome.repairs) == (TrapCause.NONE, 2, 2)
    assert outcome.bad_map == {0: 0, 1: 0b0101, 2: 0, 3: 0}
    assert outcome.clocks == scrub_formula(TINY, 3, attempts=4)
    assert program(arrays, [[0] * 4] * 4, retries=1, bad_limit=1, scrub=True).fault is TrapCause.VERIFY


@pytest.mark.parametrize("bad_limit", [0, 1])
def test_counts_of_a_scrub_start_anew_each_time(bad_limit: int):
    arrays = Arrays(TINY, stuck={(0, 1, 2): 3})
    outcome = program(arrays, [[0] * 4] * 4, bad_limit=bad_limit, scrub=True, times=3)
    assert (outcome.repairs, outcome.bad_count, outcome.fault) == (
        1, 1, TrapCause.NONE if bad_limit else TrapCause.VERIFY)


@each_shape
def test_rows_come_from_the_stream_one_by_one(config: ChipConfig):
    random = seeded(config)
    arrays, codes = Arrays(config), random_codes(config, random)
    waits = [random.randrange(1, 9) for _ in range(config.size)]
    outcome = program(arrays, codes, refill=waits)
    assert outcome.refilled == list(range(config.size))
    assert arrays.cells == planes(codes, config.code_max)
    assert outcome.clocks == formula(config, 3) + config.size * cycles.REFILL + sum(waits)
    assert (outcome.fault, outcome.bad_count) == (TrapCause.NONE, 0)


def test_nothing_moves_until_the_stream_has_brought_the_row():
    outcome = program(Arrays(TINY), [[1, -2, 3, -4]] * 4, refill=[200, 1, 1, 1])
    assert not any(row or write or read for row, _, write, _, read in outcome.pins[:201])
    assert any(row for row, *_ in outcome.pins[201:205])


@each_shape
def test_a_wrong_word_stops_before_its_row_is_touched(config: ChipConfig):
    random = seeded(config)
    arrays, codes = Arrays(config), random_codes(config, random)
    for row in {0, config.size // 2, config.size - 1}:
        for word in {0, config.code_words - 1}:
            outcome = program(arrays, codes, wrong={(row, word)}, times=2)
            assert outcome.fault is TrapCause.PARITY
            assert outcome.clocks == row * cycles.row_cycles(config, 3) + cycles.load_parity_cycles(word)
            assert outcome.bad_map == dict.fromkeys(range(row), 0)
            assert outcome.pulses == 2 * row


def test_the_first_wrong_word_of_a_scrub_stops_it_and_its_counts_stay():
    arrays = Arrays(CONFIGS["lab"], stuck={(0, 2, 5): 9})
    outcome = program(arrays, [[0] * 16] * 16, wrong={(3, 1), (3, 0), (9, 0)}, scrub=True)
    assert outcome.fault is TrapCause.PARITY
    row = cycles.load_cycles(arrays.config) + 2 * cycles.LOOK + cycles.RECORD
    assert outcome.clocks == 3 * row + cycles.attempt_cycles(3) + cycles.load_parity_cycles(0)
    assert (outcome.bad_count, outcome.repairs) == (1, 1)


@pytest.mark.parametrize("round_number", range(24))
def test_random_runs_follow_the_golden_machine(round_number: int):
    random = seeded(round_number)
    config = random.choice(list(SHAPES.values()))
    n, top = config.size, config.code_max

    def cell() -> Cell:
        return random.randrange(2), random.randrange(n), random.randrange(n)

    codes = random_codes(config, random, lowest=random.choice([None, -top - 1]))
    arrays = Arrays(config, stuck={cell(): random.randint(0, top) for _ in range(random.choice([0, 0, 3]))},
                    slow={cell(): random.randrange(1, 5) for _ in range(random.choice([0, 4]))})
    scrub = random.random() < 0.5
    if scrub:
        arrays.cells = planes(codes, top)
        arrays.disturb(random, random.randrange(6))
    settings = Settings.reset(config, write_cycles=random.randrange(5), retries=random.randrange(4),
                              bad_limit=random.choice([0, 2, 100]))
    state, run = State(config), Run()
    state.codes[:] = codes
    wrong = set()
    if random.random() < 0.3:
        place = random.randrange(n), random.randrange(config.code_words)
        wrong.add(place)
        state.wrong_codes[place[0], random.randrange(config.lanes) * config.code_words + place[1]] = True
    golden_arrays: Any = deepcopy(arrays)
    fault = TrapCause.NONE
    try:
        program_arrays(state, golden_arrays, settings, Clock(run, 0), scrub=scrub)
    except Trapped as trap:
        fault = trap.cause
    outcome = program(arrays, codes, settings.write_cycles, settings.retries, settings.bad_limit, scrub=scrub,
                      wrong=wrong)
    assert (outcome.clocks, outcome.fault) == (run.cycles, fault)
    assert arrays.cells == golden_arrays.cells
    assert (outcome.bad_count, outcome.repairs) == (state.bad_count, state.repairs)
    for row in range(n):
        assert outcome.bad_map.get(row, 0) == pack(state.bad_map[row], 1)
    if fault is not TrapCause.PARITY:
        assert +Counter({Event.ROW_REWRITTEN: outcome.rewritten, Event.ROW_WRITTEN: outcome.pulses,
                         Event.ROW_READ: sum(read for *_, read in outcome.pins),
                         Event.CODE_READ: outcome.code_reads * config.lanes}) == +run.events

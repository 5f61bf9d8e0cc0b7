"""The array controller around two small arrays: what is written where, retries, verdicts, pulses and clocks."""

from dataclasses import dataclass, field

import pytest
from verification.unit.simulation import SHAPES, seeded, simulate

from ohmloop.analog.buses import pack, unpack
from ohmloop.golden import cycles
from ohmloop_hdl.array.controller import ArrayController
from ohmloop_hdl.config import CONFIGS, ChipConfig

TINY = CONFIGS["tiny"]
each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())

Cell = tuple[int, int, int]
"""Plane, row, column."""


@dataclass
class Arrays:
    """Two arrays of cells that remember magnitudes.

    ``stuck``: cells that hold a code for ever. ``slow``: cells that take so many writes before they follow.
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


@dataclass
class Outcome:
    """Clocks from the clock after ``start`` to ``done``, verdicts, the map, and one tuple of the pins a clock."""

    clocks: int = 0
    failed: int = 0
    bad_count: int = 0
    bad_map: dict[int, int] = field(default_factory=dict)
    pins: list[tuple[int, int, int, int, int]] = field(default_factory=list)


def program(arrays: Arrays, codes: list[list[int]], write_cycles: int = 3, retries: int = 0, bad_limit: int = 0,
            times: int = 1) -> Outcome:
    """Program the arrays ``times`` times; the outcome of the last."""
    config, dut = arrays.config, ArrayController(arrays.config)
    cpw, outcome = config.codes_per_word, Outcome()

    async def code_memory(ctx):
        async for _, _, row, word in ctx.tick().sample(dut.code_row, dut.code_word):
            if word < config.code_words:
                for lane in range(config.lanes):
                    for c in range(cpw):
                        ctx.set(dut.codes[lane * cpw + c], codes[row][lane * config.block + word * cpw + c])

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
        for signal, value in ((dut.write_cycles, write_cycles), (dut.retries, retries), (dut.bad_limit, bad_limit)):
            ctx.set(signal, value)
        for _ in range(times):
            outcome = Outcome()
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            done = 0
            while not done:
                outcome.clocks += 1
                outcome.pins.append(tuple(ctx.get(pin) for pin in (dut.row, dut.plane, dut.write, dut.write_data,
                                                                   dut.read)))
                if ctx.get(dut.map_write):
                    assert ctx.get(dut.map_row) not in outcome.bad_map
                    outcome.bad_map[ctx.get(dut.map_row)] = ctx.get(dut.map_bad)
                done = ctx.get(dut.done)
                assert done or not ctx.get(dut.failed)
                outcome.failed, outcome.bad_count = ctx.get(dut.failed), ctx.get(dut.bad_count)
                await ctx.tick()
            for _ in range(3):
                assert not any(ctx.get(pin) for pin in (dut.row, dut.write, dut.read, dut.done))
                await ctx.tick()
            assert ctx.get(dut.bad_count) == outcome.bad_count

    simulate(dut, bench, code_memory, store, sense)
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
    assert (outcome.failed, outcome.bad_count) == (0, 0)
    assert outcome.bad_map == dict.fromkeys(range(config.size), 0)


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
    assert (outcome.failed, outcome.bad_count) == (0, 0)


@pytest.mark.parametrize(("retries", "attempts_needed", "bad"), [
    (0, 1, 1), (2, 2, 0), (2, 3, 1), (15, 15, 0), (15, 16, 1),
])
def test_retries_end_at_their_limit(retries: int, attempts_needed: int, bad: int):
    arrays = Arrays(TINY, slow={(0, 3, 1): attempts_needed})
    outcome = program(arrays, [[5] * 4] * 4, retries=retries)
    assert outcome.bad_count == bad and outcome.failed == bad
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
def test_more_bad_cells_than_the_limit_fail(bad_limit: int, failed: int):
    arrays = Arrays(TINY, stuck={(0, row, row): 1 for row in range(3)})
    outcome = program(arrays, [[0] * 4] * 4, bad_limit=bad_limit)
    assert (outcome.bad_count, outcome.failed) == (3, failed)


def test_counts_start_anew_each_time():
    arrays = Arrays(TINY, stuck={(1, 2, 3): 8}, slow={(0, 0, 0): 1})
    outcome = program(arrays, [[5] * 4] * 4, retries=1, times=3)
    assert outcome.bad_count == 1 and outcome.bad_map[2] == 0b1000
    assert outcome.clocks == formula(TINY, 3, retries=1)


def test_every_cell_bad_at_once():
    arrays = Arrays(TINY, stuck={(plane, r, c): 1 for plane in (0, 1) for r in range(4) for c in range(4)})
    outcome = program(arrays, [[0] * 4] * 4, bad_limit=15)
    assert (outcome.bad_count, outcome.failed) == (16, 1)


@pytest.mark.parametrize("bit", range(4))
def test_one_wrong_bit_is_enough(bit: int):
    arrays = Arrays(TINY, stuck={(0, 0, 0): 15 ^ 1 << bit})
    assert program(arrays, [[15] * 4] * 4).bad_count == 1

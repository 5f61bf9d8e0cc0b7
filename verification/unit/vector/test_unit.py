"""The vector unit against the golden arithmetic: every bit of every result, and every clock."""

from dataclasses import replace

import pytest
from verification.unit.simulation import SHAPES, seeded, simulate
from verification.unit.vector.machine import AXPY, DOT, MAT, Machine, some_exponent, some_mantissas, some_scalar

from ohmloop.golden.vector import ONE, Scalar
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN, PRODUCT_FRACTION, SCALARS, VECTORS, guard_bits
from ohmloop_hdl.sequencer.traps import TrapCause

UNIT_SHAPES = {
    "tiny": SHAPES["tiny"],
    "lab": SHAPES["lab"],
    "unshared": SHAPES["unshared"],
    "halves": SHAPES["halves"],
    "three_slots": replace(SHAPES["tiny"], slots=3),
    "one_lane": ChipConfig(size=16, adcs=4, lanes=1),
}
"""Every number of lanes, and slots in numbers that are and are not powers of two."""

each_shape = pytest.mark.parametrize("config", UNIT_SHAPES.values(), ids=UNIT_SHAPES.keys())
one_two_four_lanes = pytest.mark.parametrize("name", ["tiny", "unshared", "halves"])

LOW, HIGH = -(1 << 31), (1 << 31) - 1
ELEMENT_LOW, ELEMENT_HIGH = -(1 << 23), (1 << 23) - 1

CLOCKS = {  # config: AXPY, MAT, DOT
    "tiny": (14, 26, 11),
    "lab": (22, 142, 16),
    "unshared": (14, 42, 12),
    "halves": (10, 24, 12),
    "one_lane": (38, 278, 23),
}
"""Last clock of each instruction, counted from the clock of its start."""


def random_rows(random, size: int) -> list[list[int]]:
    return [some_mantissas(random, size, 24) for _ in range(size)]


async def fill(machine: Machine, ctx, random):
    """Any content in every register and every slot."""
    for vector in range(1, VECTORS):
        await machine.load_vector(ctx, vector, some_mantissas(random, machine.config.size), some_exponent(random))
    for index in range(1, SCALARS):
        await machine.load_scalar(ctx, index, some_scalar(random))
    for slot in range(machine.config.slots):
        await machine.load_slot(ctx, slot, random_rows(random, machine.config.size))


async def random_instructions(machine: Machine, ctx, random, count: int) -> list[TrapCause]:
    """Registers at random, so that destinations are sources too; new content now and then."""
    config, faults = machine.config, []
    for _ in range(count):
        if random.random() < 0.7:
            await machine.load_vector(ctx, random.randrange(1, VECTORS), some_mantissas(random, config.size),
                                      some_exponent(random))
        if random.random() < 0.5:
            await machine.load_scalar(ctx, random.randrange(1, SCALARS), some_scalar(random))
        if random.random() < 0.1:
            await machine.load_slot(ctx, random.randrange(config.slots), random_rows(random, config.size))
        machine.vector_size = random.choice((config.size, config.size, random.randint(0, config.size)))
        operation = random.choice((AXPY, MAT, DOT))
        faults.append(await machine.run(
            ctx, operation, *(random.randrange(VECTORS) for _ in range(3)), k=random.randrange(SCALARS),
            slot=random.randrange(config.slots), negate=0 if operation == DOT else random.randrange(2)))
        if random.random() < 0.5:
            await ctx.tick()
    return faults


@each_shape
def test_random_instructions(config: ChipConfig):
    machine, random = Machine(config), seeded(config)
    faults = []

    async def run(ctx):
        await fill(machine, ctx, random)
        faults.extend(await random_instructions(machine, ctx, random, 80))
        await machine.check(ctx)

    simulate(machine, run)
    assert faults.count(TrapCause.NONE) > 40


def test_the_reference_chip():
    config = CONFIGS["chip64"]
    machine, random = Machine(config), seeded()

    async def run(ctx):
        for vector in (1, 2):
            await machine.load_vector(ctx, vector, [random.randint(LOW, HIGH) for _ in range(64)], vector)
        await machine.load_scalar(ctx, 1, Scalar(-0x654321, 2))
        await machine.load_slot(ctx, 0, [[random.randint(ELEMENT_LOW, ELEMENT_HIGH) for _ in range(64)]
                                         for _ in range(64)])
        assert await machine.last_clock(ctx, MAT, 3, 1, 2, negate=1) == 1024 + 16 + 6
        assert await machine.last_clock(ctx, AXPY, 4, 3, 2, k=1) == 38
        assert await machine.last_clock(ctx, DOT, 5, 3, 4) == 16 + 4 + 6
        await machine.check(ctx)

    simulate(machine, run)


@pytest.mark.parametrize("name", CLOCKS)
def test_clocks_do_not_depend_on_the_numbers(name: str):
    config = UNIT_SHAPES[name]
    machine, random = Machine(config), seeded()

    async def run(ctx):
        for vector in (2, 3):
            await machine.load_vector(ctx, vector, some_mantissas(random, config.size), random.randint(-9, 9))
        for machine.vector_size in (0, 1, config.size):
            for operation, clocks in zip((AXPY, MAT, DOT), CLOCKS[name], strict=True):
                assert await machine.last_clock(ctx, operation, 1, 2, 3) == clocks

    simulate(machine, run)


@pytest.mark.parametrize("name", ["tiny", "halves"])
def test_terms_of_all_distances(name: str):
    """Product above or below the addend by up to 70 binary places and far beyond, added and subtracted, and with small
    numbers of either sign, of which the shift leaves 0 or -1."""
    config = UNIT_SHAPES[name]
    machine, random = Machine(config), seeded(name)
    small = [[-1] * config.size, [1] * config.size]

    async def run(ctx):
        await machine.load_scalar(ctx, 1, Scalar(0x5A5A5B, 0))
        await machine.load_slot(ctx, 0, [[random.randint(ELEMENT_LOW, ELEMENT_HIGH) for _ in range(config.size)]
                                         for _ in range(config.size)])
        for distance in [*range(-70, 71), -511, -300, -128, -64, 64, 127, 128, 300, 511]:
            exponent = max(-511, -300 if distance < -70 else distance - 100)
            full = [[random.randint(LOW, HIGH) for _ in range(config.size)] for _ in range(2)]
            addend, source = random.choice((full, full, [full[0], random.choice(small)],
                                            [random.choice(small), full[1]]))
            await machine.load_vector(ctx, 1, addend, exponent - distance)
            await machine.load_vector(ctx, 2, source, exponent)
            await machine.run(ctx, AXPY, 3, 1, 2, k=1, negate=random.randrange(2))
            if name == "tiny":
                await machine.run(ctx, MAT, 4, 1, 2, negate=random.randrange(2))
        await machine.check(ctx)

    simulate(machine, run)


@one_two_four_lanes
def test_extremes_need_the_whole_accumulator(name: str):
    """N products and an addend of the same sign, as large as they can be."""
    config = UNIT_SHAPES[name]
    machine = Machine(config)

    async def run(ctx):
        for factor in (ELEMENT_LOW, ELEMENT_HIGH):
            await machine.load_slot(ctx, 0, [[factor] * config.size] * config.size)
            await machine.load_scalar(ctx, 1, Scalar(factor, 0))
            for value in (LOW, HIGH):
                await machine.load_vector(ctx, 1, [value] * config.size, 0)
                for addend in (LOW, HIGH):
                    await machine.load_vector(ctx, 2, [addend] * config.size, 0)
                    for negate in (0, 1):
                        await machine.run(ctx, MAT, 3, 2, 1, negate=negate)
                        await machine.run(ctx, AXPY, 3, 2, 1, k=1, negate=negate)
                    await machine.run(ctx, DOT, 3, 2, 1)
        # The largest sum there is, 2^62, leaves a one when it is shifted by 62, and nothing by 63.
        await machine.load_slot(ctx, 0, [[ELEMENT_LOW] * config.size] * config.size)
        await machine.load_vector(ctx, 1, [LOW] * config.size, 0)
        for exponent in (62, 63, 64, 500):
            await machine.load_vector(ctx, 2, [0] * config.size, exponent)
            await machine.run(ctx, MAT, 3, 2, 1)
            assert (machine.exponents[3] == EXPONENT_MIN) == (exponent > 62)
            await machine.run(ctx, MAT, 3, 2, 1, negate=1)
            assert machine.exponents[3] == exponent - PRODUCT_FRACTION - guard_bits(config.size)

    simulate(machine, run)


@one_two_four_lanes
def test_zeros(name: str):
    """By the exponent, whatever the mantissas, or by the mantissas; a zero costs the other term no bits."""
    config = UNIT_SHAPES[name]
    machine, random = Machine(config), seeded()
    anything = [random.randint(LOW, HIGH) for _ in range(config.size)]
    vectors = {1: (anything, EXPONENT_MIN), 2: ([0] * config.size, 400), 3: (anything, -400), 4: (anything, 5)}
    scalars = {1: Scalar(0x123457, EXPONENT_MIN), 2: Scalar(0, 400), 3: Scalar(0x345679, -300), 4: Scalar(-7, 30)}

    async def run(ctx):
        for vector, content in vectors.items():
            await machine.load_vector(ctx, vector, *content)
        for index, scalar in scalars.items():
            await machine.load_scalar(ctx, index, scalar)
        await machine.load_slot(ctx, 0, random_rows(random, config.size))
        for a in range(5):
            for s in range(5):
                for k in random.sample(range(5), 2):
                    await machine.run(ctx, AXPY, 5, a, s, k, negate=random.randrange(2))
                await machine.run(ctx, MAT, 6, a, s, negate=random.randrange(2))
                await machine.run(ctx, DOT, 5, a, s)
        await machine.run(ctx, AXPY, 7, 1, 1, 1)
        assert (machine.mantissas[7] == 0).all() and machine.exponents[7] == EXPONENT_MIN
        await machine.run(ctx, AXPY, 7, 1, 4, 0)
        assert machine.exponents[7] == 5, "a copy has the exponent of what is copied"
        await machine.check(ctx)

    simulate(machine, run)


def test_a_sum_of_minus_one():
    """All sums are 0 or -1: nothing tells them from their sign, and -1 is shifted up by all 63 places."""
    config = SHAPES["tiny"]
    machine = Machine(config)
    exponent = 300 - PRODUCT_FRACTION - guard_bits(config.size)

    async def run(ctx):
        await machine.load_vector(ctx, 1, [0, 0, 0, 0], 300)
        await machine.load_vector(ctx, 2, [-1, 0, LOW, HIGH], 0)
        await machine.run(ctx, AXPY, 3, 1, 2, 0)
        assert (machine.mantissas[3].tolist(), machine.exponents[3]) == ([LOW, 0, LOW, 0], exponent)
        await machine.load_vector(ctx, 2, [0, 1, 5, HIGH], 0)
        await machine.run(ctx, AXPY, 3, 1, 2, 0)
        assert (machine.mantissas[3].tolist(), machine.exponents[3]) == ([0, 0, 0, 0], EXPONENT_MIN)
        await machine.run(ctx, AXPY, 3, 1, 2, 0, negate=1)
        assert (machine.mantissas[3].tolist(), machine.exponents[3]) == ([0, LOW, LOW, LOW], exponent)

    simulate(machine, run)


def test_rounding_ties_and_the_mantissa_that_would_round_up_to_one():
    machine = Machine(SHAPES["tiny"])

    async def run(ctx):
        # Products 5 s of 33 bits lose two: ties to even, both signs; what rounds up to 2^31 stays one below.
        await machine.load_scalar(ctx, 1, Scalar(5, 0))
        top = ((1 << 33) - 2) // 5
        for source, mantissas in (
                ([top, 0, 0, 0], [HIGH, 0, 0, 0]),
                ([-top, 0, 0, 0], [LOW, 0, 0, 0]),
                ([top, 2, -2, 6], [HIGH, 2, -2, 8]),
                ([top, 10, -10, 14], [HIGH, 12, -12, 18]),
                ([top, 1, 3, -3], [HIGH, 1, 4, -4])):
            await machine.load_vector(ctx, 1, source, 0)
            await machine.run(ctx, AXPY, 2, 0, 1, k=1)
            assert machine.mantissas[2].tolist() == mantissas
        # A dot product is rounded to 24 bits, once: 33 bits lose ten, 31 bits lose eight.
        even, tie = 1 << 30, 1 << 7
        for factor, source, mantissa in (
                (5, top, (1 << 23) - 1),
                (5, -top, -(1 << 23)),
                (1, even + tie, 1 << 22),
                (1, even + tie + 1, (1 << 22) + 1),
                (1, even + 3 * tie, (1 << 22) + 2),
                (-1, even + 3 * tie, -(1 << 22) - 2),
                (1, -even - tie, -(1 << 22))):
            await machine.load_vector(ctx, 1, [0, 0, source, 0], 3)
            await machine.load_vector(ctx, 2, [99, 99, factor << 8, 99], -1)
            await machine.run(ctx, DOT, 4, 2, 1)
            assert machine.scalars[4].mantissa == mantissa

    simulate(machine, run)


def test_a_dot_product_takes_the_top_bits_of_its_first_factor():
    machine = Machine(SHAPES["halves"])

    async def run(ctx):
        await machine.load_vector(ctx, 1, [0xFF, -1, -256, 0x1FF, 0, 0, 0, 0], 0)
        await machine.load_vector(ctx, 2, [1 << 20, 1 << 4, 1 << 8, 1 << 12, LOW, LOW, LOW, LOW], 0)
        await machine.run(ctx, DOT, 1, 1, 2)
        # 0 - 2^4 - 2^8 + 2^12
        assert machine.scalars[1].mantissa * 2.0 ** (machine.scalars[1].exponent - 23) == (4096 - 256 - 16) * 2.0 ** -54

    simulate(machine, run)


@one_two_four_lanes
def test_destinations_that_are_sources(name: str):
    config = UNIT_SHAPES[name]
    machine, random = Machine(config), seeded()

    async def run(ctx):
        await fill(machine, ctx, random)
        for operation in (AXPY, MAT):
            for d, a, s in ((1, 1, 1), (2, 2, 3), (4, 3, 4), (5, 6, 6), (0, 2, 3), (0, 0, 0), (7, 0, 7), (7, 7, 0)):
                for vector in range(1, 8):
                    await machine.load_vector(ctx, vector, some_mantissas(random, config.size), random.randint(-9, 9))
                await machine.run(ctx, operation, d, a, s, k=random.randrange(1, SCALARS), negate=random.randrange(2))
        for d, s in ((0, 1), (1, 2), (1, 1)):
            await machine.run(ctx, DOT, d, s, s)
            await machine.run(ctx, AXPY, 8, 2, 3, k=d)
        assert machine.scalars[0] == ONE
        await machine.check(ctx)

    simulate(machine, run)


@one_two_four_lanes
def test_elements_outside_of_the_vector(name: str):
    """They read zero, and so do rows of the matrix, for every size there is."""
    config = UNIT_SHAPES[name]
    machine, random = Machine(config), seeded()

    async def run(ctx):
        await machine.load_slot(ctx, 0, [[random.randint(ELEMENT_LOW, ELEMENT_HIGH) for _ in range(config.size)]
                                         for _ in range(config.size)])
        for vector in (1, 2):
            await machine.load_vector(ctx, vector, [random.randint(LOW, HIGH) for _ in range(config.size)], 1)
        for machine.vector_size in range(config.size + 1):
            inside = machine.vector_size
            for operation in (AXPY, MAT):
                await machine.run(ctx, operation, 3, 1, 2)
                assert not machine.mantissas[3][inside:].any()
                assert (machine.exponents[3] == EXPONENT_MIN) == (inside == 0)
            await machine.run(ctx, DOT, 3, 1, 2)
        await machine.check(ctx)

    simulate(machine, run)


@pytest.mark.parametrize("operation", [AXPY, MAT, DOT], ids=lambda operation: operation.name)
def test_the_ends_of_the_exponent(operation):
    """The largest exponent is a result, one more a fault that leaves all as it was, also where nothing would be
    written; the smallest is zero, with its mantissas as computed."""
    config = UNIT_SHAPES["unshared"]
    machine, random = Machine(config), seeded(operation)
    size = config.size

    async def run(ctx):
        await machine.load_slot(ctx, 0, [[ELEMENT_LOW // 2 if i == j else 0 for j in range(size)] for i in range(size)])
        await machine.load_scalar(ctx, 1, Scalar(ELEMENT_LOW // 2, 0))
        seen = []
        for exponent in (EXPONENT_MAX, EXPONENT_MAX - 1):
            for mantissa in (LOW, HIGH, 1 << 30, 1 << 29, 1, -1):
                for extra in (0, 1, 2):
                    await machine.load_vector(ctx, 1, [0, mantissa] + [0] * (size - 2), exponent)
                    await machine.load_vector(ctx, 2, [0, LOW] + [0] * (size - 2), extra)
                    await machine.load_scalar(ctx, 2, Scalar(ELEMENT_LOW, extra))
                    await machine.load_vector(ctx, 3, [77] * size, 3)
                    for d in (3, 0):
                        negate = 0 if operation == DOT else random.randrange(2)
                        seen.append(await machine.run(ctx, operation, d, 2 if operation == DOT else 1, 1, 2,
                                                      negate=negate))
        assert TrapCause.RANGE in seen and TrapCause.NONE in seen
        await machine.check(ctx)
        for exponent in (-511, -510, -509, -508, -480):
            for mantissa in (LOW, HIGH, 1 << 30, 1 << 29, 1, -1, 0):
                await machine.load_vector(ctx, 1, [0, mantissa, 0, 1] + [0] * (size - 4), exponent)
                await machine.load_vector(ctx, 2, [0, LOW] + [0] * (size - 2), -2)
                await machine.run(ctx, operation, 3, 2 if operation == DOT else 0, 1, k=1)
        await machine.check(ctx)

    simulate(machine, run)


@pytest.mark.parametrize("name", ["tiny", "unshared", "three_slots"])
def test_a_wrong_word_of_the_slot_stops_the_product(name: str):
    """Two clocks after its address, wherever it is, inside of the vector or not; nothing is written, and the next
    instruction finds the unit as new. Sums that do not read slots do not see it."""
    config = UNIT_SHAPES[name]
    machine, random = Machine(config), seeded(name)
    size = config.size
    slot = config.slots - 1

    async def run(ctx):
        await fill(machine, ctx, random)
        for vector in (1, 2):
            await machine.load_vector(ctx, vector, some_mantissas(random, size), vector)
        memory = machine.slot_memory
        for row in range(size):
            for column in range(size):
                word = (slot * size + row) * size + column
                element = int(machine.slots[slot, row, column])
                ctx.set(memory.bad_parity, 1)
                await machine.poke(ctx, memory.window, {word: element})
                ctx.set(memory.bad_parity, 0)
                machine.vector_size = random.randint(0, size)
                address = 1 + row % config.block * size + column
                stop_at = random.choice((None, address + 2))
                await machine.run(ctx, MAT, 1, 1, 2, slot=slot, fault_at=address + 2, stop_at=stop_at)
                await machine.run(ctx, random.choice((AXPY, DOT)), 4, 1, 2, slot=slot)
                if slot:
                    await machine.run(ctx, MAT, 4, 0, 2, slot=slot - 1)
                await machine.poke(ctx, memory.window, {word: element})
        await machine.run(ctx, MAT, 5, 1, 2, slot=slot)
        await machine.check(ctx)

    simulate(machine, run)


def test_only_the_first_of_many_wrong_words_is_reported():
    config = SHAPES["tiny"]
    machine = Machine(config)

    async def run(ctx):
        await machine.load_vector(ctx, 1, [1, 2, 3, 4], 0)
        ctx.set(machine.slot_memory.bad_parity, 1)
        await machine.load_slot(ctx, 0, [[5] * 4] * 4)
        ctx.set(machine.slot_memory.bad_parity, 0)
        await machine.run(ctx, MAT, 2, 1, 1, fault_at=3)
        await machine.check(ctx)

    simulate(machine, run)


@pytest.mark.parametrize("operation", [AXPY, MAT, DOT], ids=lambda operation: operation.name)
def test_a_reset_before_the_first_write_changes_nothing(operation):
    """In every clock until then; the next instruction finds the unit as new."""
    machine, random = Machine(UNIT_SHAPES["unshared"]), seeded(operation)

    async def run(ctx):
        await fill(machine, ctx, random)
        for vector in (1, 2, 3):
            await machine.load_vector(ctx, vector, some_mantissas(random, machine.config.size), random.randint(-9, 9))
        for stop_at in range(machine.first_write(operation)):
            await machine.run(ctx, operation, 1, 1, 2, k=0, stop_at=stop_at)
            await machine.run(ctx, random.choice((AXPY, MAT)), 4, 1, 3, k=0)
            await machine.run(ctx, DOT, 4, 1, 2)
        await machine.check(ctx)

    simulate(machine, run)

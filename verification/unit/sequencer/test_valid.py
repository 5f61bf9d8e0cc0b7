"""What is there to be used: who makes a matrix valid and invalid, and which instruction needs which."""

from dataclasses import dataclass, replace
from itertools import product

import pytest
from verification.unit.simulation import SHAPES, seeded, simulate

from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.host.map import address_map
from ohmloop_hdl.isa import AXPY, BLE, DIV, DOT, HALT, INSTRUCTIONS, INV, LD, LOOP, MAT, MUL, PROG, SCRUB, SETC, ST
from ohmloop_hdl.sequencer.valid import Validity

LAB = CONFIGS["lab"]
SLOT_SHAPES = SHAPES | {"sixteen": ChipConfig(size=4, adcs=1, lanes=1, slots=16),
                        "three": replace(SHAPES["unshared"], slots=3)}

VECTOR, SLOT, CODES = 0, 1, 2
"""What LD fills."""

Bits = tuple[int, int, int]
"""Slots, code memory, arrays."""


@dataclass
class ValidBench:
    """The bits with the events that move them."""

    config: ChipConfig = LAB

    def __post_init__(self):
        self.dut = Validity(self.config)
        self.windows = address_map(self.config).windows

    def bits(self, ctx) -> Bits:
        return ctx.get(self.dut.slots), ctx.get(self.dut.codes), ctx.get(self.dut.arrays)

    async def pulse(self, ctx, *signals):
        for signal in signals:
            ctx.set(signal, 1)
        await ctx.tick()
        for signal in signals:
            ctx.set(signal, 0)

    async def write(self, ctx, window: str, word: int):
        """The bus writes a word."""
        ctx.set(self.dut.number, self.windows[window].number)
        ctx.set(self.dut.address, word)
        await self.pulse(ctx, self.dut.written)

    async def start(self, ctx, word: int):
        ctx.set(self.dut.instruction, word)
        await self.pulse(ctx, self.dut.started)

    async def retire(self, ctx):
        await self.pulse(ctx, self.dut.retired)

    async def become(self, ctx, bits: Bits):
        """Start anew and make these valid."""
        slots, codes, arrays = bits
        await self.pulse(ctx, self.dut.wipe)
        for slot in range(self.config.slots):
            if slots >> slot & 1:
                await self.write(ctx, "SLOTS", slot * self.config.size ** 2)
        if codes:
            await self.write(ctx, "CODES", 0)
        if arrays:
            await self.start(ctx, PROG.encode(0))
            await self.retire(ctx)
        assert self.bits(ctx) == bits


def encoded(instruction, **operands: int) -> int:
    return instruction.encode(*(operands.get(operand.name, 0) for operand in instruction.operands))


@pytest.mark.parametrize("config", SLOT_SHAPES.values(), ids=SLOT_SHAPES.keys())
def test_a_word_on_the_bus_makes_its_matrix_valid(config: ChipConfig):
    bench = ValidBench(config)
    elements = config.size ** 2

    async def run(ctx):
        assert bench.bits(ctx) == (0, 0, 0), "nothing is valid out of reset"
        for slot in range(config.slots):
            for word in (0, elements - 1):
                await bench.pulse(ctx, bench.dut.wipe)
                await bench.write(ctx, "SLOTS", slot * elements + word)
                assert bench.bits(ctx) == (1 << slot, 0, 0)
        for word in (0, bench.windows["CODES"].words - 1):
            await bench.pulse(ctx, bench.dut.wipe)
            await bench.write(ctx, "CODES", word)
            assert bench.bits(ctx) == (0, 1, 0)

    simulate(bench.dut, run)


def test_words_of_other_windows_and_words_that_are_not_written_do_nothing():
    bench = ValidBench()

    async def run(ctx):
        for name, window in bench.windows.items():
            for word in (0, window.words - 1):
                if name not in ("SLOTS", "CODES"):
                    await bench.write(ctx, name, word)
                ctx.set(bench.dut.number, window.number)
                ctx.set(bench.dut.address, word)
                await ctx.tick()
        assert bench.bits(ctx) == (0, 0, 0)

    simulate(bench.dut, run)


NEEDS = [
    (encoded(MAT, slot=0, d=15, a=15, s=15, negate=1), "slot 0"), (encoded(MAT, slot=1), "slot 1"),
    (encoded(INV, d=1, s=2), "arrays"), (encoded(INV, cal=1), "arrays"), (encoded(MUL, d=3), "arrays"),
    (encoded(PROG), "codes"), (encoded(PROG, stream=1), ""), (encoded(SCRUB), "codes and arrays"),
    *((encoded(LD, kind=kind, d=place), "") for kind, place in ((VECTOR, 15), (SLOT, 0), (SLOT, 1), (CODES, 0))),
    *((encoded(instruction), "") for instruction in (AXPY, DOT, DIV, ST, SETC, LOOP, BLE, HALT)),
    # Fields that are a slot, a kind or a flag elsewhere.
    (encoded(AXPY, k=1), ""), (encoded(HALT, code=255), ""), (encoded(SETC, n=0xFFFF), ""),
]


def test_what_each_instruction_needs():
    bench = ValidBench()
    assert {word >> 27 for word, _ in NEEDS} == {instruction.opcode for instruction in INSTRUCTIONS}

    async def run(ctx):
        for slots, codes, arrays in product(range(4), range(2), range(2)):
            await bench.become(ctx, (slots, codes, arrays))
            met = {"": 1, "slot 0": slots & 1, "slot 1": slots >> 1, "codes": codes, "arrays": arrays,
                   "codes and arrays": codes & arrays}
            for word, need in NEEDS:
                ctx.set(bench.dut.instruction, word)
                assert ctx.get(bench.dut.usable) == met[need], f"{word:#010x} with {slots}, {codes}, {arrays}"

    simulate(bench.dut, run)


@pytest.mark.parametrize(("word", "filled"), [
    (encoded(LD, kind=SLOT, d=0), (1, 0, 0)), (encoded(LD, kind=SLOT, d=1), (2, 0, 0)),
    (encoded(LD, kind=CODES), (0, 1, 0)), (encoded(PROG), (0, 0, 1)), (encoded(PROG, stream=1), (0, 1, 1)),
    (encoded(LD, kind=VECTOR, d=0), (0, 0, 0)), (encoded(LD, kind=VECTOR, d=1), (0, 0, 0)),
    (encoded(INV, cal=1), (0, 0, 0)), (encoded(MAT, slot=1), (0, 0, 0)),
    (encoded(ST, s=1), (0, 0, 0)), (encoded(AXPY, d=1, k=1), (0, 0, 0)),
])
def test_what_is_filled_is_invalid_until_it_is_all_there(word: int, filled: Bits):
    bench = ValidBench()

    async def run(ctx):
        for before in ((0, 0, 0), (3, 1, 1)):
            await bench.become(ctx, before)
            ctx.set(bench.dut.instruction, word)
            await ctx.tick()
            assert bench.bits(ctx) == before, "decoding does nothing"
            await bench.start(ctx, word)
            during = tuple(b & ~f for b, f in zip(before, filled, strict=True))
            for _ in range(3):
                assert bench.bits(ctx) == during
                await ctx.tick()
            await bench.retire(ctx)
            assert bench.bits(ctx) == tuple(b | f for b, f in zip(before, filled, strict=True))

    simulate(bench.dut, run)


@pytest.mark.parametrize(("word", "left"), [
    (encoded(LD, kind=SLOT, d=1), (1, 1, 1)), (encoded(LD, kind=CODES), (3, 0, 1)), (encoded(PROG), (3, 1, 0)),
    (encoded(PROG, stream=1), (3, 0, 0)),
])
def test_what_did_not_end_stays_invalid(word: int, left: Bits):
    bench = ValidBench()

    async def run(ctx):
        await bench.become(ctx, (3, 1, 1))
        await bench.start(ctx, word)
        await ctx.tick()
        # It trapped; another program runs.
        await bench.start(ctx, encoded(AXPY, d=1))
        await bench.retire(ctx)
        assert bench.bits(ctx) == left

    simulate(bench.dut, run)


@pytest.mark.parametrize("retires", [False, True])
def test_a_scrub_that_writes_takes_the_arrays_until_it_retires(retires: bool):
    bench = ValidBench()

    async def run(ctx):
        await bench.become(ctx, (3, 1, 1))
        await bench.start(ctx, encoded(SCRUB))
        await ctx.tick()
        assert bench.bits(ctx) == (3, 1, 1)
        for _ in range(2):
            await bench.pulse(ctx, bench.dut.writes)
            assert bench.bits(ctx) == (3, 1, 0)
        if retires:
            await bench.retire(ctx)
        assert bench.bits(ctx) == (3, 1, int(retires))

    simulate(bench.dut, run)


def test_a_wipe_makes_all_invalid_and_beats_what_else_comes():
    bench = ValidBench()

    async def run(ctx):
        await bench.become(ctx, (3, 1, 1))
        ctx.set(bench.dut.wipe, 1)
        await bench.write(ctx, "SLOTS", 0)
        assert bench.bits(ctx) == (0, 0, 0)
        await bench.write(ctx, "CODES", 0)
        await bench.start(ctx, encoded(PROG, stream=1))
        await bench.retire(ctx)
        assert bench.bits(ctx) == (0, 0, 0)

    simulate(bench.dut, run)


@pytest.mark.parametrize("name", ["three", "lab", "sixteen"])
def test_random_histories(name: str):
    bench, random = ValidBench(SLOT_SHAPES[name]), seeded(name)
    slots, elements = bench.config.slots, bench.config.size ** 2
    valid: dict[str, set[int]] = {"slots": set(), "codes": set(), "arrays": set()}

    def fills(word: int) -> list[tuple[str, int]]:
        if word >> 27 == PROG.opcode:
            return [("arrays", 0)] + [("codes", 0)] * (word >> 9 & 1)
        kind, place = word >> 13 & 3, word >> 23 & 15
        return [[], [("slots", place)], [("codes", 0)]][kind]

    async def run(ctx):
        for _ in range(400):
            event = random.randrange(20)
            if event < 4:
                slot = random.randrange(slots)
                await bench.write(ctx, "SLOTS", slot * elements + random.randrange(elements))
                valid["slots"].add(slot)
            elif event < 5:
                await bench.write(ctx, "CODES", random.randrange(bench.windows["CODES"].words))
                valid["codes"].add(0)
            elif event < 19:
                word = random.choice([encoded(PROG, stream=random.randrange(2)), encoded(LD, kind=CODES),
                                      encoded(LD, kind=SLOT, d=random.randrange(slots)), encoded(LD, d=3)])
                await bench.start(ctx, word)
                for what, place in fills(word):
                    valid[what].discard(place)
                if random.random() < 0.7:
                    await bench.retire(ctx)
                    for what, place in fills(word):
                        valid[what].add(place)
            else:
                await bench.pulse(ctx, bench.dut.wipe)
                for places in valid.values():
                    places.clear()
            assert bench.bits(ctx) == (sum(1 << slot for slot in valid["slots"]), len(valid["codes"]),
                                       len(valid["arrays"]))

    simulate(bench.dut, run)

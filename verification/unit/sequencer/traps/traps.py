"""What must be true of the chip behind every trap."""


import numpy as np
from verification.unit.analog.systems import definite
from verification.unit.chip_and_golden import ChipAndGolden, mantissas_of

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.sequencer.traps import TrapCause

TINY = CONFIGS["tiny"]
WIDE = ChipConfig(size=8, cell_bits=8, adcs=4, lanes=2, slots=2)
"""Two lanes with two words of codes each, two converters a lane, two slots."""

IDEAL = AnalogParams.ideal()
RUNAWAY = np.diag([15, 15, -15, 15])
QUICK = dict(solve_interval=40, multiply_interval=30, dead=1, autozero=3, write_cycles=1)
"""Settings with which small systems are solved in few clocks."""

PARITY, WATCHDOG, ILLEGAL, DIVIDE, RANGE, CLIP, SETTLE, VERIFY, STREAM = (
    TrapCause(value) for value in range(1, len(TrapCause)))
NONE = TrapCause.NONE

ONES = np.full(4, (1 << 31) - 1)
"""Mantissas of which no sum fits."""


def registers(machine: Machine) -> dict[str, object]:
    """All that instructions can change, by the names that programs use."""
    vectors = {f"v{v}": (int(machine.exponents[v]), machine.mantissas[v].tolist()) for v in range(16)}
    scalars = {f"k{k}": scalar for k, scalar in enumerate(machine.scalars)}
    slots = {f"m{slot}": matrix.tolist() for slot, matrix in enumerate(machine.slots)}
    counters = {f"c{c}": count for c, count in enumerate(machine.counters)}
    return vectors | scalars | slots | counters | {
        "codes": machine.codes.tolist(), "offsets": machine.offsets.tolist(), "gains": machine.gains.tolist()}


class Traps(ChipAndGolden):
    """A chip that holds something everywhere, and what must be true behind every trap."""

    def __init__(self, config: ChipConfig = TINY, die: Die | None = None):
        super().__init__(die or Die.sample(config, IDEAL))
        self.good = definite(config.size, config.code_max, seed=3)
        self.source = mantissas_of([12, -9, 7, 15] * (config.size // 4), config)

    def check(self, bench) -> None:
        """Run ``bench`` on the chip, which holds something everywhere and is programmed."""
        async def ready(ctx):
            await self.chip.execute(ctx, self.driver.ready())
            await self.perform(ctx, Connect())
            await self.fill(ctx, 1, self.good)
            await self.load(ctx, vectors={1: (self.source, 0)})
            await self.configure(ctx, **QUICK)
            assert (await self.go(ctx, "PROG\nHALT 7", windows=False)).trap is NONE
            await bench(ctx)

        self.run(ready)

    async def trap(self, ctx, program: str | list[int], cause: TrapCause, pc: int = 0, *, clocks: int | None = None,
                   entry: int = 0, fills: tuple[str, ...] = (), **settings: int) -> Run:
        """Run a program that traps and check all that a trap must do and must not do, then solve.

        ``fills`` are the registers that may change; ``clocks`` what the run takes, beside what the golden machine says.
        """
        await self.configure(ctx, **(QUICK | settings))
        await self.program(ctx, program, entry)
        before = registers(self.machine)
        run = await self.go(ctx, [], entry, windows=False)
        assert (run.trap, run.pc, run.halt_code) == (cause, pc, 0)
        assert clocks is None or run.cycles == clocks
        after = registers(self.machine)
        assert {name for name in before if before[name] != after[name]} <= set(fills)
        await self.stopped(ctx)
        await self.solve(ctx)
        return run

    async def stopped(self, ctx) -> None:
        """The loop is open, the interrupt is up, and it can be forgotten how the run ended."""
        pins, fields = self.chip.chip.macro, self.map.fields
        assert not any(ctx.get(pin) for pin in (
            pins.close_solve, pins.close_multiply, pins.autozero, pins.sample, pins.row, pins.write, pins.read))
        assert ctx.get(self.chip.chip.interrupt)
        assert await self.words(ctx, self.map.registers["INTR_STATE"]) == [fields["INTR_STATE.trap"].mask]
        await self.put(ctx, "INTR_STATE", fields["INTR_STATE.trap"].mask)
        await ctx.tick()
        assert not ctx.get(self.chip.chip.interrupt)
        await self.put(ctx, "CONTROL", fields["CONTROL.clear"].mask)
        assert await self.words(ctx, self.map.registers["STATUS"]) == [fields["STATUS.halted"].mask]

    async def solve(self, ctx) -> None:
        """What was made wrong is written again, and the solve that follows is right; without programming the arrays
        where they are as they were."""
        machine = self.machine
        for window, marks in (("OFFSETS", machine.wrong_offsets), ("GAINS", machine.wrong_gains),
                              ("SLOTS", machine.wrong_slots)):
            for place in np.argwhere(marks):
                await self.write_word(ctx, window, tuple(place))
        usable = machine.valid_arrays
        if machine.wrong_codes.any() or not machine.valid_codes or not np.array_equal(machine.codes, self.good):
            await self.load(ctx, self.good)
            usable = False
        if not np.array_equal(machine.mantissas[1], self.source) or machine.exponents[1]:
            await self.load(ctx, vectors={1: (self.source, 0)})
        await self.configure(ctx, **QUICK, bad_limit=16)
        program = "INV v2, v1\nHALT 0" if usable else "PROG\nINV v2, v1\nHALT 0"
        run = await self.go(ctx, program, windows=False)
        assert run.trap is NONE
        got, exponent = machine.mantissas[2] * 2.0 ** (machine.exponents[2] - 31), machine.exponents[2]
        exact = np.linalg.solve(self.good / self.config.code_max, self.source / 2.0 ** 31)
        assert np.abs(got - exact).max() <= 1.2 * 2.0 ** (exponent - self.config.adc_bits + 1)

    async def fine(self, ctx, program: str | list[int], entry: int = 0, **settings: int) -> Run:
        """Run a program that halts."""
        await self.configure(ctx, **(QUICK | settings))
        run = await self.go(ctx, program, entry, windows=False)
        assert run.trap is NONE
        return run

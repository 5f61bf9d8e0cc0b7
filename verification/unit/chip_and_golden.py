"""One chip in the simulator beside one golden machine with the same die and the same history."""

from typing import Any

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.engines.operations import Read, Write
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine, Run, Settings
from ohmloop.host.device import Device, Status
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import VECTORS
from ohmloop_hdl.isa import decode
from verification.unit.simulated_chip import SimulatedChip
from verification.unit.simulation import Bench, signed

SLVERR = 2
"""Response of a refused access."""


def mantissas_of(codes: list[int], config: ChipConfig) -> np.ndarray:
    """Mantissas that drive exactly these input codes; missing elements are zero."""
    return np.array(codes + [0] * (config.size - len(codes))) << (32 - config.dac_bits)


class ChipAndGolden:
    """Loads, configures and runs both, and compares everything that either shows."""

    def __init__(self, die: Die):
        self.config = die.config
        self.chip = SimulatedChip(die)
        self.machine = Machine(die.config, NumpyMacro(die))
        self.device = Device(die.config)
        self.map = self.device.map

    def run(self, bench: Bench) -> None:
        """Run ``bench`` with the simulation context."""
        self.chip.run(bench)

    async def load(self, ctx, codes=None, vectors: dict[int, tuple[Any, int]] | None = None):
        """Give both the same cell codes and vectors (mantissas and exponent)."""
        if codes is not None:
            self.machine.codes[:] = codes
            await self.chip.execute(ctx, self.device.load_codes(self.machine.codes))
        for vector, (mantissas, exponent) in (vectors or {}).items():
            self.machine.mantissas[vector], self.machine.exponents[vector] = mantissas, exponent
            await self.chip.execute(ctx, self.device.load_vector(vector, np.array(mantissas), exponent))

    async def configure(self, ctx, **changes: int):
        """Reset values with ``changes``."""
        self.machine.settings = Settings.reset(self.config, **changes)
        await self.chip.execute(ctx, self.device.configure(self.machine.settings))

    async def program(self, ctx, program: str | list[int], entry: int = 0):
        """Put a program, as source or words, into both memories; it wraps at the end."""
        words = assemble(program) if isinstance(program, str) else program
        base = self.map.windows["PROGRAM"].address
        for i, word in enumerate(words):
            place = (entry + i) % len(self.machine.program)
            self.machine.program[place] = word
            assert await self.chip.write(ctx, base + 4 * place, word) == 0

    async def go(self, ctx, program: str | list[int], entry: int = 0) -> Run:
        """Run a program on both and compare; what the golden machine says of the run."""
        await self.program(ctx, program, entry)
        self.chip.restart_trace()
        status = await self.chip.execute(ctx, self.device.run(entry, limit_clocks=200_000))
        run = self.machine.run(entry)
        await self.compare(ctx, status, run)
        return run

    async def compare(self, ctx, status: Status, run: Run):
        """Status, phases, codes of every scan, retired instructions, and all that the windows show."""
        trace = self.chip.trace
        assert status == Status(run.trap, run.halt_code, run.pc, run.cycles, int(self.machine.bad_map.sum()))
        assert trace.phases == run.phases, f"{trace.phases}, not {run.phases}"
        assert [scan.tolist() for scan in trace.scans] == [scan.codes.tolist() for scan in run.scans]
        assert all(decode(word) and word == self.machine.program[pc] for pc, word in self.chip.retired)
        assert await self.field(ctx, "RANGES.drive_range") == self.machine.settings.drive_range
        assert await self.field(ctx, "RANGES.feedback") == self.machine.settings.feedback
        assert not await self.field(ctx, "STATUS.loop_closed") and await self.field(ctx, "STATUS.halted")
        await self.compare_vectors(ctx)
        bad_map = await self.chip.execute(ctx, self.device.read_bad_map())
        assert np.array_equal(bad_map, self.machine.bad_map)

    async def compare_vectors(self, ctx):
        """Every vector in the windows."""
        windows, n = self.map.windows, self.config.size
        words = await self.words(ctx, windows["MANTISSAS"].address, VECTORS * n)
        mantissas = np.array([signed(word, 32) for word in words]).reshape(VECTORS, n)
        assert mantissas.tolist() == self.machine.mantissas.tolist()
        exponents = [signed(word, 32) for word in await self.words(ctx, windows["EXPONENTS"].address, VECTORS)]
        assert exponents == self.machine.exponents.tolist()

    async def words(self, ctx, address: int, count: int = 1) -> list[int]:
        """Words on the host bus; none may be refused."""
        def script():
            return (yield Read(address, count))

        return await self.chip.execute(ctx, script())

    async def field(self, ctx, name: str) -> int:
        """A field of a register."""
        place = self.map.fields[name]
        (word,) = await self.words(ctx, place.address)
        return (word & place.mask) >> place.low

    async def put(self, ctx, register: str, word: int):
        """Write a register, which may not refuse."""
        def script():
            yield Write(self.map.registers[register], (word,))

        await self.chip.execute(ctx, script())

    async def start(self, ctx, program: str | list[int]):
        """Start the chip alone, without waiting for its end."""
        await self.program(ctx, program)
        await self.put(ctx, "ENTRY", 0)
        await self.put(ctx, "INTR_STATE", 3)
        await self.put(ctx, "INTR_ENABLE", 3)
        self.chip.restart_trace()
        await self.put(ctx, "CONTROL", self.map.fields["CONTROL.start"].mask)

    async def finish(self, ctx, run: Run):
        """Wait for the end of what :meth:`start` started, and compare with ``run``."""
        while not ctx.get(self.chip.chip.interrupt):
            await ctx.tick()
        await self.compare(ctx, await self.chip.execute(ctx, self.device.status()), run)

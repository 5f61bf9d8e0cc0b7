"""cocotb bench: random accesses to the whole address space, in every state of the machine, against the byte model.

Each round meets the chip halted, running a program that keeps every unit busy and waits for streams, and wiping itself.
The golden machine runs the same program: what the bus does meanwhile must change neither results nor clocks.
"""

from collections import Counter

import cocotb
import numpy as np
from cocotb.triggers import gather
from verification.cosim.bus_model import ABORT, ADDRESS_SPACE, CLEAR, FLUSH, START, WORD, ZEROIZE, State
from verification.cosim.chip_bench import COUNTED, Chip, chip_test
from verification.cosim.side_by_side import Host, window_of

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.golden.assembler import assemble
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.sequencer.traps import TrapCause

ACCESSES = 1200
"""Accesses of the test run; a campaign says how many it wants."""

EVERYTHING = assemble("""
again:  PROG
        INV   v10, v1
        MUL   v11, v1
        SCRUB
        AXPY  v12, v10, k1, v11
        MAT   v13, v1, -m0, v2
        DOT   k10, v1, v2
        DIV   k11, k1, k2
        ST    v12
        LD    v14
        DOT   k12, v14, v3
        BLE   k12, k3, 0, again
        HALT  7
""")
"""Runs until a vector comes in whose product with v3 is above k3, which is zero."""

FREE = {State.HALTED: ABORT | CLEAR | FLUSH, State.RUNNING: START | CLEAR | FLUSH,
        State.WIPING: START | ABORT | CLEAR | FLUSH}
"""Bits of CONTROL that an access may set by chance: what neither starts nor stops anything in that state."""


class Rounds:
    """Counts accesses by the phase in which they are answered."""

    def __init__(self, chip: Chip):
        self.chip, self.rng = chip, chip.rng
        self.host = Host(chip)
        self.source, self.sink = chip.connect()
        self.answered: Counter[Phase] = Counter()
        self.sent: list[list[int]] = []
        self.serial = hasattr(chip.dut, "spi_sck")
        self.wipe_clocks = 0

    def press(self, share: float):
        """Back-pressure on the bus, pauses on the streams."""
        self.chip.bus.press(0.0 if self.serial else share)
        for end in (self.source, self.sink):
            end.set_pause_generator(self._pauses(0.3 + share / 2))

    def _pauses(self, share: float):
        while True:
            yield self.rng.random() < share

    async def halted(self, count: int):
        """Accesses while the host owns everything."""
        for _ in range(count):
            await self.access()
        await self.host.check_everything()

    async def running(self, count: int):
        """Accesses while the program runs, and whether it ran as it would have without."""
        host, chip = self.host, self.chip
        await host.write_register("TEST", 0)
        await host.fill()
        machine = await self._prepare()
        taken, feed = [], cocotb.start_soon(self._feed())
        drain = cocotb.start_soon(self._drain(taken))
        before = await chip.read_words(0x80, len(Event))
        await host.start()
        for _ in range(count * 2 // 3):
            await self.access()
        feed.cancel()
        # It takes what is still there, then waits.
        waited = 0
        while waited < 3:
            await chip.clocks(100)
            waited = waited + 1 if self.source.idle() and chip.phase == Phase.WAIT else 0
        for _ in range(count // 3):
            await self.access()
        assert chip.phase == Phase.WAIT
        self._send(stop=True)
        await chip.reach(Phase.IDLE, 200_000)
        machine.source.extend((word, place == chip.config.size) for words in self.sent
                              for place, word in enumerate(words))
        run = machine.run()
        assert run.trap == TrapCause.NONE and run.pc == len(EVERYTHING) - 1, run.trap
        self._take_over(machine)
        await host.halted(pc=run.pc, code=7)
        after = await chip.read_words(0x80, len(Event))
        counted = {event: after[event] - before[event] for event in Event}
        assert counted == {event: run.events[event] for event in Event}
        for name, expected in (("CYCLES", run.cycles), ("BAD_CELLS", 0), ("REPAIRS", 0)):
            assert host.model.named(name).value == expected, name
        await host.check_everything()
        await chip.clocks(200)
        drain.cancel()
        assert taken == [word for word, _ in machine.sink]
        self.sent = []

    async def wiping(self, count: int):
        """Accesses while the chip wipes itself; a zeroize begins the wipe anew before it ends."""
        host, chip = self.host, self.chip
        await host.configure()  # how long it takes to write the arrays is a setting
        room = 300 if self.serial else 80
        end = 0
        while count:
            if chip.time() > end - room:
                await host.write_register("CONTROL", ZEROIZE)
                await chip.reach(Phase.WIPE, 5)
                end = chip.time() + self.wipe_clocks
            await self.access(single=True)
            count -= 1
        await host.wipe_over()
        assert host.model.named("STATUS").value == 1
        await host.check_everything()

    async def access(self, single: bool = False):
        """A write, a read, or a write and a read of different places at once."""
        host, rng = self.host, self.rng
        kind = rng.randrange(2 if single else 3)
        address, length = self._place(single)
        pending = []
        if kind != 1:
            data = self._harmless(address, bytearray(rng.randbytes(length)))
            if length == WORD and address % WORD == 0 and rng.random() < 0.7:
                pending.append(host.write_word(address, int.from_bytes(data, "little"), rng.randrange(16)))
            else:
                pending.append(host.write(address, data))
        if kind:
            other, count = self._place(single)
            # A write to one shows in the other: which of the two comes first is not known.
            meets = {window_of(address), window_of(address + length - 1)} & {
                window_of(other), window_of(other + count - 1), *((4, 8) if other <= 0x57 else ())}
            if kind == 1 or not meets:
                pending.append(host.read(other, count))
        await gather(*pending)
        self.answered[self.chip.phase] += len(pending)
        if kind != 1 and address < 0x20:
            await host.check_interrupt()

    def _place(self, single: bool) -> tuple[int, int]:
        """Anywhere: registers, windows, their ends, and the rest of the map."""
        rng = self.rng
        length = rng.choice((1, 2, 4, 4, 4) if single else (1, 2, 3, 4, 4, 4, 4, 4, 5, 8, 13, 16))
        window = rng.choice(list(self.host.model.windows.values()))
        address = rng.choice((
            rng.randrange(0xE0), rng.randrange(0xE0),
            window.base + rng.randrange(WORD * window.words), window.base + rng.randrange(WORD * window.words),
            window.base + WORD * window.words - rng.randrange(16),
            rng.randrange(ADDRESS_SPACE)))
        if rng.random() < 0.6:
            address &= ~3
        return min(address, ADDRESS_SPACE - length), length

    def _harmless(self, address: int, data: bytearray) -> bytes:
        """Never start, stop or lock by chance."""
        for name, allowed in (("CONTROL", FREE[self.host.model.state]), ("LOCK", 0)):
            at = self.host.model.address(name) - address
            if 0 <= at < len(data):
                data[at] &= allowed
        return bytes(data)

    async def _prepare(self) -> Machine:
        """The program, and numbers that it can run on; the rest stays random. The golden machine gets the same."""
        host, config, n = self.host, self.chip.config, self.chip.config.size
        changes = dict(SOLVE_INTERVAL=self.rng.randrange(8, 60), MULTIPLY_INTERVAL=self.rng.randrange(8, 60),
                       ARRAY=3 << 8 | self.rng.randrange(1, 5), SWITCHES=self.rng.randrange(1, 20) << 16 | 2)
        await host.configure(**changes)
        await host.write_program(EVERYTHING)
        await host.write(0x40_0000, host.identity())
        base = host.model.windows["mantissas"].base
        half = [1 << 30] + [0] * (n - 1)
        for vector, mantissas in ((1, [host.drive(i) << 32 - config.dac_bits for i in range(n)]), (3, half)):
            await host.write(base + WORD * vector * n,
                             b"".join((m & 0xFFFF_FFFF).to_bytes(WORD, "little") for m in mantissas))
        for window, first, values in (("exponents", 1, (3, -2, 0)), ("scalar_mantissas", 1, (0x2A_AAAA, 0x61_0005, 0)),
                                      ("scalar_exponents", 1, (-3, 2, 0))):
            await host.write(host.model.windows[window].base + WORD * first,
                             b"".join((value & 0xFFFF_FFFF).to_bytes(WORD, "little") for value in values))
        return self._machine(changes)

    def _machine(self, changes: dict[str, int]) -> Machine:
        config, windows = self.chip.config, self.host.model.windows
        n = config.size
        machine = Machine(config, NumpyMacro(Die.sample(config, AnalogParams.ideal())))
        machine.settings = Settings.reset(
            config, solve_interval=changes["SOLVE_INTERVAL"], multiply_interval=changes["MULTIPLY_INTERVAL"],
            write_cycles=changes["ARRAY"] & 0xFF, autozero=changes["SWITCHES"] >> 16)

        def numbers(name: str, kind: str = "<i4") -> np.ndarray:
            window = windows[name]
            return np.frombuffer(b"".join(window.word(i) for i in range(window.words)), dtype=kind).astype(np.int64)

        machine.program[:] = numbers("program", "<u4")
        machine.mantissas[:] = numbers("mantissas").reshape(16, n)
        machine.exponents[:] = numbers("exponents")
        machine.scalars = [Scalar(int(m), int(e)) for m, e in zip(
            numbers("scalar_mantissas"), numbers("scalar_exponents"), strict=True)]
        machine.codes[:] = numbers("codes", "<i1" if config.codes_per_word == 4 else "<i2").reshape(n, n)
        machine.slots[:] = numbers("slots").reshape(config.slots, n, n)
        machine.offsets[:] = numbers("offsets")
        machine.gains[:] = numbers("gains", "<u4")
        machine.valid_codes, machine.valid_slots = True, [True] * config.slots
        return machine

    def _take_over(self, machine: Machine):
        """What the program has written, and where the ranges stand, into the model."""
        self.host.model.named("RANGES").value = machine.settings.drive_range | machine.settings.feedback << 8
        windows, n = self.host.model.windows, self.chip.config.size
        rows = [(windows["mantissas"], machine.mantissas.reshape(-1)), (windows["exponents"], machine.exponents),
                (windows["scalar_mantissas"], [scalar.mantissa for scalar in machine.scalars]),
                (windows["scalar_exponents"], [scalar.exponent for scalar in machine.scalars])]
        for window, values in rows:
            for index in range(n if window is windows["mantissas"] else 1, len(values)):
                word = (int(values[index]) & 0xFFFF_FFFF).to_bytes(WORD, "little")
                window.stored[WORD * index:WORD * (index + 1)] = word

    def _send(self, stop: bool = False):
        words = [self.rng.getrandbits(32) for _ in range(self.chip.config.size + 1)]
        words[0], words[1] = 5, 1 << 30 if stop else -(1 << 30) & 0xFFFF_FFFF
        self.sent.append(words)
        self.source.send_nowait(words)

    async def _feed(self):
        """Vectors that keep the program running, now at once, now late."""
        while True:
            self._send()
            while not self.source.idle():
                await self.chip.clocks(20)
            await self.chip.clocks(self.rng.choice((1, 100, 700, 1500)))

    async def _drain(self, taken: list[int]):
        while True:
            taken += (await self.sink.recv()).tdata


@chip_test
async def every_state(chip: Chip):
    """A share of the accesses halted, running and wiping, at two or three levels of back-pressure."""
    rounds = Rounds(chip)
    chip.dut.rst.value = 1
    await chip.clocks(1)
    chip.dut.rst.value = 0
    rounds.wipe_clocks = await chip.ready()
    await rounds.host.adopt()
    total = chip.amount or ACCESSES
    pressures = (0.0, 0.6) if total <= ACCESSES else (0.0, 0.3, 0.7)
    share = min(total, 2400) // len(pressures)
    while rounds.answered.total() < total:
        for pressure in pressures:
            rounds.press(pressure)
            await rounds.halted(share // 4)
            await rounds.running(share // 2)
            await rounds.wiping(share // 10 if rounds.serial else share // 4)
    answered = ", ".join(f"{phase.name} {rounds.answered[phase]}" for phase in Phase)
    print(f"{COUNTED}{rounds.answered.total()} random accesses, {rounds.host.refused} refused of "
          f"{rounds.host.accesses} in all; {answered}")
    long = (Phase.IDLE, Phase.WAIT, Phase.WIPE)
    missed = [phase.name for phase in Phase
              if rounds.answered[phase] < total // (20 if phase in long else 2500)]
    assert not missed, f"too few accesses in {missed}"
    assert rounds.host.refused > total // 5

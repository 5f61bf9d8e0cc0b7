"""Constrained random rounds for the lock-step: what a host loads, and a program that comes to its end by itself.

Loops count down and every other jump goes forward, so a program ends in a HALT or in a trap. Data are biased towards
what arithmetic finds hard: extremes, zeros of both kinds, unnormalised blocks, exponents far apart.
"""

import random
from dataclasses import dataclass, field, replace

import numpy as np

from ohmloop.engines.operations import Script
from ohmloop.golden.machine import Machine
from ohmloop.golden.settings import Settings
from ohmloop.golden.state import Beat
from ohmloop.golden.vector import Scalar
from ohmloop.host.driver import Driver
from ohmloop_hdl import isa
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_MAX, EXPONENT_MIN, GAIN_ONE, MANTISSA_BITS

WRONG_WORDS = ("PROGRAM", "CODES", "SLOTS", "OFFSETS", "GAINS")
"""Windows with parity."""

WEIGHTS = {
    isa.AXPY: 22, isa.DOT: 14, isa.DIV: 8, isa.BLE: 10, isa.SETC: 3, isa.INV: 6, isa.MUL: 4, isa.ST: 3, isa.LD: 8,
    isa.MAT: 6, isa.PROG: 0.6, isa.SCRUB: 0.4,
}
"""How often each instruction stands in a program; LOOP closes what SETC opens, HALT ends."""

COSTLY = {isa.MAT: 0.25, isa.PROG: 0.5, isa.SCRUB: 0.5}
"""Factors for instructions that take N^2/L clocks, where N is 64."""


@dataclass(frozen=True)
class Round:
    """One round: host writes in the order of the fields, then a run from ``entry``.

    ``wrong`` names a window and a word in it that is written with wrong parity.
    """

    settings: Settings
    program: tuple[int, ...]
    entry: int
    vectors: dict[int, tuple[np.ndarray, int]]
    scalars: dict[int, Scalar]
    slots: dict[int, np.ndarray]
    codes: np.ndarray | None
    correction: tuple[np.ndarray, np.ndarray] | None
    wrong: tuple[str, int] | None
    source_pause: float
    sink_pause: float
    seed: int = field(default=0)


class RoundMaker:
    """Makes rounds from a seed.

    Parameters
    ----------
    config : ChipConfig
        Sizes.
    seed : int
        The same seed makes the same rounds.
    length : int
        Instructions of a program.
    """

    def __init__(self, config: ChipConfig, seed: int, length: int = 120):
        self.config, self.seed, self.length = config, seed, length
        self.rng = random.Random(f"{seed}/{config}")
        self.count = 0

    def __next__(self) -> Round:
        rng, config = self.rng, self.config
        first = self.count == 0
        self.count += 1
        loads = range(1, 16) if first else rng.sample(range(1, 16), 3)
        entry = rng.choice((0, 0, rng.randrange(isa.PROGRAM_WORDS)))
        return Round(
            settings=self._settings(),
            program=tuple(self._program(entry)),
            entry=entry,
            vectors={v: (self.mantissas(), self.exponent()) for v in loads},
            scalars={k: self.scalar() for k in (range(1, 16) if first else rng.sample(range(1, 16), 4))},
            slots={s: self.elements() for s in range(config.slots) if first or rng.random() < self._rarely(0.1)},
            codes=self.cell_codes() if first or rng.random() < self._rarely(0.2) else None,
            correction=self._correction() if rng.random() < 0.1 else None,
            wrong=self._wrong() if rng.random() < 0.15 else None,
            source_pause=rng.choice((0.0, 0.3, 0.8)),
            sink_pause=rng.choice((0.0, 0.3, 0.8)),
            seed=rng.randrange(1 << 30),
        )

    # Data

    def mantissas(self) -> np.ndarray:
        """(N,) Q1.31."""
        rng, n, top = self.rng, self.config.size, 1 << (MANTISSA_BITS - 1)
        kind = rng.choice(("full", "full", "full", "small", "extreme", "equal", "sparse", "zero"))
        bits = rng.randrange(1, MANTISSA_BITS - 1) if kind == "small" else MANTISSA_BITS - 1
        if kind == "extreme":
            values = [rng.choice((-top, top - 1, -top + 1, 0, 1, -1)) for _ in range(n)]
        elif kind == "equal":
            values = [rng.choice((-top, top - 1, top // 2, -1))] * n
        elif kind == "sparse":
            values = [rng.randrange(-top, top) if rng.random() < 0.2 else 0 for _ in range(n)]
        elif kind == "zero":
            values = [0] * n
        else:
            values = [rng.randrange(-(1 << bits), 1 << bits) for _ in range(n)]
        return np.array(values, dtype=np.int64)

    def exponent(self) -> int:
        """Mostly near zero, now and then far away, at an end, or the one that means zero."""
        rng = self.rng
        near = rng.randrange(-8, 9)
        return rng.choice((near,) * 9 + (rng.randrange(-80, 81), rng.choice((EXPONENT_MIN, EXPONENT_MIN + 1,
                                                                            EXPONENT_MAX, EXPONENT_MAX - 5, -300))))

    def scalar(self) -> Scalar:
        """A scalar register."""
        rng, top = self.rng, 1 << (ELEMENT_BITS - 1)
        mantissa = rng.choice((rng.randrange(-top, top),) * 4 + (rng.randrange(-9, 10), -top, top - 1, top // 2))
        return Scalar(mantissa, self.exponent())

    def elements(self) -> np.ndarray:
        """(N, N) Q1.23, at times all at one extreme."""
        rng, n, top = self.rng, self.config.size, 1 << (ELEMENT_BITS - 1)
        if rng.random() < 0.2:
            return np.full((n, n), rng.choice((-top, top - 1)), dtype=np.int64)
        return np.array([[rng.randrange(-top, top) for _ in range(n)] for _ in range(n)], dtype=np.int64)

    def cell_codes(self) -> np.ndarray:
        """(N, N) signed codes; the number below -C, which is programmed as -C, among them."""
        n, top = self.config.size, self.config.code_max
        return np.array([[self.rng.randrange(-top - 1, top + 1) for _ in range(n)] for _ in range(n)], dtype=np.int64)

    def _correction(self) -> tuple[np.ndarray, np.ndarray]:
        rng, config = self.rng, self.config
        if rng.random() < 0.3:
            return np.zeros(config.size, dtype=np.int64), np.full(config.adcs, GAIN_ONE, dtype=np.int64)
        offsets = [rng.choice((rng.randrange(-40, 41), rng.randrange(-32768, 32768))) for _ in range(config.size)]
        gains = [rng.choice((GAIN_ONE + rng.randrange(-500, 501), rng.randrange(65536))) for _ in range(config.adcs)]
        return np.array(offsets), np.array(gains)

    def _settings(self) -> Settings:
        rng, n = self.rng, self.config.size
        loop_size = rng.choice((n, n, rng.randrange(1, n + 1)))
        return Settings.reset(
            self.config, loop_size=loop_size, vector_size=rng.choice((n, loop_size, rng.randrange(1, n + 1))),
            solve_interval=rng.choice((0, 2, 40, rng.randrange(150))), multiply_interval=rng.choice((0, 3, 50)),
            timeout=rng.randrange(100, 900), tolerance=rng.choice((0, 1, 2, 15)), dead=rng.randrange(4),
            autozero=rng.choice((0, 1, 16)), write_cycles=rng.randrange(4), retries=rng.randrange(4),
            bad_limit=rng.choice((0, 3, 65535, 65535, 65535, 65535)), bandwidth=rng.randrange(4),
            drive_range=rng.randrange(8), feedback=rng.randrange(4),
            # Short enough for a division to take too long, or for the loop.
            watchdog=rng.choice((0, 1 << 28, 1 << 28, 1 << 28, rng.randrange(1, rng.choice((40, 900))))))

    def _wrong(self) -> tuple[str, int]:
        rng, config = self.rng, self.config
        words = {"PROGRAM": self.length, "CODES": config.size ** 2 // config.codes_per_word,
                 "SLOTS": config.slots * config.size ** 2, "OFFSETS": config.size, "GAINS": config.adcs}
        window = rng.choice(WRONG_WORDS)
        return window, rng.randrange(words[window])

    def _rarely(self, chance: float) -> float:
        return chance if self.config.size <= 16 else chance / 5

    # Program

    def _program(self, entry: int) -> list[int]:
        """Instruction words, all jumps from here on counted from the first; then the jumps are made absolute."""
        rng, costly = self.rng, self.config.size > 16
        weights = [weight * (COSTLY.get(instruction, 1) if costly else 1) for instruction, weight in WEIGHTS.items()]
        words: list[int] = []
        opened: list[tuple[int, int]] = []
        bodies: list[tuple[int, int]] = []
        if rng.random() < 0.6:
            words.append(isa.PROG.encode(0))
        while len(words) < self.length:
            (instruction,) = rng.choices(list(WEIGHTS), weights)
            if instruction is isa.SETC:
                counter = rng.choice([c for c in range(16) if c not in (c for c, _ in opened)])
                words.append(isa.SETC.encode(counter, rng.choice((1, 2, 3))))
                if len(opened) < 2:
                    opened.append((counter, len(words)))
            else:
                words.append(self._instruction(instruction, len(words), opened))
            if opened and rng.random() < 0.15:
                counter, start = opened.pop()
                bodies.append((start, len(words)))
                words.append(isa.LOOP.encode(counter, start))
            if rng.random() < 0.002:
                words.append(rng.choice((rng.getrandbits(32), isa.HALT.encode(7) | 1 << 20, 0)))
        words.append(isa.HALT.encode(rng.randrange(256)))
        return [self._placed(word, here, entry, bodies) for here, word in enumerate(words)]

    def _placed(self, word: int, here: int, entry: int, bodies: list[tuple[int, int]]) -> int:
        """A jump with its absolute target; none leads into a loop past its SETC, where the counter would be wrong."""
        if word >> isa.OPCODE_LOW not in (isa.BLE.opcode, isa.LOOP.opcode):
            return word
        target = isa.TARGET.of(word)
        for start, end in sorted(bodies, reverse=True):
            if here < start - 1 and start <= target <= end:
                target = start - 1
        return word & ~isa.TARGET.mask | (entry + target) % isa.PROGRAM_WORDS

    def _instruction(self, instruction: isa.Instruction, here: int, opened: list[tuple[int, int]]) -> int:
        rng = self.rng
        alias = rng.randrange(16)
        values = []
        for operand in instruction.operands:
            low, high = operand.limits
            value = rng.choice((alias, rng.randrange(16))) if operand.width == 4 else rng.randint(low, high)
            if operand is isa.SLOT:
                value = rng.randrange(self.config.slots) if rng.random() < 0.995 else 15
            elif operand is isa.KIND:
                value = rng.choices((0, 1, 2, 3), (90, self._rarely(4), self._rarely(4), 0.3))[0]
            elif operand is isa.TARGET:
                value = min(here + rng.randrange(1, 6), self.length)
            elif operand in (isa.CAL, isa.STREAM):
                value = int(rng.random() < 0.15)
            elif operand is isa.IMM:
                value = rng.choice((0, rng.randrange(-4, 5), value))
            values.append(value)
        if instruction is isa.LD:
            values[1] = {0: values[1], 1: rng.randrange(self.config.slots), 2: 0, 3: 0}[values[0]]
        return instruction.encode(*values)


class EndlessSource:
    """The input stream of a golden machine that makes each object when the instruction that needs it runs.

    Now and then the last flag comes early or a beat late. ``objects`` are the words of what was made, each ending in
    its last flag.
    """

    def __init__(self, machine: Machine, maker: RoundMaker):
        self.machine, self.maker = machine, maker
        self.waiting: list[Beat] = []
        self.objects: list[list[int]] = []

    def __bool__(self) -> bool:
        return True

    def popleft(self) -> Beat:
        """The next beat."""
        if not self.waiting:
            words = self._object()
            self.objects.append(words)
            self.waiting = [(word, place == len(words) - 1) for place, word in enumerate(words)]
        return self.waiting.pop(0)

    def _object(self) -> list[int]:
        machine, rng, config = self.machine, self.maker.rng, self.machine.config
        decoded = isa.decode(int(machine.program[machine.running.pc]), config.slots)
        assert decoded is not None
        instruction, operands = decoded
        kind = operands[0] if instruction is isa.LD else 2
        if kind == 0:
            words = [self.maker.exponent(), *(int(m) for m in self.maker.mantissas())]
        elif kind == 1:
            words = [int(element) for element in self.maker.elements().ravel()]
        else:
            words = [rng.getrandbits(32) for _ in range(config.size ** 2 // config.codes_per_word)]
        wrong = rng.random()
        if wrong < 0.01:
            words = words[:rng.randrange(1, len(words))]
        elif wrong < 0.02:
            words.append(rng.getrandbits(32))
        return [word & 0xFFFF_FFFF for word in words]


def loaded(machine: Machine, round_: Round) -> None:
    """Load a round into a golden machine as the host loads it into the chip."""
    machine.settings = replace(round_.settings)
    for v, (mantissas, exponent) in round_.vectors.items():
        machine.mantissas[v], machine.exponents[v] = mantissas, exponent
    for k, scalar in round_.scalars.items():
        machine.scalars[k] = scalar
    for slot, elements in round_.slots.items():
        machine.slots[slot], machine.wrong_slots[slot], machine.valid_slots[slot] = elements, False, True
    if round_.codes is not None:
        machine.codes[:], machine.wrong_codes[:], machine.valid_codes = round_.codes, False, True
    if round_.correction is not None:
        machine.offsets[:], machine.gains[:] = round_.correction
        machine.wrong_offsets[:] = machine.wrong_gains[:] = False
    for place, word in enumerate(round_.program):
        machine.program[(round_.entry + place) % isa.PROGRAM_WORDS] = word
        machine.wrong_program[(round_.entry + place) % isa.PROGRAM_WORDS] = False
    mark_wrong(machine, round_, True)


def host_writes(driver: Driver, round_: Round) -> Script[None]:
    """The same over the bus, but for the word with wrong parity."""
    yield from driver.configure(round_.settings)
    first = isa.PROGRAM_WORDS - round_.entry
    # The program as it lies in memory, whose end it may pass.
    for start, part in ((round_.entry, round_.program[:first]), (0, round_.program[first:])):
        if part:
            yield from driver.load_program(list(part), start)
    for v, (mantissas, exponent) in round_.vectors.items():
        yield from driver.load_vector(v, mantissas, exponent)
    for k, scalar in round_.scalars.items():
        yield from driver.load_scalar(k, scalar)
    for slot, elements in round_.slots.items():
        yield from driver.load_slot(slot, elements)
    if round_.codes is not None:
        yield from driver.load_codes(round_.codes)
    if round_.correction is not None:
        yield from driver.load_correction(*round_.correction)


def mark_wrong(machine: Machine, round_: Round, wrong: bool) -> None:
    """The word that a round writes with wrong parity has it, or has it no more."""
    if round_.wrong is None:
        return
    window, word = round_.wrong
    place = (round_.entry + word) % isa.PROGRAM_WORDS if window == "PROGRAM" else word
    flags = {"PROGRAM": machine.wrong_program, "CODES": machine.wrong_codes, "SLOTS": machine.wrong_slots,
             "OFFSETS": machine.wrong_offsets, "GAINS": machine.wrong_gains}[window]
    flags.reshape(-1)[place] = wrong
    # The host writes the word through the window, which makes a memory valid that an instruction left half filled.
    if window == "CODES":
        machine.valid_codes = True
    elif window == "SLOTS":
        machine.valid_slots[word // machine.config.size ** 2] = True

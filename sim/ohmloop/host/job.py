"""A job: one program and everything it works on, as a script for any engine and as a run of the golden machine."""

from dataclasses import dataclass, field

import numpy as np

from ohmloop.engines.model import ModelEngine
from ohmloop.engines.operations import Connect, Receive, Script, Send
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.settings import Settings
from ohmloop.golden.stream import signed
from ohmloop.golden.vector import Scalar
from ohmloop.host.driver import Driver, Status
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event

SOURCE, RESULT = 1, 2
"""Vector registers of every program: what it is given, and what it answers."""

Block = tuple[np.ndarray, int]
"""Content of a vector register: mantissas (N,) Q1.31 and their exponent."""

Words = tuple[int, ...]
"""An object on a stream: unsigned words of 32 bits; a vector is its exponent, then its mantissas."""


def words_of(block: Block) -> Words:
    """A vector as the stream carries it."""
    mantissas, exponent = block
    return tuple(int(number) & 0xFFFF_FFFF for number in (exponent, *mantissas))


def block_of(words: Words) -> Block:
    """A vector that the stream carried."""
    exponent, *mantissas = (signed(word, 32) for word in words)
    return np.array(mantissas, dtype=np.int64), exponent


@dataclass(frozen=True)
class Job:
    """What is put into the chip before a run, and what is read back after it.

    ``codes`` (N, N) signed cell codes; ``program`` instruction words from address 0; ``vectors``, ``scalars`` and
    ``slots`` by register number, a slot (N, N) signed elements Q1.23; ``objects`` for the input stream, in order;
    ``reads`` the vectors and ``scalar_reads`` the scalars of the outcome.
    """

    codes: np.ndarray
    settings: Settings
    program: list[int]
    vectors: dict[int, Block] = field(default_factory=dict)
    scalars: dict[int, Scalar] = field(default_factory=dict)
    slots: dict[int, np.ndarray] = field(default_factory=dict)
    objects: tuple[Words, ...] = ()
    reads: tuple[int, ...] = (RESULT,)
    scalar_reads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a job ended: status, the registers it asked for, and the vectors that came out of the stream."""

    status: Status
    vectors: dict[int, Block]
    scalars: dict[int, Scalar] = field(default_factory=dict)
    objects: tuple[Words, ...] = ()

    @property
    def mantissas(self) -> np.ndarray:
        """Mantissas (N,) of the result."""
        return self.vectors[RESULT][0]

    @property
    def exponent(self) -> int:
        """Exponent of the result."""
        return self.vectors[RESULT][1]

    def same(self, other: "Outcome") -> bool:
        """Whether everything is equal, bit for bit."""
        return (self.status, self.scalars, self.objects) == (other.status, other.scalars, other.objects) \
            and self.vectors.keys() == other.vectors.keys() \
            and all(np.array_equal(mantissas, other.vectors[v][0]) and exponent == other.vectors[v][1]
                    for v, (mantissas, exponent) in self.vectors.items())


def job_script(config: ChipConfig, job: Job) -> Script[Outcome]:
    """Load everything, run, read back."""
    driver = Driver(config)
    yield from driver.identify()
    yield from driver.ready()
    yield from driver.configure(job.settings)
    yield from driver.load_program(job.program)
    yield from driver.load_codes(job.codes)
    for slot, elements in job.slots.items():
        yield from driver.load_slot(slot, elements)
    for v, (mantissas, exponent) in job.vectors.items():
        yield from driver.load_vector(v, mantissas, exponent)
    for k, value in job.scalars.items():
        yield from driver.load_scalar(k, value)
    sent_before = yield from _vectors_sent(driver, job)
    if job.objects:
        yield Connect()
    for words in job.objects:
        yield Send(words)
    status = yield from driver.run()
    vectors, scalars, objects = {}, {}, []
    for v in job.reads:
        vectors[v] = yield from driver.read_vector(v)
    for k in job.scalar_reads:
        scalars[k] = yield from driver.read_scalar(k)
    for _ in range((yield from _vectors_sent(driver, job)) - sent_before):
        objects.append(tuple((yield Receive())))
    return Outcome(status, vectors, scalars, tuple(objects))


def _vectors_sent(driver: Driver, job: Job) -> Script[int]:
    """Vectors that the output stream has carried since reset; not asked for where there are none."""
    if not job.objects:
        return 0
    events = yield from driver.read_events()
    return events[Event.BEAT_OUT] // (driver.config.size + 1)


def predict(machine: Machine, job: Job) -> tuple[Outcome, Run]:
    """What the golden machine says that the chip will do with the job."""
    engine = ModelEngine(machine)
    return engine.execute(job_script(machine.config, job)), engine.last_run

"""Engines ``model`` and ``rtl`` side by side: the same accesses, programs and streams, the same words back."""

import random
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from verification.lockstep.rounds import Round, RoundMaker, host_writes
from verification.unit.engines.pair import Pair

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.model import ModelEngine
from ohmloop.engines.operations import Connect, EngineError, Read, Receive, Script, Send, WaitHalt, Write
from ohmloop.engines.rtl.engine import RtlEngine
from ohmloop.engines.simulator import builds_folder
from ohmloop.ensembles import heat
from ohmloop.errors import InputError
from ohmloop.host.driver import Driver, Status
from ohmloop.host.job import job_script
from ohmloop.host.system import iterative_job, stream_job
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl import isa
from ohmloop_hdl.config import CONFIGS, config_named
from ohmloop_hdl.events import Event
from ohmloop_hdl.sequencer.traps import TrapCause

SEED = 7


@pytest.fixture(params=["tiny", "lab"])
def pair(request):
    """Both engines around equal dies, out of reset."""
    config = config_named(request.param)
    die = Die.sample(config, replace(AnalogParams(), seed=SEED), stuck=((0, 0, config.size - 1, 1),))
    with ExitStack() as stack:
        yield Pair(stack, die)


def test_every_register_and_window_reads_the_same_out_of_reset(pair: Pair):
    assert pair.compare_registers() == len(pair.driver.map.registers)
    assert pair.compare_windows() > 3 * pair.config.size ** 2


def test_random_accesses_to_the_whole_address_space(pair: Pair):
    rng = random.Random(SEED)
    print("seed", SEED)
    table = pair.driver.map
    quiet = {table.registers[name] for name in ("CONTROL", "LOCK")}
    places = [*table.registers.values(), 0xD4, 0x200, *(window.address + 4 * word for window in table.windows.values()
              for word in (0, 1, window.words // 2, window.words - 1, window.words))]
    refused = 0
    for _ in range(600):
        place, count = rng.choice(places), rng.choice((1, 1, 1, 2, 5))
        span = range(place, place + 4 * count, 4)
        write = rng.random() < 0.5 and not quiet & set(span)
        # A refused burst on the chip has taken what came before the refused word.
        count = 1 if write else count
        words = tuple(rng.choice((0, 0xFFFF_FFFF, rng.getrandbits(32))) for _ in range(count))
        operation = Write(place, words) if write else Read(place, count)
        refused += pair.both(operation) is None
    assert 20 < refused < 400
    assert pair.compare_registers() > 0


def test_wrong_parity_is_refused_and_mended(pair: Pair):
    table = pair.driver.map
    for name in ("PROGRAM", "CODES", "SLOTS", "OFFSETS", "GAINS"):
        place = table.windows[name].address + 4
        pair.both(Write(table.registers["TEST"], (1,)))
        pair.both(Write(place, (0x1234,)))
        assert pair.both(Read(place)) is None
        pair.both(Write(table.registers["TEST"], (0,)))
        pair.both(Write(place, (0x0C,)))
        assert pair.both(Read(place)) == [0x0C]


def test_lock_hides_matrices_and_zeroize_forgets_them(pair: Pair):
    table, driver = pair.driver.map, pair.driver
    slots, codes = table.windows["SLOTS"].address, table.windows["CODES"].address
    pair.both(Write(slots, (0x7F_FFFF,)))
    assert pair.both(Read(slots)) == [0x7F_FFFF]
    pair.both(Write(table.registers["LOCK"], (1,)))
    assert pair.both(Read(slots)) is pair.both(Read(codes)) is None
    pair.separately(driver.zeroize)
    assert pair.both(Read(slots)) is None  # the lock stays until reset
    assert pair.both(Read(table.windows["MANTISSAS"].address + 4 * pair.config.size)) == [0]
    assert pair.compare_registers() > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_programs_leave_the_same_state(pair: Pair, seed: int):
    print("seed", seed)
    maker, traps = RoundMaker(pair.config, seed), set()
    for _ in range(12):
        round_ = _without_streams(next(maker))
        status = pair.script(_round(pair.driver, round_))
        traps.add(status.trap)
        # Counted only up to the last instruction where parity or the watchdog stopped it.
        exact = status.trap not in (TrapCause.PARITY, TrapCause.WATCHDOG)
        pair.compare_registers(leave_out=() if exact else EVENTS)
        if not exact:
            pair.forget_events()
        pair.compare_windows()
    assert len(traps) >= 3, traps


def test_streams_in_and_out_under_pauses(pair: Pair):
    config, size = pair.config, pair.config.size
    rng = np.random.default_rng(SEED)
    words = [tuple(int(word) for word in rng.integers(0, 1 << 32, size + 1)) for _ in range(5)]
    program = [word for _ in range(5) for word in (isa.LD.encode(0, 2), isa.ST.encode(2))] + [isa.HALT.encode(0)]

    def play() -> Script[list[list[int]]]:
        driver = Driver(config)
        yield from driver.ready()
        yield from driver.load_program(program)
        yield Connect(0.5, 0.3, SEED)
        for one in words[:2]:
            yield Send(one)
        # The rest comes while the program runs, or before it looks.
        yield Write(driver.map.registers["INTR_ENABLE"], (3,))
        for one in words[2:]:
            yield Send(one)
        yield from driver.run()
        objects = []
        for _ in range(5):
            objects.append((yield Receive()))
        return objects

    received = pair.script(play())
    assert [r[1:] for r in received] == [list(w[1:]) for w in words]
    assert pair.compare_registers(leave_out=("STREAM_WAITS",)) > 0
    assert pair.both(Receive(50)) is None


@pytest.mark.parametrize("bit", ["flush", "zeroize"])
def test_buffers_are_emptied_and_what_waits_outside_comes_next(pair: Pair, bit: str):
    size, table = pair.config.size, pair.driver.map
    objects = [tuple(range(100 * k, 100 * k + size + 1)) for k in range(1, 5)]
    program = [isa.LD.encode(0, 2), isa.ST.encode(2), isa.HALT.encode(0)]
    pair.both(Connect())
    for words in objects[:3]:
        pair.both(Send(words))
    for _ in range(4):
        pair.both(Read(table.windows["MANTISSAS"].address, size))  # longer than the buffer takes to fill
    pair.both(Write(table.registers["CONTROL"], (table.fields[f"CONTROL.{bit}"].mask,)))
    pair.separately(pair.driver.ready)
    pair.script(pair.driver.load_program(program))
    pair.script(pair.driver.run())
    assert pair.both(Receive()) == [*objects[1]]
    assert pair.both(Receive(50)) is None
    for name in ("abort", "clear"):
        pair.both(Write(table.registers["CONTROL"], (table.fields[f"CONTROL.{name}"].mask,)))
        pair.compare_registers()


def test_streams_that_are_not_connected_offer_nothing(pair: Pair):
    pair.both(Send(tuple(range(pair.config.size + 1))))
    pair.script(pair.driver.load_program([isa.LD.encode(0, 2), isa.HALT.encode(0)]))
    with pytest.raises(EngineError):
        pair.rtl.execute(pair.driver.run(0, limit_clocks=2000))
    with pytest.raises(EngineError, match="beat 0 of"):
        pair.model.execute(pair.driver.run(0, limit_clocks=2000))


def test_an_engine_that_was_left_says_so():
    engine = RtlEngine(Die.sample(config_named("tiny"), AnalogParams()), builds_folder())
    with engine:
        assert engine.clocks > 0
    for use in (lambda: engine.clocks, lambda: engine.execute(_wait(1))):
        with pytest.raises(EngineError, match="was left"):
            use()


def test_a_wait_without_an_end_is_an_error(pair: Pair):
    pair.script(pair.driver.load_codes(np.zeros((pair.config.size, pair.config.size))))
    pair.script(pair.driver.load_program([isa.PROG.encode(0), isa.HALT.encode(0)]))
    with pytest.raises(EngineError, match="no interrupt within 1 clocks"):
        pair.rtl.execute(pair.driver.run(0, limit_clocks=1))
    with pytest.raises(EngineError, match="no interrupt within 9 clocks"):
        pair.model.execute(_wait(9))


def test_too_many_beats_are_refused(pair: Pair):
    with pytest.raises(InputError, match="65536 may wait"):
        pair.rtl.execute(_send((0,) * 70000))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_solve_is_equal_on_both(name: str):
    config = config_named(name)
    die = Die.sample(config, AnalogParams())
    matrix, rng = heat(config.size), np.random.default_rng(SEED)
    plan = plan_preconditioner(matrix, config, die.params)
    sides = [scale_rhs(matrix @ rng.standard_normal(config.size), config) for _ in range(3)]
    jobs = [iterative_job(method, plan, matrix, sides[0], config) for method in ("refine", "gcr")]
    jobs.append(stream_job(plan, matrix, sides, config))
    model = ModelEngine.of(die)
    with RtlEngine(die, builds_folder()) as rtl:
        for job in jobs:
            expected, found = (engine.execute(job_script(config, job)) for engine in (model, rtl))
            assert found.same(expected)
            assert found.status.trap is TrapCause.NONE
            assert found.status.halt_code == 0
        assert rtl.clocks > model.clocks > 3000


EVENTS = tuple(f"EVENT_{event.name}" for event in Event)


def _without_streams(round_: Round) -> Round:
    """A round whose program neither takes nor sends beats."""
    spared = isa.AXPY.encode(0, 0, 0, 0, 0)

    def kept(word: int) -> int:
        decoded = isa.decode(word, 1)
        if decoded is None:
            return word
        instruction, operands = decoded
        streams = instruction in (isa.LD, isa.ST) or instruction is isa.PROG and operands[0] == 1
        return spared if streams else word

    return replace(round_, program=tuple(kept(word) for word in round_.program))


def _round(driver: Driver, round_: Round) -> Script[Status]:
    """Load a round and run it once."""
    yield from host_writes(driver, round_)
    return (yield from driver.run(round_.entry))


def _wait(clocks: int) -> Script[None]:
    yield WaitHalt(clocks)


def _send(words: tuple[int, ...]) -> Script[None]:
    yield Send(words)

"""Strides and sleep of the ``rtl`` engine: clocks taken together and units passed over change nothing but the time."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from verification.unit.engines.pair import Pair

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Connect, EngineError, Operation, Read, Receive, Script, Send, WaitHalt, Write
from ohmloop.engines.rtl.engine import RtlEngine
from ohmloop.engines.rtl.sleep import with_sleep
from ohmloop.engines.simulator import builds_folder
from ohmloop.ensembles import tridiagonal
from ohmloop.golden.settings import Settings
from ohmloop.host.driver import Driver
from ohmloop.host.job import job_script
from ohmloop.host.system import iterative_job
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl import isa
from ohmloop_hdl.config import CONFIGS, config_named
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.verilog import chip_verilog

SEED = 3

WAIT = 20000
"""An interval far longer than a scan."""


class Twins:
    """Two equal chips; one takes every clock by itself with all units awake, for its streams are told to pause."""

    def __init__(self, stack: ExitStack, die: Die):
        self.config, self.driver = die.config, Driver(die.config)
        self.swift, self.steady = (stack.enter_context(RtlEngine(die, builds_folder())) for _ in range(2))
        rng = np.random.default_rng(SEED)
        size, top = self.config.size, self.config.code_max
        self.codes = np.diag(np.full(size, top)) - np.eye(size, k=1, dtype=int)
        self.mantissas = rng.integers(-1 << 28, 1 << 28, size)
        self.play(lambda: self.driver.ready())
        self.clocks(Connect(), Connect(1e-9, 0.0, SEED))

    def play(self, make: Callable[[], Script[Any]]) -> Any:
        """What a script brings on both."""
        one, other = (engine.execute(make()) for engine in (self.swift, self.steady))
        assert one == other
        return one

    def clocks(self, swift: Operation, steady: Operation | None = None) -> int:
        """Clocks of an operation on both, done or refused."""
        taken = []
        for engine, operation in ((self.swift, swift), (self.steady, steady or swift)):
            before = engine.clocks
            try:
                engine.execute(_only(operation))
            except EngineError:
                pass
            taken.append(engine.clocks - before)
        assert taken[0] == taken[1]
        return taken[0]

    def load(self, program: list[int], **changes: int) -> None:
        """A program, codes that are in the arrays already, and settings."""
        def script() -> Script[None]:
            yield from self.driver.configure(Settings.reset(self.config, loop_size=self.config.size,
                                                            vector_size=self.config.size, **changes))
            yield from self.driver.load_program(program)
            yield from self.driver.load_vector(1, self.mantissas, 0)
        self.play(script)

    def program_arrays(self) -> None:
        """Codes into the arrays."""
        self.play(lambda: self.driver.load_codes(self.codes))
        self.load([isa.PROG.encode(0), isa.HALT.encode(0)])
        self.play(self.driver.run)

    def start(self) -> None:
        """The program begins, and nobody waits for it yet."""
        table = self.driver.map
        self.clocks(Write(table.registers["INTR_STATE"], (7,)))
        self.clocks(Write(table.registers["CONTROL"], (table.fields["CONTROL.start"].mask,)))

    def compare(self) -> None:
        """All registers and vectors."""
        table = self.driver.map
        for address in table.registers.values():
            self.play(lambda address=address: _only(Read(address)))
        mantissas = table.windows["MANTISSAS"]
        self.play(lambda: _only(Read(mantissas.address, mantissas.words)))
        assert self.swift.clocks == self.steady.clocks
        assert self.steady.leapt == 0


def _only(operation: Operation) -> Script[list[int]]:
    return (yield operation)


@pytest.fixture(params=["tiny", "lab"])
def twins(request) -> Iterator[Twins]:
    """Two chips with programmed arrays."""
    die = Die.sample(config_named(request.param), replace(AnalogParams(), seed=SEED))
    with ExitStack() as stack:
        pair = Twins(stack, die)
        pair.program_arrays()
        yield pair


@pytest.mark.parametrize("operation", [isa.INV, isa.MUL])
def test_every_interval_ends_where_it_should(twins: Twins, operation: isa.Instruction):
    program = [operation.encode(2, 1, *[0] * (len(operation.operands) - 2)), isa.HALT.encode(0)]
    for interval in (*range(1, 30), 100, 1000, WAIT):
        for bandwidth in range(4) if interval == 1000 else (interval % 4,):
            twins.load(program, solve_interval=interval, multiply_interval=interval, bandwidth=bandwidth,
                       timeout=10 * WAIT)
            before = twins.swift.leapt
            status = twins.play(twins.driver.run)
            assert status.cycles >= 2 * interval
            assert (twins.swift.leapt > before) == (interval >= 8)
            if interval == WAIT:
                assert status.cycles - (twins.swift.leapt - before) < WAIT / 20
            twins.compare()


def test_the_watchdog_ends_a_wait_in_its_clock(twins: Twins):
    program = [isa.INV.encode(2, 1, 0), isa.HALT.encode(0)]
    for limit in (*range(WAIT // 2, WAIT // 2 + 5), *range(WAIT - 5, WAIT + 100, 3)):
        twins.load(program, solve_interval=WAIT, timeout=10 * WAIT, watchdog=limit)
        status = twins.play(twins.driver.run)
        assert (status.trap.name, status.cycles) == ("WATCHDOG", limit)
        twins.compare()
    assert twins.swift.leapt > 20 * WAIT // 2


def test_scans_that_never_agree_end_in_their_clock():
    config, interval = config_named("tiny"), 500
    die = Die.sample(config, replace(AnalogParams(), read_noise_V=0.02, seed=SEED))
    ended = []
    with ExitStack() as stack:
        twins = Twins(stack, die)
        twins.program_arrays()
        for timeout in (3 * interval - 40, 3 * interval, 3 * interval + 60):
            twins.load([isa.INV.encode(2, 1, 0), isa.HALT.encode(0)], solve_interval=interval, timeout=timeout)
            status = twins.play(twins.driver.run)
            assert status.trap is TrapCause.SETTLE
            ended.append(status.cycles)
            twins.compare()
    assert ended[2] - ended[0] == interval


@pytest.mark.parametrize("interval", [WAIT, 30])
def test_a_host_that_looks_in_between_sees_the_same(twins: Twins, interval: int):
    table, rng = twins.driver.map, np.random.default_rng(SEED)
    print("seed", SEED)
    twins.load([isa.SETC.encode(0, 300), isa.INV.encode(2, 1, 0), isa.LOOP.encode(0, 1), isa.HALT.encode(0)],
               solve_interval=interval, timeout=10 * WAIT)
    twins.start()
    idle, reads, limits = 0, set(), (*range(1, 40), *rng.integers(40, 500, 40).tolist())
    for limit in limits:
        idle += twins.clocks(WaitHalt(limit)) - limit
        for name in ("CYCLES", "STATUS", "EVENT_CLOSED_CLOCK_0", "EVENT_CONVERTED"):
            before = twins.swift.clocks
            twins.play(lambda name=name: _only(Read(table.registers[name])))
            reads.add(twins.swift.clocks - before)
    assert idle == 2 * len(limits)
    assert len(reads) == 1
    twins.clocks(Write(table.registers["CONTROL"], (table.fields["CONTROL.abort"].mask,)))
    twins.compare()
    assert twins.swift.leapt > 5000 if interval == WAIT else twins.swift.leapt > 100


def test_the_watchdog_ends_a_scan_in_its_clock(twins: Twins):
    causes = []
    for limit in range(60, 220):
        twins.load([isa.INV.encode(2, 1, 0), isa.HALT.encode(0)], solve_interval=40, watchdog=limit)
        status = twins.play(twins.driver.run)
        causes.append(status.trap)
        assert status.trap is TrapCause.NONE or status.cycles == limit
        twins.compare()
        twins.load([isa.INV.encode(2, 1, 0), isa.HALT.encode(0)], solve_interval=40)
        assert twins.play(twins.driver.run).trap is TrapCause.NONE
        twins.compare()
    assert causes[0] is TrapCause.WATCHDOG
    assert causes[-1] is TrapCause.NONE


def test_idle_units_sleep_and_no_others():
    text = with_sleep(chip_verilog(config_named("tiny")))
    clocked = {"asleep": 0, "awake": 0}
    for module in text.split("endmodule")[:-1]:
        unit = re.search(r"^module \\ohmloop\.chip\.(\w+)", module, re.MULTILINE)
        sleeps = unit is not None and unit[1] not in ("sequencer", "loop", "converters", "counters", "ranging")
        blocks = re.findall(r"^  always @(?:\*|\(posedge clk\))( if \(ohmloop_rtl\.awake\))?", module, re.MULTILINE)
        assert all(bool(condition) == sleeps for condition in blocks)
        clocked["asleep" if sleeps else "awake"] += len(blocks)
    assert clocked["asleep"] > 2 * clocked["awake"] > 200


def test_beats_that_arrive_in_a_wait_are_taken(twins: Twins):
    size = twins.config.size
    twins.load([isa.INV.encode(2, 1, 0), isa.LD.encode(0, 3), isa.ST.encode(2), isa.HALT.encode(0)],
               solve_interval=WAIT, timeout=10 * WAIT)
    twins.start()
    twins.clocks(WaitHalt(500))
    twins.clocks(Send(tuple(range(size + 1))))
    twins.play(twins.driver.status)
    twins.clocks(WaitHalt(10 * WAIT))
    twins.compare()
    assert twins.play(lambda: _only(Receive()))
    assert twins.swift.leapt > WAIT


def test_the_longest_intervals_there_are():
    config = config_named("tiny")
    die = Die.sample(config, AnalogParams())
    with ExitStack() as stack:
        pair = Pair(stack, die)
        driver = pair.driver
        rng = np.random.default_rng(SEED)
        pair.script(driver.load_codes(np.diag(np.full(config.size, config.code_max))))
        pair.script(driver.load_vector(1, rng.integers(-1 << 28, 1 << 28, config.size), 0))
        top = (1 << 20) - 1
        pair.script(driver.configure(Settings.reset(config, loop_size=config.size, vector_size=config.size,
                                                    solve_interval=top, timeout=(1 << 24) - 1)))
        pair.script(driver.load_program([isa.PROG.encode(0), *[isa.INV.encode(2, 1, 0)] * 4, isa.HALT.encode(0)]))
        pair.script(driver.run(0, 20 * top))
        pair.compare_registers()
        pair.compare_windows()
        assert pair.rtl.leapt > 7 * top


@pytest.mark.parametrize("name", CONFIGS)
def test_a_slow_loop_is_the_same_on_both_engines(name: str):
    config = config_named(name)
    matrix = tridiagonal(config.size)
    params = replace(AnalogParams(mismatch_sigma=0.0), gbw_Hz=AnalogParams().gbw_Hz / 20)
    die = Die.sample(config, params)
    plan = plan_preconditioner(matrix, config, params)
    job = iterative_job("refine", plan, matrix, scale_rhs(matrix @ np.ones(config.size), config), config)
    with ExitStack() as stack:
        pair = Pair(stack, die)
        one, other = (engine.execute(job_script(config, job)) for engine in (pair.model, pair.rtl))
        assert other.same(one)
        assert one.status.trap is TrapCause.NONE
        assert pair.rtl.leapt > one.status.cycles / 10
        pair.compare_registers()

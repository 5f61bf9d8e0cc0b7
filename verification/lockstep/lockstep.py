"""The lock-step: the generated Verilog and the golden machine run the same random rounds and must never differ.

Run as ``make lockstep COUNT=100000 SEED=1``. For volume the chip sits around the hash macro, for truth around the
real-number macro (``--macro real``). Every instruction that retires is compared: its address, its word, its clock, the
register it wrote, exponent and every mantissa; every scan; after each run the status, the clocks of each phase and the
objects on the output stream; after each round the event counters; every few rounds the ranges and all that the windows
show. The first difference ends a run and is printed with the instruction, both values and the seed.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
from verification.lockstep.coverage import ObservedMachine
from verification.lockstep.hash_macro import BODY, HashDie, HashMacro, HashSettings
from verification.lockstep.rounds import EndlessSource, Round, RoundMaker, host_writes, loaded, mark_wrong
from verification.plan import measured_points, never_hit, read_plan

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.command import ends
from ohmloop.engines.operations import Connect, Read, Receive, Script, Send, Write
from ohmloop.engines.simulator import SimulatorEngine, builds_folder
from ohmloop.engines.trace import Trace
from ohmloop.errors import OhmloopError
from ohmloop.golden.assembler import disassemble
from ohmloop.golden.run import Retired, Run
from ohmloop.golden.stream import pack_codes, signed
from ohmloop.host.driver import Driver, Status
from ohmloop_hdl import isa
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event
from ohmloop_hdl.fixed import VECTORS
from ohmloop_hdl.sequencer.traps import TrapCause

SIMULATORS = ("verilator", "icarus")
CONFIGURATIONS = ("tiny", "lab", "chip64")

MOST_RUNS = 40
"""Traps behind which a round goes on before it is given up."""

LONG = 10_000
"""Instructions from which on a run shows how far it is."""

WINDOWS_EVERY = 16
"""Rounds from one comparison of all windows to the next."""


class Difference(Exception):
    """The first thing in which chip and golden machine differ, in words."""


@dataclass
class Tally:
    """Sums over one run of the lock-step."""

    simulator: str
    config: str
    macro: str
    seed: int
    rounds: int = 0
    instructions: int = 0
    scans: int = 0
    beats: int = 0
    clocks: int = 0
    traps: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    difference: str = ""
    seconds: float = 0.0
    shown: int = 0

    def show_progress(self, count: int) -> None:
        """A line on stderr at each tenth of a long run."""
        tenths = 10 * self.instructions // count
        if count >= LONG and self.shown < tenths < 10:
            self.shown = tenths
            print(f"{self.simulator} {self.config}: {self.instructions} of {count} instructions", file=sys.stderr)

    def __str__(self) -> str:
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.traps.items()))
        return (f"{self.simulator:9} {self.config:8} {self.macro} macro, seed {self.seed}: {self.instructions} "
                f"instructions in {self.rounds} rounds ({ends}), {self.scans} scans, {self.beats} beats, "
                f"{self.clocks} clocks, {self.seconds:.0f} s: {self.difference or 'no difference'}")


def machine_of(config: ChipConfig, macro: str, seed: int) -> tuple[ObservedMachine, Die]:
    """The golden machine and the die of its macro, which the simulated chip gets too."""
    if macro == "real":
        n = config.size
        die = Die.sample(config, AnalogParams.ideal(), stuck=((0, 0, n - 1, 1), (1, n - 1, 0, 2)))
        return ObservedMachine(config, NumpyMacro(die)), die
    cells = 65536 // config.size ** 2
    settings = HashSettings(seed=seed, clip=80, never=12, stuck=cells // 8, weak=min(65535, cells))
    die = HashDie.of(config, settings)
    return ObservedMachine(config, HashMacro(die)), die


class Predictor:
    """The golden side: makes rounds and runs them, each from its entry and again behind every trap, up to its HALT."""

    def __init__(self, config: ChipConfig, macro: str, seed: int):
        self.machine, self.die = machine_of(config, macro, seed)
        self.maker = RoundMaker(config, seed)
        self.source = EndlessSource(self.machine, self.maker)
        self.machine.source = self.source  # type: ignore[assignment]

    def next(self) -> Round:
        """The next round, loaded."""
        round_ = next(self.maker)
        loaded(self.machine, round_)
        return round_

    def runs(self, round_: Round) -> Iterator[tuple[int, Run]]:
        """Where each run of a round begins and what it must do; ``source.objects`` and ``machine.sink`` hold its
        streams until the next."""
        begin = round_.entry
        for _ in range(MOST_RUNS):
            self.source.objects, self.source.waiting = [], []
            self.machine.sink = []
            run = self.machine.run(begin)
            yield begin, run
            begin = (run.pc + 1) % isa.PROGRAM_WORDS
            if not run.trap or (run.pc - round_.entry) % isa.PROGRAM_WORDS >= len(round_.program) - 1:
                break
        mark_wrong(self.machine, round_, False)


def golden_only(config: ChipConfig, macro: str, seed: int, count: int) -> Tally:
    """The rounds of a run without a chip: what they cover."""
    predictor, tally = Predictor(config, macro, seed), Tally("golden", config.name, macro, seed)
    while tally.instructions < count:
        for _, run in predictor.runs(predictor.next()):
            _add(tally, run)
        tally.rounds += 1
    tally.hits = predictor.machine.hits
    return tally


def lockstep(simulator: str, config: ChipConfig, macro: str, seed: int, count: int) -> Tally:
    """Run rounds on both until ``count`` instructions retired, or until they differ."""
    started = time.monotonic()
    predictor, tally = Predictor(config, macro, seed), Tally(simulator, config.name, macro, seed)
    body = BODY if macro == "hash" else None
    with SimulatorEngine(simulator, predictor.die, builds_folder(), macro=body) as engine:
        host = _Host(engine, predictor)
        try:
            while tally.instructions < count:
                round_ = predictor.next()
                before = engine.execute(host.load(round_))
                runs = []
                for begin, run in predictor.runs(round_):
                    host.play(begin, run)
                    _add(tally, run)
                    runs.append(run)
                after = engine.execute(host.unload(round_))
                _compare_events(before, after, runs)
                tally.rounds += 1
                tally.show_progress(count)
                if tally.rounds % WINDOWS_EVERY == 0 or tally.instructions >= count:
                    host.compare_windows()
        except (Difference, OhmloopError) as difference:
            tally.difference = f"round {tally.rounds}: {difference}"
    tally.hits = predictor.machine.hits
    tally.seconds = time.monotonic() - started
    return tally


def _add(tally: Tally, run: Run) -> None:
    tally.instructions += len(run.retired) + (run.trap is not TrapCause.NONE)
    tally.scans += len(run.scans)
    tally.beats += run.events[Event.BEAT_IN] + run.events[Event.BEAT_OUT]
    tally.clocks += run.cycles
    tally.traps[run.trap.name.lower() if run.trap else "halt"] += 1


class _Host:
    """The chip's side: loads rounds, runs them, compares."""

    def __init__(self, engine: SimulatorEngine, predictor: Predictor):
        self.engine, self.machine, self.predictor = engine, predictor.machine, predictor
        self.driver = Driver(predictor.machine.config)
        self.pauses = Connect()
        engine.execute(self.driver.ready())

    def load(self, round_: Round) -> Script[dict[Event, int]]:
        """What the host writes before a round; the event counters behind it."""
        yield from host_writes(self.driver, round_)
        yield from self._rewrite(round_, wrong=True)
        self.pauses = Connect(round_.source_pause, round_.sink_pause, round_.seed)
        yield self.pauses
        return (yield from self.driver.read_events())

    def unload(self, round_: Round) -> Script[dict[Event, int]]:
        """The event counters, and what a round spoilt is made good."""
        events = yield from self.driver.read_events()
        yield from self._rewrite(round_, wrong=False)
        return events

    def play(self, begin: int, run: Run) -> None:
        """One run of a round."""
        self.engine.take_trace()
        status, objects = self.engine.execute(self._run(begin))
        trace, machine = self.engine.take_trace(), self.machine
        self._compare_run(trace, run)
        _same("status", status, Status(run.trap, run.halt_code, run.pc, run.cycles, machine.bad_count, machine.repairs))
        _same("clocks by phase", trace.worked, run.phases)
        _same("objects on the output stream", [word for words in objects for word in words],
              [word for word, _ in machine.sink])

    def _run(self, begin: int) -> Script[tuple[Status, list[list[int]]]]:
        driver = self.driver
        yield Write(driver.map.registers["CONTROL"], (driver.map.fields["CONTROL.flush"].mask,))
        for words in self.predictor.source.objects:
            yield Send(tuple(words))
        status = yield from driver.run(begin)
        objects = []
        for _ in range(sum(last for _, last in self.machine.sink)):
            objects.append((yield Receive()))
        yield from self._drain(len(self.predictor.source.waiting))
        return status, objects

    def _drain(self, beats: int) -> Script[None]:
        """Take from the input stream what the run left there, a buffer at a time; flushing alone would let it in."""
        if not beats:
            return
        driver, depth = self.driver, self.machine.config.size + 1
        yield Connect()
        for _ in range(beats // depth + 2):
            # Longer than the buffer takes to fill; these words have no parity.
            yield Read(driver.map.windows["MANTISSAS"].address, depth)
            yield Write(driver.map.registers["CONTROL"], (driver.map.fields["CONTROL.flush"].mask,))
        yield self.pauses

    def _rewrite(self, round_: Round, wrong: bool) -> Script[None]:
        """Write the word that a round spoils once more, with wrong or with right parity."""
        if round_.wrong is None:
            return
        name, word = round_.wrong
        machine, config = self.machine, self.machine.config
        if name == "PROGRAM":
            value = round_.program[word]
            word = (round_.entry + word) % isa.PROGRAM_WORDS
        elif name == "CODES":
            per_word = config.codes_per_word
            codes = (round_.codes if wrong and round_.codes is not None else machine.codes).ravel()
            (value,) = pack_codes(codes[per_word * word:per_word * (word + 1)], config)
        else:
            memory = {"SLOTS": machine.slots, "OFFSETS": machine.offsets, "GAINS": machine.gains}[name]
            value = int(memory.ravel()[word])
        test = self.driver.map.registers["TEST"]
        yield Write(test, (int(wrong),))
        yield Write(self.driver.map.windows[name].address + 4 * word, (value & 0xFFFF_FFFF,))
        yield Write(test, (0,))

    def _compare_run(self, trace: Trace, run: Run) -> None:
        scan = _first_scan(trace, run)
        for got, expected in zip_longest(trace.retired, run.retired):
            if got != expected:
                raise Difference("; ".join(filter(None, (_describe(got, expected), scan))))
        # A scan whose codes no instruction returned.
        if scan:
            raise Difference(scan)

    def compare_windows(self) -> None:
        """Every register and memory that reads back."""
        machine, config = self.machine, self.machine.config
        mantissas = self._window("MANTISSAS", 32)
        _same("mantissas", mantissas, machine.mantissas.ravel().tolist())
        _same("exponents", self._window("EXPONENTS", 32), machine.exponents.tolist())
        _same("scalars", self._window("SCALAR_MANTISSAS", 32), [scalar.mantissa for scalar in machine.scalars])
        _same("scalar exponents", self._window("SCALAR_EXPONENTS", 32), [scalar.exponent for scalar in machine.scalars])
        _same("slots", self._window("SLOTS", 32), machine.slots.ravel().tolist())
        _same("offsets", self._window("OFFSETS", 32), machine.offsets.tolist())
        _same("gains", self._window("GAINS", 32), machine.gains.tolist())
        bits = 32 // config.codes_per_word
        codes = [word >> bits * i for word in self._window("CODES", 32) for i in range(config.codes_per_word)]
        _same("codes", [signed(code, bits) for code in codes], machine.codes.ravel().tolist())
        _same("bad cells", self.engine.execute(self.driver.read_bad_map()).tolist(), machine.bad_map.tolist())
        (valid,) = self.engine.execute(_read(self.driver.map.registers["VALID"]))
        expected = sum(bit << i for i, bit in enumerate(machine.valid_slots))
        _same("valid", valid, expected | machine.valid_codes << 16 | machine.valid_arrays << 17)
        (ranges,) = self.engine.execute(_read(self.driver.map.registers["RANGES"]))
        _same("ranges", ranges, machine.settings.drive_range | machine.settings.feedback << 8)
        assert len(mantissas) == VECTORS * config.size

    def _window(self, name: str, bits: int) -> list[int]:
        window = self.driver.map.windows[name]
        return [signed(word, bits) for word in self.engine.execute(_read(window.address, window.words))]


def _compare_events(before: dict[Event, int], after: dict[Event, int], runs: list[Run]) -> None:
    """The event counters over a round, unless an instruction was stopped in the middle."""
    if any(run.trap in (TrapCause.PARITY, TrapCause.WATCHDOG) for run in runs):
        return
    for event in Event:
        counted = (after[event] - before[event]) % (1 << 32)
        _same(f"event {event.name}", counted, sum(run.events[event] for run in runs))


def _read(address: int, count: int = 1) -> Script[list[int]]:
    return (yield Read(address, count))


def _same(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise Difference(f"{what}: the chip has {got}, the golden machine {expected}")


def _first_scan(trace: Trace, run: Run) -> str:
    """The first scan in which codes differ, in words."""
    for number, (codes, scan) in enumerate(zip_longest(trace.scans, run.scans)):
        if codes is None or scan is None:
            break  # stopped in the clock that ends a scan, or what went another way shows in the instructions
        if not np.array_equal(codes, scan.codes):
            return f"scan {number}: the chip has {codes.tolist()}, the golden machine {scan.codes.tolist()}"
    return ""


def _describe(got: Retired | None, expected: Retired | None) -> str:
    there = expected or got
    assert there is not None
    text = f"pc {there.pc}, {disassemble(there.instruction)}: "
    if got is None or expected is None:
        return text + ("the chip" if got is None else "the golden machine") + " does not retire it"
    if (got.pc, got.instruction, got.cycles) != (expected.pc, expected.instruction, expected.cycles):
        return text + (f"the chip retires pc {got.pc} {disassemble(got.instruction)} at clock {got.cycles}, the golden "
                       f"machine this at clock {expected.cycles}")
    return text + f"the chip writes {got.result}, the golden machine {expected.result}"


def campaign(simulators: list[str], configs: list[str], macro: str, seed: int, count: int) -> list[Tally]:
    """All simulators and configurations, two at a time; prints each as it ends."""
    tallies = []
    with ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(lockstep, simulator, CONFIGS[config], macro, seed, count)
                   for simulator in simulators for config in configs]
        for future in as_completed(futures):
            tallies.append(future.result())
            print(tallies[-1], flush=True)
    return tallies


def main() -> int:
    """Parse the options, run, sum up; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=2000, help="instructions of each simulator and configuration")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--macro", choices=("hash", "real"), default="hash")
    parser.add_argument("--config", nargs="+", choices=tuple(CONFIGS), default=list(CONFIGURATIONS))
    parser.add_argument("--simulator", nargs="+", choices=SIMULATORS, default=list(SIMULATORS))
    options = parser.parse_args()
    tallies = campaign(options.simulator, options.config, options.macro, options.seed, options.count)
    plan, hits = read_plan(), sum((tally.hits for tally in tallies), Counter())
    missed, points = never_hit(plan, hits), measured_points(plan)
    print(f"coverage: {len(points) - len(missed)} of {len(points)} points of the plan"
          + (f", never hit: {', '.join(missed)}" if missed else ""))
    differences = sum(bool(tally.difference) for tally in tallies)
    print(f"{sum(tally.instructions for tally in tallies)} instructions, {len(options.config)} configurations, "
          f"{len(options.simulator)} simulators, seed {options.seed}: {differences} differences")
    return int(differences > 0)


if __name__ == "__main__":
    ends("lockstep", main)

"""The chip in the Amaranth simulator around the numpy macro: its bus, its trace, and driver scripts on it."""

import random
import re
from typing import Any

from amaranth.hdl import Cat, MemoryData, ResetInserter, Signal, Value
from amaranth.hdl._mem import MemoryInstance
from amaranth.sim import Simulator

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.pysim import attach
from ohmloop.engines.operations import Connect, Operation, Read, Receive, Result, Script, Send, WaitHalt, Write
from ohmloop.engines.trace import Trace, TraceDecoder
from ohmloop_hdl.chip import Chip
from ohmloop_hdl.events import Phase
from verification.unit.simulation import Bench


class SimulatedChip:
    """One chip under simulation.

    Members
    -------
    trace : Trace
        What the trace port showed since :meth:`restart_trace`.
    reset : Signal
        Resets the chip while high.
    macro : NumpyMacro
        What answers its pins.
    memories, registers : dict of str to MemoryData, dict of str to Value
        All that keeps something inside the chip, by its place: ``sequencer.counters.memory``, ``sequencer.pc``; the
        registers with those on the read ports of memories.

    In the clock behind the last of a run, however it ended, the loop is open and the arrays are left alone.
    """

    def __init__(self, die: Die, macro: NumpyMacro | None = None):
        self.config = die.config
        self.chip = Chip(die.config)
        self.reset = Signal()
        self.macro = macro or NumpyMacro(die)
        self.decoder = TraceDecoder(die.config)
        self._sent: list[tuple[int, bool]] = []
        self._received: list[tuple[int, bool]] = []
        self._pauses: list[tuple[float, random.Random]] | None = None
        self._simulator = Simulator(ResetInserter(self.reset)(self.chip))
        self._simulator.add_clock(2e-8)
        attach(self._simulator, self.macro, self.chip.macro)
        self._simulator.add_testbench(self._watch, background=True)
        self._simulator.add_testbench(self._stream, background=True)
        self.memories, self.registers = _storage(self._simulator)

    @property
    def trace(self) -> Trace:
        """The trace so far."""
        return self.decoder.trace

    def run(self, bench: Bench) -> None:
        """Run ``bench`` to its end on a chip that has wiped itself; it gets the simulation context."""
        async def ready(ctx):
            await self.halted(ctx)
            await bench(ctx)

        self.run_from_power_up(ready)

    def run_from_power_up(self, bench: Bench) -> None:
        """Run ``bench`` to its end from time 0 on, while the chip begins to wipe itself."""
        self._simulator.add_testbench(bench)
        self._simulator.run()

    async def halted(self, ctx) -> int:
        """Wait until nothing runs and nothing is wiped; how many clocks that took."""
        clocks = 0
        while not ctx.get(self.chip.sequencer.halted):
            await ctx.tick()
            clocks += 1
            assert clocks < 100_000, "the chip does not come to its end"
        await ctx.tick()
        return clocks

    def field(self, ctx, name: str) -> int:
        """A field of a register as it is inside the chip, which takes no clock."""
        bank = self.chip.registers
        return ctx.get(bank.value[name] if name in bank.value else bank.drive[name])

    def pulse(self, ctx, name: str) -> None:
        """A write of this bit takes effect in this clock."""
        ctx.set(self.chip.registers.value[name], 1)

    def contents(self, ctx, *parts: str) -> dict[str, list[int]]:
        """Words of all memories, or of those below these parts of the chip."""
        return {name: [ctx.get(Value.cast(data[row])) for row in range(data.depth)]
                for name, data in self.memories.items() if not parts or name.split(".")[0] in parts}

    def fill(self, ctx, name: str, words: list[int]) -> None:
        """Overwrite a memory inside the chip."""
        for row, word in enumerate(words):
            ctx.set(Value.cast(self.memories[name][row]), word)

    def held(self, ctx) -> dict[str, int]:
        """What every register holds."""
        return {name: ctx.get(register) for name, register in self.registers.items()}

    @property
    def waiting(self) -> int:
        """Beats that were sent and not yet taken."""
        return len(self._sent)

    def taken(self) -> list[tuple[int, bool]]:
        """Beats that came out of the output stream, each with its mark of the last; forgets them."""
        taken, self._received = self._received, []
        return taken

    def withdraw(self) -> None:
        """Offer nothing more of what was sent."""
        self._sent.clear()

    def restart_trace(self) -> None:
        """Forget the trace so far."""
        self.decoder.take()

    async def _watch(self, ctx):
        trace, decoder, pins = self.chip.trace, self.decoder, self.chip.macro
        names = list(trace.signature.members)
        active = Cat(pins.autozero, pins.close_solve, pins.close_multiply, pins.sample, pins.row, pins.write, pins.read)
        at_rest = (Phase.IDLE, Phase.WIPE)
        async for _, _, *values in ctx.tick().sample(*(getattr(trace, name) for name in names)):
            seen = dict(zip(names, values, strict=True))
            if seen["phase"] not in at_rest and ctx.get(trace.phase) in at_rest:
                assert not ctx.get(active), "stopped with a switch closed or an array selected"
            decoder.phase(Phase(seen["phase"]))
            if Phase(seen["phase"]) is Phase.IDLE:
                decoder.stopped()
            if seen["write"]:
                decoder.write(seen["index"], seen["mantissas"])
            if seen["finished"]:
                decoder.finished(seen["exponent"], seen["scalar"])
            if seen["retired"]:
                decoder.retired(seen["pc"], seen["instruction"], seen["cycles"])
            if seen["converted"]:
                decoder.converted(seen["mux"], seen["codes"])

    async def _stream(self, ctx):
        """Offers what was sent and takes what comes, once connected."""
        source, sink = self.chip.source, self.chip.sink
        while True:
            if self._pauses is not None:
                (source_rate, source_rng), (sink_rate, sink_rng) = self._pauses
                offers = bool(self._sent) and (ctx.get(source.tvalid) or source_rng.random() >= source_rate)
                if offers:
                    ctx.set(source.tdata, self._sent[0][0])
                    ctx.set(source.tlast, self._sent[0][1])
                ctx.set(source.tvalid, offers)
                ctx.set(sink.tready, sink_rng.random() >= sink_rate)
            _, _, taken, valid, ready, word, last = await ctx.tick().sample(
                source.tvalid & source.tready, sink.tvalid, sink.tready, sink.tdata, sink.tlast)
            if taken:
                del self._sent[:1]
                ctx.set(source.tvalid, 0)
            if valid and ready:
                self._received.append((word, bool(last)))

    async def write(self, ctx, address: int, word: int, strobe: int = 0xF) -> int:
        """One write on the host bus; its response."""
        axil = self.chip.axil
        for name, value in (("awaddr", address), ("awvalid", 1), ("wdata", word), ("wstrb", strobe), ("wvalid", 1),
                            ("bready", 1)):
            ctx.set(getattr(axil, name), value)
        await ctx.tick().until(axil.awready)
        ctx.set(axil.awvalid, 0)
        ctx.set(axil.wvalid, 0)
        (response,) = await ctx.tick().sample(axil.bresp).until(axil.bvalid)
        ctx.set(axil.bready, 0)
        return response

    async def read(self, ctx, address: int) -> tuple[int, int]:
        """One read on the host bus; response and word."""
        axil = self.chip.axil
        for name, value in (("araddr", address), ("arvalid", 1), ("rready", 1)):
            ctx.set(getattr(axil, name), value)
        await ctx.tick().until(axil.arready)
        ctx.set(axil.arvalid, 0)
        response, word = await ctx.tick().sample(axil.rresp, axil.rdata).until(axil.rvalid)
        ctx.set(axil.rready, 0)
        return response, word

    async def execute(self, ctx, script: Script[Result]) -> Result:
        """Carry out a driver script and return its result; no access may be refused."""
        words: Any = None
        try:
            while True:
                words = await self._perform(ctx, script.send(words))
        except StopIteration as stop:
            return stop.value

    async def _perform(self, ctx, operation: Operation) -> list[int]:
        words: list[int] = []
        last = False
        match operation:
            case Write(address, data):
                for i, word in enumerate(data):
                    assert await self.write(ctx, address + 4 * i, word) == 0, f"write to {address + 4 * i:#x} refused"
            case Read(address, count):
                for i in range(count):
                    response, word = await self.read(ctx, address + 4 * i)
                    assert response == 0, f"read of {address + 4 * i:#x} refused"
                    words.append(word)
            case WaitHalt(clocks):
                for _ in range(clocks):
                    if ctx.get(self.chip.interrupt):
                        break
                    await ctx.tick()
                else:
                    raise AssertionError(f"no interrupt within {clocks} clocks")
            case Connect(source_pause, sink_pause, seed):
                self._pauses = [(rate, random.Random(f"{seed}/{number}"))
                                for number, rate in enumerate((source_pause, sink_pause))]
            case Send(data):
                self._sent += [(word, place == len(data) - 1) for place, word in enumerate(data)]
            case Receive(clocks):
                for _ in range(clocks):
                    if any(last for _, last in self._received):
                        break
                    await ctx.tick()
                while not words or not last:
                    word, last = self._received.pop(0)
                    words.append(word)
        return words


def _storage(simulator: Simulator) -> tuple[dict[str, MemoryData], dict[str, Value]]:
    """Memories and registers of the design under simulation, by the path to them without what Amaranth adds to make
    names differ."""
    memories: dict[str, MemoryData] = {}
    registers: dict[str, Value] = {}
    for fragment, place in simulator._design.fragments.items():
        path = ".".join(re.sub(r"\$\d+", "", part) for part in place.name[1:])
        if isinstance(fragment, MemoryInstance):
            memories[path] = fragment._data
            for number, port in enumerate(fragment._read_ports):
                if port._domain != "comb":
                    registers[f"{path}.read{number}"] = port._data
        for domain, statements in fragment.statements.items():
            if domain != "comb":
                for signal in statements._lhs_signals():
                    registers[f"{path}.{place.signal_names[signal]}"] = signal
    return memories, registers

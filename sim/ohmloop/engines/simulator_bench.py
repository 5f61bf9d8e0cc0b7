"""The cocotb side of :mod:`ohmloop.engines.simulator`: takes operations from a socket, answers with words."""

import logging
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge, SimTimeoutError, Timer, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp, AxiStreamBus, AxiStreamSink, AxiStreamSource

from ohmloop.engines.attached_macro import attach, body_asked_for
from ohmloop.engines.operations import Connect, Operation, Read, Receive, Send, WaitHalt, Write
from ohmloop.engines.simulator import connect_to_driver
from ohmloop.engines.trace import Trace, TraceDecoder
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase


class TraceWatcher:
    """Collects what the trace port shows; costs nothing while nothing happens there."""

    def __init__(self, dut: Any, config: ChipConfig, clock_ps: int):
        self.dut = dut
        self.decoder = TraceDecoder(config)
        self.clock_ps = clock_ps
        self._since = get_sim_time("ps")
        self._phase = Phase.IDLE
        for watch in (self._watch_phase, self._watch_codes, self._watch_writes, self._watch_retired):
            cocotb.start_soon(watch())

    async def _watch_phase(self):
        while True:
            await self.dut.trace_phase.value_change
            now = get_sim_time("ps")
            self.decoder.phase(self._phase, round((now - self._since) / self.clock_ps))
            value = self.dut.trace_phase.value
            self._phase = Phase(int(value)) if value.is_resolvable else Phase.IDLE
            self._since = now
            if self._phase is Phase.IDLE:
                self.decoder.stopped()

    async def _watch_codes(self):
        while True:
            await RisingEdge(self.dut.trace_converted)
            await FallingEdge(self.dut.clk)
            self.decoder.converted(int(self.dut.trace_mux.value), int(self.dut.trace_codes.value))

    async def _watch_writes(self):
        """All but the last, which comes with the retirement."""
        dut = self.dut
        while True:
            await RisingEdge(dut.trace_write)
            await FallingEdge(dut.clk)
            while dut.trace_write.value and not dut.trace_retired.value:
                self.decoder.write(int(dut.trace_index.value), int(dut.trace_mantissas.value))
                await FallingEdge(dut.clk)

    async def _watch_retired(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.trace_retired)
            await FallingEdge(dut.clk)
            if not dut.trace_retired.value:
                continue  # it was high for an instant only, before its inputs had settled
            if dut.trace_write.value:
                self.decoder.write(int(dut.trace_index.value), int(dut.trace_mantissas.value))
            if dut.trace_finished.value:
                self.decoder.finished(int(dut.trace_exponent.value), int(dut.trace_scalar.value))
            self.decoder.retired(int(dut.trace_pc.value), int(dut.trace_instruction.value),
                                 int(dut.trace_cycles.value))


class Streams:
    """Both streams, connected to models that pause at random."""

    def __init__(self, dut: Any, options: Connect):
        self.source: Any = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst, byte_lanes=1)
        self.sink: Any = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst, byte_lanes=1)
        self.pause(options)

    def pause(self, options: Connect):
        """Pause as told from now on."""
        for number, (end, rate) in enumerate(((self.source, options.source_pause), (self.sink, options.sink_pause))):
            end.clear_pause_generator()
            if rate:
                end.set_pause_generator(_pauses(rate, f"{options.seed}/{number}"))
            else:
                end.pause = False


def _pauses(rate: float, seed: str):
    rng = random.Random(seed)
    while True:
        yield rng.random() < rate


class Server:
    """Carries out operations on the chip under simulation."""

    def __init__(self, dut: Any, config: ChipConfig, clock_ps: int):
        self.dut = dut
        self.clock_ps = clock_ps
        # A line a transaction, and whole objects in a line, take longer than the simulation.
        logging.getLogger("cocotb.ohmloop").setLevel(logging.WARNING)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.streams: Streams | None = None
        self.watcher = TraceWatcher(dut, config, clock_ps)
        for name in ("s_axis_tvalid", "s_axis_tlast", "s_axis_tdata", "m_axis_tready"):
            getattr(dut, name).value = 0

    async def answer(self, request: Operation | str) -> list[int] | Trace | str:
        """Words, a trace, or a string that says what went wrong."""
        match request:
            case "trace":
                return self.watcher.decoder.take()
            case Write(address, words):
                data = np.array(words, dtype="<u4").tobytes()
                response: Any = await self.master.write(address, data)
                return [] if response.resp == AxiResp.OKAY else f"write of {len(words)} words at {address:#x} refused"
            case Read(address, count):
                response: Any = await self.master.read(address, 4 * count)
                if response.resp != AxiResp.OKAY:
                    return f"read of {count} words at {address:#x} refused"
                return [int(word) for word in np.frombuffer(response.data, dtype="<u4")]
            case WaitHalt(clocks):
                if not self.dut.interrupt.value:
                    await First(RisingEdge(self.dut.interrupt), Timer(clocks * self.clock_ps, "ps"))
                await FallingEdge(self.dut.clk)
                return [] if self.dut.interrupt.value else f"no interrupt within {clocks} clocks"
            case Connect():
                if self.streams is None:
                    self.streams = Streams(self.dut, request)
                self.streams.pause(request)
                return []
            case Send(words) if self.streams is not None:
                self.streams.source.send_nowait(list(words))
                return []
            case Receive(clocks) if self.streams is not None:
                try:
                    frame = await with_timeout(self.streams.sink.recv(), clocks * self.clock_ps, "ps")
                except SimTimeoutError:
                    return f"no object on the output stream within {clocks} clocks"
                return [int(word) for word in frame.tdata]
        return f"request {request!r} is unknown, or needs the streams connected"


@cocotb.test()
async def serve(dut: Any):
    """Answers requests until the driver hangs up; then no checker may have seen a breach."""
    connection = connect_to_driver()
    config, clock_ps = connection.recv()
    body = body_asked_for()
    if body is not None:
        attach(body, dut.macro, dut.clk)
    Clock(dut.clk, clock_ps, "ps").start()
    dut.rst.value = 1
    server = Server(dut, config, clock_ps)
    await ClockCycles(dut.clk, 3)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    connection.send([])
    while True:
        try:
            request = connection.recv()
        except EOFError:
            break
        connection.send(await server.answer(request))
    assert dut.macro.contract.violations.value == 0, "the macro contract was broken; see CONTRACT lines"

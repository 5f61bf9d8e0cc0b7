"""The cocotb side of :mod:`ohmloop.engines.simulator`: takes operations from a socket, answers with words."""

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from ohmloop.analog.buses import unpack
from ohmloop.engines.operations import Operation, Read, Trace, WaitHalt, Write
from ohmloop.engines.simulator import connect_to_driver
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase


class TraceWatcher:
    """Collects what the trace port shows; costs nothing while nothing happens there."""

    def __init__(self, dut: Any, config: ChipConfig, clock_ps: int):
        self.dut = dut
        self.config = config
        self.clock_ps = clock_ps
        self.trace = Trace()
        self._since = get_sim_time("ps")
        self._phase = Phase.IDLE
        self._scan = np.zeros(config.size, dtype=np.int64)
        cocotb.start_soon(self._watch_phase())
        cocotb.start_soon(self._watch_codes())

    def take(self) -> Trace:
        """The trace so far; starts a new one."""
        taken, self.trace = self.trace, Trace()
        return taken

    async def _watch_phase(self):
        while True:
            await self.dut.trace_phase.value_change
            now = get_sim_time("ps")
            if self._phase:
                self.trace.phases[self._phase] += round((now - self._since) / self.clock_ps)
            value = self.dut.trace_phase.value
            self._phase = Phase(int(value)) if value.is_resolvable else Phase.IDLE
            self._since = now

    async def _watch_codes(self):
        config = self.config
        while True:
            await RisingEdge(self.dut.trace_converted)
            await FallingEdge(self.dut.clk)
            step = int(self.dut.trace_mux.value)
            codes = int(self.dut.trace_codes.value)
            self._scan[step::config.mux_steps] = unpack(codes, config.adcs, config.adc_bits, signed=True)
            if step == config.mux_steps - 1:
                self.trace.scans.append(self._scan.copy())


class Server:
    """Carries out operations on the chip under simulation."""

    def __init__(self, dut: Any, config: ChipConfig, clock_ps: int):
        self.dut = dut
        self.clock_ps = clock_ps
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.watcher = TraceWatcher(dut, config, clock_ps)

    async def answer(self, request: Operation | str) -> list[int] | Trace | str:
        """Words, a trace, or a string that says what went wrong."""
        match request:
            case "trace":
                return self.watcher.take()
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
        return f"unknown request {request!r}"


@cocotb.test()
async def serve(dut: Any):
    """Answers requests until the driver hangs up; then no checker may have seen a breach."""
    connection = connect_to_driver()
    config, clock_ps = connection.recv()
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

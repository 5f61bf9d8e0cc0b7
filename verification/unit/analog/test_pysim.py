"""The numpy macro attached to a small design in Amaranth's simulator: what the design sees, and when."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator

from ohmloop.analog.buses import pack
from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.pysim import attach
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.macro.pins import MacroPins

TINY = CONFIGS["tiny"]


class Driver(wiring.Component):
    """Registers in front of all pins, so that the test bench can set them like a design would."""

    macro: Out(MacroPins(TINY))  # type: ignore

    def __init__(self):
        super().__init__()
        self.next = {name: Signal(member.shape) for name, member in MacroPins(TINY).members.items()
                     if member.flow is wiring.Out}

    def elaborate(self, platform):
        m = Module()
        for name, level in self.next.items():
            m.d.sync += getattr(self.macro, name).eq(level)
        return m


def test_a_design_programs_solves_and_converts():
    driver = Driver()
    macro = NumpyMacro(Die.sample(TINY, AnalogParams.ideal()))
    simulator = Simulator(driver)
    simulator.add_clock(20e-9)
    attach(simulator, macro, driver.macro)
    pins = driver.macro

    async def bench(ctx):
        async def clock(**levels):
            for name, level in levels.items():
                ctx.set(driver.next[name], level)
            await ctx.tick()

        for row in range(4):
            await clock(row=1 << row, write=1, write_data=15 << (4 * row))
        await clock(write=0, read=1)
        assert ctx.get(pins.sense) == 15 << 12, "sense follows read at once, and the last write has just landed"
        await clock(read=0, row=0)
        await clock(close_solve=1, dac=pack([10, 20, -30, 127], 8))
        for _ in range(200):
            await clock()
        await clock(sample=1)
        await clock(sample=0, trial=pack([-10, 30], 8))
        assert ctx.get(pins.above) == 0b01, "held outputs are still 0 V: the macro has not seen the fall"
        await clock()
        assert ctx.get(pins.above) == 0b11
        assert ctx.get(pins.clipped) == 0
        await clock(mux=1)
        assert ctx.get(pins.above) == 0b00, "outputs 1 and 3 hold -20 and -127 LSB"

    simulator.add_testbench(bench)
    simulator.run()

"""Program memory."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.isa import PROGRAM_WORDS

PC_BITS = (PROGRAM_WORDS - 1).bit_length()


class ProgramMemory(wiring.Component):
    """Instruction words.

    Members
    -------
    window : In(WindowPort)
        Word address is the program counter.
    pc, instruction : In(8), Out(32)
        ``instruction`` is the word at the ``pc`` of the clock before.

    Latency
    -------
    One clock.
    """

    window: In(WindowPort(PC_BITS))
    pc: In(PC_BITS)
    instruction: Out(32)

    def elaborate(self, platform):
        m = Module()
        memory = m.submodules.memory = Memory(shape=32, depth=PROGRAM_WORDS, init=[])
        write, read = memory.write_port(granularity=8), memory.read_port()
        m.d.comb += [
            read.addr.eq(Mux(self.window.select, self.window.address, self.pc)),
            read.en.eq(1),
            self.instruction.eq(read.data),
            self.window.r_data.eq(read.data),
            write.addr.eq(self.window.address),
            write.data.eq(self.window.w_data),
            write.en.eq(Mux(self.window.select, self.window.w_strobe, 0)),
        ]
        return m

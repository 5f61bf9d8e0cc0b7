"""Program memory."""

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.isa import PROGRAM_WORDS
from ohmloop_hdl.parity import checked, with_parity

PC_BITS = (PROGRAM_WORDS - 1).bit_length()


class ProgramMemory(wiring.Component):
    """Instruction words.

    Members
    -------
    window : In(WindowPort)
        Word address is the program counter.
    bad_parity : In(1)
        Words written through the window get wrong parity.
    pc, instruction, parity_error : In(8), Out(32), Out(1)
        ``instruction`` is the word at the ``pc`` of the clock before; whether its parity is wrong.

    Latency
    -------
    One clock.
    """

    window: In(WindowPort(PC_BITS))
    bad_parity: In(1)
    pc: In(PC_BITS)
    instruction: Out(32)
    parity_error: Out(1)

    def elaborate(self, platform):
        m = Module()
        memory = m.submodules.memory = Memory(shape=36, depth=PROGRAM_WORDS, init=[], attrs={"no_rw_check": "1"})
        write, read = memory.write_port(granularity=9), memory.read_port()
        granules, error = checked(read.data, 8)
        m.d.comb += [
            read.addr.eq(Mux(self.window.select, self.window.address, self.pc)),
            read.en.eq(~write.en.any()),
            self.instruction.eq(Cat(granules)),
            self.parity_error.eq(error),
            self.window.r_data.eq(self.instruction),
            self.window.r_error.eq(error),
            write.addr.eq(self.window.address),
            write.data.eq(with_parity([self.window.w_data.word_select(b, 8) for b in range(4)], self.bad_parity)),
            write.en.eq(Mux(self.window.select, self.window.w_strobe, 0)),
        ]
        return m

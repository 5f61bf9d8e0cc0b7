"""What is there to be used: matrix slots, code memory, arrays."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.host.map import address_map
from ohmloop_hdl.host.windows import NUMBER_BITS, WORD_BITS
from ohmloop_hdl.isa import INV, KIND, LD, MAT, MUL, OPCODE_LOW, PROG, SCRUB, SLOT, STREAM, D
from ohmloop_hdl.sequencer.sequencer import field


class Validity(wiring.Component):
    """One bit a matrix slot, one for the code memory, one for both arrays.

    A word written on the bus makes its slot or the code memory valid: the host answers for what it wrote. ``LD`` and
    ``PROG`` make what they fill invalid when they start and valid when they retire. A ``SCRUB`` does so from its first
    write pulse on, which may be cut short. A wipe makes all invalid.

    Parameters
    ----------
    config : ChipConfig
        Sizes.

    Members
    -------
    written, number, address : In
        The bus writes a window in this clock.
    instruction : In(32)
        The instruction that is decoded or in work.
    started, retired : In(1)
        It starts; it retires.
    writes : In(1)
        A row of the arrays is being written.
    wipe : In(1)
        Everything is being wiped.
    usable : Out(1)
        What ``instruction`` uses is valid.
    slots, codes, arrays : Out(slots), Out(1), Out(1)
        The bits.

    Latency
    -------
    None for ``usable``; the bits follow in the next clock.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "written": In(1), "number": In(NUMBER_BITS), "address": In(WORD_BITS),
            "instruction": In(32), "started": In(1), "retired": In(1),
            "writes": In(1), "wipe": In(1),
            "usable": Out(1), "slots": Out(config.slots), "codes": Out(1), "arrays": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        windows, word = address_map(self.config).windows, self.instruction

        def named(operand):
            return field(word, operand)

        is_slot = Signal(self.config.slots)
        m.d.comb += [
            is_slot.eq(1 << named(SLOT)),
            self.usable.eq(1),
        ]
        with m.Switch(word[OPCODE_LOW:]):
            with m.Case(MAT.opcode):
                m.d.comb += self.usable.eq((self.slots & is_slot).any())
            with m.Case(INV.opcode, MUL.opcode):
                m.d.comb += self.usable.eq(self.arrays)
            with m.Case(PROG.opcode):
                m.d.comb += self.usable.eq(self.codes | named(STREAM))
                self._filled(m, self.arrays)
                with m.If(named(STREAM)):
                    self._filled(m, self.codes)
            with m.Case(SCRUB.opcode):
                m.d.comb += self.usable.eq(self.codes & self.arrays)
                with m.If(self.retired):
                    m.d.sync += self.arrays.eq(1)
            with m.Case(LD.opcode):
                with m.If(named(KIND) == 2):
                    self._filled(m, self.codes)
                for slot in range(self.config.slots):
                    with m.If((named(KIND) == 1) & (named(D) == slot)):
                        self._filled(m, self.slots[slot])
        with m.If(self.written):
            with m.If(self.number == windows["CODES"].number):
                m.d.sync += self.codes.eq(1)
            for slot in range(self.config.slots):
                with m.If((self.number == windows["SLOTS"].number)
                          & (self.address[2 * (self.config.size.bit_length() - 1):] == slot)):
                    m.d.sync += self.slots[slot].eq(1)
        with m.If(self.writes):
            m.d.sync += self.arrays.eq(0)
        with m.If(self.wipe):
            m.d.sync += [self.slots.eq(0), self.codes.eq(0), self.arrays.eq(0)]
        return m

    def _filled(self, m: Module, bit):
        """The instruction fills what ``bit`` stands for."""
        with m.If(self.started):
            m.d.sync += bit.eq(0)
        with m.Elif(self.retired):
            m.d.sync += bit.eq(1)

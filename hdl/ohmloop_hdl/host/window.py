"""The port through which a memory shows itself on the bus."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class WindowPort(wiring.Signature):
    """Word access to one memory, as the host side drives it. The memory's own users must be idle meanwhile.

    Parameters
    ----------
    address_bits : int
        Width of the word address.

    Members
    -------
    select : Out(1)
        The host owns the memory's ports in this clock.
    address : Out(address_bits)
        Word address.
    w_strobe, w_data : Out(4), Out(32)
        Bytes to write in this clock, little-endian.
    r_data, r_error : In(32), In(1)
        Word at the ``address`` of the clock before, and whether its parity is wrong.
    """

    def __init__(self, address_bits: int):
        super().__init__({
            "select": Out(1),
            "address": Out(address_bits),
            "w_strobe": Out(4),
            "w_data": Out(32),
            "r_data": In(32),
            "r_error": In(1),
        })

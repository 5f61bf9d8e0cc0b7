"""The register bus: what every host interface translates to."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.map import ADDRESS_BITS


class RegisterBus(wiring.Signature):
    """One word access at a time, as the host interface drives it.

    1. At most one of ``r_stb`` and ``w_stb`` is high; it and the address, data and strobes stay until ``done``.
    2. ``done`` is high for one clock and ends the access; ``error`` and ``r_data`` are valid with it.
    3. An access that ends with ``error`` has changed nothing.
    4. Every access is done within two clocks.

    Members
    -------
    address : Out(24)
        Byte address; the low two bits are ignored.
    r_stb, w_stb : Out(1)
        Read; write.
    w_data, w_strobe : Out(32), Out(4)
        Word to write, and which of its bytes.
    r_data, done, error : In
        Answer.
    """

    def __init__(self):
        super().__init__({
            "address": Out(ADDRESS_BITS),
            "r_stb": Out(1),
            "w_stb": Out(1),
            "w_data": Out(32),
            "w_strobe": Out(4),
            "r_data": In(32),
            "done": In(1),
            "error": In(1),
        })

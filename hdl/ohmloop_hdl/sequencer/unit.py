"""What the sequencer and a unit that executes instructions say to each other."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.events import Phase
from ohmloop_hdl.sequencer.traps import TrapCause


class Unit(wiring.Signature):
    """Start and end of one instruction, as the sequencer drives it.

    1. ``start`` is high for one clock, the decode clock; the fields of the instruction stay from then to the end.
    2. The unit ends with ``done`` or with a ``fault`` other than NONE, in one clock, its last. A unit that faults has
       changed no register, but for what an LD was filling, and the arrays and their map.
    3. After a fault, a trap or an abort the sequencer resets the unit in the next clock; never for a trap of its own
       (the watchdog) while ``safe`` is high.

    Members
    -------
    start : Out(1)
        Begin in the next clock.
    done, fault : In(1), In(TrapCause)
        The end.
    safe : In(1)
        Registers are being written: do not stop.
    waiting : In(1)
        This clock waits for a stream and does not count.
    phase : In(Phase)
        What the unit does in this clock.
    """

    def __init__(self):
        super().__init__({
            "start": Out(1), "done": In(1), "fault": In(TrapCause), "safe": In(1), "waiting": In(1), "phase": In(Phase),
        })

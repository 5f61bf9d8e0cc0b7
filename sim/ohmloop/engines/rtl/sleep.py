"""Lets the units of the generated chip that have nothing to do sleep: a simulator passes over what stands behind one
condition, and a scan of the converters concerns few units."""

import re

from ohmloop_hdl.verilog import TOP

AWAKE = "ohmloop_rtl.awake"
"""The condition, in ``ohmloop_rtl.sv``, which knows when nothing can happen to the units that sleep."""

WAKEFUL = ("sequencer", "loop", "converters", "counters", "ranging")
"""Units of the chip that work during a scan; what connects the units is awake as well."""


def with_sleep(verilog: str) -> str:
    """The generated chip with every register and every block of the sleeping units behind :data:`AWAKE`.

    Asleep, a unit keeps its registers and most of what it shows; awake, it is the unit it was. Single assignments stay
    as they are: behind a condition the simulator could no longer fold them into where they are used, and clocks in
    which all are awake would take a fifth longer.
    """
    return "".join(_sleeping(module) if _sleeps(module) else module
                   for module in re.split(r"(?<=\nendmodule\n)", verilog))


def _sleeps(module: str) -> bool:
    name = re.search(rf"^module \\{TOP}\.chip\.(\w+)", module, re.MULTILINE)
    return name is not None and name[1] not in WAKEFUL


def _sleeping(module: str) -> str:
    return re.sub(r"^  always @(\*|\(posedge clk\))", rf"  always @\1 if ({AWAKE})", module, flags=re.MULTILINE)

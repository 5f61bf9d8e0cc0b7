"""cocotb bench: the SystemVerilog body alone, programmed, auto-zeroed, closed in solve mode, settled, held."""

import json
import os
import struct
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from ohmloop.analog.body import MacroInputs
from ohmloop.analog.buses import pack

CLOCKS = 100_000


@cocotb.test()
async def settled(dut):
    """Leaves the held outputs in volts where the environment says."""
    wanted = json.loads(os.environ["OHMLOOP_EFFECT"])
    codes = np.array(wanted["codes"])
    for name in MacroInputs._fields:
        getattr(dut, name).value = 0
    Clock(dut.clk, 20, "ns").start(start_high=False)
    await FallingEdge(dut.clk)
    for plane, rows in enumerate((np.maximum(codes, 0), np.maximum(-codes, 0))):
        for row, held in enumerate(rows):
            dut.row.value, dut.plane.value, dut.write.value = 1 << row, plane, 1
            dut.write_data.value = pack(held, wanted["cell_bits"])
            await FallingEdge(dut.clk)
    dut.write.value, dut.row.value, dut.autozero.value = 0, 0, 1
    await ClockCycles(dut.clk, 2, FallingEdge)
    dut.autozero.value = 0
    await FallingEdge(dut.clk)
    dut.dac.value, dut.close_solve.value = pack(wanted["dac"], wanted["dac_bits"]), 1
    await ClockCycles(dut.clk, CLOCKS, FallingEdge)
    dut.sample.value = 1
    await FallingEdge(dut.clk)
    dut.sample.value = 0
    await FallingEdge(dut.clk)
    assert dut.clipped.value.to_unsigned() == 0
    raw = dut.held_bits.value.to_unsigned().to_bytes(8 * len(codes), "little")
    Path(os.environ["OHMLOOP_HELD"]).write_text(json.dumps(struct.unpack(f"<{len(codes)}d", raw)))

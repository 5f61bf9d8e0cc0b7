"""cocotb bench: the SystemVerilog body alone, programmed, auto-zeroed, closed in solve mode, settled, held."""

import json
import os
import struct
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, FallingEdge
from verification.spice.effects import CODES_VARIABLE, HELD_VARIABLE, SETTLED_CLOCKS

from ohmloop.analog.buses import pack
from ohmloop.engines.conformance.driver import start


@cocotb.test()
async def settled(dut):
    """Leaves the held outputs in volts where the environment says."""
    wanted = json.loads(os.environ[CODES_VARIABLE])
    codes = np.array(wanted["codes"])
    await start(dut)
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
    await ClockCycles(dut.clk, SETTLED_CLOCKS, FallingEdge)
    dut.sample.value = 1
    await FallingEdge(dut.clk)
    dut.sample.value = 0
    await FallingEdge(dut.clk)
    assert dut.clipped.value.to_unsigned() == 0
    raw = dut.held_bits.value.to_unsigned().to_bytes(8 * len(codes), "little")
    Path(os.environ[HELD_VARIABLE]).write_text(json.dumps(struct.unpack(f"<{len(codes)}d", raw)))

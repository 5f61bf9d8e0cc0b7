"""The host bus of the generated chip under the AXI4-Lite master of cocotbext-axi, on both simulators.

Two chips: one with byte-wide codes in two lanes, one with half-word codes in four lanes of one code word each.
"""

import pytest

from ohmloop_hdl.config import ChipConfig, config_named

CHIPS = {
    "bytes": config_named("lab"),
    "halves": ChipConfig(size=8, cell_bits=8, dac_bits=9, adc_bits=9, adcs=8, lanes=4),
}


@pytest.mark.parametrize("chip", CHIPS)
def test_every_access_does_what_the_byte_model_says(run_chip_bench, chip):
    run_chip_bench(CHIPS[chip], "verification.cosim.bench_bus")

"""The host buses of the generated chip under masters that others wrote, on both simulators, against the byte model.

AXI4-Lite on a chip with byte-wide codes in two lanes and two matrix slots; Wishbone on one with half-word codes in four
lanes of one code word each; SPI on the smallest.
"""

import pytest
from verification.cosim.chip_runs import BYTES, CHIPS, HALVES

from ohmloop_hdl.config import config_named


@pytest.mark.parametrize("host", CHIPS)
def test_every_access_does_what_the_byte_model_says(run_chip_bench, host):
    run_chip_bench(CHIPS[host], "verification.cosim.bench_bus", host=host)


@pytest.mark.parametrize("host", CHIPS)
def test_random_accesses_in_every_state(run_chip_bench, host):
    run_chip_bench(CHIPS[host], "verification.cosim.bench_states", host=host)


def test_responses_wait_and_reads_and_writes_take_turns(run_chip_bench):
    run_chip_bench(BYTES, "verification.cosim.bench_axil")


def test_cycles_back_to_back_and_dropped(run_chip_bench):
    run_chip_bench(HALVES, "verification.cosim.bench_wishbone", host="wishbone")


def test_solve_over_four_wires(run_chip_bench):
    run_chip_bench(config_named("tiny"), "verification.cosim.bench_spi", host="spi")

"""Every register and field of the description on the generated chip, on both simulators."""

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import config_named


def test_every_field_is_as_described(run_chip_bench):
    config = config_named("tiny")
    # A stuck cell lets the counts of bad cells, of repairs and of rows tried again move.
    die = Die.sample(config, AnalogParams.ideal(), ((0, 1, 2, 3),))
    run_chip_bench(config, "verification.cosim.bench_registers", die=die)

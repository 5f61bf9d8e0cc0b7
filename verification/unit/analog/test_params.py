"""Analogue parameters and sampled chips: what is refused, what is reproducible, what the file holds."""

import math
import struct

import numpy as np
import pytest

from ohmloop.analog.cells import HEADER_WORDS, Die, loop_matrices, planes_of
from ohmloop.analog.params import AnalogParams, ParamsError
from ohmloop_hdl.config import CONFIGS

TINY = CONFIGS["tiny"]


@pytest.mark.parametrize("field, value, allowed", [
    ("g0_S", 0.0, "above 0 and finite"),
    ("gbw_Hz", math.inf, "above 0 and finite"),
    ("clock_Hz", -1.0, "above 0 and finite"),
    ("node_capacitance_F", -1e-15, "0 or above and finite"),
    ("read_noise_V", math.nan, "0 or above and finite"),
    ("gain_dB", 0.0, "above 0 (math.inf allowed)"),
    ("mismatch_sigma", 0.2, "from 0 to 0.1"),
    ("rail_V", "0.4", "a number"),
    ("seed", -1, "an int from 0 to 2^64 - 1"),
])
def test_a_refusal_names_field_rule_and_value(field, value, allowed):
    with pytest.raises(ParamsError) as refusal:
        AnalogParams(**{field: value})
    assert str(refusal.value) == f"{field} must be {allowed}, not {value!r}"


def test_ideal_drops_every_imperfection_and_keeps_the_rest():
    ideal, reference = AnalogParams.ideal(), AnalogParams.reference()
    assert (ideal.inverse_gain, ideal.node_capacitance_F, ideal.offset_sigma_V) == (0.0, 0.0, 0.0)
    assert (ideal.mismatch_sigma, ideal.read_noise_V) == (0.0, 0.0)
    assert (ideal.gbw_Hz, ideal.rail_V, ideal.full_scale_V) == (reference.gbw_Hz, reference.rail_V,
                                                                 reference.full_scale_V)
    assert reference.inverse_gain == pytest.approx(10 ** -3.5)


def test_a_seed_draws_one_chip():
    first, again = (Die.sample(TINY, AnalogParams(seed=5)) for _ in range(2))
    other = Die.sample(TINY, AnalogParams(seed=6))
    assert np.array_equal(first.cell_factor, again.cell_factor) and np.array_equal(first.offset_V, again.offset_V)
    assert not np.array_equal(first.cell_factor, other.cell_factor)


def test_spread_of_a_chip_is_that_of_the_parameters():
    die = Die.sample(CONFIGS["chip64"], AnalogParams())
    assert die.cell_factor.std() == pytest.approx(0.005, rel=0.05)
    assert die.offset_V.std() == pytest.approx(1e-3, rel=0.3)
    assert np.array_equal(die.zeroed_V, 0.1 * die.offset_V)


def test_stuck_cells_must_lie_in_the_arrays():
    with pytest.raises(ParamsError, match=r"stuck must hold \(plane 0-1, row 0-3, column 0-3, code 0-15\), not"):
        Die.sample(TINY, AnalogParams(), stuck=((0, 0, 4, 1),))
    with pytest.raises(ParamsError, match="stuck must hold at most 4 cells, not 5"):
        Die.sample(TINY, AnalogParams(), stuck=((0, 0, 0, 1),) * 5)


def test_the_file_holds_the_chip_in_the_documented_order(tmp_path):
    die = Die.sample(TINY, AnalogParams(seed=9), stuck=((1, 2, 3, 7),))
    words = [int(line, 16) for line in die.write_file(tmp_path / "die.hex").read_text().split()]
    reals = np.array(struct.unpack(f"<{len(words)}d", struct.pack(f"<{len(words)}Q", *words)))
    assert (words[0], words[10], words[13]) == (4, 9, 0)
    assert reals[[1, 2, 9, 11, 12]] == pytest.approx([20e-9, 15e-6, 0.3e-3, 0.1, 0.0], rel=0)
    place = HEADER_WORDS
    for expected in (die.offset_V, np.ones(4), die.cell_factor.ravel()):
        assert np.array_equal(reals[place:place + len(expected)], expected)
        place += len(expected)
    for expected in (np.arange(16) / 15, np.arange(-128, 128) / 128, (np.arange(-128, 128) - 0.5 - 2 ** -20) / 128):
        assert words[place] == 1
        assert np.array_equal(reals[place + 1:place + 1 + len(expected)], expected)
        place += 1 + len(expected)
    assert words[place:] == [0, 1, 1, 2, 3, 7]


def test_load_counts_both_arrays_the_input_branch_and_the_parasitic():
    params = AnalogParams(g0_S=10e-6, gpar_S=5e-6, mismatch_sigma=0.0)
    codes = planes_of(np.array([[15, -15, 0, 0], [0, 3, 0, 0], [0] * 4, [-5, 0, 0, 5]]), TINY)
    A, L = loop_matrices(codes, Die.sample(TINY, params))
    assert A[0] == pytest.approx([1, -1, 0, 0]) and A[1, 1] == pytest.approx(0.2)
    assert pytest.approx([3.5, 1.7, 1.5, 1.5 + 2 / 3]) == L


def test_codes_beyond_full_scale_are_refused():
    with pytest.raises(ParamsError, match=r"integers in \[-15, 15\]"):
        planes_of(np.full((4, 4), 16), TINY)

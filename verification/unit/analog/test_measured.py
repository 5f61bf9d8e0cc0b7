"""Measured chips from files: round trip, missing parts, refusals, and one cell that is far off."""

from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.measured import read_die, save_die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import heat
from ohmloop.errors import InputError
from ohmloop_hdl.config import CONFIGS

TINY, LAB = CONFIGS["tiny"], CONFIGS["lab"]
PLATE = (heat(16) * 3).astype(int)


def settled(die: Die, dac: np.ndarray) -> np.ndarray:
    """Held outputs of the plate on a chip, after auto-zero and a long wait."""
    macro = NumpyMacro(die)
    for plane, rows in enumerate(planes_of(PLATE, LAB)):
        for row, codes in enumerate(rows):
            macro.write_row(plane, row, codes)
    macro.autozero()
    macro.close(False, dac)
    macro.advance(100_000)
    return macro.hold()[0]


def test_a_saved_chip_comes_back(tmp_path):
    params = replace(AnalogParams.detailed(), wire_ohm=0.0, slew_V_per_s=1e9, seed=2 ** 63 + 11)
    die = Die.sample(LAB, params)
    back = read_die(save_die(tmp_path / "chip.npz", die), LAB)
    assert back.params == params
    dac = np.random.default_rng(1).integers(-9, 10, 16)
    assert settled(back, dac) == pytest.approx(settled(die, dac), abs=1e-12)
    assert back.adc_V == pytest.approx(die.adc_V, abs=1e-15)


def test_a_folder_needs_only_what_was_measured(tmp_path):
    (tmp_path / "params.csv").write_text("name,value\ngain_dB,60\nread_noise_V,0\nseed,5\n")
    (tmp_path / "cells.csv").write_text("plane,row,column,code,value\n0,3,3,12,1.1e-5\n1,3,2,3,2.5e-6\n")
    (tmp_path / "offsets.csv").write_text("amplifier,value\n7,0.004\n")
    (tmp_path / "dac.csv").write_text("dac,code,value\n2,5,0.02\n")
    (tmp_path / "adc.csv").write_text("adc,code,value\n1,-3,-0.009\n")
    (tmp_path / "rails.csv").write_text("column,value\n2,1.01\n")
    die = read_die(tmp_path, LAB)
    assert (die.params.gain_dB, die.params.seed, die.params.g0_S) == (60, 5, 15e-6)
    assert die.code_levels[0, 3, 3, 12] == pytest.approx(1.1e-5 / 15e-6)
    assert die.code_levels[1, 3, 2, 3] == pytest.approx(2.5e-6 / 15e-6)
    assert die.code_levels[0, 3, 4, 12] == pytest.approx(12 / 15)
    assert die.offset_V[[6, 7]].tolist() == [0.0, 0.004]
    assert die.dac_V[2, 128 + 5] == pytest.approx(0.02) and die.dac_V[3, 128 + 5] == pytest.approx(5 / 128 * 0.4)
    assert die.adc_V[1, 128 - 3] == -0.009 and die.adc_V[0, 128 - 3] == pytest.approx(-3.5 / 128 * 0.4, rel=1e-5)
    assert die.rail_gain[2] == 1.01


@pytest.mark.parametrize("change", [0.01, -0.2])
def test_one_cell_far_off_changes_the_answer_as_perturbation_theory_says(tmp_path, change: float):
    """A changes by dA in one place: V by -A^-1 e_i dA V_j to first order, exactly with 1 + dA (A^-1)_ji below it."""
    (tmp_path / "params.csv").write_text("name,value\ngain_dB,inf\nread_noise_V,0\n")
    (tmp_path / "cells.csv").write_text(f"plane,row,column,code,value\n0,5,5,12,{12e-6 * (1 + change)!r}\n")
    dac = np.random.default_rng(1).integers(-9, 10, 16)
    off = settled(read_die(tmp_path, LAB), dac)
    nominal = settled(Die(LAB, AnalogParams(gain_dB=float("inf"), read_noise_V=0.0)), dac)
    inverse, dA = np.linalg.inv(PLATE / 15), 12 / 15 * change
    first = -inverse[:, 5] * dA * nominal[5]
    assert off - nominal == pytest.approx(first / (1 + dA * inverse[5, 5]), abs=1e-12)
    assert off - nominal == pytest.approx(first, rel=2 * abs(dA) * inverse[5, 5], abs=1e-12)
    assert np.abs(off - nominal).max() > 1e-4


@pytest.mark.parametrize("name, text, wrong", [
    ("params.csv", "name,value\ngain,60\n", "params.csv, line 2: no parameter 'gain'; there are g0_S"),
    ("params.csv", "name,value\ngain_dB,-3\n", "params.csv: gain_dB must be above 0"),
    ("params.csv", "gain_dB,60\n", "params.csv, line 1: the header must be name,value"),
    ("params.csv", "", "line 1: the header must be name,value, not empty"),
    ("cells.csv", "plane,row,column,code,value\n0,3,16,1,1e-6\n", "line 2: column must be an integer from 0 to 15"),
    ("cells.csv", "plane,row,column,code,value\n0,3,1,1\n", "line 2: 5 columns wanted, 4 found"),
    ("cells.csv", "plane,row,column,code,value\n0,3,1,1,x\n", "line 2: 'x' is not a number"),
    ("cells.csv", "plane,row,column,code,value\n0,3,1,1,-1e-6\n", "cells_S must hold no negative conductance"),
    ("cells.csv", "plane,row,column,code,value\n0,3,1,1,nan\n", "cells_S must hold finite numbers only"),
    ("adc.csv", "adc,code,value\n0,128,0.1\n", "line 2: code must be an integer from -128 to 127, not 128"),
    ("cell.csv", "plane\n", "a measured chip is in the files adc.csv, cells.csv"),
])
def test_a_folder_is_refused_with_file_line_and_reason(tmp_path, name: str, text: str, wrong: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refusal:
        read_die(tmp_path, LAB)
    assert wrong in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_archive_is_refused_with_the_reason(tmp_path):
    def refusal(path, config=TINY) -> str:
        with pytest.raises(InputError) as refused:
            read_die(path, config)
        return str(refused.value)

    good = save_die(tmp_path / "lab.npz", Die.sample(LAB, AnalogParams()))
    assert "cells_S must have shape (2, 4, 4, 16) for tiny, not (2, 16, 16, 16)" in refusal(good)
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:900])
    assert "not a readable .npz file" in refusal(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", conductance=np.ones(3))
    assert "no quantity 'conductance'" in refusal(tmp_path / "other.npz")
    np.savez(tmp_path / "many.npz", gain_dB=np.ones(3))
    assert "gain_dB must be one number" in refusal(tmp_path / "many.npz")
    assert "no such file" in refusal(tmp_path / "none.npz")
    assert "an .npz file or a folder" in refusal(tmp_path / "chip.mat")

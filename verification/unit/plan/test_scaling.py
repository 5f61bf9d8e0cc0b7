"""Scaling: exact patterns stay exact, the factors lead from the user's system to codes and back."""

import os

import numpy as np
import pytest

from ohmloop.ensembles import heat, structured, tridiagonal
from ohmloop.errors import InputError
from ohmloop.golden.convert import input_codes
from ohmloop.plan import scaling
from ohmloop_hdl.config import CONFIGS, ChipConfig

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
CHIP = CONFIGS["chip64"]
EVERY = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"OHMLOOP_SEED={SEED}")
    return np.random.default_rng(SEED)


@pytest.mark.parametrize(("matrix", "c_max"), [(heat(16), 12), (tridiagonal(16), 14), (np.eye(5), 15),
                                               (structured("circulant", 8), 15), (1e-5 * heat(9), 12)])
def test_integer_patterns_are_exact_at_the_largest_code_that_holds_them(matrix: np.ndarray, c_max: int):
    best = scaling.rank_candidates(matrix, CHIP)[0]
    assert best.c_max == c_max == best.codes.max()
    assert best.error < 1e-15


def test_poisson_becomes_twelve_and_minus_three():
    codes = scaling.rank_candidates(heat(64), CHIP)[0].codes
    assert codes[0, :2].tolist() == [12, -3]
    assert sorted(set(codes.ravel())) == [-3, 0, 12]


def test_top_code_would_turn_two_to_one_into_fifteen_to_eight():
    assert scaling.code_at(tridiagonal(4), 15)[0].tolist() == [15, -8, 0, 0]
    assert scaling.code_at(tridiagonal(4), 14)[0].tolist() == [14, -7, 0, 0]


@EVERY
def test_candidates_are_ranked_by_error_and_bounded(config: ChipConfig, rng: np.random.Generator):
    matrix = rng.standard_normal((4, 4))
    ranked = scaling.rank_candidates(matrix, config)
    assert sorted(c.c_max for c in ranked) == list(range(config.code_max // 2 + 1, config.code_max + 1))
    assert [c.error for c in ranked] == sorted(c.error for c in ranked)
    for candidate in ranked:
        assert np.abs(candidate.codes).max() == candidate.c_max
        rounded = candidate.codes * np.abs(matrix).max() / candidate.c_max
        assert candidate.error == pytest.approx(np.linalg.norm(matrix - rounded) / np.linalg.norm(matrix))
        assert np.abs(matrix - rounded).max() <= 0.5 * np.abs(matrix).max() / candidate.c_max * (1 + 1e-12)


def test_integer_ties_round_to_even():
    assert scaling.code_at(np.array([[8.0, 1, 3, 5, -1, -3, 0]]), 12).tolist() == [[12, 2, 4, 8, -2, -4, 0]]


def test_matrix_factor_leaves_room_for_the_slots():
    assert scaling.matrix_factor(4.0, 12, CHIP) == 5.0
    assert scaling.matrix_factor(4.0, 15, CHIP) == 4.0 * (1 + 2.0**-22)


def test_embedding_puts_the_top_code_on_the_unused_diagonal():
    embedded = scaling.embed(np.array([[1, -2], [3, 4]]), CONFIGS["tiny"])
    assert embedded.tolist() == [[1, -2, 0, 0], [3, 4, 0, 0], [0, 0, 15, 0], [0, 0, 0, 15]]


@EVERY
def test_right_hand_side_is_held_to_2_to_the_minus_31_and_fills_half_the_dac(config: ChipConfig,
                                                                             rng: np.random.Generator):
    for scale in (1e-140, 1.0, 3.7, 1e140):
        b = scale * rng.standard_normal(config.size - 1)
        held = scaling.scale_rhs(b, config)
        assert held.mantissas.shape == (config.size,) and held.mantissas[-1] == 0
        assert np.abs(held.mantissas).max() < 1 << 31
        back = held.factor * held.mantissas[:-1] * 2.0 ** (held.exponent - 31)
        assert np.abs(back - b).max() <= 2.0**-30 * np.abs(b).max()
        top = 1 << (config.dac_bits - 1)
        assert top // 2 <= np.abs(input_codes(held.mantissas, config)).max() < top


def test_integer_right_hand_sides_are_exact_on_the_dac():
    held = scaling.scale_rhs(np.array([1.0, 2, 3, -3]), CHIP)
    codes = input_codes(held.mantissas, CHIP)
    assert codes[:5].tolist() == [42, 84, 126, -126, 0]
    assert held.factor * codes[2] / 128 == pytest.approx(3.0, rel=1e-15)
    assert input_codes(scaling.scale_rhs(np.ones(64), CHIP).mantissas, CHIP).tolist() == [127] * 64


def test_zero_right_hand_side_has_the_smallest_exponent():
    held = scaling.scale_rhs(np.zeros(3), CHIP)
    assert held.exponent == -512 and not held.mantissas.any() and held.factor == 1.0


def test_dac_codes_round_half_to_even_and_clamp():
    step = 1 << 24
    mantissas = np.array([0, step // 2, step // 2 + 1, 3 * step // 2, -step // 2, -3 * step // 2,
                          2**31 - 1, -(2**31), 5 * step])
    assert input_codes(mantissas, CHIP).tolist() == [0, 0, 1, 2, 0, -2, 127, -127, 5]


@pytest.mark.parametrize(("b", "said"), [
    (np.ones(65), "right-hand side: must be 1 to 64 numbers, not an array of shape (65,)"),
    (np.ones((2, 2)), "right-hand side: must be 1 to 64 numbers, not an array of shape (2, 2)"),
    (np.ones(0), "right-hand side: must be 1 to 64 numbers, not an array of shape (0,)"),
    (np.array([1, np.nan]), "right-hand side: every element must be a finite number"),
    (np.array([1e300]), "right-hand side: the largest magnitude is 1e+300, allowed are 1e-150 to 1e+150"),
])
def test_refused_right_hand_sides(b: np.ndarray, said: str):
    with pytest.raises(InputError) as caught:
        scaling.scale_rhs(b, CHIP)
    assert str(caught.value) == said


def test_two_digits_are_embedded_as_high_and_low():
    codes = np.array([[225, -100], [7, -8]])
    embedded = scaling.embed(codes, CONFIGS["tiny"], 2)
    assert embedded.tolist() == [[15, -7, 0, 5], [0, -1, 7, 7], [-1, 0, 15, 0], [0, -1, 0, 15]]
    high, low = embedded[:2, :2], embedded[:2, 2:]
    assert np.array_equal(15 * high + low, codes) and np.abs(low).max() <= 7


def test_two_digits_around_unused_rows():
    embedded = scaling.embed(np.array([[100]]), CONFIGS["tiny"], 2)
    assert embedded.tolist() == [[7, -5, 0, 0], [-1, 15, 0, 0], [0, 0, 15, 0], [0, 0, 0, 15]]


def test_full_scale_of_two_digits():
    ranked = scaling.rank_candidates(np.array([[4.0, -1], [-1, 4]]), CHIP, 2)
    assert ranked[0].c_max == 224 and ranked[0].exact and ranked[0].codes.tolist() == [[224, -56], [-56, 224]]
    assert min(candidate.c_max for candidate in ranked) == 113
    assert scaling.matrix_factor(4.0, 224, CHIP, 2) == 4.0 * 225 / 224
    assert scaling.matrix_factor(4.0, 225, CHIP, 2) == 4.0 * (1 + 2.0**-22)

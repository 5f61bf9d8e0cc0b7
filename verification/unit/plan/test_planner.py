"""The planner end to end: what is taken, what is refused and why, and that the scales lead through a macro to x."""

import os
from dataclasses import replace

import numpy as np
import pytest
from verification.matrices import MATRICES

from ohmloop.analog.cells import Die, planes_of
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ENSEMBLES, ensemble, heat, structured, tridiagonal
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.golden.convert import input_codes
from ohmloop.plan import scaling, stability
from ohmloop.plan.planner import plan_preconditioner, plan_system
from ohmloop.plan.ranking import StaticInverse, gcr_count, mismatch_error
from ohmloop.plan.reference import convert, digital_solve, relative_error, relative_residual
from ohmloop.plan.scaling import Plan
from ohmloop.plan.stability import UnstableError
from ohmloop.readers import read_matrix
from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
REFERENCE, IDEAL = AnalogParams.reference(), AnalogParams.ideal()
CHIP, HP, TINY, LAB = (CONFIGS[name] for name in ("chip64", "chip64hp", "tiny", "lab"))


@pytest.fixture
def rng() -> np.random.Generator:
    print(f"OHMLOOP_SEED={SEED}")
    return np.random.default_rng(SEED)


def test_heat_plate_plan():
    plan = plan_system(heat(64), CHIP, REFERENCE)
    assert (plan.n, plan.c_max, plan.shift, plan.bandwidth, plan.tolerance) == (64, 12, 0, 0, 1)
    assert plan.alpha == 5.0 and plan.rounding_error < 1e-15
    assert np.array_equal(plan.matrix(CHIP), heat(64))
    assert plan.slowest_time_constant_cycles == pytest.approx(20.5, rel=0.03)
    assert plan.interval_cycles == stability.interval_cycles(plan.slowest_time_constant_cycles, 1)
    assert plan.damping == pytest.approx(0.51, abs=0.01)
    assert plan.reasons[0] == "full-scale code 12 of 15 holds the matrix exactly"
    assert not plan.codes.flags.writeable


def test_oscillator_chain_needs_a_quarter_of_the_bandwidth():
    plan = plan_system(ensemble("oscillator", 64), CHIP, REFERENCE)
    assert plan.bandwidth == 2 and plan.shift == 0
    assert plan_system(ensemble("oscillator", 64), CHIP, IDEAL).bandwidth == 0


def test_tolerance_zero_shortens_the_interval():
    slow = plan_system(heat(64), CHIP, REFERENCE, tolerance=1)
    tight = plan_system(heat(64), CHIP, REFERENCE, tolerance=0)
    assert tight.interval_cycles / slow.interval_cycles == pytest.approx(1.0986 / 1.6094, abs=0.03)
    assert tight.tolerance == 0


@pytest.mark.parametrize("name", ENSEMBLES)
def test_every_family_has_a_plan_in_eight_bits_and_the_plan_is_stable(name: str):
    print(f"OHMLOOP_SEED={SEED}")
    plan = plan_system(ensemble(name, 64, 30, SEED), HP, REFERENCE)
    assert plan.shift == 0 and plan.rounding_error < 0.015
    assert stability.unstable_eigenvalue(plan.codes, HP, REFERENCE, plan.bandwidth) is None
    for A, L in stability.mismatched_loops(plan.codes, HP, REFERENCE):
        assert stability.settling(A, L, REFERENCE, plan.bandwidth).stable


@pytest.mark.parametrize("name", ["spdlog", "wishart"])
def test_four_bits_refuse_the_two_families_whose_rounding_is_indefinite(name: str):
    matrix = ensemble(name, 64, 30, 0)
    with pytest.raises(UnstableError, match=r"^matrix: unstable in the loop: eigenvalue -0\.\d+ of U A at full-scale "
                                            r"code 15, the real part must be above -0\.00032; a shift of the "
                                            r"programmed diagonal by \d of 1\d code steps would help, for refinement "
                                            r"only: it solves another matrix$") as caught:
        plan_system(matrix, CHIP, REFERENCE)
    assert caught.value.eigenvalue.real < -REFERENCE.inverse_gain
    plan = plan_system(matrix, CHIP, REFERENCE, allow_shift=True)
    assert plan.shift > 0
    base = scaling.code_at(matrix, plan.c_max)
    assert np.array_equal(plan.codes - base, plan.shift * np.eye(64))
    assert np.linalg.norm(matrix - plan.matrix(CHIP)) / np.linalg.norm(matrix) == pytest.approx(plan.rounding_error)
    assert f"shifted by {plan.shift} code steps" in plan.reasons[1]
    assert stability.smallest_shift(base, CHIP, REFERENCE, 1e-3) == plan.shift


def test_refusal_without_a_way_out_and_with_node_capacitance():
    said = ("eigenvalue -0.5 of U A at full-scale code 15, the real part must be above 0; "
            "no shift of the diagonal helps and keeps the matrix recognisable$")
    with pytest.raises(UnstableError, match=said) as caught:
        plan_system(-np.eye(4), TINY, IDEAL, allow_shift=True)
    assert caught.value.eigenvalue == -0.5
    said = "per clock with 0.5 pF at each node, even at bandwidth setting 3;"
    with pytest.raises(UnstableError, match=said) as found:
        plan_system(np.array([[0.01, 1], [-1, 0.01]]), TINY, REFERENCE)
    assert found.value.eigenvalue.real > 0 and found.value.eigenvalue.imag != 0
    with pytest.raises(UnstableError, match=r"eigenvalue -0\.1\d* \+- 0\.\d+j of U A"):
        plan_system(np.random.default_rng(0).standard_normal((64, 64)), CHIP, REFERENCE)


@pytest.mark.parametrize(("matrix", "said"), [
    (np.ones((2, 3)), "matrix: must be square, as many rows as columns, not 2 x 3"),
    (np.eye(5), "matrix: size 5 does not fit, one macro of tiny holds 1 to 4"),
    (np.full((2, 2), np.nan), "matrix: every element must be a finite number"),
    (np.zeros((3, 3)), "matrix: every element is zero"),
    (np.ones((3, 3)), r"matrix: numerically singular, condition number (inf|\S+e\+\d+); at most 1e\+14 is allowed"),
    (np.diag([1.0, 1e-15]), r"matrix: numerically singular, condition number 1\.0e\+15; at most 1e\+14 is allowed"),
    (1e200 * np.eye(2), r"matrix: the largest magnitude is 1e\+200, allowed are 1e-150 to 1e\+150"),
    (np.diag([1.0, 1e-6]), r"matrix: rounds to a singular one in 4-bit cells at every full-scale code tried; use more "
                           r"cell bits, or allow a shift \(not in one shot\)"),
])
def test_refused_matrices(matrix: np.ndarray, said: str):
    with pytest.raises(InputError, match=f"^{said}$"):
        plan_system(matrix, TINY, REFERENCE)


@pytest.mark.parametrize("tolerance", [-1, 16])
def test_refused_tolerance(tolerance: int):
    with pytest.raises(InputError, match=f"^tolerance: must be 0 to 15 LSB, not {tolerance}$"):
        plan_system(np.eye(2), TINY, REFERENCE, tolerance=tolerance)


def solved_by_macro(plan: Plan, b: np.ndarray, config) -> np.ndarray:
    """x from the ideal numpy macro, driven as the sequencer does: program, close, range, sample, convert, negate."""
    macro = NumpyMacro(Die.sample(config, IDEAL))
    for plane, codes in enumerate(planes_of(plan.codes, config)):
        for row in range(config.size):
            macro.write_row(plane, row, codes[row])
    macro.set_bandwidth(plan.bandwidth)
    rhs = scaling.scale_rhs(b, config)
    drive_range = 0
    while True:
        macro.close(False, input_codes(rhs.mantissas, config), drive_range)
        macro.advance(plan.timeout_cycles)
        held_V, clipped = macro.hold()
        macro.open()
        if not clipped.any():
            break
        drive_range += 1
    top = 1 << (config.adc_bits - 1)
    codes = np.clip(np.floor(held_V / IDEAL.full_scale_V * top + 0.5 + 2.0**-20), 1 - top, top - 1)
    mantissas = -codes.astype(np.int64) << (32 - config.adc_bits)
    return scaling.unscale(plan, rhs, mantissas, rhs.exponent + drive_range)


@pytest.mark.parametrize(("matrix", "config"), [
    (heat(64), CHIP), (1e6 * tridiagonal(4), TINY), (structured("circulant", 13), LAB), (np.eye(3), TINY),
    (ensemble("svdlog", 16, 10, 3), CONFIGS["chip64hp"]), (ensemble("skew", 12, 10, 1), LAB)])
def test_ideal_macro_answers_exactly_as_the_digital_reference(matrix: np.ndarray, config, rng: np.random.Generator):
    plan = plan_system(matrix, config, IDEAL)
    for scale in (1.0, 1e-3):
        b = scale * matrix @ rng.standard_normal(len(matrix))
        reference = digital_solve(plan, b, config)
        assert solved_by_macro(plan, b, config) == pytest.approx(reference, rel=1e-12, abs=0)
        assert relative_error(reference, np.linalg.solve(plan.matrix(config), b)) < 0.08


def test_reference_is_exact_where_nothing_rounds():
    """Identity at code 15: y = u, so 1, 2, 3 come back on the ADC grid; alpha carries the 2^-22 of the slots."""
    plan = plan_system(np.eye(3), TINY, REFERENCE)
    x = digital_solve(plan, np.array([1.0, 2, -3]), TINY)
    assert x == pytest.approx([1, 2, -3], rel=2.0**-21)
    assert digital_solve(plan, np.zeros(3), TINY).tolist() == [0, 0, 0]


def test_reference_error_is_the_quantisation_of_the_budget():
    """8-bit cells, DAC and ADC on random solutions: a few percent, as the error budget adds up to."""
    print(f"OHMLOOP_SEED={SEED}")
    errors = []
    for seed in range(SEED, SEED + 5):
        matrix = ensemble("wishart", 64, 30, seed)
        exact = np.random.default_rng(seed).standard_normal(64)
        errors.append(relative_error(digital_solve(plan_system(matrix, HP, REFERENCE), matrix @ exact, HP), exact))
    assert 0.015 < np.median(errors) < 0.06


def test_conversion_ties_ranges_and_limits():
    lsb = 1 / 128
    codes, drive_range = convert(np.array([0.5, 1.5, -0.5, -1.5, 0.4, 127.4, -127.4]) * lsb, TINY)
    assert codes.tolist() == [0, 1, -1, -2, 0, 127, -127] and drive_range == 0
    assert convert(np.array([127.9, -127.9]) * lsb, TINY)[0].tolist() == [127, -127]
    assert convert(np.array([1.0]), TINY) == (np.array([64]), 1)
    assert convert(np.array([127.0, 1.0]), TINY)[1] == 7
    with pytest.raises(NotSolvedError, match="^clip: the solution reaches 128 full scales of the drive, at most 128"):
        convert(np.array([128.0]), TINY)


def test_error_measures():
    assert relative_error(np.array([3.0, 5]), np.array([3.0, 4])) == pytest.approx(0.2)
    assert relative_error(np.array([2.0]), np.array([0.0])) == 2.0
    assert relative_residual(2 * np.eye(2), np.array([1.0, 1]), np.array([2.0, 4])) == pytest.approx(2 / np.sqrt(20))


@pytest.mark.skipif(not MATRICES.is_dir(), reason=f"real matrices not present in {MATRICES}")
@pytest.mark.parametrize(("name", "config", "shift"), [("mesh1e1", CHIP, 0), ("bfwa62", CHIP, 1), ("LFAT5", CHIP, 1),
                                                       ("mesh1e1", HP, 0)])
def test_real_matrices(name: str, config, shift: int):
    matrix = read_matrix(MATRICES / f"{name}.mtx")
    plan = plan_system(matrix, config, REFERENCE, allow_shift=True)
    assert plan.shift == shift and plan.n == len(matrix)
    assert plan.codes[-1, -1] == config.code_max
    assert stability.unstable_eigenvalue(plan.codes, config, REFERENCE, plan.bandwidth) is None


@pytest.mark.skipif(not MATRICES.is_dir(), reason=f"real matrices not present in {MATRICES}")
def test_mesh_in_one_shot():
    matrix = read_matrix(MATRICES / "mesh1e1.mtx")
    plan = plan_system(matrix, HP, REFERENCE)
    assert relative_error(digital_solve(plan, matrix @ np.ones(48), HP), np.ones(48)) < 0.02


def test_two_digits_hold_what_one_cannot_and_solve_in_one_shot():
    matrix = ensemble("wishart", 32, 30.0, 4)
    with pytest.raises(UnstableError):
        plan_system(matrix, CHIP, REFERENCE)
    plan = plan_system(matrix, CHIP, REFERENCE, digits=2)
    assert (plan.n, plan.digits, plan.loop_size, plan.shift) == (32, 2, 64, 0)
    assert 113 <= plan.c_max <= 225 and plan.rounding_error < 0.015
    assert np.abs(matrix - plan.matrix(CHIP)).max() <= 0.5001 * plan.alpha / 225
    assert plan.reasons[0].startswith(f"full-scale code {plan.c_max} of 225, in two digits, holds the matrix with a ")
    # The loop as programmed: its first half answers for the matrix that the plan claims.
    b = matrix @ np.ones(32)
    inverse = np.linalg.inv(plan.codes / 15)
    assert np.allclose(inverse[:32, :32] / plan.alpha, np.linalg.inv(plan.matrix(CHIP)), rtol=1e-9)
    assert np.linalg.norm(inverse[:32, :32] @ b / plan.alpha - 1) / np.sqrt(32) < 0.2


def test_two_digits_keep_the_heat_plate_exact():
    plan = plan_system(heat(32), CHIP, REFERENCE, digits=2)
    assert plan.c_max == 224 and np.allclose(plan.matrix(CHIP), heat(32), rtol=1e-15, atol=0)
    assert np.abs(plan.codes[:32, 32:]).max() <= 7 and np.array_equal(plan.codes[32:, :32], -np.eye(32))


@pytest.mark.parametrize(("digits", "said"), [
    (2, "matrix: size 3 does not fit, one macro of tiny holds 1 to 2 in two digits"),
    (3, "digits: must be 1 or 2, not 3"),
])
def test_refused_digits(digits: int, said: str):
    for plan in (plan_system, plan_preconditioner):
        with pytest.raises(InputError, match=f"^{said}$"):
            plan(np.eye(3), TINY, REFERENCE, digits=digits)


def test_two_digits_are_not_shifted():
    said = "digits: a matrix in two digits is not shifted; plan it as a preconditioner"
    with pytest.raises(InputError, match=f"^{said}$"):
        plan_system(np.eye(2), TINY, REFERENCE, digits=2, allow_shift=True)


def test_a_preconditioner_needs_fewer_iterations_than_the_nearest_codes():
    matrix = ensemble("spdlog", 64, 30.0, 0)
    nearest = plan_system(matrix, CHIP, REFERENCE, allow_shift=True)
    best = plan_preconditioner(matrix, CHIP, REFERENCE)
    b = matrix @ np.random.default_rng(9).standard_normal(64)
    die = Die.sample(CHIP, replace(REFERENCE, seed=50))
    counts = [gcr_count(matrix / plan.alpha, StaticInverse(np.asarray(plan.codes), 64, die), b, 60)
              for plan in (nearest, best)]
    assert counts[1] <= 20 < counts[0]
    assert stability.unstable_eigenvalue(best.codes, CHIP, REFERENCE, best.bandwidth) is None
    for A, L in stability.mismatched_loops(best.codes, CHIP, REFERENCE):
        assert stability.settling(A, L, REFERENCE, best.bandwidth).stable
    assert np.linalg.norm(matrix - best.matrix(CHIP)) / np.linalg.norm(matrix) == pytest.approx(best.rounding_error)


@pytest.mark.parametrize("seed", [5, 11])
def test_a_preconditioner_does_not_lean_on_matching_cells(seed: int):
    """Their smallest eigenvalue is less than what mismatch makes of it: quick on some chips, no use on others."""
    plan = plan_preconditioner(ensemble("sparse5", 64, 300.0, seed), CHIP, REFERENCE)
    assert mismatch_error(plan.codes, CHIP, REFERENCE) < 0.25
    alike = plan_preconditioner(ensemble("sparse5", 64, 300.0, seed), CHIP, replace(REFERENCE, mismatch_sigma=0.0))
    assert mismatch_error(alike.codes, CHIP, REFERENCE) > 0.4


@pytest.mark.parametrize("method", ["refine", "gcr"])
def test_an_exact_matrix_is_its_own_preconditioner(method: str):
    plan = plan_preconditioner(heat(64), CHIP, REFERENCE, method=method)
    assert (plan.c_max, plan.shift, plan.alpha) == (12, 0.0, 5.0)
    assert np.array_equal(plan.matrix(CHIP), heat(64))


def test_a_shift_that_makes_the_matrix_singular_is_passed_over():
    for low in (-1.0, -0.5):
        plan = plan_preconditioner(np.array([[15.0, 0.3], [0.0, low]]), CONFIGS["tiny"], REFERENCE)
        assert plan.shift > -low and plan.codes[1, 1] == 1


def test_refused_methods():
    with pytest.raises(InputError, match="^method: must be one of refine, gcr, not 'gcr5'$"):
        plan_preconditioner(np.eye(2), CONFIGS["tiny"], REFERENCE, method="gcr5")


def test_a_preconditioner_is_refused_where_nothing_is_stable():
    with pytest.raises(UnstableError, match="^matrix: unstable in the loop: eigenvalue -0.5 of U A at full-scale "):
        plan_preconditioner(-np.eye(4), TINY, IDEAL)


def test_a_shift_of_a_preconditioner_is_named():
    plan = plan_preconditioner(ensemble("spdlog", 64, 300.0, 0), CHIP, REFERENCE)
    assert plan.shift > 0
    assert plan.reasons[1] == f"the programmed diagonal is shifted by {plan.shift:g} code steps, which saves iterations"

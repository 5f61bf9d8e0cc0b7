"""The model that candidates are ranked on: its INV against the golden machine's, its counts against theory."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import Die, loop_matrices, planes_of
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.golden.machine import Machine
from ohmloop.host.job import predict
from ohmloop.host.system import answer, iterative_job, solve_job
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.ranking import METHODS, StaticInverse, gcr_count, mismatch_error, refine_count
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import CONFIGS

LAB, TINY = CONFIGS["lab"], CONFIGS["tiny"]
QUIET = replace(AnalogParams.reference(), read_noise_V=0.0, seed=3)


@pytest.mark.parametrize(("n", "gain_dB"), [(16, 70.0), (9, 70.0), (16, 36.0)])
def test_static_inverse_is_what_inv_returns(n: int, gain_dB: float):
    """A settled loop without noise: within the LSB that settling may leave, on the grid of the range it ends in."""
    params = replace(QUIET, gain_dB=gain_dB)
    matrix = ensemble("wishart", n, 20.0, 1)
    plan = plan_preconditioner(matrix, LAB, params)
    die = Die.sample(LAB, params)
    inverse = StaticInverse(np.asarray(plan.codes), n, die)
    for seed in range(4):
        rhs = scale_rhs(np.random.default_rng(seed).standard_normal(n), LAB)
        machine = Machine(LAB, NumpyMacro(die))
        outcome, _ = predict(machine, solve_job(plan, rhs, LAB))
        found = np.ldexp(outcome.mantissas[:n].astype(float), outcome.exponent - 31)
        lsb = 2.0 ** (machine.settings.drive_range - 7)
        assert machine.settings.drive_range > 0
        counted = inverse(np.ldexp(rhs.mantissas[:n].astype(float), -31)) / lsb
        assert np.abs(counted - found / lsb).max() <= 1.01
        assert np.array_equal(counted, np.rint(counted)) and np.abs(counted).max() <= 128


def test_a_result_beyond_every_range_is_zero():
    die = Die.sample(TINY, AnalogParams.ideal())
    codes = np.diag([15, 15, 15, 15])
    codes[:2, :2] = [[15, 14], [14, 14]]
    assert StaticInverse(codes, 4, die)(np.array([0.5, -0.5, 0.0, 0.0]))[0] != 0.0
    weak = StaticInverse(codes, 4, die)
    weak._inverse = weak._inverse * 1000
    assert not weak(np.array([0.5, -0.5, 0.0, 0.0])).any()


def test_counts_of_known_contractions():
    """x += INV r with INV = 1/m: what is left of r is 1 - a/m of it each time."""
    a, b = np.diag([0.5, 0.5, 0.5]), np.array([1.0, 2.0, -1.0])
    assert refine_count(a, lambda r: r, b, 60) == 24                       # a half each time
    assert refine_count(a, lambda r: 2 * r, b, 60) == 1
    assert refine_count(a, lambda r: 1.8 * r, b, 60) == math.ceil(24 / math.log2(10))
    assert refine_count(a, lambda r: 5 * r, b, 60) == math.inf             # -1.5 of it each time
    assert refine_count(a, lambda r: 0.2 * r, b, 60) == pytest.approx(24 * math.log(2) / -math.log(0.9))
    assert gcr_count(a, lambda r: 0.01 * r, b, 60) == 1                    # whatever the length
    assert gcr_count(a, lambda r: 0 * r, b, 60) == math.inf
    rotation = np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert gcr_count(rotation, lambda r: r, np.array([1.0, 0.0]), 1) == math.inf
    assert gcr_count(np.diag([1.0, 2.0, 3.0]), lambda r: r, b, 60) == 3    # as many as eigenvalues
    assert gcr_count(np.roll(np.eye(4), 1, axis=0), lambda r: r, np.eye(4)[0], 60) == 4    # round by way of q


def test_mismatch_error_is_what_chips_are_off_by():
    codes = planned_codes()
    x = codes / LAB.code_max
    offs = []
    for seed in range(200):
        params = AnalogParams(mismatch_sigma=0.01, seed=seed)
        held, _ = loop_matrices(planes_of(codes, LAB), Die.sample(LAB, params))
        offs.append(np.linalg.norm((held - x) @ np.linalg.inv(x)))
    wanted = mismatch_error(codes, LAB, AnalogParams(mismatch_sigma=0.01))
    assert np.sqrt(np.mean(np.square(offs))) == pytest.approx(wanted, rel=0.1)
    assert mismatch_error(codes, LAB, AnalogParams.ideal()) == 0.0


def planned_codes() -> np.ndarray:
    """Codes whose inverse has long and short rows, and not the columns to match."""
    codes = np.diag([15, 12, 2, 9] * 4)
    codes[0, 2] = codes[5, 2] = -14
    codes[3, 1:] += 1
    return codes


@pytest.mark.parametrize("method", METHODS)
def test_counts_are_near_those_of_the_machine(method: str):
    config, params = CONFIGS["chip64"], AnalogParams.reference()
    matrix = ensemble("wishart", 64, 30.0, 2)
    plan = plan_preconditioner(matrix, config, params, method=method)
    b = matrix @ np.random.default_rng(5).standard_normal(64)
    die = Die.sample(config, replace(params, seed=77))
    counted = METHODS[method](matrix / plan.alpha, StaticInverse(np.asarray(plan.codes), 64, die), b, 60)
    rhs = scale_rhs(b, config)
    outcome, _ = predict(Machine(config, NumpyMacro(die)), iterative_job(method, plan, matrix, rhs, config))
    assert outcome.status.halt_code == 0
    assert abs(counted - answer(plan, rhs, outcome).iterations) <= 2

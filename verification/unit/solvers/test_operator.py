"""The chip as an operator of scipy: its own flexible-enough methods take it."""

import numpy as np
import scipy.sparse.linalg

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.solvers.choice import inverse_for
from ohmloop.solvers.krylov import fgmres
from ohmloop.solvers.loops import StaticLoops
from ohmloop.solvers.operator import ChipOperator
from ohmloop_hdl.config import CONFIGS


def test_scipy_takes_it_and_needs_fewer_iterations():
    config, params = CONFIGS["lab"], AnalogParams.reference()
    matrix = ensemble("skew", 16)
    inverse = inverse_for(matrix, config, params).inverse
    solve = StaticLoops(inverse.loops, Die.sample(config, params))
    operator = ChipOperator(inverse, solve)
    assert operator.shape == (16, 16)
    b, seen = matrix @ np.arange(1.0, 17.0), []
    x, info = scipy.sparse.linalg.gmres(matrix, b, M=operator, rtol=1e-2, callback=seen.append,
                                        callback_type="pr_norm")
    assert info == 0 and solve.solves >= len(seen)
    assert 2 * len(seen) < fgmres(matrix, b, None, tol=1e-2).iterations
    assert np.linalg.norm(b - matrix @ x) <= 0.1 * np.linalg.norm(b)
    assert fgmres(matrix, b, operator.matvec, tol=1e-10).solved

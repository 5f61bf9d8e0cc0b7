"""What each imperfection does to a settled solve, to first order.

With V0 = -A^-1 u the answer of a perfect chip, any small change gives::

    dV = -A^-1 (dA V0 + du + L V0/A0 - L Vos)

dA: what mismatch, gradients, bits, negative rails, temperature and wires change in the loop matrix; du: errors of the
DACs; L V0/A0: finite gain; L Vos: offsets. Second-order terms are left out, so this says what to expect of a model, not
what a model should compute.
"""

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.cells import Die, conductances, loop_matrices, planes_of
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.wires import first_order

Array = NDArray[np.floating]


def ideal_outputs(codes: NDArray, dac_codes: NDArray, die: Die, drive_range: int = 0) -> Array:
    """V0 (N,) in volts: what a perfect chip with these codes (N, N) gives for these input codes (N,)."""
    perfect = Die(die.config, AnalogParams.ideal())
    A, _ = loop_matrices(planes_of(codes, die.config), perfect)
    return -np.linalg.solve(A, perfect.input_V(dac_codes, drive_range))


def first_order_change(codes: NDArray, dac_codes: NDArray, die: Die, drive_range: int = 0) -> Array:
    """dV (N,) in volts of a chip after auto-zero."""
    config, params = die.config, die.params
    perfect = Die(config, AnalogParams.ideal())
    planes = planes_of(codes, config)
    A, L = loop_matrices(planes, perfect)
    u_V = perfect.input_V(dac_codes, drive_range)
    V = -np.linalg.solve(A, u_V)
    plus, minus = conductances(planes, die)
    dA = plus - die.rail_gain * minus - A
    if params.wire_ohm:
        wire = params.wire_ohm * params.g0_S
        nominal_plus, nominal_minus = conductances(planes, perfect)
        dA += first_order(nominal_plus, wire) - first_order(nominal_minus, wire) - A
    L = L + params.gpar_S / params.g0_S
    du = die.input_V(dac_codes, drive_range) - u_V
    return -np.linalg.solve(A, dA @ V + du + L * V * params.inverse_gain - L * die.zeroed_V)

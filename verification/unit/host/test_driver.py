"""What the driver refuses before anything is written, in one line that says what is allowed."""

from collections.abc import Callable

import numpy as np
import pytest

from ohmloop.engines.operations import Script, drive
from ohmloop.errors import InputError
from ohmloop.golden.settings import Settings
from ohmloop.golden.vector import Scalar
from ohmloop.host.driver import Driver
from ohmloop_hdl.config import CONFIGS

TINY = CONFIGS["tiny"]
ZEROS = np.zeros((4, 4), dtype=int)


@pytest.mark.parametrize(("script", "message"), [
    (lambda d: d.load_codes(np.zeros((3, 3))), "codes: shape must be (4, 4), not (3, 3)"),
    (lambda d: d.load_codes(ZEROS + 16), "codes: must be integers from -16 to 15, not 16"),
    (lambda d: d.load_vector(2, np.zeros(2), 0), "mantissas of v2: shape must be (4,), not (2,)"),
    (lambda d: d.load_vector(2, np.array([0, 0, 0, 1 << 31]), 0),
     "mantissas of v2: must be integers from -2147483648 to 2147483647, not 2147483648"),
    (lambda d: d.load_vector(2, np.array([0, 0, 0, np.nan]), 0),
     "mantissas of v2: must be integers from -2147483648 to 2147483647, not nan"),
    (lambda d: d.load_vector(2, ZEROS[0], 512), "exponent of v2: must be integers from -512 to 511, not 512"),
    (lambda d: d.load_vector(16, ZEROS[0], 0), "vector: must be 0 to 15, not 16"),
    (lambda d: d.load_scalar(-1, Scalar(0, 0)), "scalar: must be 0 to 15, not -1"),
    (lambda d: d.load_scalar(3, Scalar(1 << 23, 0)),
     "mantissa of k3: must be integers from -8388608 to 8388607, not 8388608"),
    (lambda d: d.load_scalar(3, Scalar(0, -513)), "exponent of k3: must be integers from -512 to 511, not -513"),
    (lambda d: d.load_slot(TINY.slots, ZEROS), f"slot: must be 0 to {TINY.slots - 1}, not {TINY.slots}"),
    (lambda d: d.load_slot(0, ZEROS + 0.5), "elements of m0: must be integers from -8388608 to 8388607, not 0.5"),
    (lambda d: d.load_correction(np.array([0, 0, 0, 1 << 15]), ZEROS[0, :2]),
     "offsets: must be integers from -32768 to 32767, not 32768"),
    (lambda d: d.load_correction(ZEROS[0], np.array([0, -1])), "gains: must be integers from 0 to 65535, not -1"),
    (lambda d: d.load_program([0] * 7, 250), "program: 7 words from 250 on, the memory has 256"),
    (lambda d: d.configure(Settings.reset(TINY, tolerance=16)), "tolerance must be 0 to 15, not 16"),
])
def test_what_does_not_fit_is_refused(script: Callable[[Driver], Script], message: str):
    written = []
    with pytest.raises(InputError) as refusal:
        drive(script(Driver(TINY)), lambda operation: written.append(operation) or [])
    assert str(refusal.value) == message and not written


def test_the_ends_of_every_range_are_written():
    written = []
    driver = Driver(TINY)
    for script in (driver.load_codes(np.array([[-16, 15, 0, 1]] * 4)),
                   driver.load_vector(1, np.array([-1 << 31, 0, 1, (1 << 31) - 1]), -512),
                   driver.load_scalar(2, Scalar(-1 << 23, 511)),
                   driver.load_correction(np.array([-32768, 0, 1, 32767]), np.array([0, 65535])),
                   driver.load_slot(0, np.full((4, 4), -1 << 23))):
        drive(script, lambda operation: written.append(operation.words) or [])
    assert written == [(0x0100_0FF0,) * 4, (0x8000_0000, 0, 1, 0x7FFF_FFFF), (0xFFFF_FE00,), (0xFF80_0000,), (511,),
                       (0xFFFF_8000, 0, 1, 0x7FFF), (0, 0xFFFF), (0xFF80_0000,) * 16]

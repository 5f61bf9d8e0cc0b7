"""Registers and memories of the golden machine, as the windows show them."""

from collections import deque

import numpy as np

from ohmloop.golden.vector import ONE, Scalar
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import EXPONENT_MIN, GAIN_ONE, SCALARS, VECTORS
from ohmloop_hdl.isa import COUNTERS, PROGRAM_WORDS

Beat = tuple[int, bool]
"""A word (unsigned, 32 bits) and whether it is the last of its object."""


class State:
    """What a chip holds after reset, and what programs and hosts make of it.

    ``program`` (256,) unsigned words; ``mantissas`` (16, N) and ``exponents`` (16,) of vectors; ``scalars`` (16);
    ``counters`` (16); ``slots`` (slots, N, N), ``codes`` (N, N) and ``offsets`` (N,) signed; ``gains`` (adcs,);
    ``bad_map`` (N, N) of bool; ``source`` and ``sink`` beats that wait to be taken and beats that were sent.

    ``wrong_program`` (256,), ``wrong_slots`` (slots, N, N), ``wrong_codes`` (N, N / codes a word), ``wrong_offsets``
    (N,) and ``wrong_gains`` (adcs,) say which words have wrong parity; ``valid_slots`` (slots), ``valid_codes`` and
    ``valid_arrays`` what is there to be used.
    """

    def __init__(self, config: ChipConfig):
        n = config.size
        self.config = config
        self.program = np.zeros(PROGRAM_WORDS, dtype=np.int64)
        self.mantissas = np.zeros((VECTORS, n), dtype=np.int64)
        self.exponents = np.zeros(VECTORS, dtype=np.int64)
        self.exponents[0] = EXPONENT_MIN
        self.scalars = [ONE] + [Scalar(0, 0)] * (SCALARS - 1)
        self.counters = [0] * COUNTERS
        self.slots = np.zeros((config.slots, n, n), dtype=np.int64)
        self.codes = np.zeros((n, n), dtype=np.int64)
        self.bad_map = np.zeros((n, n), dtype=bool)
        self.bad_count = self.repairs = 0
        self.offsets = np.zeros(n, dtype=np.int64)
        self.gains = np.full(config.adcs, GAIN_ONE, dtype=np.int64)
        self.source: deque[Beat] = deque()
        self.sink: list[Beat] = []

        self.wrong_program = np.zeros(PROGRAM_WORDS, dtype=bool)
        self.wrong_slots = np.zeros(self.slots.shape, dtype=bool)
        self.wrong_codes = np.zeros((n, n // config.codes_per_word), dtype=bool)
        self.wrong_offsets = np.zeros(n, dtype=bool)
        self.wrong_gains = np.zeros(config.adcs, dtype=bool)
        self.valid_slots = [False] * config.slots
        self.valid_codes = self.valid_arrays = False

    def vector(self, v: int) -> tuple[np.ndarray, int]:
        """Mantissas as an instruction reads them, zero where the exponent says so, and the exponent."""
        exponent = int(self.exponents[v])
        return self.mantissas[v] * (exponent != EXPONENT_MIN), exponent

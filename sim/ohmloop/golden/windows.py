"""Memory windows of the golden machine: its state as the words that a host reads and writes."""

import numpy as np

from ohmloop.golden.state import State
from ohmloop.golden.stream import pack_codes, signed, unpack_codes
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_BITS, GAIN_BITS, OFFSET_BITS

Words = np.ndarray
"""Unsigned words of 32 bits as int64, one-dimensional."""


def read_window(state: State, name: str, first: int, count: int) -> Words | None:
    """``count`` words of a window from word ``first`` on, as the chip answers; None where a word has wrong parity."""
    part = slice(first, first + count)
    wrong = _parity(state, name)
    if wrong is not None and wrong[part].any():
        return None
    if name == "CODES":
        per_word = state.config.codes_per_word
        codes = state.codes.reshape(-1)[per_word * first:per_word * (first + count)]
        return np.array(pack_codes(codes, state.config), dtype=np.int64)
    if name == "BAD_MAP":
        n = state.config.size
        padded = np.zeros((n, -(-n // 32) * 32), dtype=bool)
        padded[:, :n] = state.bad_map
        return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.int64).reshape(-1)[part]
    if name.startswith("SCALAR"):
        numbers = [k.mantissa if name == "SCALAR_MANTISSAS" else k.exponent for k in state.scalars]
    else:
        numbers = _numbers(state, name)
    return np.asarray(numbers)[part] & 0xFFFF_FFFF


def write_window(state: State, name: str, first: int, words: Words, *, wrong: bool = False) -> None:
    """Write words into a window from word ``first`` on, with ``wrong`` parity for a test; what they fill is valid."""
    part = slice(first, first + len(words))
    parity = _parity(state, name)
    if parity is not None:
        parity[part] = wrong
    if name == "CODES":
        per_word = state.config.codes_per_word
        codes = unpack_codes(words.tolist(), state.config)
        state.codes.reshape(-1)[per_word * first:per_word * (first + len(words))] = codes
        state.valid_codes = True
    elif name.startswith("SCALAR"):
        for k, word in enumerate(words.tolist(), first):
            if k and name == "SCALAR_MANTISSAS":
                state.scalars[k] = Scalar(signed(word, ELEMENT_BITS), state.scalars[k].exponent)
            elif k:
                state.scalars[k] = Scalar(state.scalars[k].mantissa, signed(word, EXPONENT_BITS))
    else:
        bits = {"MANTISSAS": 32, "EXPONENTS": EXPONENT_BITS, "SLOTS": ELEMENT_BITS, "OFFSETS": OFFSET_BITS}.get(name)
        low = words & (1 << GAIN_BITS) - 1 if name == "GAINS" else words
        numbers = _numbers(state, name)
        constant = {"MANTISSAS": state.config.size, "EXPONENTS": 1}.get(name, 0)  # v0 stays zero
        kept = numbers[:constant].copy()
        numbers[part] = low if bits is None else (low & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)
        numbers[:constant] = kept
    if name == "SLOTS":
        size = state.config.size ** 2
        for slot in range(first // size, (part.stop - 1) // size + 1):
            state.valid_slots[slot] = True


def _numbers(state: State, name: str) -> np.ndarray:
    """The array behind a window with one number a word, flat, to read and to write."""
    return {"PROGRAM": state.program, "MANTISSAS": state.mantissas, "EXPONENTS": state.exponents,
            "SLOTS": state.slots, "OFFSETS": state.offsets, "GAINS": state.gains}[name].reshape(-1)


def _parity(state: State, name: str) -> np.ndarray | None:
    """Which words have wrong parity, flat, to read and to write; None for a window without parity."""
    wrong = {"PROGRAM": state.wrong_program, "SLOTS": state.wrong_slots, "CODES": state.wrong_codes,
             "OFFSETS": state.wrong_offsets, "GAINS": state.wrong_gains}.get(name)
    return None if wrong is None else wrong.reshape(-1)

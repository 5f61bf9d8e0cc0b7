"""LD and ST in the golden machine: which word goes where, and when ``tlast`` must come."""

from collections.abc import Callable

import numpy as np

from ohmloop.errors import NotSolvedError
from ohmloop.golden import cycles
from ohmloop.golden.run import Clock, Trapped
from ohmloop.golden.state import State
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_BITS, EXPONENT_MIN
from ohmloop_hdl.sequencer.traps import TrapCause


def signed(word: int, bits: int) -> int:
    """The low ``bits`` bits of a word as a two's complement number."""
    word &= (1 << bits) - 1
    return word - ((word >> (bits - 1)) << bits)


def unpack_codes(words: list[int], config: ChipConfig) -> np.ndarray:
    """Cell codes of words as the code memory keeps them: only the bits that a code needs."""
    bits = 32 // config.codes_per_word
    parts = [word >> bits * place for word in words for place in range(config.codes_per_word)]
    return np.array([signed(part, config.cell_bits + 1) for part in parts])


def pack_codes(codes: np.ndarray, config: ChipConfig) -> list[int]:
    """Words that hold signed cell codes, given row by row, as the window and the stream carry them."""
    bits = 32 // config.codes_per_word
    rows = np.asarray(codes).reshape(-1, config.codes_per_word)
    return [sum((int(code) & (1 << bits) - 1) << bits * place for place, code in enumerate(row)) for row in rows]


def load_vector(state: State, clock: Clock, v: int) -> None:
    """LD of a vector: it reads zero until the last mantissa is there."""
    n = state.config.size
    if v:
        state.exponents[v] = EXPONENT_MIN
    exponent = [EXPONENT_MIN]

    def put(index: int, word: int) -> None:
        if index == 0:
            exponent[0] = signed(word, EXPONENT_BITS)
        elif v:
            state.mantissas[v, index - 1] = signed(word, 32)

    _fill(state, clock, n + 1, put)
    if v:
        state.exponents[v] = exponent[0]


def load_slot(state: State, clock: Clock, slot: int) -> None:
    """LD of a matrix slot, row by row."""
    n = state.config.size
    state.valid_slots[slot] = False

    def put(index: int, word: int) -> None:
        place = slot, index // n, index % n
        state.slots[place], state.wrong_slots[place] = signed(word, ELEMENT_BITS), False

    _fill(state, clock, n * n, put)
    state.valid_slots[slot] = True


def load_codes(state: State, clock: Clock) -> None:
    """LD of the code memory, row by row."""
    state.valid_codes = False
    words = state.config.size // state.config.codes_per_word
    _fill(state, clock, state.config.size * words, lambda index, word: _put_codes(state, *divmod(index, words), word))
    state.valid_codes = True


def fill_row(state: State, clock: Clock, row: int) -> None:
    """One row of the code memory, for PROG from the stream."""
    config = state.config
    _fill(state, clock, config.size // config.codes_per_word, lambda index, word: _put_codes(state, row, index, word),
          ends=row == config.size - 1, phase=Phase.PROGRAM)


def send_vector(state: State, clock: Clock, v: int) -> None:
    """ST: exponent, then mantissas."""
    words = [int(state.exponents[v]), *(int(mantissa) for mantissa in state.mantissas[v])]
    state.sink += [(word & 0xFFFF_FFFF, place == len(words) - 1) for place, word in enumerate(words)]
    clock.spend(Phase.STREAM, cycles.send_cycles(state.config), safe=True)
    clock.run.events[Event.BEAT_OUT] += len(words)


def _put_codes(state: State, row: int, word_index: int, word: int) -> None:
    per_word = state.config.codes_per_word
    state.codes[row, per_word * word_index:per_word * (word_index + 1)] = unpack_codes([word], state.config)
    state.wrong_codes[row, word_index] = False


def _fill(state: State, clock: Clock, beats: int, put: Callable[[int, int], None], *, ends: bool = True,
          phase: Phase = Phase.STREAM) -> None:
    """Take beats one by one; only the last may, and where the object ends here must, be marked as the last."""
    for index in range(beats):
        if not state.source:
            raise NotSolvedError(f"the program waits for beat {index} of {beats} of a stream that has no more")
        word, last = state.source.popleft()
        clock.run.events[Event.BEAT_IN] += 1
        put(index, word)
        if last != (ends and index == beats - 1):
            clock.spend(phase, cycles.fill_cycles(index + 1) - 1, safe=True)
            raise Trapped(TrapCause.STREAM)
    clock.spend(phase, cycles.fill_cycles(beats), safe=True)

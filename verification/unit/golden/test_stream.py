"""Streams of the golden machine: which word goes where, which marks stop it, and what stays behind."""

from collections import Counter

import numpy as np
import pytest
from verification.unit.simulation import SHAPES, seeded

from ohmloop.errors import NotSolvedError
from ohmloop.golden import cycles
from ohmloop.golden.run import Clock, Run, Trapped
from ohmloop.golden.state import State
from ohmloop.golden.stream import fill_row, load_codes, load_slot, load_vector, send_vector, signed, unpack_codes
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import EXPONENT_MIN
from ohmloop_hdl.sequencer.traps import TrapCause

TINY, LAB = CONFIGS["tiny"], CONFIGS["lab"]


class Streamed:
    """A state with beats to take, and the clock of one instruction."""

    def __init__(self, config: ChipConfig, words: list[int], last: int | None = None, limit: int = 0):
        """``last``: the word that is marked, by default the last."""
        self.state, self.run = State(config), Run()
        self.clock = Clock(self.run, limit)
        last = len(words) - 1 if last is None else last
        self.state.source.extend((word, place == last) for place, word in enumerate(words))
        self.clock.issue()

    def stops(self, load, *arguments: int, taken: int, phase: Phase = Phase.STREAM):
        """``load`` traps at its beat number ``taken``."""
        before = len(self.state.source)
        with pytest.raises(Trapped) as trap:
            load(self.state, self.clock, *arguments)
        assert trap.value.cause is TrapCause.STREAM
        assert before - len(self.state.source) == taken
        self.check(cycles.fill_cycles(taken) - 1, taken, phase)

    def check(self, clocks: int, beats: int, phase: Phase = Phase.STREAM):
        assert self.run.phases == Counter({Phase.ISSUE: 2, phase: clocks})
        assert self.run.events[Event.BEAT_IN] == beats


@pytest.mark.parametrize(("word", "bits", "number"), [
    (0, 1, 0), (1, 1, -1), (0x1FF, 10, 511), (0x200, 10, -512), (0xFFFF_FE00, 10, -512), (0xABCD_0005, 4, 5),
    (0x7FFF_FFFF, 32, 0x7FFF_FFFF), (0x8000_0000, 32, -0x8000_0000), (0xFF80_0000, 24, -0x80_0000),
])
def test_the_low_bits_in_twos_complement(word: int, bits: int, number: int):
    assert signed(word, bits) == number


@pytest.mark.parametrize(("cell_bits", "word", "codes"), [
    (4, 0x1F_F1_0F_10, [-16, 15, -15, -1]),   # only five bits of each byte
    (7, 0x7F_80_FF_01, [1, -1, -128, 127]),
    (8, 0x00FF_FF01, [-255, 255]), (8, 0xFE00_0100, [-256, 0]),
    (3, 0x08_07_F0_05, [5, 0, 7, -8]),
])
def test_codes_of_a_word(cell_bits: int, word: int, codes: list[int]):
    config = ChipConfig(size=4, adcs=1, lanes=1, cell_bits=cell_bits)
    assert unpack_codes([word], config).tolist() == codes


def test_a_vector_is_its_exponent_then_its_mantissas():
    streamed = Streamed(TINY, [0xABCD_FFFD, 1, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF])
    load_vector(streamed.state, streamed.clock, 3)
    state = streamed.state
    assert state.mantissas[3].tolist() == [1, -1, -0x8000_0000, 0x7FFF_FFFF] and state.exponents[3] == -3
    assert not state.mantissas[[*range(3), *range(4, 16)]].any() and not state.source
    streamed.check(7, 5)


def test_v0_takes_a_vector_and_stays_zero():
    streamed = Streamed(TINY, [5, 1, 2, 3, 4])
    load_vector(streamed.state, streamed.clock, 0)
    assert not streamed.state.mantissas.any() and streamed.state.exponents[0] == EXPONENT_MIN
    streamed.check(7, 5)


@pytest.mark.parametrize("last", range(4))
def test_a_vector_that_ends_early_reads_zero(last: int):
    streamed = Streamed(TINY, [7, 1, 2, 3, 4], last)
    state = streamed.state
    state.mantissas[5], state.exponents[5] = [9, 9, 9, 9], 1
    streamed.stops(load_vector, 5, taken=last + 1)
    assert state.exponents[5] == EXPONENT_MIN
    assert state.mantissas[5].tolist() == [1, 2, 3, 4][:last] + [9] * (4 - last)
    assert not state.vector(5)[0].any()


def test_a_vector_that_does_not_end_reads_zero():
    streamed = Streamed(TINY, [7, 1, 2, 3, 4, 5], last=5)
    streamed.stops(load_vector, 5, taken=5)
    assert streamed.state.exponents[5] == EXPONENT_MIN and streamed.state.mantissas[5].tolist() == [1, 2, 3, 4]


def test_a_slot_row_by_row():
    random = seeded()
    words = [random.getrandbits(32) for _ in range(256)]
    streamed = Streamed(LAB, words)
    state = streamed.state
    state.wrong_slots[:] = True
    load_slot(state, streamed.clock, 1)
    assert state.slots[1].reshape(-1).tolist() == [signed(word, 24) for word in words]
    assert not state.slots[0].any() and state.valid_slots == [False, True]
    assert not state.wrong_slots[1].any() and state.wrong_slots[0].all()
    streamed.check(258, 256)


def test_a_slot_that_does_not_end_well_is_not_valid():
    streamed = Streamed(LAB, [3] * 256, last=40)
    streamed.state.valid_slots = [True, True]
    streamed.stops(load_slot, 0, taken=41)
    assert streamed.state.valid_slots == [False, True] and streamed.state.slots[0].sum() == 3 * 41


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_codes_all_at_once_and_row_by_row(config: ChipConfig):
    random, words = seeded(config), config.size // config.codes_per_word
    beats = [random.getrandbits(32) for _ in range(config.size * words)]
    whole, rows = Streamed(config, beats), Streamed(config, beats)
    whole.state.wrong_codes[:] = rows.state.wrong_codes[:] = True
    load_codes(whole.state, whole.clock)
    for row in range(config.size):
        fill_row(rows.state, rows.clock, row)
    expected = [unpack_codes(beats[row * words:(row + 1) * words], config).tolist() for row in range(config.size)]
    assert whole.state.codes.tolist() == rows.state.codes.tolist() == expected
    assert not whole.state.wrong_codes.any() and not rows.state.wrong_codes.any()
    assert whole.state.valid_codes and not rows.state.valid_codes, "rows are PROG's"
    whole.check(len(beats) + 2, len(beats))
    rows.check(config.size * (words + 2), len(beats), Phase.PROGRAM)


@pytest.mark.parametrize(("words", "last", "taken"), [(64, 10, 11), (65, 64, 64)])
def test_codes_that_do_not_end_well_are_not_valid(words: int, last: int, taken: int):
    streamed = Streamed(LAB, [0x0101_0101] * words, last)
    streamed.state.valid_codes = True
    streamed.stops(load_codes, taken=taken)
    assert not streamed.state.valid_codes and streamed.state.codes.sum() == 4 * taken


@pytest.mark.parametrize(("row", "last", "taken"), [(0, 3, 4), (0, 0, 1), (15, 0, 1), (15, 4, 4)])
def test_a_row_with_a_wrong_mark_stops(row: int, last: int, taken: int):
    streamed = Streamed(LAB, [1] * 5, last)
    streamed.stops(fill_row, row, taken=taken, phase=Phase.PROGRAM)


def test_a_vector_is_sent_with_its_mark():
    streamed = Streamed(TINY, [])
    state = streamed.state
    state.mantissas[2], state.exponents[2] = [1, -1, -(1 << 31), 5], -7
    for v in (2, 0):
        send_vector(state, streamed.clock, v)
    assert state.sink == [(0xFFFF_FFF9, False), (1, False), (0xFFFF_FFFF, False), (0x8000_0000, False), (5, True),
                          (0xFFFF_FE00, False), (0, False), (0, False), (0, False), (0, True)]
    assert streamed.run.phases[Phase.STREAM] == 2 * 6 == 2 * cycles.send_cycles(TINY)
    assert streamed.run.events[Event.BEAT_OUT] == 10


def test_a_zero_vector_is_sent_as_it_is_kept():
    """The exponent says that it reads zero; the mantissas go out as the window shows them."""
    streamed = Streamed(TINY, [])
    streamed.state.mantissas[4], streamed.state.exponents[4] = [1, 2, 3, 4], EXPONENT_MIN
    send_vector(streamed.state, streamed.clock, 4)
    assert [word for word, _ in streamed.state.sink] == [0xFFFF_FE00, 1, 2, 3, 4]


def test_a_beat_that_never_comes_is_said():
    streamed = Streamed(TINY, [1, 2, 3], last=9)
    with pytest.raises(NotSolvedError, match="^the program waits for beat 3 of 5 of a stream that has no more$"):
        load_vector(streamed.state, streamed.clock, 1)


@pytest.mark.parametrize("load", [load_vector, load_slot])
def test_the_watchdog_does_not_bite_what_is_being_written(load):
    streamed = Streamed(TINY, [1] * (5 if load is load_vector else 16), limit=3)
    load(streamed.state, streamed.clock, 0)
    assert streamed.run.phases[Phase.STREAM] == cycles.fill_cycles(5 if load is load_vector else 16)
    assert np.array_equal(streamed.state.slots[0], np.full((4, 4), 1) * (load is load_slot))

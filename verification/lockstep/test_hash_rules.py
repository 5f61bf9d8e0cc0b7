"""The rules of the hash macro, on its Python twin: how often, how large, and what changes what."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from verification.lockstep.hash_macro import HashDie, HashMacro, HashSettings, Kind

from ohmloop.analog.body import ContractError, MacroInputs
from ohmloop.analog.params import AnalogParams, ParamsError
from ohmloop_hdl.config import CONFIGS, ChipConfig

TINY, LAB = CONFIGS["tiny"], CONFIGS["lab"]


def drive_of(number: int) -> np.ndarray:
    """Input codes (N,) that no other number gives."""
    return np.resize([number % 100 + 1, number // 100], LAB.size)


def closings(settings: HashSettings, count: int, multiply: bool = False, level: int = 0) -> Iterator[HashMacro]:
    """A macro again and again, closed on another drive each time, in one range."""
    macro = HashMacro(HashDie.of(LAB, settings))
    for number in range(count):
        macro.close(multiply, drive_of(number), drive_range=level, feedback=level)
        yield macro


def samples(macro: HashMacro, count: int) -> np.ndarray:
    """Held codes of the next samples, ten clocks apart, shape (count, N)."""
    held = []
    for _ in range(count):
        macro.advance(10)
        macro.hold()
        held.append(macro.held_codes)
    return np.array(held)


def assert_weight(hits: int, of: int, weight: float):
    """The count is what this weight out of 256 makes likely: within six standard deviations."""
    expected = of * weight / 256
    assert abs(hits - expected) <= 6 * np.sqrt(expected + 1), f"{hits} of {of}, expected {expected}"


def test_loops_settle_as_often_and_as_their_kind_says():
    settings, count = HashSettings(never=30, late=70, restless=50, clip=0), 3000
    kinds = Counter()
    for macro in closings(settings, count):
        kind, amplitude, below, clip_sample = macro.fate
        kinds[kind] += 1
        codes = samples(macro, 12)
        assert not macro.clipped.any() and (below, clip_sample) == (0, 0)
        steps = np.abs(np.diff(codes, axis=0)).max(axis=1)
        match kind:
            case Kind.AT_ONCE:
                assert not steps.any()
            case Kind.LATE:
                assert 1 <= amplitude <= 8 and not steps[amplitude:].any()
                bounds = np.maximum(amplitude - np.arange(12), 0)
                assert (np.abs(codes - codes[-1]).max(axis=1) <= bounds).all()
            case Kind.RESTLESS:
                assert 1 <= amplitude <= 4 and (steps <= 2 * amplitude).all() and steps.any()
            case Kind.NEVER:
                assert (steps > 16).all()
    for kind, weight in ((Kind.NEVER, 30), (Kind.LATE, 70), (Kind.RESTLESS, 50), (Kind.AT_ONCE, 106)):
        assert_weight(kinds[kind], count, weight)


@pytest.mark.parametrize("multiply, ranges", [(False, 8), (True, 4)])
def test_loops_clip_as_often_as_asked_for_and_in_low_ranges(multiply, ranges):
    settings, count = HashSettings(clip=100), 1500
    lowest = Counter()
    for level in range(ranges):
        found_by = Counter()
        for macro in closings(settings, count, multiply, level):
            clip_sample, below = macro.fate.clip_sample, macro.fate.clip_below
            assert (clip_sample > 0) == (level < below)
            found_by[clip_sample] += 1
            lowest[below] += level == 0
            before = max(0, clip_sample - 1) if clip_sample else 4
            samples(macro, before)
            assert not macro.clipped.any()
            if clip_sample:
                codes = samples(macro, 1)[0]
                flags = macro.clipped
                assert flags.any() and np.isin(codes[flags], (-128, 127)).all()
                macro.drive(np.zeros(macro.die.config.size, dtype=int))
                assert (samples(macro, 2) == codes).all() and (macro.clipped == flags).all(), "frozen"
                macro.open()
                assert not macro.clipped.any() and (macro.held_codes == codes).all()
        clips = 100 * (ranges - level) / ranges
        for sample, share in ((1, 0.5), (2, 0.25), (3, 0.25)):
            assert_weight(found_by[sample], count, clips * share)
    assert set(lowest) == {0, *range(1, ranges + 1)}
    for below in range(1, ranges + 1):
        assert_weight(lowest[below], count, 100 / ranges)


def test_results_are_zero_and_small_as_often_as_asked_for():
    settings, count = HashSettings(never=0, late=0, restless=0, clip=0, zero=40, small=80), 3000
    peaks = Counter()
    extremes = set()
    for macro in closings(settings, count):
        codes = samples(macro, 1)[0]
        extremes |= {int(codes.min()), int(codes.max())}
        peak = np.abs(codes).max()
        peaks["zero" if peak == 0 else "small" if peak <= 64 else "large"] += 1
    assert_weight(peaks["zero"], count, 40)
    assert_weight(peaks["small"], count, 80)
    assert extremes >= {-128, 127, -64, 63, -32, 31, -16, 15, -8, 7}


def test_without_a_drive_results_have_a_weight_of_zero_of_their_own():
    macro = HashMacro(HashDie.of(TINY, HashSettings(clip=0, never=0, late=0, restless=0, zero_undriven=100)))
    count = zeros = 0
    for clocks in range(1, 2001):
        macro.close(False, np.zeros(4, dtype=int))
        macro.advance(clocks)
        macro.hold()
        count, zeros = count + 1, zeros + (not macro.held_V.any())
    assert_weight(zeros, count, 100)


def outcome_of(seed=1, multiply=False, bandwidth=0, dac=5, cell=0, drive_range=0, feedback=0, clocks=50) -> list[int]:
    """Codes of the first sample of a loop, none of which is changed by how the loop settles."""
    macro = HashMacro(HashDie.of(LAB, HashSettings(seed=seed, clip=0, never=0, late=0, restless=0, zero=0,
                                                             small=0)))
    macro.write_row(1, 3, np.resize([0, cell], 16))
    macro.set_bandwidth(bandwidth)
    macro.close(multiply, np.resize([1, 0, dac], 16), drive_range, feedback)
    macro.advance(clocks)
    macro.hold()
    return macro.held_codes.tolist()


@pytest.mark.parametrize("multiply", [False, True])
def test_everything_that_acts_on_a_loop_changes_its_result(multiply):
    acts = [dict(seed=2), dict(bandwidth=1), dict(dac=6), dict(cell=1), dict(clocks=51),
            dict(feedback=1) if multiply else dict(drive_range=1)]
    does_not = dict(drive_range=1) if multiply else dict(feedback=1)
    results = {tuple(outcome_of(multiply=multiply, **change)) for change in ({}, *acts)}
    assert len(results) == 1 + len(acts)
    assert outcome_of(multiply=multiply, **does_not) == outcome_of(multiply=multiply)
    assert outcome_of(multiply=multiply) != outcome_of(multiply=not multiply)


def test_a_drive_that_does_not_change_does_not_start_a_loop_again():
    settings = HashSettings(late=256, never=0, restless=0, clip=0)
    for number, macro in enumerate(closings(settings, 50)):
        drive = drive_of(number)
        codes = samples(macro, 4).tolist()
        macro.close(False, drive)
        again = samples(macro, 2).tolist()
        macro.drive(drive)
        assert again + samples(macro, 2).tolist() == codes
        macro.drive(drive, drive_range=1)
        assert samples(macro, 4).tolist() != codes
        macro.drive(drive)
        assert samples(macro, 4).tolist() == codes, "a loop that starts again forgets"


@pytest.mark.parametrize("bits", range(6, 15))
def test_held_voltages_convert_to_their_codes(bits):
    config = ChipConfig(size=128, adc_bits=bits, adcs=8, lanes=4)
    settings = HashSettings(never=0, late=0, restless=0, zero=0, small=0)
    macro = HashMacro(HashDie.of(config, settings))
    half, seen = 1 << bits - 1, set()
    for number in range(200):
        macro.close(False, np.full(128, number % 100), drive_range=number % 8)
        codes = samples(macro, 1)[0]
        assert (macro.convert()[0] == codes).all()
        seen |= set(codes.tolist())
    assert seen >= {-half, half - 1} and len(seen) > half


def test_cells_are_sound_unless_asked_for():
    macro = HashMacro(HashDie.of(LAB))
    for code in range(16):
        macro.write_row(1, 2, np.full(16, code))
        assert (macro.read_row(1, 2) == code).all()


def test_stuck_cells_hold_one_code_for_good():
    macro = HashMacro(HashDie.of(LAB, HashSettings(stuck=1 << 13)))
    held = np.array([[macro.read_row(p, r) for r in range(16)] for p in (0, 1)])
    changed = np.zeros((2, 16, 16), dtype=bool)
    for code in (15, 6, 9):
        for plane in (0, 1):
            for row in range(16):
                for _ in range(3):
                    macro.write_row(plane, row, np.full(16, code))
                now = macro.read_row(plane, row)
                assert ((now == held[plane, row]) | (now == code)).all()
                changed[plane, row] |= now != held[plane, row]
    assert_weight(int((~changed).sum()), 512, 32)
    assert len(set(held[~changed])) > 8


def test_weak_cells_take_their_code_after_some_vain_attempts():
    macro = HashMacro(HashDie.of(LAB, HashSettings(weak=1 << 13)))
    needed: Counter[int] = Counter()
    for plane in (0, 1):
        for row in range(16):
            wanted = np.arange(16)[::-1]
            wrong = []
            for _ in range(20):
                macro.write_row(plane, row, wanted)
                wrong.append(macro.read_row(plane, row) ^ wanted)
            for cell in np.array(wrong).T:
                vain = int(np.count_nonzero(cell))
                assert not cell[vain:].any() and len(set(cell[:vain])) <= 1
                assert vain == 0 or int(cell[0]).bit_count() == 1
                needed[vain] += 1
            macro.write_row(plane, (row + 1) % 16, wanted)
            macro.write_row(plane, row, wanted)
            assert (macro.read_row(plane, row) ^ wanted).tolist() == wrong[0].tolist(), "another line starts afresh"
    assert set(needed) == {0, 1, 2, 3, 4}
    for vain in (1, 2, 3, 4):
        assert_weight(needed[vain], 512, 8)


def test_a_pulse_of_several_clocks_is_one_attempt():
    """Ways to write the pins, and how many attempts they make."""
    config = TINY
    write = MacroInputs(row=2, plane=1, write=1, write_data=0xFFFF)
    idle = write._replace(write=0)
    for pins, attempts in (([write], 1), ([write, write], 1), ([write, write._replace(trial=1)], 1),
                           ([write._replace(write_data=1), write], 1), ([write, idle, write], 2),
                           ([write, idle, write, idle, idle, write, write], 3),
                           ([write, write._replace(row=1), write], 1), ([write, write._replace(plane=0), write], 1)):
        for seed in range(20):
            die = HashDie.of(config, HashSettings(seed=seed, weak=1 << 15))
            by_pins, by_events = HashMacro(die), HashMacro(die)
            for level in pins:
                by_pins.edge(level)
            for _ in range(attempts):
                by_events.write_row(1, 1, np.full(4, 15))
            assert by_pins.sense(row=2, plane=1, read=1) == by_events.sense(row=2, plane=1, read=1)


def test_closed_arrays_refuse():
    macro = HashMacro(HashDie.of(TINY))
    macro.close(False, np.zeros(4, dtype=int))
    with pytest.raises(ContractError, match="rule 2: cannot write while the loop is closed"):
        macro.write_row(0, 0, np.zeros(4, dtype=int))
    with pytest.raises(ContractError, match="rule 4"):
        macro.set_bandwidth(1)


@pytest.mark.parametrize("changes, text", [
    (dict(clip=257), "clip must be an int from 0 to 256, not 257"),
    (dict(weak=-1), "weak must be an int from 0 to 65536, not -1"),
    (dict(seed=1 << 32), "seed must be an int from 0 to 4294967295, not 4294967296"),
    (dict(late=200, never=50, restless=7), r"never \+ late \+ restless must be at most 256, not 257"),
    (dict(zero_undriven=200, small=100), r"zero_undriven \+ small must be at most 256, not 300"),
])
def test_settings_that_no_macro_has(changes, text):
    with pytest.raises(ParamsError, match=text):
        HashSettings(**changes)


def test_a_hash_die_has_no_stuck_cells_of_its_own():
    with pytest.raises(ParamsError, match="stuck must be empty"):
        HashDie.sample(TINY, AnalogParams.ideal(), stuck=((0, 0, 0, 3),))

"""Configurations: what each named one promises, and that every ``Requires:`` line is checked."""

import re
from dataclasses import asdict, fields, replace

import pytest

from ohmloop_hdl.config import CONFIGS, REFERENCE, ChipConfig, ConfigError, bits_for, config_named


def test_the_reference_is_the_default():
    assert CONFIGS["chip64"] is REFERENCE
    assert asdict(ChipConfig()) == dict(size=64, cell_bits=4, dac_bits=8, adc_bits=8, adcs=8, lanes=4, slots=1)


@pytest.mark.parametrize(("name", "difference"), [
    ("tiny", dict(size=4, adcs=2, lanes=1)),
    ("lab", dict(size=16, adcs=4, lanes=2, slots=2)),
    ("chip64", {}),
    ("chip64hp", dict(cell_bits=8, adcs=64, lanes=8)),
])
def test_a_named_configuration_is_a_difference_from_the_reference(name: str, difference: dict[str, int]):
    reference = asdict(REFERENCE)
    assert {k: v for k, v in asdict(config_named(name)).items() if v != reference[k]} == difference
    assert config_named(name).name == name


@pytest.mark.parametrize(("name", "promise"), [
    ("tiny", dict(code_max=15, codes_per_word=4, block=4, mux_steps=2, mux_bits=1, code_words=1)),
    ("lab", dict(code_max=15, codes_per_word=4, block=8, mux_steps=4, mux_bits=2, code_words=2)),
    ("chip64", dict(code_max=15, codes_per_word=4, block=16, mux_steps=8, mux_bits=3, code_words=4)),
    ("chip64hp", dict(code_max=255, codes_per_word=2, block=8, mux_steps=1, mux_bits=1, code_words=4)),
])
def test_a_named_configuration_keeps_its_promise(name: str, promise: dict[str, int]):
    config = CONFIGS[name]
    assert {key: getattr(config, key) for key in promise} == promise


def test_there_are_no_other_names():
    assert list(CONFIGS) == ["tiny", "lab", "chip64", "chip64hp"]
    assert ChipConfig(size=32).name == "custom"
    with pytest.raises(ConfigError, match="^config must be one of tiny, lab, chip64, chip64hp, not 'chip'$"):
        config_named("chip")


REFUSED: list[tuple[dict, str]] = [
    (dict(size=2, adcs=1, lanes=1), "size must be a power of two from 4 to 128, not 2"),
    (dict(size=48), "size must be a power of two from 4 to 128, not 48"),
    (dict(size=256), "size must be a power of two from 4 to 128, not 256"),
    (dict(size=0), "size must be a power of two from 4 to 128, not 0"),
    (dict(cell_bits=2), "cell_bits must be from 3 to 8, not 2"),
    (dict(cell_bits=9), "cell_bits must be from 3 to 8, not 9"),
    (dict(dac_bits=5), "dac_bits must be from 6 to 14, not 5"),
    (dict(dac_bits=15), "dac_bits must be from 6 to 14, not 15"),
    (dict(adc_bits=5), "adc_bits must be from 6 to 14, not 5"),
    (dict(adc_bits=15), "adc_bits must be from 6 to 14, not 15"),
    (dict(adcs=6), "adcs must be a power of two, at most size = 64, not 6"),
    (dict(adcs=128), "adcs must be a power of two, at most size = 64, not 128"),
    (dict(adcs=0, lanes=1), "adcs must be a power of two, at most size = 64, not 0"),
    (dict(lanes=3), "lanes must be a power of two that divides adcs = 8, not 3"),
    (dict(lanes=16), "lanes must be a power of two that divides adcs = 8, not 16"),
    (dict(lanes=0), "lanes must be a power of two that divides adcs = 8, not 0"),
    (dict(size=8, adcs=8, lanes=4), "lanes must be at most size / codes_per_word = 2, not 4"),
    (dict(size=8, adcs=8, lanes=8, cell_bits=8), "lanes must be at most size / codes_per_word = 4, not 8"),
    (dict(slots=0), "slots must be from 1 to 16 at size 64, not 0"),
    (dict(slots=17), "slots must be from 1 to 16 at size 64, not 17"),
    (dict(size=128, slots=17), "slots must be from 1 to 16 at size 128, not 17"),
    (dict(size=4, adcs=1, lanes=1, slots=17), "slots must be from 1 to 16 at size 4, not 17"),
    (dict(slots=1.0), "slots must be an int, not 1.0"),
    (dict(size=64.0), "size must be an int, not 64.0"),
    (dict(lanes=True), "lanes must be an int, not True"),
    (dict(adcs="8"), "adcs must be an int, not '8'"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_breaks_a_requirement_is_refused(changes: dict, message: str):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        replace(REFERENCE, **changes)


def test_every_field_is_refused_somewhere():
    assert {message.split()[0] for _, message in REFUSED} == {field.name for field in fields(ChipConfig)}


@pytest.mark.parametrize("changes", [
    dict(size=4, adcs=4, lanes=1), dict(size=128), dict(cell_bits=3), dict(cell_bits=8), dict(dac_bits=6),
    dict(dac_bits=14), dict(adc_bits=6), dict(adc_bits=14), dict(adcs=64), dict(adcs=1, lanes=1),
    dict(size=8, adcs=8, lanes=4, cell_bits=8), dict(slots=16), dict(size=128, slots=16),
])
def test_the_bounds_themselves_are_allowed(changes: dict):
    assert {key: getattr(replace(REFERENCE, **changes), key) for key in changes} == changes


@pytest.mark.parametrize(("cell_bits", "codes"), [(3, 4), (7, 4), (8, 2)])
def test_codes_are_bytes_up_to_seven_bits(cell_bits: int, codes: int):
    assert ChipConfig(cell_bits=cell_bits).codes_per_word == codes


def test_bits_for_tells_a_count_apart():
    assert [bits_for(count) for count in (1, 2, 3, 4, 5, 256, 257)] == [1, 1, 2, 2, 3, 8, 9]

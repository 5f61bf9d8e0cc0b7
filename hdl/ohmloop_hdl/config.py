"""Chip configurations: the one place where sizes and widths of the digital half are chosen."""

from dataclasses import dataclass, fields, replace

SLOT_WINDOW_WORDS = 1 << 18
"""Words of the largest window on the bus."""


class ConfigError(ValueError):
    """A configuration that no hardware can be made of; the message names the field and what is allowed."""


def bits_for(count: int) -> int:
    """Width of a signal that tells ``count`` things apart; one bit even where there is nothing to tell, because a
    vector of no bits does not survive the way to Verilog."""
    return max(1, (count - 1).bit_length())


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True)
class ChipConfig:
    """Sizes and widths of one chip. The defaults are the reference, ``chip64``.

    Every other configuration is written as a difference from the reference (:data:`CONFIGS`).
    A value that breaks a ``Requires:`` line raises :class:`ConfigError`.
    """

    size: int = 64
    """Rows and columns N of each resistor array; also the number of amplifiers, DACs and vector elements.

    Unit: cells. Requires: a power of two from 4 to 128 (the multiply feedback is N 4^(k-2) G0, which the
    hardware folds into the exponent; a larger code memory would not fit its window)."""

    cell_bits: int = 4
    """Magnitude bits of a cell code; the code c lies in [-C, C] with C = 2^cell_bits - 1, its sign picks the array.

    Unit: bits. Requires: 3 to 8."""

    dac_bits: int = 8
    """Width B of a signed input code; its level is d / 2^(B-1) of full scale, d in [-(2^(B-1)-1), 2^(B-1)-1].

    Unit: bits. Requires: 6 to 14."""

    adc_bits: int = 8
    """Width B of a signed output code, mid-tread, same full scale as the DAC; also the clocks of one conversion.

    Unit: bits. Requires: 6 to 14."""

    adcs: int = 8
    """Converters; each serves ``size / adcs`` neighbouring outputs through the multiplexer.

    Unit: converters. Requires: a power of two, at most ``size``."""

    lanes: int = 4
    """Slices of the digital half: lane l owns elements l N/L to (l+1) N/L - 1 with their columns, DACs and ADCs.

    Unit: lanes. Requires: a power of two that divides ``adcs``, and at least one code-memory word
    (:attr:`codes_per_word` columns) a lane."""

    slots: int = 1
    """Matrices of 24-bit elements that products and residuals are computed with.

    Unit: matrices. Requires: 1 to 16, and at most 2^18 elements in all (the slot window)."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int:
                raise ConfigError(f"{field.name} must be an int, not {value!r}")
        self._require(4 <= self.size <= 128 and _is_power_of_two(self.size), "size", "a power of two from 4 to 128")
        self._require(3 <= self.cell_bits <= 8, "cell_bits", "from 3 to 8")
        self._require(6 <= self.dac_bits <= 14, "dac_bits", "from 6 to 14")
        self._require(6 <= self.adc_bits <= 14, "adc_bits", "from 6 to 14")
        self._require(_is_power_of_two(self.adcs) and self.adcs <= self.size, "adcs",
                      f"a power of two, at most size = {self.size}")
        self._require(_is_power_of_two(self.lanes) and self.lanes <= self.adcs, "lanes",
                      f"a power of two that divides adcs = {self.adcs}")
        self._require(self.size // self.lanes >= self.codes_per_word, "lanes",
                      f"at most size / codes_per_word = {self.size // self.codes_per_word}")

        self._require(1 <= self.slots <= 16 and self.slots * self.size ** 2 <= SLOT_WINDOW_WORDS, "slots",
                      f"from 1 to {min(16, SLOT_WINDOW_WORDS // self.size ** 2)} at size {self.size}")

    def _require(self, holds: bool, name: str, allowed: str):
        if not holds:
            raise ConfigError(f"{name} must be {allowed}, not {getattr(self, name)!r}")

    @property
    def code_max(self) -> int:
        """C, the largest cell code: the code of conductance G0."""
        return (1 << self.cell_bits) - 1

    @property
    def codes_per_word(self) -> int:
        """Cell codes in one 32-bit word of the code window: signed bytes up to 7 cell bits, else signed halves."""
        return 4 if self.cell_bits <= 7 else 2

    @property
    def block(self) -> int:
        """Elements a lane owns, N/L."""
        return self.size // self.lanes

    @property
    def mux_steps(self) -> int:
        """Outputs each converter serves, N/adcs."""
        return self.size // self.adcs

    @property
    def mux_bits(self) -> int:
        """Width of the multiplexer select; one bit even where there is nothing to select."""
        return bits_for(self.mux_steps)

    @property
    def code_words(self) -> int:
        """Code-memory words in a lane's part of a row."""
        return self.block // self.codes_per_word

    @property
    def name(self) -> str:
        """The name under which :data:`CONFIGS` holds this configuration, else ``custom``."""
        return next((name for name, config in CONFIGS.items() if config == self), "custom")


REFERENCE = ChipConfig()

CONFIGS: dict[str, ChipConfig] = {
    "tiny": replace(REFERENCE, size=4, adcs=2, lanes=1),
    "lab": replace(REFERENCE, size=16, adcs=4, lanes=2, slots=2),
    "chip64": REFERENCE,
    "chip64hp": replace(REFERENCE, cell_bits=8, adcs=64, lanes=8),
}


def config_named(name: str) -> ChipConfig:
    """The named configuration; :class:`ConfigError` lists the names when there is none."""
    if name not in CONFIGS:
        raise ConfigError(f"config must be one of {', '.join(CONFIGS)}, not {name!r}")
    return CONFIGS[name]

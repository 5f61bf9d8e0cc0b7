"""The hash macro: a macro body without analogue arithmetic, for running chip and golden machine in lock-step.

What it holds is a function of what its pins showed, in 32-bit integers, the same here and in ``hash_macro.sv``. It
reaches on demand what a real loop reaches rarely: clips in some ranges or in all, late, restless and endless settling,
results that are small or all zero, cells that do not take what is written. It keeps the pins and the rules of
:mod:`ohmloop_hdl.macro.pins`.

Words have 32 bits and sums wrap. ``mix`` is a bijective scramble, ``fold(key, x) = mix((key + 0x9e3779b9) ^ x)``, and
``fold_bus(key, bus)`` folds the 32-bit words of a bus one after the other, lowest first, the last one filled up with
zeros. x[a:b] are bits a down to b of x. Names in capitals are constants below.

1. **Arrays.** Line l = plane N + row has the digest fold_bus(fold(ARRAYS, l), codes in its cells); ``arrays`` is the
   exclusive or of all of them.
2. **Start.** A loop starts when it closes, and starts again when its drive changes: ``dac``, in solve mode also
   ``drive_range``. With mode 1 for solve, 2 for multiply, and the range ``drive_range`` in solve, ``feedback`` in
   multiply mode::

       base = fold(fold_bus(fold(fold(fold(START, seed), mode), bandwidth), dac), arrays)
       key  = fold(base, range)

3. **Time.** s numbers the samples since the start from 1, t counts the clocks since the start: the edge that starts the
   loop is clock 1, an edge that sees ``sample`` high is the last that its sample counts. t wraps.
4. **Clipping.** c = fold(base, CLIP). If c[7:0] < ``clip``, the loop clips in every range below 1 + c[10:8] (solve)
   or 1 + c[9:8] (multiply), so in some cases in the last range too. The sample that finds it is number 1, 1, 2, 3 for
   c[13:12] = 0, 1, 2, 3. As the contract says, held codes and flags then stay until the loop opens.
5. **Settling.** k = fold(key, KIND). With d = k[7:0] the loop is, by the first that holds: d < ``never``: NEVER;
   d < ``never + late``: LATE; d < ``never + late + restless``: RESTLESS; else AT_ONCE. The amplitude m of what disturbs
   its samples is 2, max(0, 2 + k[10:8] - s), 1 + k[12:11], 0.
6. **Result.** r = fold(fold(key, RESULT), t of sample 1): a chip that samples a clock early or late gets another
   result. z = fold(r, SIZE), and the limit is ``zero``, but ``zero_undriven`` where all DAC codes are zero. If z[7:0] <
   limit, all codes are 0. Else output i has the low bits of fold(r, i), as a signed code, arithmetically shifted right
   by 1 + z[9:8] if z[7:0] < limit + ``small``. The code -2^(B-1) is among them.
7. **Disturbance.** For sample s at clock t, w = fold(fold(fold(key, SAMPLE), s), t) and d_i = fold(w, i). Output i is
   *chosen* by (w, d_i) if i = w mod N, or by its density w[9:8]: 0 no other, 1 those with d_i[2:0] = 0, 2 those with
   d_i[0] = 0, 3 all. A chosen output reads (d_i[31:16] (2m + 1) >> 16) - m above its result. In the even samples of
   a NEVER loop the result has its top bit inverted, before that, in the outputs chosen by (k, fold(k, i)). Codes end at
   the ends of the range.
8. **Clipped outputs.** The sample of rule 4 flags the outputs chosen by its (w, d_i); these read the top code, or the
   bottom code where d_i[4] is 1.
9. **Held codes** are 0 at power-up and after a sample of an open loop; opening the loop leaves them. Voltages are code
   times LSB, exactly.
10. **Cells.** f = fold(fold(fold(CELLS, seed), l), column). The cell is stuck at f[31:16] mod 2^cell_bits if f[15:0] <
    ``stuck``. Another cell is weak for the code c, with g = fold(f, c), if g[15:0] < ``weak``: it takes c with bit
    g[20:18] mod cell_bits inverted in the attempts 1 to 1 + g[17:16], and c in later ones. Attempts are write pulses on
    one line in a row: the first on another line is number 1. A pulse begins at an edge that sees ``write`` high and
    follows one that saw it low, or saw another line.
"""

from dataclasses import astuple, dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import Array, MacroBody, MacroInputs
from ohmloop.analog.buses import pack
from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams, ParamsError
from ohmloop_hdl.config import ChipConfig

BODY = Path(__file__).with_name("hash_macro.sv")
"""The SystemVerilog body with the same answers."""

ARRAYS, START, CELLS = 1, 2, 3
CLIP, KIND, RESULT, SIZE, SAMPLE = 0x101, 0x102, 0x103, 0x104, 0x105

_WORD = 0xFFFF_FFFF
_GOLDEN = 0x9E37_79B9
_LAST_ATTEMPT = 7
"""Attempts are counted up to this number, at which every weak cell takes its code."""


@dataclass(frozen=True)
class HashSettings:
    """What a hash macro does how often. Weights are out of 256, rates of defective cells out of 65536."""

    seed: int = 1
    """Chooses one of 2^32 macros."""

    clip: int = 64
    """Weight of loops that clip in some range."""

    never: int = 8
    """Weight of loops that never settle."""

    late: int = 96
    """Weight of loops whose first one to eight samples are disturbed."""

    restless: int = 32
    """Weight of loops whose every sample is disturbed by a few LSB."""

    zero: int = 16
    """Weight of results that are zero in all outputs."""

    zero_undriven: int = 128
    """The same where nothing drives the loop."""

    small: int = 64
    """Weight of results under half, a quarter, an eighth or a sixteenth of full scale."""

    stuck: int = 0
    """Rate of cells that hold one code for good."""

    weak: int = 0
    """Rate of pairs of cell and code that take one to four vain attempts to write."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            limit = {"seed": _WORD, "stuck": 1 << 16, "weak": 1 << 16}.get(field.name, 256)
            if type(value) is not int or not 0 <= value <= limit:
                raise ParamsError(f"{field.name} must be an int from 0 to {limit}, not {value!r}")
        for names in (("never", "late", "restless"), ("zero", "small"), ("zero_undriven", "small")):
            total = sum(getattr(self, name) for name in names)
            if total > 256:
                raise ParamsError(f"{' + '.join(names)} must be at most 256, not {total}")


@dataclass(frozen=True, eq=False)
class HashDie(Die):
    """A die whose macro hashes: nothing of it but sizes, clock and full scale is analogue."""

    settings: HashSettings = HashSettings()
    """What its macro does how often."""

    def __post_init__(self):
        super().__post_init__()
        if self.stuck:
            raise ParamsError(f"stuck must be empty, since settings choose the defective cells, not {self.stuck!r}")

    @classmethod
    def of(cls, config: ChipConfig, settings: HashSettings | None = None) -> "HashDie":
        """The die of one macro, with default settings if there are none given."""
        n = config.size
        return cls(config, AnalogParams.ideal(), np.ones((2, n, n)), np.zeros(n),
                   settings=settings or HashSettings())

    def write_file(self, path: str | Path, codes: NDArray | None = None) -> Path:
        """Write what ``hash_macro.sv`` loads with ``$readmemh``: N, then the settings in their order, a word a line;
        ``codes`` change nothing."""
        path = Path(path)
        path.write_text("".join(f"{word:08x}\n" for word in (self.config.size, *astuple(self.settings))))
        return path


class Kind(IntEnum):
    """How a loop settles (rule 5)."""

    AT_ONCE = 0
    LATE = 1
    RESTLESS = 2
    NEVER = 3


class Fate(NamedTuple):
    """What is decided about a loop when it starts."""

    kind: Kind
    """How it settles."""

    amplitude: int
    """Largest disturbance of any sample, in LSB; of sample 1 in a LATE loop."""

    clip_below: int
    """The loop clips in ranges below this one."""

    clip_sample: int
    """The sample that finds it clipping; 0 if it does not clip in the range that it is in."""


class HashMacro(MacroBody):
    """The macro of one chip, at both levels of :class:`MacroBody`: events for the golden machine, and pins.

    Parameters
    ----------
    die : HashDie
        Sizes and settings.

    Members
    -------
    held_V, clipped, samples
        As in :class:`MacroBody`.
    fate : Fate
        What is decided about the loop that is closed, or was closed last.
    """

    def __init__(self, die: HashDie):
        super().__init__(die)
        config = die.config
        self.settings = die.settings
        self.fate = Fate(Kind.AT_ONCE, 0, 0, 0)
        self._half = 1 << config.adc_bits - 1
        self._lsb_V = die.params.full_scale_V / self._half
        self._places = np.arange(config.size, dtype=np.uint32)
        self._cell_key = fold(CELLS, die.settings.seed)
        self._line, self._attempt, self._pulse_lasts = -1, 0, False
        self._line_digests = np.zeros((2, config.size), dtype=np.uint32)
        for plane in (0, 1):
            for row in range(config.size):
                self._keep(plane, row, self._taken(plane, row, np.zeros(config.size, dtype=np.int64), _LAST_ATTEMPT))
        self._drive = (0, 0)
        self._key = self._kind_word = self._result_key = self._number = self._clocks = 0
        self._result: NDArray[np.int64] = np.zeros(config.size, dtype=np.int64)

    # Events

    def write_row(self, plane: int, row: int, codes: NDArray) -> None:
        """One attempt to store N magnitude codes 0..C in one row of plane 0 (G+) or 1 (G-)."""
        self._need_open(2, "write")
        line = plane * self.die.config.size + row
        if not self._pulse_lasts:
            self._attempt = min(self._attempt + 1, _LAST_ATTEMPT) if line == self._line else 1
        self._line = line
        self._keep(plane, row, self._taken(plane, row, np.asarray(codes, dtype=np.int64), self._attempt))

    def close(self, multiply: bool, dac_codes: NDArray, drive_range: int = 0, feedback: int = 0) -> None:
        """Close the loop; the parameters are those of :meth:`MacroBody.close`."""
        self.open()
        self._closed, self._multiply = True, multiply
        self._feedback = int(feedback)
        self._begin(self._drive_of(dac_codes, drive_range))

    def drive(self, dac_codes: NDArray, drive_range: int = 0) -> None:
        """Change the drive of a closed loop, which starts again."""
        drive = self._drive_of(dac_codes, drive_range)
        if self._closed and drive != self._drive:
            self._begin(drive)

    def advance(self, clocks: int) -> None:
        """Let ``clocks`` clock edges pass."""
        self._clocks = self._clocks + clocks & _WORD

    def hold(self) -> tuple[Array, NDArray[np.bool_]]:
        """A fall of ``sample``: held voltages and clip flags as in :meth:`MacroBody.hold`."""
        if not self._closed:
            self.held_V = np.zeros(self.die.config.size)
        elif not self._frozen:
            self.held_V = self._sampled() * self._lsb_V
        self.samples += 1
        return self.held_V, self.clipped

    # Pins

    def edge(self, pins: MacroInputs) -> None:
        """One rising clock edge that sees ``pins``."""
        last = self._last
        self._pulse_lasts = bool(pins.write and last.write and (pins.row, pins.plane) == (last.row, last.plane))
        super().edge(pins)
        self._pulse_lasts = False

    @property
    def held_codes(self) -> NDArray[np.int64]:
        """Held outputs as raw codes, shape (N,)."""
        return np.rint(self.held_V / self._lsb_V).astype(np.int64)

    # Inside

    def _keep(self, plane: int, row: int, codes: NDArray[np.int64]) -> None:
        """Codes arrive in the cells of a row."""
        config = self.die.config
        self._codes[plane, row] = codes
        line = fold(ARRAYS, plane * config.size + row)
        self._line_digests[plane, row] = fold_bus(line, pack(codes, config.cell_bits), config.size * config.cell_bits)

    def _taken(self, plane: int, row: int, codes: NDArray[np.int64], attempt: int) -> NDArray[np.int64]:
        """What the cells of a row take of ``codes`` (rule 10)."""
        settings, config = self.settings, self.die.config
        if not (settings.stuck or settings.weak):
            return codes.copy()
        f = fold_all(fold(self._cell_key, plane * config.size + row), self._places)
        g = mix_all((f + np.uint32(_GOLDEN)) ^ codes.astype(np.uint32))
        weak = (g & 0xFFFF < settings.weak) & (attempt <= 1 + (g >> 16 & 3))
        taken = np.where(weak, codes ^ (1 << (g >> 18 & 7).astype(np.int64) % config.cell_bits), codes)
        return np.where(f & 0xFFFF < settings.stuck, f >> 16 & config.code_max, taken).astype(np.int64)

    def _drive_of(self, dac_codes: NDArray, drive_range: int) -> tuple[int, int]:
        """What makes a drive: the DAC bus and the range of the mode."""
        return pack(dac_codes, self.die.config.dac_bits), self._feedback if self._multiply else int(drive_range)

    def _begin(self, drive: tuple[int, int]) -> None:
        """Rules 2, 4 and 5."""
        settings, config = self.settings, self.die.config
        self._drive = bus, level = drive
        base = fold(fold(fold(START, settings.seed), 2 if self._multiply else 1), int(self._bandwidth))
        base = fold(fold_bus(base, bus, config.size * config.dac_bits),
                    int(np.bitwise_xor.reduce(self._line_digests, axis=None)))
        self._key = fold(base, level)

        c, k = fold(base, CLIP), fold(self._key, KIND)
        below = 1 + (c >> 8 & (3 if self._multiply else 7)) if c & 0xFF < settings.clip else 0
        if k & 0xFF < settings.never:
            kind, amplitude = Kind.NEVER, 2
        elif k & 0xFF < settings.never + settings.late:
            kind, amplitude = Kind.LATE, 1 + (k >> 8 & 7)
        elif k & 0xFF < settings.never + settings.late + settings.restless:
            kind, amplitude = Kind.RESTLESS, 1 + (k >> 11 & 3)
        else:
            kind, amplitude = Kind.AT_ONCE, 0
        self.fate = Fate(kind, amplitude, below, (1, 1, 2, 3)[c >> 12 & 3] if level < below else 0)
        self._kind_word = k
        self._number = self._clocks = 0

    def _sampled(self) -> NDArray[np.int64]:
        """Rules 6 to 8: raw codes of one more sample of a loop that is closed and not frozen; sets the clip flags."""
        self._number += 1
        if self._number == 1:
            self._result = self._settled(fold(fold(self._key, RESULT), self._clocks))
        kind, amplitude, _, clip_sample = self.fate
        codes, half = self._result, self._half
        if kind is Kind.LATE:
            amplitude = max(0, amplitude + 1 - self._number)
        if not amplitude and self._number != clip_sample:
            return codes

        w = fold(fold(fold(self._key, SAMPLE), self._number), self._clocks)
        d = fold_all(w, self._places)
        chosen = self._chosen(w, d)
        if kind is Kind.NEVER and self._number % 2 == 0:
            flipped = self._chosen(self._kind_word, fold_all(self._kind_word, self._places))
            codes = np.where(flipped, np.where(codes < 0, codes + half, codes - half), codes)
        moved = codes + ((d >> 16) * (2 * amplitude + 1) >> 16).astype(np.int64) - amplitude
        codes = np.clip(np.where(chosen, moved, codes), -half, half - 1)
        if self._number == clip_sample:
            self.clipped = chosen
            self._frozen = True
            codes = np.where(chosen, np.where(d >> 4 & 1, -half, half - 1), codes)
        return codes

    def _settled(self, r: int) -> NDArray[np.int64]:
        """Rule 6."""
        settings, bits = self.settings, self.die.config.adc_bits
        z = fold(r, SIZE)
        limit = settings.zero if self._drive[0] else settings.zero_undriven
        if z & 0xFF < limit:
            return np.zeros(len(self._places), dtype=np.int64)
        raw = (fold_all(r, self._places) & (1 << bits) - 1).astype(np.int64)
        codes = np.where(raw >= self._half, raw - 2 * self._half, raw)
        return codes >> 1 + (z >> 8 & 3) if z & 0xFF < limit + settings.small else codes

    def _chosen(self, w: int, d: NDArray) -> NDArray[np.bool_]:
        """Rule 7."""
        others = (np.zeros(len(d), dtype=bool), d & 7 == 0, d & 1 == 0, np.ones(len(d), dtype=bool))[w >> 8 & 3]
        return others | (self._places == w % len(d))


def mix(x: int) -> int:
    """Scramble of a 32-bit word with low bias (C. Wellons' ``lowbias32``)."""
    x = (x ^ x >> 16) * 0x7FEB_352D & _WORD
    x = (x ^ x >> 15) * 0x846C_A68B & _WORD
    return x ^ x >> 16


def mix_all(x: NDArray) -> NDArray:
    """:func:`mix` of every word of an array of uint32."""
    x = (x ^ x >> 16) * np.uint32(0x7FEB_352D)
    x = (x ^ x >> 15) * np.uint32(0x846C_A68B)
    return x ^ x >> 16


def fold(key: int, x: int) -> int:
    """A key with one more word in it."""
    return mix((key + _GOLDEN & _WORD) ^ x)


def fold_all(key: int, x: NDArray) -> NDArray:
    """:func:`fold` of one key with every word of an array of uint32."""
    return mix_all(x ^ np.uint32(key + _GOLDEN & _WORD))


def fold_bus(key: int, bus: int, width: int) -> int:
    """A key with a bus of ``width`` bits in it."""
    for low in range(0, width, 32):
        key = fold(key, bus >> low & _WORD)
    return key

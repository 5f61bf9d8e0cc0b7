"""The driver: what to read and write, in what order, to make the chip do something."""

from dataclasses import asdict, dataclass

import numpy as np

from ohmloop.engines.operations import Read, Script, WaitHalt, Write
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.golden.machine import RUN_LIMIT_CLOCKS
from ohmloop.golden.settings import SETTING_FIELDS, Settings
from ohmloop.golden.stream import signed
from ohmloop.golden.vector import Scalar
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_BITS, GAIN_BITS, MANTISSA_BITS, OFFSET_BITS, SCALARS, VECTORS
from ohmloop_hdl.host.map import AddressMap, address_map
from ohmloop_hdl.isa import PROGRAM_WORDS
from ohmloop_hdl.sequencer.traps import TrapCause


@dataclass(frozen=True)
class Status:
    """How a run ended: trap cause, halt code, program counter, clocks, bad cells of the last PROG or SCRUB, rows that
    the last SCRUB wrote again."""

    trap: TrapCause
    halt_code: int
    pc: int
    cycles: int
    bad_cells: int
    repairs: int


class Driver:
    """Driver of one chip, as scripts of bus operations (:mod:`ohmloop.engines.operations`).

    Parameters
    ----------
    config : ChipConfig
        What the chip must say that it is.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.map: AddressMap = address_map(config)

    def identify(self) -> Script[None]:
        """Check that an Ohmloop chip of the wanted configuration answers; ``NotSolvedError`` says what answered."""
        names = ("ID", "CAPS0", "CAPS1", "CAPS2")
        for name in names:
            (word,) = yield Read(self.map.registers[name])
            wanted = sum(f.reset << f.low for f in self.map.fields.values() if f.register == name)
            if word != wanted:
                raise NotSolvedError(f"register {name} of the chip reads {word:#010x}, configuration "
                                     f"{self.config.name} wants {wanted:#010x}")

    def ready(self) -> Script[None]:
        """Wait until the chip has wiped itself, as it does out of reset."""
        wiped = self.map.fields["INTR_STATE.wiped"].mask
        (status,) = yield Read(self.map.registers["STATUS"])
        if status & self.map.fields["STATUS.busy"].mask:
            yield Write(self.map.registers["INTR_ENABLE"], (wiped,))
            yield WaitHalt(RUN_LIMIT_CLOCKS)
        yield Write(self.map.registers["INTR_STATE"], (wiped,))

    def zeroize(self) -> Script[None]:
        """Overwrite every memory and both arrays, and wait until it is done."""
        yield from self.ready()
        yield Write(self.map.registers["CONTROL"], (self.map.fields["CONTROL.zeroize"].mask,))
        yield from self.ready()

    def configure(self, settings: Settings) -> Script[None]:
        """Write every configuration register."""
        words: dict[int, int] = {}
        for name, value in asdict(settings).items():
            field = self.map.fields[SETTING_FIELDS[name]]
            if not 0 <= value < 1 << field.width:
                raise InputError(f"{name} must be 0 to {(1 << field.width) - 1}, not {value}")
            words[field.address] = words.get(field.address, 0) | value << field.low
        for address, word in words.items():
            yield Write(address, (word,))

    def load_program(self, words: list[int], entry: int = 0) -> Script[None]:
        """Put instruction words into program memory from ``entry`` on."""
        if not 0 <= entry <= PROGRAM_WORDS - len(words):
            raise InputError(f"program: {len(words)} words from {entry} on, the memory has {PROGRAM_WORDS}")
        yield Write(self.map.windows["PROGRAM"].address + 4 * entry, tuple(words))

    def load_codes(self, codes: np.ndarray) -> Script[None]:
        """Put N x N signed cell codes into the code memory."""
        bits = 32 // self.config.codes_per_word
        checked = _integers("codes", codes, (self.config.size, self.config.size), self.config.cell_bits + 1)
        yield Write(self.map.windows["CODES"].address, _pack(checked, bits))

    def load_vector(self, vector: int, mantissas: np.ndarray, exponent: int) -> Script[None]:
        """Put N signed mantissas and an exponent into a vector register."""
        _number("vector", vector, VECTORS)
        checked = _integers(f"mantissas of v{vector}", mantissas, (self.config.size,), MANTISSA_BITS)
        scale = _integers(f"exponent of v{vector}", exponent, (), EXPONENT_BITS)
        yield Write(self._mantissas(vector), _pack(checked, 32))
        yield Write(self.map.windows["EXPONENTS"].address + 4 * vector, _pack(scale, 32))

    def read_vector(self, vector: int) -> Script[tuple[np.ndarray, int]]:
        """Mantissas (N,) and exponent of a vector register."""
        mantissas = yield Read(self._mantissas(vector), self.config.size)
        (exponent,) = yield Read(self.map.windows["EXPONENTS"].address + 4 * vector)
        return _signed(mantissas), int(_signed([exponent])[0])

    def load_scalar(self, scalar: int, value: Scalar) -> Script[None]:
        """Put a mantissa and an exponent into a scalar register."""
        _number("scalar", scalar, SCALARS)
        mantissa = _integers(f"mantissa of k{scalar}", value.mantissa, (), ELEMENT_BITS)
        exponent = _integers(f"exponent of k{scalar}", value.exponent, (), EXPONENT_BITS)
        for window, number in (("SCALAR_MANTISSAS", mantissa), ("SCALAR_EXPONENTS", exponent)):
            yield Write(self.map.windows[window].address + 4 * scalar, _pack(number, 32))

    def read_scalar(self, scalar: int) -> Script[Scalar]:
        """Mantissa and exponent of a scalar register."""
        (mantissa,) = yield Read(self.map.windows["SCALAR_MANTISSAS"].address + 4 * scalar)
        (exponent,) = yield Read(self.map.windows["SCALAR_EXPONENTS"].address + 4 * scalar)
        return Scalar(signed(mantissa, ELEMENT_BITS), signed(exponent, EXPONENT_BITS))

    def load_slot(self, slot: int, elements: np.ndarray) -> Script[None]:
        """Put N x N signed elements Q1.23 into a matrix slot."""
        _number("slot", slot, self.config.slots)
        checked = _integers(f"elements of m{slot}", elements, (self.config.size, self.config.size), ELEMENT_BITS)
        place = self.map.windows["SLOTS"].address + 4 * slot * self.config.size ** 2
        yield Write(place, _pack(checked, 32))

    def load_correction(self, offsets: np.ndarray, gains: np.ndarray) -> Script[None]:
        """Put N offsets in 1/16 LSB and a gain UQ1.15 a converter into the correction memory."""
        checked = _integers("offsets", offsets, (self.config.size,), OFFSET_BITS)
        # One bit more: gains have no sign.
        positive = _integers("gains", gains, (self.config.adcs,), GAIN_BITS + 1, low=0)
        yield Write(self.map.windows["OFFSETS"].address, _pack(checked, 32))
        yield Write(self.map.windows["GAINS"].address, _pack(positive, 32))

    def read_offsets(self) -> Script[np.ndarray]:
        """N offsets in 1/16 LSB."""
        words = yield Read(self.map.windows["OFFSETS"].address, self.config.size)
        return _signed(words)

    def read_events(self) -> Script[dict[Event, int]]:
        """Event counters; they wrap at 2^32."""
        words = yield Read(self.map.registers[f"EVENT_{Event(0).name}"], len(Event))
        return dict(zip(Event, words, strict=True))

    def read_bad_map(self) -> Script[np.ndarray]:
        """N x N booleans: cells that the last programming could not make read back as written."""
        window = self.map.windows["BAD_MAP"]
        words = yield Read(window.address, window.words)
        bits = np.array(words, dtype="<u4").view(np.uint8).reshape(self.config.size, -1)
        return np.unpackbits(bits, axis=1, bitorder="little")[:, :self.config.size].astype(bool)

    def run(self, entry: int = 0, limit_clocks: int = RUN_LIMIT_CLOCKS) -> Script[Status]:
        """Run the program at ``entry`` to its end and say how it ended."""
        done, trap = (self.map.fields[f"INTR_STATE.{name}"] for name in ("done", "trap"))
        yield Write(done.address, (done.mask | trap.mask,))
        yield Write(self.map.registers["INTR_ENABLE"], (done.mask | trap.mask,))
        yield Write(self.map.registers["ENTRY"], (entry,))
        yield Write(self.map.registers["CONTROL"], (self.map.fields["CONTROL.start"].mask,))
        yield WaitHalt(limit_clocks)
        return (yield from self.status())

    def status(self) -> Script[Status]:
        """How the last run ended."""
        (status,) = yield Read(self.map.registers["STATUS"])
        (cycles,) = yield Read(self.map.registers["CYCLES"])
        (bad_cells,) = yield Read(self.map.registers["BAD_CELLS"])
        (repairs,) = yield Read(self.map.registers["REPAIRS"])

        def part(name: str) -> int:
            field = self.map.fields[f"STATUS.{name}"]
            return (status & field.mask) >> field.low

        return Status(TrapCause(part("trap")), part("halt_code"), part("pc"), cycles, bad_cells, repairs)

    def _mantissas(self, vector: int) -> int:
        return self.map.windows["MANTISSAS"].address + 4 * vector * self.config.size


def _number(what: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise InputError(f"{what}: must be 0 to {count - 1}, not {number}")


def _integers(what: str, values: object, shape: tuple[int, ...], bits: int, low: int | None = None) -> np.ndarray:
    """``values`` as integers of a shape, each of so many bits in two's complement and not below ``low``."""
    array = np.asarray(values)
    least, most = -(1 << bits - 1) if low is None else low, (1 << bits - 1) - 1
    if array.shape != shape:
        raise InputError(f"{what}: shape must be {shape}, not {array.shape}")
    bad = array[~((least <= array) & (array <= most) & (array == np.rint(array)))]
    if bad.size:
        raise InputError(f"{what}: must be integers from {least} to {most}, not {bad.flat[0]}")
    return array.astype(np.int64).reshape(-1)


def _pack(values: np.ndarray, bits: int) -> tuple[int, ...]:
    """Signed ``values`` of ``bits`` bits, little-endian in 32-bit words."""
    return tuple(int(word) for word in np.asarray(values).astype(f"<i{bits // 8}").view("<u4"))


def _signed(words: list[int]) -> np.ndarray:
    return np.array(words, dtype=np.uint32).view(np.int32).astype(np.int64)

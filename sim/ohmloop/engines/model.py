"""Engine ``model``: the golden machine behind its registers and windows, as fast as numpy allows.

A run happens at once, at the next operation after its start that could tell: a host sees it halted, never running, and
may still send what the program takes from the stream. Everything else is as on the chip, bit for bit and, in CYCLES,
clock for clock, but for STREAM_WAITS, which reads zero; a stream moves at once as far as it can. Addresses, fields and
access come from the register description.
"""

from collections import Counter
from types import TracebackType

import numpy as np
from systemrdl.rdltypes.builtin_enums import OnWriteType

from ohmloop.analog.body import MacroBody
from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.engines.operations import (
    Connect,
    EngineError,
    Operation,
    Read,
    Receive,
    Result,
    Script,
    Send,
    WaitHalt,
    Write,
    drive,
)
from ohmloop.errors import NotSolvedError
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.golden.settings import SETTING_FIELDS, Settings
from ohmloop.golden.state import Beat
from ohmloop.golden.windows import read_window, write_window
from ohmloop_hdl.events import Event
from ohmloop_hdl.host.map import Field, Window, address_map

WORD = 4
"""Bytes in a word."""


class ModelEngine:
    """The golden machine as a chip on a bus; enter it like any other engine.

    Parameters
    ----------
    machine : Machine
        The machine; :meth:`of` makes one from a die. Its state is the chip's: what is in it before stays.
    """

    name = "model"

    def __init__(self, machine: Machine):
        self.machine = machine
        self.config = machine.config
        self.last_run = Run()
        """What the last run did, with every scan and every retired instruction."""
        self.clocks = 0
        """Clocks of all runs."""
        self._map = address_map(self.config)
        self._registers: dict[int, dict[str, Field]] = {address: {} for address in self._map.registers.values()}
        for key, field in self._map.fields.items():
            self._registers[field.address][key] = field
        self._stored = {key: field.reset for key, field in self._map.fields.items() if field.stored}
        self._stored["INTR_STATE.wiped"] = 1
        self._events = Counter(machine.wiped.events)
        self._waiting: int | None = None
        self._shown = False
        self._connected = False
        self._offered: list[Beat] = []  # before the streams were connected

    @classmethod
    def of(cls, die: Die) -> "ModelEngine":
        """A chip of its own around the numpy macro of a die."""
        macro: MacroBody = NumpyMacro(die)
        return cls(Machine(die.config, macro))

    def __enter__(self) -> "ModelEngine":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        pass

    def execute(self, script: Script[Result]) -> Result:
        """Carry out a script and return its result."""
        return drive(script, self._perform)

    def _perform(self, operation: Operation) -> list[int]:
        ran = not isinstance(operation, Send | Connect) and self._run_what_waits()
        match operation:
            case Write(address, words):
                self._write(address, np.array(words, dtype=np.int64))
            case Read(address, count):
                return self._read(address, count)
            case WaitHalt(clocks):
                if not self._interrupt or ran and self.last_run.cycles > clocks:
                    raise EngineError(f"model: no interrupt within {clocks} clocks")
            case Send(words):
                beats = [(word, place == len(words) - 1) for place, word in enumerate(words)]
                (self.machine.source if self._connected else self._offered).extend(beats)
            case Connect():
                self._connected = True
                self.machine.source.extend(self._offered)
                self._offered.clear()
            case Receive(clocks):
                return self._receive(clocks)
        return []

    # Windows

    def _window(self, address: int, count: int) -> tuple[Window, int] | None:
        """The window that holds ``count`` words from ``address`` on, and the number of the first."""
        for window in self._map.windows.values():
            first = (address - window.address) // WORD
            if 0 <= first and first + count <= window.words:
                return window, first
        return None

    def _write(self, address: int, words: np.ndarray) -> None:
        address -= address % WORD
        found = self._window(address, len(words))
        if found is not None and found[0].writable:
            write_window(self.machine, found[0].name, found[1], words, wrong=bool(self._stored["TEST.bad_parity"]))
        elif found is not None or not all(self._write_register(address + WORD * place, int(word))
                                          for place, word in enumerate(words)):
            raise EngineError(f"model: write of {len(words)} words at {address:#x} refused")

    def _read(self, address: int, count: int) -> list[int]:
        address -= address % WORD
        found = self._window(address, count)
        if found is not None:
            window, first = found
            hidden = window.secret and self._stored["LOCK.matrices"]
            words = None if hidden else read_window(self.machine, window.name, first, count)
        elif all(address + WORD * place in self._registers for place in range(count)):
            shown = self._driven()
            words = np.array([self._register(address + WORD * place, shown) for place in range(count)])
        else:
            words = None
        if words is None:
            raise EngineError(f"model: read of {count} words at {address:#x} refused")
        return words.tolist()

    # Registers

    def _register(self, address: int, shown: dict[str, int]) -> int:
        word = 0
        for key, field in self._registers[address].items():
            if field.readable:
                word |= self._stored.get(key, shown.get(key, field.reset)) << field.low & field.mask
        return word

    def _driven(self) -> dict[str, int]:
        """Fields that the hardware drives."""
        machine, run = self.machine, self.last_run
        shown = {
            "STATUS.halted": 1, "CYCLES.count": run.cycles, "BAD_CELLS.count": machine.bad_count,
            "REPAIRS.count": machine.repairs, "VALID.codes": machine.valid_codes, "VALID.arrays": machine.valid_arrays,
            "VALID.slots": sum(valid << slot for slot, valid in enumerate(machine.valid_slots)),
        }
        if self._shown:
            shown |= {"STATUS.pc": run.pc, "STATUS.halt_code": run.halt_code, "STATUS.trap": run.trap}
        return shown | {f"EVENT_{event.name}.count": self._events[event] for event in Event}

    def _write_register(self, address: int, word: int) -> bool:
        """Whether the register takes a write, which is done then."""
        fields = {key: field for key, field in self._registers.get(address, {}).items() if field.writable}
        if not fields:
            return False
        given = {field.name: (word & field.mask) >> field.low for field in fields.values()}
        if address == self._map.registers["CONTROL"]:
            self._control(given)
        elif address == self._map.registers["INTR_TEST"]:
            for name, value in given.items():
                self._stored[f"INTR_STATE.{name}"] |= value
        else:
            for key, field in fields.items():
                old, value = self._stored[key], given[field.name]
                self._stored[key] = old & ~value if field.onwrite == OnWriteType.woclr else \
                    old | value if field.onwrite == OnWriteType.woset else value
        return True

    def _control(self, given: dict[str, int]) -> None:
        if given["zeroize"] or given["flush"]:
            # The chip's own buffer, of a vector; what waits behind it waits outside of the chip.
            for _ in range(min(self.config.size + 1, len(self.machine.source))):
                self.machine.source.popleft()
        if given["zeroize"]:
            self.machine.zeroize()
            self._events.update(self.machine.wiped.events)
            self._stored["INTR_STATE.wiped"] = 1
        if given["zeroize"] or given["abort"]:
            self.last_run, self._shown = Run(), False
        elif given["start"]:
            self._waiting, self._shown = self._stored["ENTRY.pc"], False
        elif given["clear"]:
            self._shown = False

    @property
    def _interrupt(self) -> bool:
        return any(value and self._stored[key.replace("STATE", "ENABLE")] for key, value in self._stored.items()
                   if key.startswith("INTR_STATE."))

    # Runs and streams

    def _run_what_waits(self) -> bool:
        """Whether there was a run to be made."""
        if self._waiting is None:
            return False
        entry, self._waiting = self._waiting, None
        settings = Settings(**{name: self._stored[key] for name, key in SETTING_FIELDS.items()})
        self.machine.settings = settings
        try:
            self.last_run = run = self.machine.run(entry)
        except NotSolvedError as error:
            raise EngineError(f"model: {error}") from None
        self.clocks += run.cycles
        self._shown = True
        for name in ("drive_range", "feedback"):  # auto-ranging moves them
            self._stored[SETTING_FIELDS[name]] = getattr(settings, name)
        self._events.update(run.events)
        self._stored["INTR_STATE.trap" if run.trap else "INTR_STATE.done"] = 1
        return True

    def _receive(self, clocks: int) -> list[int]:
        sink = self.machine.sink
        ends = [place for place, (_, last) in enumerate(sink) if last]
        if not ends or not self._connected:
            raise EngineError(f"model: no object on the output stream within {clocks} clocks")
        words = [word for word, _ in sink[:ends[0] + 1]]
        del sink[:ends[0] + 1]
        return words

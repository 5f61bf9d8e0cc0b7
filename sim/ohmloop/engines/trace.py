"""The trace port, decoded: phases, scans, and what each instruction wrote."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ohmloop.analog.buses import unpack
from ohmloop.golden.run import Result, Retired
from ohmloop.golden.stream import signed
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_BITS, MANTISSA_BITS
from ohmloop_hdl.isa import DIV, DK, DOT, OPCODE_LOW, D


@dataclass
class Trace:
    """What the trace port showed since it was last taken.

    ``scans``: the stored codes (N,) of every scan; ``phases``: clocks spent in each phase, idle and wiping left out;
    ``retired``: instructions with what they wrote.
    """

    scans: list[np.ndarray] = field(default_factory=list)
    phases: Counter[Phase] = field(default_factory=Counter)
    retired: list[Retired] = field(default_factory=list)

    @property
    def worked(self) -> Counter[Phase]:
        """Clocks spent in each phase, waits for streams left out: what a prediction can know."""
        return Counter({phase: clocks for phase, clocks in self.phases.items() if phase is not Phase.WAIT})


class TraceDecoder:
    """Puts a :class:`Trace` together from the signals of the trace port, told clock by clock or when one is high.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths of the packed signals.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.trace = Trace()
        self._scan = np.zeros(config.size, dtype=np.int64)
        self._mantissas = np.zeros(config.size, dtype=np.int64)
        self._written = self._finished = False
        self._exponent = self._scalar = 0

    def take(self) -> Trace:
        """The trace so far; starts a new one."""
        taken, self.trace = self.trace, Trace()
        return taken

    def phase(self, phase: Phase, clocks: int = 1) -> None:
        """The machine spent ``clocks`` in a phase."""
        if phase not in (Phase.IDLE, Phase.WIPE):
            self.trace.phases[phase] += clocks

    def converted(self, mux: int, codes: int) -> None:
        """``trace_converted`` is high."""
        config = self.config
        self._scan[mux::config.mux_steps] = unpack(codes, config.adcs, config.adc_bits, signed=True)
        if mux == config.mux_steps - 1:
            self.trace.scans.append(self._scan.copy())

    def write(self, index: int, mantissas: int) -> None:
        """``trace_write`` is high."""
        self._mantissas[index::self.config.block] = unpack(mantissas, self.config.lanes, MANTISSA_BITS, signed=True)
        self._written = True

    def finished(self, exponent: int, scalar: int) -> None:
        """``trace_finished`` is high."""
        self._exponent, self._scalar = signed(exponent, EXPONENT_BITS), signed(scalar, ELEMENT_BITS)
        self._finished = True

    def retired(self, pc: int, instruction: int, cycles: int) -> None:
        """``trace_retired`` is high; called after what the other signals of the same clock say."""
        self.trace.retired.append(Retired(pc, instruction, cycles + 1, self._result(instruction)))
        self._written = self._finished = False

    def stopped(self) -> None:
        """The machine stands: what an instruction that did not retire wrote is forgotten."""
        self._written = self._finished = False

    def _result(self, instruction: int) -> Result | None:
        if not self._finished:
            return None
        if instruction >> OPCODE_LOW in (DOT.opcode, DIV.opcode):
            return Result(f"k{DK.of(instruction)}", self._exponent, (self._scalar,))
        mantissas = tuple(int(m) for m in self._mantissas) if self._written else None
        return Result(f"v{D.of(instruction)}", self._exponent, mantissas)

"""PROG and SCRUB in the golden machine."""

import numpy as np

from ohmloop.analog.body import MacroBody
from ohmloop.golden import cycles
from ohmloop.golden.run import Clock, Trapped
from ohmloop.golden.settings import Settings
from ohmloop.golden.state import State
from ohmloop.golden.stream import fill_row
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.sequencer.traps import TrapCause


def program_arrays(state: State, macro: MacroBody, settings: Settings, clock: Clock, *, stream: bool = False,
                   scrub: bool = False) -> None:
    """Write the code memory to both arrays row by row (``scrub``: only what differs), count and map bad cells."""
    config = state.config
    state.bad_count = state.repairs = 0
    state.valid_arrays = state.valid_arrays and scrub
    state.valid_codes = state.valid_codes and not stream
    for row in range(config.size):
        if stream:
            clock.spend(Phase.PROGRAM, cycles.REFILL)
            fill_row(state, clock, row)
        _load(state, clock, row)
        codes = np.maximum(state.codes[row], -config.code_max)
        bad = [_write(state, macro, settings, clock, row, plane, np.maximum(sign * codes, 0), scrub)
               for plane, sign in ((0, 1), (1, -1))]
        # Map and counts change in the clock that the watchdog may stop, too.
        state.bad_map[row] = bad[0] | bad[1]
        state.bad_count += int(state.bad_map[row].sum())
        clock.spend(Phase.PROGRAM, cycles.RECORD)
    failed = state.bad_count > settings.bad_limit
    clock.spend(Phase.PROGRAM, cycles.PROGRAM_END, safe=not failed)
    if failed:
        raise Trapped(TrapCause.VERIFY)
    state.valid_arrays = True
    state.valid_codes = True


def _load(state: State, clock: Clock, row: int) -> None:
    config = state.config
    wrong = state.wrong_codes[row].reshape(config.lanes, config.code_words).any(axis=0)
    if wrong.any():
        raise clock.fault(Phase.PROGRAM, cycles.load_parity_cycles(int(wrong.argmax())), TrapCause.PARITY)
    clock.spend(Phase.PROGRAM, cycles.load_cycles(config))
    clock.run.events[Event.CODE_READ] += config.code_words * config.lanes


def _write(state: State, macro: MacroBody, settings: Settings, clock: Clock, row: int, plane: int, wanted: np.ndarray,
           scrub: bool) -> np.ndarray:
    """One row of one plane; which of its cells stay wrong."""
    events = clock.run.events
    if scrub:
        clock.spend(Phase.PROGRAM, cycles.LOOK - 1)
        events[Event.ROW_READ] += 1
        bad = macro.read_row(plane, row) != wanted
        state.repairs += bool(bad.any())
        clock.spend(Phase.PROGRAM, 1)
        if not bad.any():
            return bad
        events[Event.ROW_REWRITTEN] += 1
    bad = np.ones(state.config.size, dtype=bool)
    for attempt in range(settings.retries + 1):
        events[Event.ROW_REWRITTEN] += attempt > 0
        clock.spend(Phase.PROGRAM, cycles.SELECT)
        # The cells take what they are given at the first edge of the pulse, even if the watchdog cuts it short.
        state.valid_arrays = False
        macro.write_row(plane, row, wanted)
        clock.spend(Phase.PROGRAM, cycles.attempt_cycles(settings.write_cycles) - cycles.SELECT)
        events[Event.ROW_WRITTEN] += 1
        events[Event.ROW_READ] += 1
        bad = macro.read_row(plane, row) != wanted
        if not bad.any():
            break
    return bad

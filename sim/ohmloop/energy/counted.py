"""Energy from event counters alone, which every engine and every chip has, where no clock of a phase was recorded."""

from collections.abc import Mapping

from ohmloop.analog.params import AnalogParams
from ohmloop.energy.model import Energy, energy_of
from ohmloop.golden.cycles import drive_cycles, prepare_cycles
from ohmloop.golden.settings import Settings
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Event, Phase


def energy_of_counters(events: Mapping[Event, int], clocks: int, config: ChipConfig, params: AnalogParams) -> Energy:
    """Energy of what the event counters of a chip say, ``clocks`` of all programs together.

    Loading of input codes and preparation of a closing take known clocks each, with the dead time and auto-zero that
    are in force after reset; what the array draws is that of a typical matrix
    (:func:`~ohmloop.energy.model.typical_load`).
    """
    settings = Settings.reset(config)
    drives, drive = events.get(Event.DAC_UPDATED, 0) // config.size, drive_cycles(config)
    prepare = prepare_cycles(settings.dead, settings.autozero)
    phases = {
        Phase.DRIVE: drives * drive,
        # The first preparation after a drive goes on while the DACs are loaded.
        Phase.PREPARE: events.get(Event.LOOP_CLOSED, 0) * prepare - drives * min(prepare, drive),
    }
    phases[Phase.ISSUE] = max(0, clocks - sum(phases.values()))
    return energy_of(events, phases, config, params)

"""The timeline against the gateware: every switch, phase, conversion and retirement in the clock that it is in."""

from dataclasses import replace

import numpy as np
import pytest
from verification.unit.simulated_chip import SimulatedChip

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import heat
from ohmloop.golden.assembler import assemble, disassemble
from ohmloop.golden.machine import Machine
from ohmloop.host.job import Job, job_script, predict
from ohmloop.host.system import iterative_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs
from ohmloop.report.timeline import SWITCHES, Bar, Timeline, shown_outputs, timeline_of
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Phase

PARAMS = AnalogParams()
REST = (Phase.IDLE, Phase.WIPE)


def job_for(name: str, program: str, **settings: int) -> Job:
    """A heat plate on a configuration; a program by name, or in text."""
    config = CONFIGS[name]
    matrix = heat(config.size)
    plan = plan_system(matrix, config, PARAMS)
    # A large solution: the first ranges clip.
    job = iterative_job("refine", plan, matrix, scale_rhs(np.ones(config.size), config), config, limit=3)
    words = assemble(program) if program else job.program
    return replace(job, settings=replace(job.settings, **settings), program=words)


def predicted(name: str, job: Job) -> Timeline:
    """The timeline of the golden machine."""
    die = Die.sample(CONFIGS[name], PARAMS)
    _, run = predict(Machine(die.config, NumpyMacro(die), record=True), job)
    return timeline_of(run, job.settings, job.codes, die)


def seen(name: str, job: Job) -> list[dict[str, int]]:
    """What the gateware showed in each clock of the run, in Amaranth's simulator."""
    config, clocks = CONFIGS[name], []
    simulated = SimulatedChip(Die.sample(config, PARAMS))
    trace, pins = simulated.chip.trace, simulated.chip.macro
    signals = {"phase": trace.phase, "retired": trace.retired, "pc": trace.pc, "converted": trace.converted,
               "mux": trace.mux, "drive_range": pins.drive_range} | {name: getattr(pins, name) for name in SWITCHES}

    async def watch(ctx):
        async for _, _, *values in ctx.tick().sample(*signals.values()):
            if values[0] not in REST:
                clocks.append(dict(zip(signals, map(int, values), strict=True)))

    async def bench(ctx):
        await simulated.execute(ctx, job_script(config, job))

    simulated._simulator.add_testbench(watch, background=True)
    simulated.run(bench)
    return clocks


def high(bars: tuple[Bar, ...]) -> set[int]:
    """Clocks that some bar holds."""
    return {clock for bar in bars for clock in range(bar.start, bar.end)}


@pytest.mark.parametrize(("name", "program", "settings"), [
    ("tiny", "", {}),
    ("lab", "", {}),
    # The DACs take longer to load than the switches to prepare, so that the loop waits for them.
    ("lab", "PROG\nINV v2, v1\nMUL v3, v1\nINV v2, v1\nHALT 0\n", {"dead": 1, "autozero": 1}),
    ("tiny", "PROG\nMUL v3, v1\nHALT 0\n", {"dead": 7, "autozero": 3, "multiply_interval": 50}),
], ids=["tiny", "lab", "multiply", "slow switches"])
def test_the_gateware_does_the_same_in_the_same_clock(name: str, program: str, settings: dict[str, int]):
    job = job_for(name, program, **settings)
    timeline, clocks = predicted(name, job), seen(name, job)
    assert timeline.clocks == len(clocks)
    assert timeline.closings and timeline.conversions
    by_clock = [bar.name for bar in timeline.phases for _ in range(bar.end - bar.start)]
    assert by_clock == [Phase(clock["phase"]).name.lower() for clock in clocks]
    for switch in SWITCHES:
        assert high(timeline.switches[switch]) == {place for place, clock in enumerate(clocks) if clock[switch]}, switch
    assert [(step.end - 1, step.mux) for step in timeline.conversions] == \
        [(place, clock["mux"]) for place, clock in enumerate(clocks) if clock["converted"]]
    assert [bar.end for bar in timeline.instructions] == [retired.cycles for retired in timeline.retired]
    assert [(retired.cycles - 1, retired.pc) for retired in timeline.retired] == \
        [(place, clock["pc"]) for place, clock in enumerate(clocks) if clock["retired"]]
    for closing in timeline.closings:
        if not closing.multiply:
            assert clocks[closing.closed]["drive_range"] == closing.drive_range


def test_outputs_pass_through_what_was_held():
    """Between the curve without noise and a held voltage there is the read noise and nothing else."""
    timeline = predicted("lab", job_for("lab", ""))
    swing_V, noise_V = PARAMS.swing_V, PARAMS.read_noise_V
    curves = {transient.start + k: volts_V for transient in timeline.transients
              for k, volts_V in enumerate(transient.volts_V)}
    differences = np.concatenate([np.clip(sample.held_V, -swing_V, swing_V) - curves[sample.clock]
                                  for sample in timeline.samples if not sample.clipped])
    assert np.abs(differences).max() < 5 * noise_V and 0.5 * noise_V < differences.std() < 1.5 * noise_V
    for closing, transient in zip(timeline.closings, timeline.transients, strict=True):
        assert transient.start == closing.closed + 1 and transient.start + len(transient.volts_V) == closing.opened


def test_a_trap_has_a_bar():
    job = job_for("tiny", "", watchdog=30)
    timeline = predicted("tiny", job)
    assert timeline.instructions[-1].name == "trap watchdog" and timeline.instructions[-1].end == timeline.clocks


def test_instructions_are_named():
    timeline = predicted("tiny", job_for("tiny", ""))
    assert timeline.instructions[0].name == "PROG"
    assert all(disassemble(retired.instruction) == bar.name
               for bar, retired in zip(timeline.instructions, timeline.retired, strict=True))


@pytest.mark.parametrize(("count", "most", "shown"), [(64, 4, [0, 21, 42, 63]), (3, 4, [0, 1, 2]), (1, 4, [0])])
def test_outputs_that_are_shown(count: int, most: int, shown: list[int]):
    assert shown_outputs(count, most).tolist() == shown

"""The record of a run: every clock once, every event once, and nothing changes because of it."""

from collections import Counter

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import heat
from ohmloop.golden import cycles
from ohmloop.golden.machine import Machine
from ohmloop.golden.run import Run
from ohmloop.host.job import Job, Outcome, predict
from ohmloop.host.system import iterative_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.sequencer.traps import TrapCause

LAB = CONFIGS["lab"]


def job_for(program: str) -> Job:
    """The heat plate at ``lab``."""
    matrix = heat(LAB.size)
    plan = plan_system(matrix, LAB, AnalogParams())
    return iterative_job(program, plan, matrix, scale_rhs(np.ones(LAB.size), LAB), LAB)


def run_of(job: Job, *, record: bool) -> tuple[Outcome, Run]:
    """The job on a new machine."""
    return predict(Machine(LAB, NumpyMacro(Die.sample(LAB, AnalogParams())), record=record), job)


@pytest.mark.parametrize("program", ["refine", "gcr", "digital"])
def test_nothing_changes_and_everything_is_there_once(program: str):
    job = job_for(program)
    (plain_outcome, plain), (outcome, run) = run_of(job, record=False), run_of(job, record=True)
    assert plain.record is None and outcome.same(plain_outcome)
    assert (run.phases, run.events, run.retired) == (plain.phases, plain.events, plain.retired)
    record = run.record
    assert record is not None and record.clocks == run.cycles
    phases, events = Counter[Phase](), Counter[Event]()
    for span, following in zip(record.spans, [*record.spans[1:], None], strict=True):
        assert span.clocks > 0
        phases[span.phase] += span.clocks
        assert following is None or (span.end == following.start and span.phase is not following.phase)
    for mark in record.marks:
        events[mark.event] += mark.amount
    assert phases == run.phases and events == run.events
    assert [mark.clock for mark in record.marks] == sorted(mark.clock for mark in record.marks)


def test_closings_are_where_the_loop_is_closed():
    _, run = run_of(job_for("refine"), record=True)
    record = run.record
    assert record is not None and len(record.closings) == run.events[Event.LOOP_CLOSED]
    closed = {clock for closing in record.closings for clock in range(closing.closed, closing.opened)}
    assert closed == {clock for span in record.spans if span.phase in (Phase.SETTLE, Phase.CONVERT)
                      for clock in range(span.start, span.end)}
    places = [closing.first_scan for closing in record.closings]
    assert places[0] == 0 and places == sorted(set(places)) and places[-1] < len(run.scans)
    for closing in record.closings:
        assert closing.prepared < closing.closed
        last = [other.first_scan for other in record.closings if other.first_scan > closing.first_scan]
        scan = run.scans[(last[0] if last else len(run.scans)) - 1]
        assert closing.closed + scan.clock + cycles.scan_cycles(LAB) - 1 == closing.opened


def test_a_trap_ends_the_record_where_the_run_ends():
    job = job_for("refine")
    job.settings.watchdog = 400
    _, run = run_of(job, record=True)
    assert run.trap is TrapCause.WATCHDOG
    assert run.record is not None and run.record.clocks == run.cycles
    assert all(closing.opened for closing in run.record.closings)

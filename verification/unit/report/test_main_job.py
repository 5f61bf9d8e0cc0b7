"""The settling that the picture shows is the settling that the chip sampled."""

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.golden.machine import Machine
from ohmloop.host.job import predict
from ohmloop.host.system import solve_job
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import scale_rhs
from ohmloop.report.timeline import settling_of, shown_outputs, timeline_of
from ohmloop_hdl.config import CONFIGS


@pytest.mark.parametrize(("name", "seed"), [("heat", 0), ("svdlog", 0), ("oscillator", 0), ("skew", 1)])
def test_settling_passes_through_what_was_sampled(name: str, seed: int):
    """Also where an output overshoots a rail between samples, which the chip does not see and must not freeze."""
    config, params = CONFIGS["lab"], AnalogParams.reference()
    matrix = ensemble(name, config.size, 10.0, seed)
    plan = plan_system(matrix, config, params, allow_shift=True)
    rhs = scale_rhs(matrix @ np.random.default_rng(seed).normal(size=config.size), config)
    die = Die.sample(config, params)
    job = solve_job(plan, rhs, config)
    _, run = predict(Machine(config, NumpyMacro(die), record=True), job)
    trace = settling_of(timeline_of(run, job.settings, job.codes, die), shown_outputs(plan.n, 4))
    assert trace is not None
    last = run.scans[-1]
    assert trace.samples_s[-1] == pytest.approx(last.clock * params.clock_s) == pytest.approx(trace.times_s[last.clock])
    shown = [int(label.split()[1]) for label in trace.labels]
    assert np.abs(trace.volts_V[last.clock] - last.held_V[shown]).max() < 6 * params.read_noise_V

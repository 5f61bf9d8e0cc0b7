"""A chip to work with: what is loaded is what answers, counts are those of the chip, mistakes are refused."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams, ParamsError
from ohmloop.energy.counted import energy_of_counters
from ohmloop.energy.model import energy_of
from ohmloop.engines.operations import EngineError
from ohmloop.ensembles import heat, tridiagonal
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.golden.assembler import assemble
from ohmloop.host.device import Device, TrapError
from ohmloop.host.job import Job
from ohmloop.host.system import settings_of, stream_job
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import ConfigError, config_named
from ohmloop_hdl.events import Event
from ohmloop_hdl.sequencer.traps import TrapCause

LAB = config_named("lab")
A = heat(16)
B = A @ np.linspace(-1.0, 1.0, 16)


@pytest.fixture
def device():
    with Device(LAB) as made:
        yield made


def test_one_solve_is_near_and_a_program_is_exact(device: Device):
    device.program(A)
    exact = np.linalg.solve(A, B)
    assert 1e-4 < np.linalg.norm(device.invert(B) - exact) / np.linalg.norm(exact) < 0.1
    for program in ("gcr", "refine", "gcr5", "digital"):
        x = device.solve(B, 1e-13, program)
        assert np.linalg.norm(B - A @ x) <= 1e-13 * np.linalg.norm(B)
    assert not device.solve(np.zeros(16)).any() and not device.invert(np.zeros(16)).any()


def test_counts_are_those_of_the_chip(device: Device):
    before = device.counters
    device.program(A)
    for _ in range(3):
        device.invert(B)
    after = device.counters
    assert (before.analogue_solves, before.reprogrammings) == (0, 0)
    assert (after.analogue_solves, after.reprogrammings) == (3, 1)
    assert after.clock_cycles > before.clock_cycles == 0
    device.solve(B, program="digital")
    assert (device.counters.analogue_solves, device.counters.reprogrammings) == (3, 1)
    assert device.plan
    device.run(Job(np.zeros((16, 16)), settings_of(device.plan, LAB), assemble("HALT 0")))
    assert (device.counters.analogue_solves, device.counters.reprogrammings) == (3, 1)
    # A program took the chip: the next solve writes the arrays once more.
    device.invert(B)
    assert (device.counters.analogue_solves, device.counters.reprogrammings) == (4, 2)
    assert after.analogue_solves == 3, "a count that was read stays as it was"


def test_a_plan_that_fails_is_not_held(device: Device, monkeypatch: pytest.MonkeyPatch):
    device.program(A)
    other = 2.0 * A + np.diag(np.arange(16.0))
    real = device.engine.execute
    monkeypatch.setattr(device.engine, "execute", lambda script: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        device.program(other)
    monkeypatch.setattr(device.engine, "execute", real)
    answer = device.invert(other @ np.ones(16))
    assert np.abs(answer - 1.0).max() < 0.3
    tiny = plan_preconditioner(heat(4), config_named("tiny"), AnalogParams())
    for _ in range(2):
        with pytest.raises(InputError, match="codes: shape"):
            device.load(tiny)


def test_stuck_cells_are_said_every_time():
    die = Die.sample(LAB, AnalogParams(), stuck=((0, 3, 3, 1),))
    with Device(LAB, chip=die) as device:
        for _ in range(2):
            with pytest.raises(TrapError, match="trapped verify: cells do not read back") as error:
                device.program(A)
            assert error.value.cause is TrapCause.VERIFY


def test_the_matrix_is_kept_and_not_the_users_array(device: Device):
    held = A.copy()
    device.program(held)
    held *= 0.5
    assert np.allclose(device.solve(A @ np.ones(16)), 1.0, atol=1e-8)


def test_a_loop_that_cannot_hold_the_answer_says_which_trap():
    # The lowest mode comes out 1,700 times as large as it went in, which no drive range takes.
    config = config_named("chip64")
    matrix = tridiagonal(64)
    lowest = np.linalg.eigh(matrix)[1][:, 0]
    with Device(config, chip="ideal") as device:
        device.program(matrix)
        with pytest.raises(TrapError, match="trapped clip"):
            device.invert(lowest)
        with pytest.raises(TrapError, match="trapped clip"):
            device.solve(lowest)


def test_it_serves_scipy(device: Device):
    device.program(scipy.sparse.csr_array(A))
    found = scipy.sparse.linalg.eigsh(A, 3, sigma=0, OPinv=device.as_linear_operator(1e-13),
                                      return_eigenvectors=False)
    assert np.allclose(found, np.linalg.eigvalsh(A)[:3], rtol=1e-10)
    rough = device.as_linear_operator()
    assert rough.shape == (16, 16) and np.linalg.norm(rough @ B - np.linalg.solve(A, B)) < 0.2


def test_beats_of_an_earlier_job_do_not_answer_for_the_next(device: Device):
    plan = plan_preconditioner(A, LAB, device.params)
    sides = [scale_rhs(A @ np.random.default_rng(seed).standard_normal(16), LAB) for seed in range(3)]
    outcome = device.run(stream_job(plan, A, sides, LAB, limit=1))
    assert outcome.status.halt_code != 0
    with pytest.raises(InputError, match="beats of an earlier job are still in the input stream"):
        device.run(stream_job(plan, A, sides[:2], LAB))


@pytest.mark.parametrize(("call", "said"), [
    (lambda d: d.program(A + 1j * np.eye(16)), "matrix: must be real numbers, not complex128"),
    (lambda d: d.program(A[:, :5]), "must be square"),
    (lambda d: d.program(heat(64)), "does not fit"),
    (lambda d: d.solve(B * 1j), "right-hand side: must be real numbers"),
    (lambda d: d.solve(B[:5]), r"right-hand side: must have shape \(16,\), not \(5,\)"),
    (lambda d: d.solve(B[:, None]), r"not \(16, 1\)"),
    (lambda d: d.invert(B[:5]), r"vector: must have shape \(16,\), not \(5,\)"),
    (lambda d: d.solve(B, program="magic"), "program: must be one of refine, gcr, gcr5, digital, not 'magic'"),
    (lambda d: d.solve(B, program="multi_rhs"), "program: must be one of"),
    (lambda d: d.solve(B, float("nan")), "tol: must be above 0"),
    (lambda d: d.solve(np.full(16, np.inf)), "finite"),
    (lambda d: d.solve(5e-324 * B), "right-hand side: the largest magnitude is"),
    (lambda d: d.program([[1.0, 2.0], [3.0]]), "matrix: is not an array of numbers; rows must be of the same length"),
    (lambda d: d.as_linear_operator() @ (B * 1j), "vector: must be real numbers"),
])
def test_mistakes_are_refused(device: Device, call, said: str):
    device.program(A)
    with pytest.raises(InputError, match=said):
        call(device)


def test_nothing_programmed_and_unknown_names():
    with Device("tiny") as device:
        for call in (lambda: device.invert(np.ones(4)), lambda: device.solve(np.ones(4)), device.as_linear_operator):
            with pytest.raises(InputError, match=r"no (plan|matrix) is"):
                call()
    with pytest.raises(ConfigError):
        Device("huge")
    with pytest.raises(InputError, match="model, rtl, icarus, verilator"):
        Device("tiny", engine="cloud")
    with pytest.raises(InputError, match="made for tiny, not for lab"):
        Device("lab", chip=Die.sample(config_named("tiny"), AnalogParams()))
    with pytest.raises(ParamsError):
        Device("tiny", seed=-1)


def test_right_hand_sides_of_any_size_are_solved(device: Device):
    device.program(A)
    for size in (1e-149, 1e149):
        assert np.allclose(device.solve(size * A @ np.ones(16), 1e-12) / size, 1.0, atol=1e-10)


def test_a_program_that_stagnates_is_not_solved(device: Device):
    device.program(A)
    device._matrix = np.where(np.arange(16)[:, None] > 0, A, 0.0)  # nothing the chip answers helps the first equation
    with pytest.raises(NotSolvedError, match="gcr: stagnates at a relative residual of"):
        device.solve(np.eye(16)[0])


def test_energy_of_counters_is_that_of_the_phases(device: Device):
    device.program(A)
    before = device.counters
    device.invert(B)
    after, run = device.counters, device.engine.last_run  # type: ignore[attr-defined]
    events = {event: after.events[event] - before.events[event] for event in Event}
    counted = energy_of_counters(events, after.clock_cycles - before.clock_cycles, LAB, device.params)
    assert counted.total_J == pytest.approx(energy_of(run.events, run.phases, LAB, device.params).total_J, rel=1e-9)


def test_an_engine_error_passes_through(device: Device):
    device.program(A)
    with pytest.raises(EngineError, match="no interrupt"):
        device.engine.execute(device.driver.run(0, limit_clocks=3))

"""Every program of the chip through the generated Verilog: all that it shows as the golden machine says, and solved."""

import numpy as np
import pytest
from verification.cosim.against_golden import pair
from verification.unit.golden.test_assembler import PROGRAMS

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble
from ohmloop.host.job import Job
from ohmloop.host.system import chop_job, eigenvalue_job, iterative_job, solve_job, stream_job
from ohmloop.plan.planner import plan_preconditioner
from ohmloop.plan.scaling import scale_rhs
from ohmloop_hdl.config import ChipConfig, config_named
from ohmloop_hdl.sequencer.traps import TrapCause


def jobs_of(matrix: np.ndarray, digits: int, config: ChipConfig, rng: np.random.Generator) -> dict[str, Job]:
    """A job for each program, on one matrix with a right-hand side each."""
    plan = plan_preconditioner(matrix, config, AnalogParams.reference(), digits=digits)
    sides = [scale_rhs(matrix @ rng.standard_normal(len(matrix)), config) for _ in range(3)]
    jobs = {name: iterative_job(name, plan, matrix, sides[0], config) for name in ("refine", "gcr", "gcr5", "digital")}
    return jobs | {"solve": solve_job(plan, sides[0], config), "chop": chop_job(plan, sides[1], config),
                   "multi_rhs": stream_job(plan, matrix, sides, config),
                   "power_iteration": eigenvalue_job(plan, matrix, sides[2], config, tolerance=2.0 ** -12)}


@pytest.mark.parametrize(("config", "sizes"), [("tiny", ((4, 1), (3, 1), (2, 2))), ("lab", ((7, 2),))])
def test_programs(engine, work, seed, config, sizes):
    """Symmetric systems as large as the chip, smaller, and in two digits."""
    print(f"OHMLOOP_SEED={seed}")
    rng = np.random.default_rng(seed)
    chip = config_named(config)
    with pair(engine, Die.sample(chip, AnalogParams.reference()), work) as both:
        for n, digits in sizes:
            jobs = jobs_of(ensemble("wishart", n, 8.0, int(rng.integers(1 << 32))), digits, chip, rng)
            assert sorted(jobs) == PROGRAMS
            for name, job in jobs.items():
                outcome, _ = both.run(job, f"{name} {n}")
                assert (outcome.status.trap, outcome.status.halt_code) == (TrapCause.NONE, 0), f"{name} {n}"
                assert len(outcome.objects) == (3 if name == "multi_rhs" else 0)

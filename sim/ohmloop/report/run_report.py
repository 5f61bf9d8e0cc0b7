"""The report of a run: solve on the golden machine, write the page, the trace and the waveform."""

from pathlib import Path

from rich.console import Console

from ohmloop.analog.measured import die_named
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.report.main_job import system_asked_for
from ohmloop.report.page import write_page
from ohmloop.report.perfetto import write_trace
from ohmloop.report.recorded import RecordedRun, open_loop, record_run
from ohmloop.report.rivals import si
from ohmloop.report.timeline import OUTPUTS_SHOWN, shown_outputs
from ohmloop.report.vcd import write_waveform
from ohmloop_hdl.config import ChipConfig


def run_report(config: ChipConfig, matrix: Path | None, out: Path, *, program: str = "solve",
               chip: str = "reference") -> RecordedRun:
    """Solve a system and write ``report.html``, ``timeline.json``, ``timeline.vcd`` and ``timeline.gtkw`` to ``out``.

    ``matrix``: a file, or the heat plate. ``program``: one of :data:`ohmloop.report.recorded.PROGRAMS`. ``chip``: a
    design or a measured chip (:func:`~ohmloop.analog.measured.die_named`).

    Errors: :class:`InputError` for what cannot be planned; :class:`NotSolvedError`, after everything is written, for a
    run that ended without an answer.
    """
    console = Console(soft_wrap=True, markup=False)
    die = die_named(chip, config)
    system = system_asked_for(matrix, config)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, a folder is wanted there")
    with console.status(f"planning and running {program}"):
        recorded = record_run(system, program, die)
        baseline = open_loop(recorded)
    out.mkdir(parents=True, exist_ok=True)
    with console.status("writing"):
        timeline = recorded.timeline
        write_page(out / "report.html", recorded, baseline)
        write_trace(out / "timeline.json", timeline, f"{config.name}: {program}, {system.name}",
                    shown_outputs(recorded.plan.n, OUTPUTS_SHOWN), recorded.energy_steps)
        write_waveform(out / "timeline.vcd", timeline, config)
    console.print(f"{system.name} on {config.name}, {program}: {recorded.ending}; relative residual "
                  f"{recorded.residual:.3g}, {recorded.run.cycles} clocks, {si(recorded.energy.total_J, 'J')}",
                  highlight=False)
    console.print(f"page {out / 'report.html'}, timeline {out / 'timeline.json'} and {out / 'timeline.vcd'}",
                  highlight=False)
    if not recorded.solved:
        raise NotSolvedError(f"{program}: {recorded.ending}; relative residual {recorded.residual:.3g}; the report is "
                             f"in {out / 'report.html'}")
    return recorded

"""The report of a recorded run as one HTML page that needs nothing else: styles, script and pictures are inside."""

from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ohmloop.host.system import TOLERANCE
from ohmloop.report.charts import residual_chart, settling_chart, solution_chart
from ohmloop.report.recorded import RecordedRun
from ohmloop.report.rivals import rivals, rivals_verdict, si
from ohmloop.report.timeline import OUTPUTS_SHOWN, Timeline, settling_of, shown_outputs
from ohmloop.report.timeline_picture import timeline_picture
from ohmloop_hdl.events import Event, Phase

PLACES_MAX = 100
"""Closings that the page can jump to."""

ENERGY_NOTE = (
    "Event counters times figures of circuits in 90 nm that others published, and of assumptions of this project "
    "(amplifiers, DACs, clock tree, step from 45 nm); docs/energy.md has them all. Not a measurement, and not a "
    "statement about any fabricated chip.")


def write_page(path: Path, recorded: RecordedRun, baseline: RecordedRun | None) -> None:
    """Write the page of a run; ``baseline``: the same system with the loop open, where there is one."""
    environment = Environment(loader=PackageLoader("ohmloop.report"), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    sources = {name: Markup(environment.get_template(file).render())
               for name, file in (("css", "page.css"), ("script", "timeline.js"))}
    page = environment.get_template("page.html").render(sources | _content(recorded, baseline))
    path.write_text(page + "\n", encoding="utf-8")


def _content(recorded: RecordedRun, baseline: RecordedRun | None) -> dict[str, Any]:
    run, plan, params, timeline = recorded.run, recorded.plan, recorded.die.params, recorded.timeline
    config, system, energy = recorded.config, recorded.system, recorded.energy
    outputs = shown_outputs(plan.n, OUTPUTS_SHOWN) if timeline.transients else np.array([], dtype=int)
    trace = settling_of(timeline, outputs)
    one_shot = recorded.program == "solve"
    step_name = "scan" if one_shot else "iteration"
    baseline_rows = rivals(recorded, baseline)
    residual = "0" if recorded.residual == 0 else f"{recorded.residual:.3g}"
    loaded = {0: "without the loop", 1: "once through the loop"}.get(
        recorded.solves, f"{recorded.solves} times through the loop")
    return {
        "title": f"{system.name}: {recorded.program} on {config.name}",
        "solved": recorded.solved,
        "verdict": "Solved." if recorded.solved else f"Not solved: {recorded.ending}.",
        "summary": f"{plan.n} unknowns, {loaded}, to a relative residual of {residual} in {run.cycles} clocks, "
                   f"{si(recorded.time_s, 's')} at {1e-6 / params.clock_s:g} MHz, with {si(energy.total_J, 'J')}.",
        "result": _result(recorded),
        "reasons": [reason[0].upper() + reason[1:] + "." for reason in plan.reasons],
        "chip": f"{config.size} x {config.size} cells of {config.cell_bits} bits, {config.adcs} ADCs of "
                f"{config.adc_bits} bits, DACs of {config.dac_bits} bits, {config.lanes} lanes; gain-bandwidth "
                f"{params.gbw_Hz / 1e6:g} MHz, mismatch {100 * params.mismatch_sigma:g} %. A model, not a measurement "
                "of any silicon.",
        "timeline": timeline,
        "picture": timeline_picture(timeline, outputs, params.swing_V),
        "places": _places(timeline),
        "outputs": [int(i) for i in outputs],
        "swing": f"{params.swing_V:g} V",
        "step_name": step_name,
        "steps": recorded.steps,
        "knows": not all(np.isnan(step.own) for step in recorded.steps),
        "residual_chart": residual_chart(recorded.steps, None if one_shot else TOLERANCE, step_name),
        "residual_note": "What each scan would have answered; scans that clip are left out." if one_shot else
                         "Against the 24-bit matrix that the chip holds, whose residual the program makes small; the "
                         "residual of the result is against the matrix as it was given.",
        "solution_chart": solution_chart(recorded.x, system.exact, system.grid),
        "solution_note": f"Relative error {recorded.error:.3g}; largest "
                         f"{np.abs(recorded.x - system.exact).max():.3g} where the solution goes up to "
                         f"{np.abs(system.exact).max():.3g}.",
        "settling_chart": settling_chart(trace) if trace else None,
        "settling_note": f"The last of {len(timeline.closings)} closings, clock by clock and without read noise."
                         + _slowest(recorded),
        "phases": [(phase.name.lower(), run.phases[phase], _share(run.phases[phase], max(run.phases.values())))
                   for phase in Phase if run.phases[phase]],
        "cycles": run.cycles,
        "energy": [(name, joules, si(joules, "J"), _share(joules, max(energy.blocks.values())))
                   for name, joules in energy.blocks.items()],
        "energy_total": (energy.total_J, si(energy.total_J, "J")),
        "instructions": [(name, times, clocks, joules, si(joules, "J"))
                         for name, (times, clocks, joules) in recorded.instructions.items()],
        "rivals": baseline_rows,
        "rivals_verdict": rivals_verdict(recorded, baseline_rows),
        "energy_note": ENERGY_NOTE,
        "events": [(event.name, run.events[event]) for event in Event if run.events[event]],
    }


def _result(recorded: RecordedRun) -> list[tuple[str, float, str]]:
    """Name, value and text of each line."""
    rows: list[tuple[str, float, str]] = [("unknowns", recorded.plan.n, str(recorded.plan.n))]
    if recorded.iterations is not None:
        rows.append(("iterations", recorded.iterations, str(recorded.iterations)))
    rows += [("relative residual", recorded.residual, f"{recorded.residual:.3g}"),
             ("relative error against float64", recorded.error, f"{recorded.error:.3g}")]
    digital = recorded.error_digital
    if digital is not None:
        rows.append(("  against a digital solve at equal precision", digital, f"{digital:.3g}"))
    clocks, joules = recorded.writing
    rows += [("clocks", recorded.run.cycles, str(recorded.run.cycles)),
             ("  of them writing the arrays", clocks, str(clocks)),
             ("time on the chip", recorded.time_s, si(recorded.time_s, "s")),
             ("energy", recorded.energy.total_J, si(recorded.energy.total_J, "J")),
             ("  of it writing the arrays", joules, si(joules, "J"))]
    return rows


def _places(timeline: Timeline) -> list[tuple[str, int, int]]:
    """What the page can jump to: the whole run, and each closing."""
    if not timeline.closings:
        return []
    places = [("whole run", 0, timeline.clocks)]
    for number, closing in enumerate(timeline.closings[:PLACES_MAX], 1):
        places.append((f"closing {number}, clock {closing.closed}", closing.prepared, closing.opened))
    return places


def _slowest(recorded: RecordedRun) -> str:
    return f" The plan expects a slowest time constant of {recorded.plan.slowest_time_constant_cycles:.3g} clocks."


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "0"

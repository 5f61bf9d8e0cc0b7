"""Pictures inside of a page: vector graphics of matplotlib whose colours the page chooses, light or dark.

Drawn narrow, so that letters stay readable where the page is as wide as a phone. Ink, lines and series are drawn in
colours that stand for a name each; what goes into the page has ``var(--name)`` in their place.
"""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ohmloop.report.pictures import STYLE, SettlingTrace
from ohmloop.report.recorded import Step

WIDTH_IN = 4.8
"""Width of a picture: 346 points, about the width of a phone in the pixels of a page."""

INK, LINE = "#010101", "#020202"
SERIES = ("#030301", "#030302", "#030303", "#030304")
_NAMES = {INK: "ink", LINE: "line"} | {colour: f"series-{i}" for i, colour in enumerate(SERIES)}

_STYLE = STYLE | {
    "svg.fonttype": "none", "font.size": 10.0, "axes.titlesize": 10.0, "text.color": INK, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "grid.color": LINE, "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none", "axes.formatter.useoffset": False,
}


def solution_chart(x: np.ndarray, exact: np.ndarray, grid: tuple[int, int] | None) -> Markup:
    """The answer beside the exact one, and the error: plates for a grid, lines over the index otherwise."""
    error = x - exact
    about = f"largest error {np.abs(error).max():.3g} at index {int(np.abs(error).argmax()) + 1} of {len(x)}"
    with _style("solution"):
        figure = _figure(2.3 if grid else 3.6)
        if grid:
            low, high, reach = min(x.min(), exact.min()), max(x.max(), exact.max()), np.abs(error).max() or 1.0
            for axes, (title, values, colours, bottom, top) in zip(figure.subplots(1, 3), (
                    ("chip", x, "inferno", low, high), ("exact", exact, "inferno", low, high),
                    ("error", error, "RdBu_r", -reach, reach)), strict=True):
                _plate(axes, title, values.reshape(grid), colours, bottom, top)
        else:
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
            index = np.arange(1, len(x) + 1)
            upper.plot(index, exact, color=LINE, linewidth=4.0, label="exact")
            upper.plot(index, x, color=SERIES[0], linewidth=1.2, marker="o", markersize=3.0, label="chip")
            upper.set_ylabel("solution x")
            upper.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.0)
            lower.vlines(index, 0.0, error, color=SERIES[1], linewidth=1.5)
            lower.plot(index, error, "o", color=SERIES[1], markersize=3.0)
            lower.set_ylabel("error")
            lower.set_xlabel("index")
            lower.xaxis.set_major_locator(MaxNLocator(integer=True))
            for axes in (upper, lower):
                axes.grid(axis="y")
        return _markup(figure, f"Solution of the chip, exact solution, and error; {about}")


def residual_chart(steps: Sequence[Step], wanted: float | None, what: str) -> Markup:
    """Relative residuals by iteration or by scan, on a logarithmic axis where they are far apart; ``wanted`` is drawn
    across."""
    if not steps:
        return Markup("<p>No scan without a clip.</p>")
    numbers = [step.number for step in steps]
    with _style("residual"):
        figure = _figure(2.9)
        axes = figure.subplots()
        axes.plot(numbers, [step.residual for step in steps], color=SERIES[0], marker="o", markersize=4.0, label="true")
        if not all(np.isnan(step.own) for step in steps):
            axes.plot(numbers, [step.own for step in steps], color=SERIES[1], linestyle="none", marker="x",
                      markersize=6.0, label="as the chip knows it")
        if wanted is not None:
            axes.axhline(wanted, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), label="wanted")
        if max(step.residual for step in steps) > 10 * min(step.residual for step in steps):
            axes.set_yscale("log")
        else:
            axes.set_ylim(0.0, 1.1 * max(step.residual for step in steps) or 1.0)
        axes.set_xlabel(what)
        axes.set_ylabel("relative residual")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        figure.legend(loc="outside lower center", ncols=3)
        return _markup(figure, f"Relative residual by {what}: {steps[0].residual:.2g} at first, "
                               f"{steps[-1].residual:.2g} at last")


def settling_chart(trace: SettlingTrace) -> Markup:
    """Outputs against time after a closing; sample instants as dashed lines."""
    with _style("settling"):
        figure = _figure(2.9)
        axes = figure.subplots()
        for column, label in enumerate(trace.labels):
            axes.plot(trace.times_s * 1e6, trace.volts_V[:, column], color=SERIES[column], label=label)
        for number, instant in enumerate(trace.samples_s):
            axes.axvline(instant * 1e6, color=INK, linewidth=1.0, linestyle=(0, (4, 3)),
                         label=None if number else "sample")
        axes.set_xlabel("time after closing (\N{MICRO SIGN}s)")
        axes.set_ylabel("output (V)")
        axes.set_xlim(0.0, float(np.max(trace.times_s)) * 1e6)
        axes.grid(axis="y")
        figure.legend(loc="outside lower center", ncols=3)
        return _markup(figure, f"{len(trace.labels)} outputs settling, sampled {len(trace.samples_s)} times")


def _style(salt: str):
    """The style of all pictures; ``salt`` makes the names inside of one differ from those of the others."""
    style: dict[Any, Any] = _STYLE | {"svg.hashsalt": salt}
    return rc_context(style)


def _figure(height_in: float) -> Figure:
    return Figure(figsize=(WIDTH_IN, height_in), layout=ConstrainedLayoutEngine(h_pad=0.06))


def _plate(axes: Axes, title: str, values: np.ndarray, colours: str, bottom: float, top: float) -> None:
    mesh = axes.pcolormesh(values[::-1], cmap=colours, vmin=bottom, vmax=top, edgecolors="face", linewidth=0.3)
    axes.set_aspect("equal")
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure = axes.get_figure()
    assert figure is not None
    form = ScalarFormatter()
    form.set_powerlimits((-2, 3))
    bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", fraction=0.07, pad=0.05, ticks=MaxNLocator(2),
                          format=form)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")


def _markup(figure: Figure, label: str) -> Markup:
    """The figure as an element of the page that says to a reader of the page what it shows."""
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.05,
                   metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None
    head = f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="{box[1]}">'
    text = re.sub(r"<svg[^>]*>", head, text, count=1)
    # Names that nothing refers to are the same in all pictures, and a page must not have one twice.
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in used else "", text)
    for colour, name in _NAMES.items():
        text = text.replace(colour, f"var(--{name})")
    return Markup(text)

"""Pictures: a solved system with the exact solution, the error and the settling of the outputs; residuals going down.

Drawn off screen (Agg) at one width that reads on a phone and on a desk. The same input gives the same file, byte for
byte, with the same version of matplotlib: nothing about the time or the machine is written into it.
"""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from ohmloop.errors import InputError

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "ohmloop",
}
_CHIP, _EXACT, _ERROR = "#0b5fa5", "#9a9a9a", "#b5361c"
COLOURS = ("#0b5fa5", "#d9822b", "#2e8540", "#7b4fa0", "#b5361c", "#4a4a4a")
WIDTH_IN, DPI = 6.4, 150
_SI = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"), (1e-9, "ns"))


@dataclass(frozen=True, eq=False)
class SettlingTrace:
    """Amplifier outputs against time after the loop closed."""

    times_s: np.ndarray
    """Times in seconds from closing, shape (T,)."""

    volts_V: np.ndarray
    """Output voltages, shape (T, K): K outputs, at most six so that they can be told apart."""

    labels: tuple[str, ...]
    """K names for the legend."""

    samples_s: tuple[float, ...] = ()
    """Instants at which the outputs were sampled, in seconds: drawn as vertical lines."""


def solution_picture(path: str | PathLike[str], x: np.ndarray, x_exact: np.ndarray, title: str, *,
                     grid: tuple[int, int] | None = None, settling: SettlingTrace | None = None) -> None:
    """Write one PNG: solution beside exact solution, error, and settling when it was recorded.

    x, x_exact: (n,) in the user's unit. ``grid``: (rows, columns) with rows * columns = n draws plates, else lines
    over the index. 960 pixels wide.

    Errors: :class:`InputError` when shapes do not match, a trace has more than six outputs, or the file cannot be
    written.
    """
    x, x_exact = np.asarray(x, dtype=np.float64), np.asarray(x_exact, dtype=np.float64)
    _check(x, x_exact, grid, settling)
    upper = 2.8 if grid else 4.2
    height = 0.6 + upper + (2.7 if settling else 0.0)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=0.07))
        figure.suptitle(title, fontsize=13.0, fontweight="bold", wrap=True)
        heights = (upper, 2.7) if settling else (upper,)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
        if grid:
            _plates(parts[0], x, x_exact, grid)
        else:
            _lines(parts[0], x, x_exact)
        if settling:
            _settling(parts[1].subplots(), settling)
        write(figure, path)


Curve = np.ndarray
"""A residual on its way down: (K, 2) clocks and ||r|| / ||b||."""


def convergence_picture(path: str | PathLike[str], panels: dict[str, dict[str, list[Curve]]], title: str, *,
                        wanted: float | None = None) -> None:
    """Write one PNG: relative residuals against clocks, a panel a title, a colour a program, a line a system.

    ``panels``: title to program to curves, at most six programs, the same in all panels. ``wanted``: residual that the
    programs stop at, drawn across. 960 pixels wide, two panels a row.

    Errors: :class:`InputError` when there is nothing to draw, too many programs, or the file cannot be written.
    """
    programs = list(next(iter(panels.values()), {}))
    if not 1 <= len(programs) <= len(COLOURS) or any(list(curves) != programs for curves in panels.values()):
        raise InputError(f"picture: panels must have the same 1 to {len(COLOURS)} programs")
    rows = -(-len(panels) // 2)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 0.8 + 2.6 * rows), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=0.07))
        figure.suptitle(title, fontsize=13.0, fontweight="bold", wrap=True)
        grid = figure.subplots(rows, min(2, len(panels)), sharey=True, squeeze=False).ravel()
        for axes, (name, curves) in zip(grid, panels.items(), strict=False):
            for colour, program in zip(COLOURS, programs, strict=False):
                for number, curve in enumerate(curves[program]):
                    axes.plot(curve[:, 0] / 1000, curve[:, 1], color=colour, linewidth=1.0, alpha=0.7,
                              label=program if number == 0 else None)
            if wanted is not None:
                axes.axhline(wanted, color=_EXACT, linewidth=1.0, linestyle=(0, (4, 3)))
            axes.set_yscale("log", base=2)
            axes.set_title(name, loc="left")
            axes.set_xlabel("clocks (thousands)")
            axes.grid(axis="y")
        for axes in grid[len(panels):]:
            axes.set_visible(False)
        grid[0].set_ylabel("relative residual")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(programs))
        write(figure, path)


def write(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG without time or version in it; :class:`InputError` where it cannot be written.

    The solver of the layout ends up within rounding of where it ended up the last time, and an edge may lie half-way
    between two pixels: places are rounded before anything is drawn.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 6))
    for axes in figure.findobj(Axes):
        axes.set_position(Bbox(np.round(axes.get_position().get_points(), 6)))
    try:
        figure.savefig(path, format="png", metadata={"Software": None})
    except OSError as error:
        raise InputError(f"{path}: cannot write the picture ({error.strerror})") from None


def _check(x: np.ndarray, x_exact: np.ndarray, grid: tuple[int, int] | None, settling: SettlingTrace | None) -> None:
    if x.ndim != 1 or x.shape != x_exact.shape:
        raise InputError(f"picture: solution and exact solution must be vectors of one length, "
                         f"not of shapes {x.shape} and {x_exact.shape}")
    if grid and grid[0] * grid[1] != len(x):
        raise InputError(f"picture: a grid of {grid[0]} x {grid[1]} does not hold {len(x)} values")
    if settling:
        shape, allowed = settling.volts_V.shape, (len(settling.times_s), len(settling.labels))
        if shape != allowed or not 1 <= len(settling.labels) <= len(COLOURS):
            raise InputError(f"picture: settling volts must be of shape (times, labels) = {allowed} with "
                             f"1 to {len(COLOURS)} labels, not {shape}")


def _plates(part, x: np.ndarray, x_exact: np.ndarray, grid: tuple[int, int]) -> None:
    """Three images: chip and exact on one colour scale, the error on one symmetric about zero."""
    low, high = min(x.min(), x_exact.min()), max(x.max(), x_exact.max())
    error = x - x_exact
    reach = float(np.abs(error).max()) or 1.0
    panels = (("chip", x, "inferno", low, high), ("exact", x_exact, "inferno", low, high),
              (f"error, {_percent(x, x_exact)}", error, "RdBu_r", -reach, reach))
    for axes, (name, values, colours, bottom, top) in zip(part.subplots(1, 3), panels, strict=True):
        image = axes.imshow(values.reshape(grid), cmap=colours, vmin=bottom, vmax=top, interpolation="nearest")
        axes.set_title(name)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        bar = part.colorbar(image, ax=axes, orientation="horizontal", fraction=0.07, pad=0.05)
        bar.outline.set_visible(False)
        bar.locator = MaxNLocator(3)
        bar.formatter.set_powerlimits((-4, 4))
        bar.update_ticks()


def _lines(part, x: np.ndarray, x_exact: np.ndarray) -> None:
    """Solution and exact solution over the index, the error below on its own scale."""
    upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    index = np.arange(1, len(x) + 1)
    upper.plot(index, x_exact, color=_EXACT, linewidth=3.5, label="exact")
    upper.plot(index, x, color=_CHIP, linewidth=1.2, marker="o", markersize=3.5, label="chip")
    upper.set_ylabel("solution x")
    upper.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.0)
    upper.grid(axis="y")
    lower.axhline(0.0, color=_EXACT, linewidth=0.8)
    lower.vlines(index, 0.0, x - x_exact, color=_ERROR, linewidth=1.5)
    lower.plot(index, x - x_exact, "o", color=_ERROR, markersize=3.5)
    lower.set_ylabel("error")
    lower.set_title(f"error, {_percent(x, x_exact)}", loc="left")
    lower.set_xlabel("index")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    lower.grid(axis="y")


def _settling(axes: Axes, trace: SettlingTrace) -> None:
    """Outputs against time; sample instants as dashed lines."""
    scale, unit = _time_unit(float(np.max(trace.times_s)))
    for column, label in enumerate(trace.labels):
        axes.plot(trace.times_s / scale, trace.volts_V[:, column], color=COLOURS[column], linewidth=1.6, label=label)
    for number, instant in enumerate(trace.samples_s):
        axes.axvline(instant / scale, color="#4a4a4a", linewidth=1.0, linestyle=(0, (4, 3)),
                     label="sample" if number == 0 else None)
    axes.set_title("settling after the loop closes", loc="left")
    axes.set_xlabel(f"time ({unit})")
    axes.set_ylabel("output (V)")
    axes.set_xlim(0.0, float(np.max(trace.times_s)) / scale)
    axes.grid(axis="y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.4)


def _time_unit(longest_s: float) -> tuple[float, str]:
    """The SI unit in which ``longest_s`` is one or more, and its size in seconds."""
    return next(((size, name) for size, name in _SI if longest_s >= size), _SI[-1])


def _percent(x: np.ndarray, x_exact: np.ndarray) -> str:
    """Relative error ||x - x_exact|| / ||x_exact|| to two digits, in percent or as a power of ten."""
    size = float(np.linalg.norm(x_exact))
    relative = float(np.linalg.norm(x - x_exact)) / size if size else 0.0
    return f"{100 * relative:.2g} %" if relative >= 1e-4 or relative == 0.0 else f"{relative:.1e}"

"""Pictures of a sweep: an error with its band, or a yield with its interval, against a swept parameter.

Style and determinism are those of :mod:`ohmloop.report.pictures`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullFormatter

from ohmloop.report.pictures import COLOURS, DPI, STYLE, WIDTH_IN, write

LOG_SPAN = 5.0
"""Values this far apart, largest over smallest, are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Curve:
    """One line: what it is called, and its middle and band at each value of the parameter; None leaves a gap."""

    label: str
    middle: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


def error_picture(path: str | PathLike[str], name: str, values: Sequence[float | int | str], curves: Sequence[Curve],
                  title: str, limit: float) -> None:
    """Write one PNG: relative errors, median and band from 5th to 95th percentile, and the limit of the yield.

    ``values``: of the parameter ``name``; numbers stand where they belong, anything else side by side. Curves without a
    single number are left out.
    """
    def finish(axes: Axes) -> None:
        axes.set_yscale("log")
        axes.axhline(limit, color="#9a9a9a", linewidth=1.0, linestyle=(0, (4, 3)), label="limit of the yield")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        low, high = axes.get_ylim()
        minor = high / low < 50.0
        axes.yaxis.set_minor_formatter(FuncFormatter(
            lambda y, _: f"{100 * y:.3g} %" if round(y / 10 ** math.floor(math.log10(y))) in (2, 5) else "")
            if minor else NullFormatter())
        axes.set_ylabel("relative error, median and 5 to 95 %")

    _picture(path, name, values, curves, title, finish)


def yield_picture(path: str | PathLike[str], name: str, values: Sequence[float | int | str], curves: Sequence[Curve],
                  title: str, limit: float) -> None:
    """Write one PNG: the share of chips with an error within ``limit``, with its 95 % interval; as above."""
    def finish(axes: Axes) -> None:
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        axes.set_ylabel(f"yield: error within {100 * limit:.3g} %")

    _picture(path, name, values, curves, title, finish)


def _picture(path: str | PathLike[str], name: str, values: Sequence[float | int | str], curves: Sequence[Curve],
             title: str, finish) -> None:
    numbers = [value for value in values if not isinstance(value, str) and math.isfinite(value)]
    numeric = len(numbers) == len(values)
    order = sorted(range(len(values)), key=lambda i: values[i]) if numeric else list(range(len(values)))
    x = [float(values[i]) for i in order] if numeric else [float(i) for i in order]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 4.2), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=0.07))
        figure.suptitle(title, fontsize=13.0, fontweight="bold", wrap=True)
        axes = figure.subplots()
        drawn = [curve for curve in curves if any(number is not None for number in curve.middle)]
        for number, curve in enumerate(drawn):
            colour = COLOURS[number % len(COLOURS)]
            middle, low, high = ([_or_gap(column[i]) for i in order]
                                 for column in (curve.middle, curve.low, curve.high))
            axes.plot(x, middle, color=colour, linewidth=1.6, marker="o", markersize=4.0, label=curve.label)
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0.0)
            # A point between two gaps has no band beside it.
            axes.vlines(x, low, high, color=colour, alpha=0.5, linewidth=1.0)
        if numeric and min(x) > 0.0 and max(x) / min(x) >= LOG_SPAN:
            axes.set_xscale("log")
        axes.set_xticks(x, [f"{values[i]:g}" if not isinstance(values[i], str) else str(values[i]) for i in order])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(name)
        finish(axes)
        axes.grid(axis="y")
        handles, labels = axes.get_legend_handles_labels()
        if len(handles) > 1:
            figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(handles)), fontsize=9.0)
        write(figure, path)


def _or_gap(number: float | None) -> float:
    return math.nan if number is None else number

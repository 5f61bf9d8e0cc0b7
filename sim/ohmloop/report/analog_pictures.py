"""Pictures of the analogue half: the error budget as a waterfall, distributions and yields of a sweep.

Style and determinism are those of :mod:`ohmloop.report.pictures`.
"""

from os import PathLike

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ohmloop.report.pictures import COLOURS, DPI, STYLE, WIDTH_IN, write

_EFFECT, _SUM, _MEASURED = COLOURS[0], "#9a9a9a", COLOURS[4]


def waterfall_picture(path: str | PathLike[str], effects: dict[str, list[tuple[str, float]]],
                      together: dict[str, float], title: str) -> None:
    """Write one PNG: a panel a family, effects added up from top to bottom as independent ones.

    Parameters
    ----------
    effects : dict
        Family to (effect, relative error alone) in the order in which they are added: sum in squares.
    together : dict
        Family to the error of chips that have all effects at once.
    """
    names = list(effects)
    columns = 2
    rows = -(-len(names) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 0.6 + rows * 2.35), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=0.07))
        figure.suptitle(title, fontsize=13.0, fontweight="bold", wrap=True)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, name in zip(panels.ravel(), names, strict=False):
            labels = [label for label, _ in effects[name]]
            squares = np.cumsum([0.0, *((100 * error) ** 2 for _, error in effects[name])])
            before, after = np.sqrt(squares[:-1]), np.sqrt(squares[1:])
            place = np.arange(len(labels))
            axes.barh(place, after - before, left=before, color=_EFFECT, height=0.62)
            axes.barh(len(labels), after[-1], color=_SUM, height=0.62)
            axes.barh(len(labels) + 1, 100 * together[name], color=_MEASURED, height=0.62)
            axes.set_yticks(np.arange(len(labels) + 2), [*labels, "sum in squares", "all at once"], fontsize=8.0)
            axes.set_title(name)
            axes.set_xlabel("error, %", fontsize=9.0)
            axes.tick_params(axis="x", labelsize=9.0)
        panels[0, 0].invert_yaxis()
        for axes in panels.ravel()[len(names):]:
            axes.set_visible(False)
        write(figure, path)

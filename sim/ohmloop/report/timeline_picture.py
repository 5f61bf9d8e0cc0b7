"""The timeline as a picture inside of a page: one lane a track over a common axis of clocks.

The picture is drawn in clocks across and pixels down and is stretched to the width of the page; the script of the page
zooms by changing what part of it is seen. Names of lanes and bars, and ticks, stand over it as text, which is not
stretched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from ohmloop.report.timeline import Bar, Timeline

LABEL, GAP = 16, 6
"""Pixels above a lane for its name, and below it."""

HEIGHTS = {"instructions": 22, "phases": 14, "autozero": 10, "close_solve": 10, "close_multiply": 10, "sample": 10,
           "conversions": 14, "outputs": 130}
"""Lanes from top to bottom, and their heights in pixels."""

STEP = 0.004
"""Part of the swing that a curve may be off by where it is drawn with fewer points."""

ONES_KEPT = ("close_multiply", "autozero")
"""Lanes that are left out where nothing happens in them."""


@dataclass(frozen=True)
class Lane:
    """A lane of the picture: its name and where it lies, in pixels from the top."""

    name: str
    top: int
    height: int


@dataclass(frozen=True)
class Picture:
    """The drawing, its height in pixels, and its lanes."""

    svg: Markup
    height: int
    lanes: tuple[Lane, ...]


def timeline_picture(timeline: Timeline, outputs: np.ndarray, swing_V: float) -> Picture:
    """Draw a timeline; ``outputs``: indices of those whose voltage is drawn, at most four; ``swing_V``: its range."""
    lanes, top = {}, 0
    for name, height in HEIGHTS.items():
        if name in ONES_KEPT and not timeline.switches[name] or name == "outputs" and not timeline.transients:
            continue
        lanes[name] = Lane(name, top + LABEL, height)
        top += LABEL + height + GAP
    parts: list[str] = []
    parts += _bars(lanes["instructions"], timeline.instructions, "instruction")
    parts += _bars(lanes["phases"], timeline.phases, "phase")
    for name, bars in timeline.switches.items():
        if name in lanes:
            parts += _bars(lanes[name], bars, "switch")
    parts += _bars(lanes["conversions"], [
        Bar(step.start, step.end, f"conversion, step {step.mux}", "codes " + " ".join(map(str, step.codes)))
        for step in timeline.conversions], "conversion")
    if "outputs" in lanes:
        parts += _curves(lanes["outputs"], timeline, outputs, swing_V)
    label = (f"Timeline of {timeline.clocks} clocks: {len(timeline.instructions)} instructions, "
             f"{len(timeline.closings)} closings of the loop, {len(timeline.samples)} samples")
    svg = (f'<svg id="timeline-svg" role="img" aria-label="{escape(label)}" viewBox="0 0 {timeline.clocks} {top}" '
           f'preserveAspectRatio="none" height="{top}">{"".join(parts)}</svg>')
    return Picture(Markup(svg), top, tuple(lanes.values()))


def _bars(lane: Lane, bars: Sequence[Bar], kind: str) -> Iterator[str]:
    yield f'<g class="{kind}">'
    for bar in bars:
        first = escape(bar.name.partition(" ")[0].lower())
        text = f"clocks {bar.start} to {bar.end - 1}: {bar.name}" + (f"; {bar.detail}" if bar.detail else "")
        yield (f'<rect class="{first}" x="{bar.start}" y="{lane.top}" width="{bar.end - bar.start}" '
               f'height="{lane.height}"><title>{escape(text)}</title></rect>')
    yield "</g>"


def _curves(lane: Lane, timeline: Timeline, outputs: np.ndarray, swing_V: float) -> Iterator[str]:
    """One line an output, zero while the loop is open; a dot where it is held."""
    middle, scale = lane.top + lane.height / 2, lane.height / 2 / swing_V

    def down(volts_V: float) -> float:
        return round(middle - float(np.clip(volts_V, -swing_V, swing_V)) * scale, 2)

    yield f'<path class="zero" d="M0 {middle}H{timeline.clocks}"/>'
    for place, i in enumerate(outputs):
        path = [f"M0 {down(0.0)}"]
        for transient in timeline.transients:
            volts_V = transient.volts_V[:, i]
            path.append(f"H{transient.start - 1}")
            path += [f"L{transient.start + k} {down(volts_V[k])}" for k in _kept(volts_V, STEP * swing_V)]
            path.append(f"H{transient.start + len(volts_V)}V{down(0.0)}")
        path.append(f"H{timeline.clocks}")
        yield f'<path class="output series-{place}" d="{"".join(path)}"><title>output {i}</title></path>'
        for sample in timeline.samples:
            text = f"clock {sample.clock}: output {i} held at {sample.held_V[i]:.4f} V"
            held_V = float(np.nan_to_num(sample.held_V[i]))
            # A line of no length with round ends is a dot that is not stretched.
            yield (f'<path class="held series-{place}" d="M{sample.clock} {down(held_V)}h0">'
                   f"<title>{escape(text)}</title></path>")


def _kept(volts_V: np.ndarray, step_V: float) -> list[int]:
    """Points that a line needs so that it is nowhere more than about a step off."""
    kept = [0]
    for k in range(1, len(volts_V) - 1):
        last = kept[-1]
        slope = (volts_V[k + 1] - volts_V[last]) / (k + 1 - last)
        between = volts_V[last + 1:k + 1] - (volts_V[last] + slope * np.arange(1, k + 1 - last))
        if np.abs(between).max(initial=0.0) > step_V:
            kept.append(k)
    return [*kept, len(volts_V) - 1] if len(volts_V) > 1 else kept

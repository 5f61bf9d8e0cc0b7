"""The timeline as trace events: JSON that https://ui.perfetto.dev and chrome://tracing open.

One process is the chip; its threads are instructions, phases, switches and conversions, its counters some outputs and
the energy so far. Times are in microseconds from the start of the run, in order.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ohmloop.report.timeline import Bar, Timeline

PID = 1
TRACKS = ("instructions", "phases", "autozero", "close_solve", "close_multiply", "sample", "conversions")
"""Threads, from top to bottom; the thread's number is its place plus one."""

Event = dict[str, Any]


def write_trace(path: Path, timeline: Timeline, name: str, outputs: np.ndarray,
                energy_J: Sequence[tuple[int, float]]) -> None:
    """Write the trace of a run.

    Parameters
    ----------
    name : str
        What the process is called.
    outputs : np.ndarray
        Indices of the outputs that become counters.
    energy_J : Sequence[tuple[int, float]]
        Clock, and joules spent by then.
    """
    events = sorted(_events(timeline, outputs, energy_J), key=lambda event: event["ts"])
    named = [{"ph": "M", "name": "process_name", "pid": PID, "args": {"name": name}}]
    for place, track in enumerate(TRACKS, 1):
        named.append({"ph": "M", "name": "thread_name", "pid": PID, "tid": place, "args": {"name": track}})
        named.append({"ph": "M", "name": "thread_sort_index", "pid": PID, "tid": place, "args": {"sort_index": place}})
    trace = {"traceEvents": named + events, "displayTimeUnit": "ns",
             "otherData": {"clock_s": timeline.clock_s, "clocks": timeline.clocks}}
    path.write_text(json.dumps(trace, separators=(",", ":"), allow_nan=False) + "\n")


def _events(timeline: Timeline, outputs: np.ndarray, energy_J: Sequence[tuple[int, float]]) -> Iterator[Event]:
    microseconds = timeline.clock_s * 1e6

    def time(clock: int) -> float:
        return round(clock * microseconds, 6)

    def slices(track: str, bars: Sequence[Bar]) -> Iterator[Event]:
        for bar in bars:
            more = {"is": bar.detail} if bar.detail else {}
            yield {"ph": "X", "name": bar.name, "pid": PID, "tid": TRACKS.index(track) + 1, "ts": time(bar.start),
                   "dur": time(bar.end - bar.start), "args": {"clock": bar.start, "clocks": bar.end - bar.start} | more}

    def counter(name: str, clock: int, unit: str, value: float) -> Event:
        return {"ph": "C", "name": name, "pid": PID, "ts": time(clock), "args": {unit: float(f"{value:.6g}")}}

    yield from slices("instructions", timeline.instructions)
    yield from slices("phases", timeline.phases)
    for name, bars in timeline.switches.items():
        yield from slices(name, bars)
    for step in timeline.conversions:
        yield {"ph": "X", "name": f"step {step.mux}", "pid": PID, "tid": TRACKS.index("conversions") + 1,
               "ts": time(step.start), "dur": time(step.end - step.start),
               "args": {"clock": step.start, "codes": [int(code) for code in step.codes]}}
    for i in outputs:
        yield counter(f"output {i}", 0, "V", 0.0)
        for transient in timeline.transients:
            for clock, volts_V in enumerate(transient.volts_V[:, i], transient.start):
                yield counter(f"output {i}", clock, "V", float(volts_V))
            yield counter(f"output {i}", transient.start + len(transient.volts_V), "V", 0.0)
    for clock, joules in energy_J:
        yield counter("energy", clock, "nJ", joules * 1e9)

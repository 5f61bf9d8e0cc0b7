"""``ohmloop report``: a page that needs nothing else and says what the run did, a trace, a waveform."""

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmloop.energy.digital import digital_rows
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.report.recorded import PROGRAMS, RecordedRun, open_loop
from ohmloop.report.run_report import run_report
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.events import Event, Phase

VOID = {"meta", "link", "br", "hr", "img", "input"}
FILES = {"report.html", "timeline.json", "timeline.vcd", "timeline.gtkw"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """A page taken apart: tags must close in order; tables by id, their ``<data>`` values by row; attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, dict[str, list[float]]] = defaultdict(dict)
        self.texts: dict[str, str] = defaultdict(str)
        self._table = self._row = ""
        self.feed(text)
        assert self.open == [], "tags that do not close"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._table = dict(attrs)["id"] or ""
        if tag == "tr":
            self._row = ""
        if tag == "data":
            self.tables[self._table].setdefault(self._row.strip(), []).append(float(dict(attrs)["value"] or ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str):
        self.texts[self.open[-1] if self.open else ""] += data
        if self.open and self.open[-1] in ("th", "code") and "tbody" in self.open:
            self._row += data


@pytest.fixture(scope="module", params=["solve", "gcr"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RecordedRun]:
    """A report at ``lab`` and the run that it is about."""
    out = tmp_path_factory.mktemp(request.param)
    return out, run_report(CONFIGS["lab"], None, out, program=request.param)


def read_vcd(path: Path) -> tuple[dict[str, str], dict[str, list[tuple[int, str]]]]:
    """Kinds of all signals, and their changes as (picoseconds, value), by name; every change of time goes forward."""
    kinds, names, changes, scope, now = {}, {}, defaultdict(list), [], 0
    head, _, body = path.read_text().partition("$enddefinitions $end\n")
    assert "$timescale 1 ps $end" in head
    for line in head.splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            scope.append(words[2])
        elif words[:1] == ["$upscope"]:
            scope.pop()
        elif words[:1] == ["$var"]:
            names[words[3]] = ".".join([*scope, words[4]])
            kinds[names[words[3]]] = words[1]
    for line in body.splitlines():
        if line.startswith("#"):
            assert int(line[1:]) >= now
            now = int(line[1:])
        elif line[0] in "brs":
            value, _, key = line[1:].rpartition(" ")
            changes[names[key]].append((now, value))
        elif line[0] in "01":
            changes[names[line[1:]]].append((now, line[0]))
        else:
            assert line in ("$dumpvars", "$end"), line
    return kinds, dict(changes)


def at(changes: list[tuple[int, str]], time: int) -> str:
    """What a signal is from ``time`` on."""
    return [value for when, value in changes if when <= time][-1]


def test_everything_is_written(report: tuple[Path, RecordedRun]):
    assert {path.name for path in report[0].iterdir()} == FILES


def test_the_page_needs_nothing_else(report: tuple[Path, RecordedRun]):
    text = (report[0] / "report.html").read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), f"<{tag} {name}={value!r}>"
    assert "@import" not in text and not re.search(r"url\(\s*['\"]?(?!#)", text)
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\s*\(", page.texts["script"])


def test_the_page_can_be_read_by_all(report: tuple[Path, RecordedRun]):
    """Language, title, one first heading, no level left out, unique ids, a label at every picture and button."""
    page = Page((report[0] / "report.html").read_text())
    tags = defaultdict(list)
    for tag, attributes in page.tags:
        tags[tag].append(attributes)
    assert tags["html"][0]["lang"] == "en" and page.texts["title"].strip()
    assert len(tags["h1"]) == 1 and len(tags["h2"]) >= 9 and not tags["h3"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in tags["section"]:
        assert attributes["aria-labelledby"] in ids
    assert len(tags["svg"]) == 4
    for attributes in [*tags["svg"], *tags["select"]]:
        assert attributes.get("aria-label")
    used = {value[1:] for _, attributes in page.tags for value in [attributes.get("xlink:href") or ""]
            if value.startswith("#")}
    assert used <= set(ids)


def test_numbers_are_those_of_the_run(report: tuple[Path, RecordedRun]):
    out, recorded = report
    tables, run = Page((out / "report.html").read_text()).tables, recorded.run
    result = tables["result"]
    assert result["relative residual"] == [recorded.residual]
    assert result["relative error against float64"] == [recorded.error]
    assert result["clocks"] == [run.cycles] and result["time on the chip"] == [pytest.approx(run.cycles * 20e-9)]
    assert result["energy"] == [recorded.energy.total_J]
    assert result.get("iterations") == (None if recorded.program == "solve" else [recorded.iterations])
    phases = {phase.name.lower(): [run.phases[phase]] for phase in Phase if run.phases[phase]}
    assert tables["phases"] == phases | {"all": [run.cycles]}
    assert tables["events"] == {event.name: [run.events[event]] for event in Event if run.events[event]}
    energy = {name: [joules] for name, joules in recorded.energy.blocks.items()}
    assert tables["energy"] == energy | {"all": [recorded.energy.total_J]}
    assert sum(joules for (joules,) in tables["instructions"].values()) == pytest.approx(recorded.energy.total_J)
    last = recorded.steps[-1]
    assert tables["residuals"][str(last.number)] == [last.clock, last.residual]
    text = (out / "report.html").read_text()
    assert f"{recorded.residual:.3g}" in text and all(reason[1:] in text for reason in recorded.plan.reasons)


def test_digital_machines_stand_beside_it_and_win(report: tuple[Path, RecordedRun]):
    out, recorded = report
    page = Page((out / "report.html").read_text())
    rivals, bits = page.tables["rivals"], 8 if recorded.program == "solve" else 32
    fresh, cached = digital_rows(16, bits)
    for row in (fresh, cached):
        assert rivals[f"{row.name}, arithmetic alone"] == [row.arithmetic_J]
        assert rivals[f"{row.name}, with memory traffic"] == [row.with_memory_J]
    assert min(rivals.values()) == [cached.arithmetic_J]
    assert [attributes["class"] for tag, attributes in page.tags if tag == "tr" and attributes.get("class") == "wins"]
    assert "Digital wins" in page.texts["p"] and "not a statement about any fabricated chip" in " ".join(
        page.texts["p"].split()).lower()
    baseline = open_loop(recorded)
    assert (baseline is None) == (recorded.program == "solve")
    if baseline is not None:
        assert [baseline.energy.total_J] in rivals.values() and baseline.solved


def test_residuals_go_down(report: tuple[Path, RecordedRun]):
    recorded = report[1]
    if recorded.program == "solve":
        assert recorded.steps[-1].residual == pytest.approx(recorded.residual)
        assert len(recorded.steps) == sum(not scan.clipped for scan in recorded.run.scans)
    else:
        assert [step.number for step in recorded.steps] == list(range((recorded.iterations or 0) + 1))
        assert recorded.steps[0].residual == 1.0 and recorded.steps[-1].residual < 2.0 ** -24
        for step in recorded.steps:
            assert step.own == pytest.approx(step.residual, rel=0.05)


def test_trace_events(report: tuple[Path, RecordedRun]):
    """Valid JSON in order of time; slices of a track neither overlap nor leave the run; instructions fill it."""
    out, recorded = report
    trace = json.loads((out / "timeline.json").read_text())
    events = [event for event in trace["traceEvents"] if event["ph"] != "M"]
    named = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    tracks = defaultdict(list)
    for event in events:
        assert event["ph"] in "XC" and event["pid"] == 1 and event["ts"] >= 0
        if event["ph"] == "X":
            tracks[named[event["tid"]]].append(event)
    microseconds = recorded.run.cycles * 0.02
    for slices in tracks.values():
        ends = [one["ts"] + one["dur"] for one in slices]
        assert all(end <= following["ts"] + 1e-6 for end, following in zip(ends, slices[1:], strict=False))
        assert max(ends) <= microseconds + 1e-6
    assert len(tracks["instructions"]) == len(recorded.run.retired)
    assert len(tracks["conversions"]) == 4 * len(recorded.run.scans)
    for track in ("instructions", "phases"):
        assert sum(one["dur"] for one in tracks[track]) == pytest.approx(microseconds)
    energy = [event["args"]["nJ"] for event in events if event["name"] == "energy"]
    assert energy == sorted(energy) and energy[-1] == pytest.approx(recorded.energy.total_J * 1e9, rel=1e-5)


def test_waveform(report: tuple[Path, RecordedRun]):
    """Held voltages and codes are those of the run, in the clock of the sample and behind its scan."""
    out, recorded = report
    kinds, changes = read_vcd(out / "timeline.vcd")
    run, timeline, period = recorded.run, recorded.timeline, 20_000
    assert kinds["ohmloop.analog.held_V_0"] == "real" and kinds["ohmloop.loop.close_solve"] == "wire"
    assert len(timeline.samples) == len(run.scans) == run.events[Event.SAMPLED] > 0
    for sample, scan in zip(timeline.samples, run.scans, strict=True):
        for i in range(recorded.config.size):
            assert float(at(changes[f"ohmloop.analog.held_V_{i}"], sample.clock * period)) == pytest.approx(
                scan.held_V[i], rel=1e-15)
            curve_V = float(at(changes[f"ohmloop.analog.output_V_{i}"], sample.clock * period))
            assert scan.clipped or abs(curve_V - scan.held_V[i]) < 5 * recorded.die.params.read_noise_V + 2e-5
    for end, codes in [(timeline.conversions[4 * k + 3].end, scan.codes) for k, scan in enumerate(run.scans)]:
        shown = [int(at(changes[f"ohmloop.conversion.code_{i}"], end * period), 2) for i in range(recorded.config.size)]
        assert [code - (code >> 31 << 32) for code in shown] == codes.tolist()
    falls = [time // period for time, value in changes["ohmloop.loop.sample"] if value == "0" and time]
    assert falls == [sample.clock for sample in timeline.samples]
    closed = sum(high if value == "0" else -high for high, value in changes["ohmloop.loop.close_solve"][1:]) // period
    assert closed == sum(run.events[Event(Event.CLOSED_CLOCK_0 + k)] for k in range(4))
    phases = changes["ohmloop.machine.phase"]
    spent = defaultdict(int)
    for (start, value), (end, _) in zip(phases, phases[1:], strict=False):
        spent[Phase(int(value, 2))] += (end - start) // period
    assert {phase: clocks for phase, clocks in spent.items() if clocks} == dict(run.phases)
    assert [value for _, value in changes["ohmloop.machine.text"] if value != "idle"][0].startswith("PROG")


def test_saved_view_names_signals_of_the_waveform(report: tuple[Path, RecordedRun]):
    view = (report[0] / "timeline.gtkw").read_text()
    kinds, _ = read_vcd(report[0] / "timeline.vcd")
    named = re.findall(r"^(ohmloop\.[\w.]+)", view, re.MULTILINE)
    assert len(named) > 15 and set(named) <= set(kinds)
    assert '[dumpfile] "timeline.vcd"' in view


def test_the_same_again_is_the_same_to_the_byte(report: tuple[Path, RecordedRun], tmp_path: Path):
    out, recorded = report
    run_report(CONFIGS["lab"], None, tmp_path, program=recorded.program)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def measured(page: Path, width: int, folder: Path, *, dark: bool = False) -> dict[str, Any]:
    """The page in a frame of ``width`` pixels in headless Chromium: what a script finds there."""
    assert CHROMIUM is not None
    frame = folder / f"frame{width}.html"
    frame.write_text(f"""<!DOCTYPE html><body><iframe id="frame" src="{page.as_uri()}"
        style="border: 0; width: {width}px; height: 900px"></iframe><script>
        const frame = document.getElementById("frame");
        frame.onload = () => {{
          const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
          const svg = page.getElementById("timeline-svg"), box = () => svg.getAttribute("viewBox");
          const whole = box();
          page.querySelector('[data-act="in"]').click();
          const near = box();
          page.querySelector('[data-act="all"]').click();
          const back = box(), select = page.querySelector("select");
          select.selectedIndex = 1;
          select.dispatchEvent(new view.Event("change"));
          const text = [...page.querySelectorAll("svg.chart text")].map(text => text.getBoundingClientRect().height);
          document.title = JSON.stringify({{
            scroll: root.scrollWidth, client: root.clientWidth, whole, near, back, smallest: Math.min(...text),
            ticks: page.querySelectorAll(".ticks span").length, names: page.querySelectorAll(".names span").length,
            over: [...page.querySelectorAll("main *")].filter(one => !one.closest("svg, .stage, .scroll")
                  && one.getBoundingClientRect().right > root.clientWidth + 1).map(one => one.tagName),
            paper: view.getComputedStyle(page.body).backgroundColor, ink: view.getComputedStyle(page.body).color,
            buttons: Math.min(...[...page.querySelectorAll("button")].map(one => one.getBoundingClientRect().height)),
          }});
        }};</script>""")
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--allow-file-access-from-files", *scheme,
         f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000", f"--window-size={max(500, width)},1000",
         "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&amp;", "&"))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: the layout is not looked at; apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_layout(report: tuple[Path, RecordedRun], width: int, tmp_path: Path):
    """Nothing scrolls sideways, letters stay readable, the timeline zooms, light and dark differ."""
    page = report[0] / "report.html"
    light, dark = measured(page, width, tmp_path), measured(page, width, tmp_path, dark=True)
    for seen in (light, dark):
        assert seen["scroll"] <= seen["client"] == width and seen["over"] == []
        assert seen["smallest"] >= 9 and seen["buttons"] >= 36
        assert seen["ticks"] >= 2 and seen["names"] >= 1
        start, _, span, _ = map(float, seen["near"].split())
        assert seen["back"] == seen["whole"] and start > 0 and span == float(seen["whole"].split()[2]) / 2
    assert light["paper"] == dark["ink"] == "rgb(255, 255, 255)" or light["paper"] != dark["paper"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program(program: str, tmp_path: Path):
    recorded = run_report(CONFIGS["tiny"], None, tmp_path, program=program)
    assert recorded.solved and {path.name for path in tmp_path.iterdir()} == FILES
    assert (recorded.solves == 0) == (program == "digital")


def test_a_matrix_from_a_file_that_is_no_grid(tmp_path: Path):
    np.save(tmp_path / "rod & <co>.npy", np.array([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]]))
    recorded = run_report(CONFIGS["tiny"], tmp_path / "rod & <co>.npy", tmp_path / "out")
    assert recorded.plan.n == 3
    page = Page((tmp_path / "out" / "report.html").read_text())
    assert page.texts["h1"] == "rod & <co>.npy: solve on tiny"


def test_a_run_that_is_not_solved_has_a_report(tmp_path: Path):
    """A loop that the planner lets pass and whose answer does not fit any range."""
    np.save(tmp_path / "steep.npy", np.array([[255.0, -255.0], [-254.0, 255.0]]))
    with pytest.raises(NotSolvedError, match="solve: trap: clip; relative residual"):
        run_report(CONFIGS["chip64hp"], tmp_path / "steep.npy", tmp_path / "out", chip="ideal")
    assert "Not solved: trap: clip." in Page((tmp_path / "out" / "report.html").read_text()).texts["span"]


def test_unknown_programs_are_refused(tmp_path: Path):
    command = [sys.executable, "-m", "ohmloop", "report", "--program", "jacobi", "--out", "x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (
        2, "ohmloop: --program must be one of solve, refine, gcr, gcr5, digital, not 'jacobi'\n")
    assert not (tmp_path / "x").exists()
    with pytest.raises(InputError, match="numerically singular"):
        np.save(tmp_path / "one.npy", np.ones((3, 3)))
        run_report(CONFIGS["tiny"], tmp_path / "one.npy", tmp_path / "x")

"""The sweep from request to pictures: grid, tasks that are missing, tables in the order of the grid."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ohmloop.analog.params import PRESETS
from ohmloop.errors import InputError, InterruptedWorkError
from ohmloop.report.sweep_pictures import Curve, error_picture, yield_picture
from ohmloop.sweep import cluster, table
from ohmloop.sweep.grid import Grid, build_grid, config_axis, parse_axis, parse_numbers
from ohmloop.sweep.measure import LEFT_OUT, Measured, planned, task_chips
from ohmloop.sweep.point import METRICS, Method
from ohmloop.sweep.store import Store, Task
from ohmloop.sweep.systems import Source
from ohmloop.sweep.version import code_version

TASKS_MAX = 1_000_000
"""Tasks of the largest sweep."""

CURVES_MAX = 6
"""Curves of a picture; with more values than that on another axis its points are drawn one by one only in tables."""


@dataclass(frozen=True)
class Request:
    """What to sweep, as the command line says it: lists are text with commas.

    ``yield_limit``: largest relative error that passes. The rest as in the help of the command.
    """

    config: str = "chip64"
    sets: tuple[str, ...] = ()
    matrix: Path | None = None
    ensemble: str | None = None
    cond: str = ""
    systems: int = 1
    chips: int = 100
    seed: int = 1
    base: str = "reference"
    metric: str = "static"
    stability: bool | None = None
    allow_shift: bool = False
    yield_limit: float = 0.05

    @property
    def text(self) -> str:
        """The request in words, without what can change from one start to the next."""
        parts = [str(self.matrix or self.ensemble or "heat plate"), f"--config {self.config}"]
        parts += [f"--set {text}" for text in self.sets]
        parts += [f"--cond {self.cond}"] * bool(self.cond) + [f"--systems {self.systems}"] * (self.systems > 1)
        parts += [f"--base {self.base}", f"--metric {self.metric}", f"--chips {self.chips}", f"--seed {self.seed}"]
        if self.stability is not None:
            parts.append("--stability" if self.stability else "--no-stability")
        return " ".join(parts + ["--allow-shift"] * self.allow_shift)

    def grid(self) -> tuple[Grid, str]:
        """The grid and the name of what is solved; :class:`InputError` for what cannot be."""
        for option, name, allowed in (("--metric", self.metric, METRICS), ("--base", self.base, tuple(PRESETS))):
            if name not in allowed:
                raise InputError(f"{option} must be one of {', '.join(allowed)}, not {name!r}")
        for option, number in (("--chips", self.chips), ("--systems", self.systems)):
            if number < 1:
                raise InputError(f"{option} must be at least 1, not {number}")
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"--seed must be from 0 to 2^64 - 1, not {self.seed}")
        if not self.yield_limit > 0.0:
            raise InputError(f"--yield-limit must be above 0, not {self.yield_limit}")
        axes = [config_axis(self.config), *map(parse_axis, self.sets)]
        source = Source(self.matrix, self.ensemble, self.systems, self.seed)
        if self.cond:
            axes.append(parse_numbers("--cond", "cond", self.cond))
        source.check([float(value) for axis in axes if axis.name == "cond" for value in axis.values])
        method = Method(self.metric, self.stability, self.allow_shift, code_version())
        return build_grid(axes, source, method, base=self.base, seed=self.seed), source.name


def run_sweep(request: Request, out: Path, *, workers: int | None = None, scheduler: str | None = None,
              json_file: Path | None = None, table_file: Path | None = None) -> list[table.Row]:
    """Compute what is not in ``out`` yet; write tables and pictures, print the table of points, return it.

    ``table_file``: also the table of chips there, ``.csv`` or ``.parquet``.

    Errors: :class:`InputError` for bad input, :class:`InterruptedWorkError` after Ctrl-C.
    """
    console = Console(markup=False)
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    cluster.check_address(scheduler)
    table.check_table(table_file)
    grid, name = request.grid()
    tasks = _tasks(grid, request.chips)
    if request.metric == "static":
        for axis in grid.axes:
            if axis.name in LEFT_OUT:
                console.print(f"note: --metric static leaves {axis.name} out; --metric chip has it", highlight=False)
    _refuse_the_hopeless(grid, console)
    files = [file for file in (json_file, table_file) if file]
    for folder in (out, *(file.parent for file in files)):
        folder.mkdir(parents=True, exist_ok=True)
    keys = [task.key for row in tasks for task in row]
    with closing(Store(out, request.text, code_version(), keys)) as store:
        _compute(store, [task for row in tasks for task in row], scheduler, workers, console)
        rows = _tables(store, grid, tasks, request, out, table_file, json_file)
        console.print(table.shown_title(name, rows, request.yield_limit), highlight=False)
        console.print(table.shown_table(_swept(grid), rows))
        for reason in dict.fromkeys(row.reason for row in rows if row.reason):
            console.print(f"refused: {reason}", highlight=False)
        written = _pictures(out, grid, rows, f"{name}, {rows[0].chips} chips a point", request.yield_limit)
        for kind, files in (("tables", [out / "points.csv", out / "chips.csv"]), ("pictures", written)):
            if files:
                console.print(kind, *files, highlight=False, soft_wrap=True)
    return rows


def _tasks(grid: Grid, chips: int) -> list[list[Task]]:
    """The tasks of each grid point, in order."""
    count = sum(-(-chips // task_chips(point)) for points in grid.points for point in points)
    if count > TASKS_MAX:
        raise InputError(f"--chips: {count} tasks are too many, at most {TASKS_MAX} are allowed")
    return [[Task(point, first, min(task_chips(point), chips - first))
             for point in points for first in range(0, chips, task_chips(point))] for points in grid.points]


def _refuse_the_hopeless(grid: Grid, console: Console) -> None:
    """Raise the planner's error when it refuses every point; look no further than the first that it takes."""
    refusal: InputError | None = None
    with console.status("planning"):
        for point in (point for points in grid.points for point in points):
            try:
                planned(point)
                return
            except InputError as error:
                refusal = refusal or error
    assert refusal is not None
    raise refusal


def _compute(store: Store, tasks: list[Task], scheduler: str | None, workers: int | None, console: Console) -> None:
    """Fill the store with what is missing."""
    unique = {task.key: task for task in tasks}
    missing = [task for key, task in unique.items() if store.load(key, task.count) is None]
    done = there = len(unique) - len(missing)
    if store.damaged:
        console.print(f"{store.damaged} damaged task file{'s' * (store.damaged > 1)} will be computed again")
    if not missing:
        console.print(f"all {there} tasks were there already", highlight=False)
        return
    chips, began = 0, time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("tasks"),
               TimeRemainingColumn(), TextColumn("{task.fields[rate]}"))
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("starting workers", total=len(unique), completed=there, rate="")
            with cluster.cluster(scheduler, workers or min(cluster.default_workers(), len(missing))) as client:
                began = time.monotonic()
                for task, measured in cluster.results(client, missing):
                    store.save(task.key, measured)
                    chips, done = chips + task.count, done + 1
                    rate = chips / (time.monotonic() - began)
                    progress.update(bar, description="sweep", completed=done, rate=f"{rate:,.0f} chips/s")
    except KeyboardInterrupt:
        raise InterruptedWorkError(f"interrupted: {done} of {len(unique)} tasks are done; the same command with --out "
                                   f"{store.folder} goes on from there") from None
    seconds = time.monotonic() - began
    console.print(f"{len(missing)} task{'s' * (len(missing) > 1)} computed, {there} were there already; {chips} chips "
                  f"in {seconds:.1f} s, {chips / seconds:,.0f} a second", highlight=False)


def _tables(store: Store, grid: Grid, tasks: list[list[Task]], request: Request, out: Path, table_file: Path | None,
            json_file: Path | None) -> list[table.Row]:
    """All tables, from the files of the tasks, so that a sweep that was interrupted gives the same bytes."""
    def parts(of: Sequence[Task]) -> list[Measured]:
        loaded = [store.load(task.key, task.count) for task in of]
        return [part for part in loaded if part is not None]

    def chips() -> Iterator[tuple]:
        for values, of in zip(swept, tasks, strict=True):
            for task, part in zip(of, parts(of), strict=True):
                yield from table.chip_rows(values, task.point.system, task.first, part)

    axes = _swept(grid)
    places = [grid.axes.index(axis) for axis in axes]
    swept = [tuple(values[place] for place in places) for values in grid.coordinates]
    rows = [table.summarise(values, request.chips * len(points), parts(of), request.yield_limit)
            for values, points, of in zip(swept, grid.points, tasks, strict=True)]
    table.write_points(out, axes, rows, json_file)
    for file in dict.fromkeys((out / "chips.csv", table_file)):
        if file:
            table.write_chips(file, table.chip_columns(axes), chips())
    return rows


def _swept(grid: Grid) -> list:
    """Axes that tell points apart; the configuration only where there are several."""
    return [axis for axis in grid.axes if axis.name != "config" or len(axis.values) > 1]


def _pictures(out: Path, grid: Grid, rows: list[table.Row], title: str, limit: float) -> list[Path]:
    """Error and yield against each axis of several values, a curve a point of the other axes."""
    written: list[Path] = []
    axes = _swept(grid)
    for place, axis in enumerate(axes):
        others: dict[tuple, dict] = {}
        for row in rows:
            rest = tuple((other.name, value) for k, (other, value) in enumerate(zip(axes, row.values, strict=True))
                         if k != place and len(other.values) > 1)
            others.setdefault(rest, {})[row.values[place]] = row
        if len(axis.values) < 2 or len(others) > CURVES_MAX:
            continue
        for kind, draw, columns in (
                ("error", error_picture, ("error_median", "error_p05", "error_p95")),
                ("yield", yield_picture, ("yield_share", "yield_low", "yield_high"))):
            curves = [Curve(", ".join(f"{name} {table.shown(value)}" for name, value in rest) or "all chips",
                            *(tuple(getattr(by[value], column) for value in axis.values) for column in columns))
                      for rest, by in others.items()]
            path = out / f"{kind}-{axis.name}.png"
            draw(path, axis.name, axis.values, curves, title, limit)
            written.append(path)
    return written

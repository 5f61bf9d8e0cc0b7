"""From measured chips to numbers: a row a grid point, a row a chip, as CSV, Parquet and JSON.

Percentiles are over the chips that gave an answer. Yield is over all chips: the share whose error is within the limit,
which a chip without an answer never is; a point that the planner refused yields nothing.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from ohmloop.errors import InputError
from ohmloop.sweep.grid import Axis, Value
from ohmloop.sweep.measure import OK, UNSTABLE, Measured
from ohmloop.sweep.store import write_whole

CONFIDENCE_SIGMAS = 1.96
"""Of the interval of a yield: 95 %."""

FAILURES = {"clip": "clipped", "unstable": "unstable", "trap": "trapped", "refused": "refused"}
"""Columns of chips without an answer, by their title on the terminal."""

_CHIP_COLUMNS = ("system", "chip", "outcome", "error", "error_digital", "drive_range", "clocks")


@dataclass(frozen=True)
class Row:
    """One grid point, all its systems together.

    ``values``: its coordinates. ``chips``: all. ``answered``, ``clipped``, ``unstable``, ``trapped``, ``refused``: how
    many of them; refused are those of systems that the planner refuses.
    ``error_*``: relative errors, None where no chip answered; ``error_digital``: median against a digital solve.
    ``yield_share`` with its 95 % interval (Wilson). ``clocks``: median, None for ``static``. ``checked``: every loop
    was looked at for growing modes. ``reason``: of the planner, empty where it refused nothing.
    """

    values: tuple[Value, ...]
    chips: int
    answered: int
    clipped: int
    unstable: int
    trapped: int
    refused: int
    error_median: float | None
    error_p05: float | None
    error_p95: float | None
    error_digital: float | None
    yield_share: float
    yield_low: float
    yield_high: float
    clocks: float | None
    checked: bool
    reason: str

    def as_dict(self, axes: Sequence[Axis]) -> dict[str, Any]:
        """For files: the coordinates by their names, then the rest."""
        rest = {name: value for name, value in vars(self).items() if name != "values"}
        return dict(zip((axis.name for axis in axes), self.values, strict=True)) | rest


def summarise(values: tuple[Value, ...], chips: int, parts: Iterable[Measured], limit: float) -> Row:
    """The row of a grid point with ``chips`` chips in all, from its tasks; ``limit``: largest error that passes."""
    parts = list(parts)
    outcomes = Counter(outcome for part in parts for outcome in part.outcome)
    error, digital, clocks = (np.array([number for part in parts for number in column(part) if number is not None])
                              for column in (lambda p: p.error, lambda p: p.error_digital, lambda p: p.clocks))
    low, middle, high = np.percentile(error, (5, 50, 95)).tolist() if error.size else (None, None, None)
    passed = int((error <= limit).sum())
    below, above = wilson(passed, chips)
    known = outcomes[OK] + outcomes[UNSTABLE] + outcomes["clip"]
    return Row(
        values, chips, outcomes[OK], outcomes["clip"], outcomes[UNSTABLE], outcomes.total() - known,
        chips - outcomes.total(),
        middle, low, high, float(np.median(digital)) if digital.size else None,
        passed / chips, below, above, float(np.median(clocks)) if clocks.size else None,
        all(part.checked for part in parts if not part.refused),
        next((part.refused for part in parts if part.refused), ""))


def wilson(passed: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, ``passed`` of ``count``; inside 0 to 1, and of some width at its ends too."""
    z2, share = CONFIDENCE_SIGMAS ** 2 / count, passed / count
    middle = share + z2 / 2
    half = CONFIDENCE_SIGMAS * math.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def chip_rows(values: tuple[Value, ...], system: int, first: int, part: Measured) -> Iterator[tuple]:
    """Rows of the table of chips, of one task."""
    for k, outcome in enumerate(part.outcome):
        yield (*values, system, first + k, outcome, part.error[k], part.error_digital[k], part.drive_range[k],
               part.clocks[k])


def chip_columns(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Names of the columns of the table of chips."""
    return (*(axis.name for axis in axes), *_CHIP_COLUMNS)


def write_points(folder: Path, axes: Sequence[Axis], rows: Sequence[Row], json_file: Path | None) -> None:
    """``points.csv``, and the same as a list in a JSON file; what there is no number for is empty or null."""
    table = [row.as_dict(axes) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_whole(folder / "points.csv", text.getvalue().encode())
    if json_file:
        # JSON has no infinity, which a gain may have.
        finite = [{name: str(value) if value in (math.inf, -math.inf) else value for name, value in row.items()}
                  for row in table]
        write_whole(json_file, (json.dumps(finite, indent=2, allow_nan=False) + "\n").encode())


def check_table(path: Path | None) -> None:
    """Raise :class:`InputError` for a file of chips that could not be written at the end."""
    if path is None:
        return
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"--table: must end in .csv or .parquet, not {path.name!r}")
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # pyright: ignore[reportMissingImports]  # noqa: F401
        except ImportError:
            raise InputError("--table: Parquet needs pyarrow, which is not installed: pip install pyarrow; "
                             "or write a .csv") from None


def write_chips(path: Path, columns: Sequence[str], rows: Iterable[tuple]) -> None:
    """A row a chip, as the suffix says."""
    part = path.with_name(path.name + ".part")
    if path.suffix == ".parquet":
        import pyarrow  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet  # pyright: ignore[reportMissingImports]

        table = pyarrow.table({name: list(column) for name, column in zip(columns, zip(*rows, strict=True),
                                                                          strict=True)})
        pyarrow.parquet.write_table(table, part)
    else:
        with part.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
    part.replace(path)


def shown(value: Value) -> str:
    """A value of an axis, for people."""
    return value if isinstance(value, str) else f"{value:g}"


def shown_title(name: str, rows: Sequence[Row], limit: float) -> str:
    """What stands above the table of points."""
    chips = max(row.chips for row in rows)
    return f"{name}: relative error, {chips} chips a point; they pass up to {100 * limit:.3g} %"


def shown_table(axes: Sequence[Axis], rows: Sequence[Row]) -> Table:
    """The table of points for the terminal; ways to fail that no chip took are left out."""
    table = Table()
    failures = [(title, column) for title, column in FAILURES.items() if any(getattr(row, column) for row in rows)]
    for title in (*(axis.name for axis in axes), "median", "5 %", "95 %", "digital", "yield",
                  *(title for title, _ in failures)):
        table.add_column(title, justify="right", overflow="fold")
    for row in rows:
        errors = (row.error_median, row.error_p05, row.error_p95, row.error_digital)
        table.add_row(*map(shown, row.values),
                      *("-" if error is None else f"{100 * error:.3g} %" for error in errors),
                      f"{100 * row.yield_share:.1f} %",
                      *(str(getattr(row, column)) for _, column in failures))
    return table

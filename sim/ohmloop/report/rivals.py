"""A run beside digital machines: rows of a table, and who wins in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ohmloop.report.recorded import RecordedRun

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "\N{MICRO SIGN}"), (1e-9, "n"), (1e-12, "p"))


@dataclass(frozen=True)
class Rival:
    """A line of the comparison; ``kind``: ``chip`` for runs of this chip, ``wins`` for a digital machine that needs the
    least of all, else empty."""

    name: str
    joules: float
    kind: str = ""

    @property
    def text(self) -> str:
        """The energy with its unit."""
        return si(self.joules, "J")


def si(value: float, unit: str) -> str:
    """A number to three digits with a prefix of its unit; none at 0."""
    if not value:
        return f"0 {unit}"
    size, prefix = next(((size, name) for size, name in _PREFIXES if abs(value) >= 0.9995 * size), _PREFIXES[-1])
    return f"{value / size:.3g} {prefix}{unit}"


def rivals(recorded: RecordedRun, baseline: RecordedRun | None) -> list[Rival]:
    """Runs of the chip, then digital machines: a fresh LU and a cached inverse, always."""
    whole, writing = recorded.energy.total_J, recorded.writing[1]
    rows = [Rival(f"this run, {recorded.program}", whole, "chip")]
    if writing:
        rows.append(Rival("this run with the matrix already in the arrays", whole - writing, "chip"))
    if baseline is not None:
        ending = f"{baseline.iterations} iterations" if baseline.solved else f"not solved: {baseline.ending}"
        rows.append(Rival(f"the same chip with its loop open, digital, {ending}", baseline.energy.total_J, "chip"))
    for row in recorded.digital_rows:
        rows += [Rival(f"{row.name}, arithmetic alone", row.arithmetic_J),
                 Rival(f"{row.name}, with memory traffic", row.with_memory_J)]
    lowest = min(rows, key=lambda row: row.joules)
    return [replace(row, kind="wins") if row is lowest and not row.kind else row for row in rows]


def rivals_verdict(recorded: RecordedRun, rows: Sequence[Rival]) -> str:
    """Who needs the least, and how a fresh LU compares."""
    whole, (fresh, cached) = recorded.energy.total_J, recorded.digital_rows
    winner = next((row for row in rows if row.kind == "wins"), None)
    if winner is None:
        verdict = "No digital machine of this table needs less than the chip."
    else:
        times = f"{whole / winner.joules:.3g} times less than this run"
        verdict = f"Digital wins: {winner.name}, takes {winner.text}, {times}."
        if winner.name.startswith(cached.name):
            verdict += " It needs somebody to have inverted the matrix before."
    ratio = fresh.with_memory_J / whole
    return verdict + (f" A fresh LU with its memory traffic takes {ratio:.3g} times as much as this run." if ratio >= 1
                      else f" A fresh LU with its memory traffic takes {1 / ratio:.3g} times less than this run.")

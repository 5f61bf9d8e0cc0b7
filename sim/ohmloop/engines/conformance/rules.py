"""The rules of the macro contract that can be seen at the pins: one name, one sentence, one verdict each.

A rule is decided by a scenario of its own (:mod:`ohmloop.engines.conformance.scenarios`). Where that scenario can only
be read with the help of something else, ``needs`` names the rules of that something: while one of them is broken, the
rule is left undecided. So one fault is blamed once.
"""

from dataclasses import dataclass

IDEAL, REFERENCE = "ideal", "reference"
"""Chips that a body can be checked as: without imperfections, or as the reference design."""


@dataclass(frozen=True)
class Rule:
    """One checkable rule."""

    name: str
    """Short and stable: reports, tests and scripts use it."""

    number: int | None
    """Numbered rule of :mod:`ohmloop_hdl.macro.pins` that it is part of; None for what the pins mean."""

    says: str
    """What a body must do."""

    needs: tuple[str, ...] = ()
    """Rules without which the scenario says nothing."""

    chip: str | None = None
    """The only chip on which it shows; None for both."""


_SIGNS = ("comparator", "planes")
_ORDER = (*_SIGNS, "mux-order")
_SOLVE = (*_ORDER, "held-voltage")
_CLOCKS = (*_SOLVE, "clock-count")

RULES = (
    Rule("unknown", 1, "`sense`, `above` and `clipped` are 0 or 1 once all pins have been known."),
    Rule("sense", 2, "A row of a plane reads back what was last written to it; `sense` is 0 while `read` is low."),
    Rule("sense-timing", 6, "`sense` follows `row`, `plane` and `read` before the next rising edge.", ("sense",)),
    Rule("comparator", 6, "`above` is high where the held output is not below the level of the trial code."),
    Rule("comparator-timing", 6, "`above` follows `trial` before the next rising edge.", ("comparator",)),
    Rule("planes", None, "Cells of plane 0 count positive, cells of plane 1 negative, and the loop inverts the sign.",
         ("comparator",)),
    Rule("mux-order", None, "ADC a converts held output a N/adcs + `mux`; row i makes output i.", _SIGNS),
    Rule("dac-order", None, "Element j of `dac` drives column j in multiply mode.", _ORDER),
    Rule("multiply", None, "Multiply mode settles at -A u over the feedback, in all four ranges.",
         (*_ORDER, "dac-order")),
    Rule("multiply-range", None, "`drive_range` does not act in multiply mode.", (*_ORDER, "dac-order", "multiply")),
    Rule("held-voltage", None, "A diagonal system in solve mode settles at minus the drive over the diagonal.", _ORDER),
    Rule("rows-columns", None, "Row i of the arrays is the equation of node i, column j the weight of output j.",
         (*_SOLVE, "dac-order")),
    Rule("drive-range", None, "In solve mode the drive is divided by 2^`drive_range`.", _SOLVE),
    Rule("clock-count", 5, "The state is that after as many clocks as edges have seen the loop closed, up to the last "
                           "that sees `sample` high.", _SOLVE),
    Rule("hold-edge", 5, "Held values change at the first edge that sees `sample` low again, and at no other.",
         (*_SOLVE, "comparator-timing")),
    Rule("bandwidth", 4, "The gain-bandwidth product is divided by 2^`bandwidth`.", _CLOCKS),
    Rule("drive-change", 5, "An edge that sees a new drive is edge 1 of it; the state goes on from where it is.",
         (*_CLOCKS, "drive-range")),
    Rule("reset", 3, "With all switches low, or `autozero` alone, the loop opens; the next closing starts from zero.",
         _CLOCKS),
    Rule("autozero", 3, "`autozero` takes the offset down to its residue, for the next closing only.", _SOLVE,
         REFERENCE),
    Rule("open-holds", 5, "A fall of `sample` with an open loop holds 0 V.", _SOLVE),
    Rule("held-survives", 5, "Held values survive the opening of the loop, writes, and the next closing.",
         (*_SOLVE, "hold-edge")),
    Rule("clip", 5, "An output that is not strictly inside the rails at a fall of `sample` is flagged, no other.",
         _SOLVE),
    Rule("clip-moment", 5, "Flags come up at the first edge that sees `sample` low again, and at no other.",
         (*_SOLVE, "clip")),
    Rule("clip-latches", 5, "The first flags that come up stay, and the state is frozen, until the loop opens.",
         (*_SOLVE, "clip")),
    Rule("clip-clears", 5, "Flags go when the loop opens, and the next closing starts without them.",
         (*_SOLVE, "clip")),
    Rule("runaway", None, "A loop that cannot settle is flagged at every output, at its first sample, however short "
                          "the wait, and with no drive.", _SIGNS),
    Rule("nan-reads-top", None, "What a runaway loop holds is not a number, and reads as above every level.",
         _SIGNS),
    Rule("tie", None, "Thresholds lie 2^-20 LSB below the middle between two codes, so that a tie reads as above.",
         (*_SOLVE, "drive-range", "bandwidth"), IDEAL),
    Rule("sequence", None, "In long random sequences all outputs are those of the numpy body."),
)
"""In the order in which they are decided."""

EVERYTHING_ELSE = "sequence"
"""Blamed only where no other rule is."""

BY_NAME = {rule.name: rule for rule in RULES}


@dataclass
class Sighting:
    """Where a rule was first seen broken."""

    clock: int
    """Rising edges since the start."""

    output: str
    """Bus that is wrong."""

    expected: str
    """What it must be, in hexadecimal, least significant element on the right."""

    given: str
    """What it is; with x or z, in binary."""

    pins: dict[str, str]
    """Levels of the input pins that are not 0, in hexadecimal."""


@dataclass
class Finding:
    """What was seen of one rule."""

    rule: str
    looks: int = 0
    """Comparisons made."""

    count: int = 0
    """Comparisons that failed."""

    unreadable: int = 0
    """Comparisons that an unknown output made impossible; `unknown` is blamed for them."""

    first: Sighting | None = None


KEPT, BROKEN, UNDECIDED = "kept", "broken", "undecided"


@dataclass(frozen=True)
class Verdict:
    """What became of one rule; ``reason`` says why it is undecided."""

    rule: Rule
    verdict: str
    finding: Finding
    reason: str = ""


def judge(findings: dict[str, Finding], chip: str, two_state: bool) -> list[Verdict]:
    """A verdict for each rule, in order.

    ``findings`` of the rules that were exercised, by name. ``two_state``: the simulator knows no X, so `unknown` cannot
    be decided.
    """
    verdicts: list[Verdict] = []
    broken: set[str] = set()
    for rule in RULES:
        finding = findings.get(rule.name, Finding(rule.name))
        needs = broken if rule.name == EVERYTHING_ELSE else broken & set(rule.needs)
        if rule.name == "unknown" and two_state:
            verdict = Verdict(rule, UNDECIDED, finding, "this simulator has no unknown values")
        elif rule.chip not in (None, chip):
            verdict = Verdict(rule, UNDECIDED, finding, f"shows on the {rule.chip} chip only")
        elif needs:
            first = next(other.name for other in RULES if other.name in needs)
            verdict = Verdict(rule, UNDECIDED, finding, f"needs {first}")
        elif finding.count:
            broken.add(rule.name)
            verdict = Verdict(rule, BROKEN, finding)
        elif finding.unreadable or not finding.looks:
            verdict = Verdict(rule, UNDECIDED, finding, "outputs are unknown" if finding.unreadable else "not reached")
        else:
            verdict = Verdict(rule, KEPT, finding)
        verdicts.append(verdict)
    return verdicts

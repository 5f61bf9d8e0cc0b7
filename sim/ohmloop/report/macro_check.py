"""``ohmloop macro-check``: the verdicts of the conformance kit as a table, a file and an exit code."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from ohmloop.engines import tools
from ohmloop.engines.conformance.check import Checked, check_macro, require_macro
from ohmloop.engines.conformance.rules import BROKEN, IDEAL, REFERENCE, RULES, UNDECIDED, Sighting, Verdict
from ohmloop.engines.cosim import ENGINES
from ohmloop.engines.simulator import builds_folder
from ohmloop.errors import InputError, OhmloopError
from ohmloop_hdl.config import ChipConfig

BOTH = "both"
"""Every simulator; one that is missing is an error."""

_SHOWN_DIGITS = 40


class MacroBroken(OhmloopError):
    """The body breaks a rule, or did not come to an end."""

    exit_code = 3


def run_macro_check(macro: Path, config: ChipConfig, *, engine: str = "", reference: bool = False, seed: int = 1,
                    timeout_s: float = 120.0, further: Sequence[Path] = (), defines: Sequence[str] = (),
                    json_file: Path | None = None) -> list[Checked]:
    """Check a body on each simulator asked for, print what it breaks, and return the verdicts.

    ``engine``: a simulator, ``both``, or nothing for every one that is found; ``further`` and ``defines``
    as for :func:`~ohmloop.engines.conformance.check.check_macro`. Errors: :class:`InputError` for a file
    that holds no macro, :class:`MacroBroken` after the table when a rule is broken.
    """
    if engine not in ("", BOTH, *ENGINES):
        raise InputError(f"--engine must be one of {', '.join(ENGINES)}, {BOTH}, not {engine!r}")
    if timeout_s <= 0:
        raise InputError(f"--timeout must be above 0 s, not {timeout_s:g}")
    require_macro(macro)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
    console = Console(markup=False)
    chip = REFERENCE if reference else IDEAL
    results = []
    for name in _engines(engine, console):
        with console.status(f"building and checking on {name}"):
            results.append(check_macro(macro, config, name, chip, builds_folder(), seed=seed, timeout_s=timeout_s,
                                       further=further, defines=defines))
    _show(console, macro, config, chip, results)
    if json_file:
        json_file.write_text(json.dumps({
            "file": str(macro), "config": config.name, "chip": chip, "seed": seed,
            "engines": [_entry(checked) for checked in results]}, indent=2) + "\n")
    problems = [f"on {checked.engine} it {checked.failure}" for checked in results if checked.failure]
    broken = [rule.name for rule in RULES if any(rule.name in checked.broken for checked in results)]
    if broken:
        problems.insert(0, f"breaks {', '.join(broken)}")
    if problems:
        raise MacroBroken(f"{macro}: {'; '.join(problems)}")
    return results


def _engines(engine: str, console: Console) -> list[str]:
    """The simulators to use; :class:`ToolMissing` for one that was asked for, or where there is none."""
    if engine:
        names = [name for name in ENGINES if engine in (BOTH, name)]
        for name in names:
            tools.find(name)
        return names
    names = [name for name in ENGINES if tools.available(name)]
    for name in ENGINES:
        if name not in names:
            try:
                tools.find(name)
            except tools.ToolMissing as missing:
                console.print(f"left out: {missing}", highlight=False)
    if not names:
        raise tools.ToolMissing(f"no simulator is installed: install one of {', '.join(ENGINES)}")
    return names


def _show(console: Console, macro: Path, config: ChipConfig, chip: str, results: list[Checked]) -> None:
    """One row a rule, one column a simulator; then what each broken rule asks for, and where it was first seen."""
    done = [checked for checked in results if not checked.failure]
    if done:
        table = Table("rule", "no.", *(checked.engine for checked in done),
                      title=f"{macro.name} as the {chip} chip, {config.name}")
        for row, rule in enumerate(RULES):
            table.add_row(rule.name, str(rule.number or "-"), *(_cell(checked.verdicts[row]) for checked in done))
        console.print(table)
    sightings = [(verdict, checked) for checked in done for verdict in checked.verdicts if verdict.verdict == BROKEN]
    if sightings:
        table = Table("broken", "a body must keep this", "on", Column("times", justify="right"),
                      Column("first clock", justify="right"), Column("seen first", overflow="fold"))
        for verdict, checked in sightings:
            first = verdict.finding.first
            assert first is not None
            table.add_row(verdict.rule.name, verdict.rule.says.replace("`", ""), checked.engine,
                          str(verdict.finding.count), str(first.clock), _seen(first))
        console.print(table)
    for checked in done:
        console.print(f"{checked.engine}: {checked.clocks:,} clocks, {checked.seconds:.0f} s with the build, "
                      f"{len(checked.broken)} rules broken", highlight=False)


def _cell(verdict: Verdict) -> str:
    if verdict.verdict == BROKEN:
        return f"[bold red]broken[/], {verdict.finding.count} times"
    return f"{UNDECIDED}: {verdict.reason}" if verdict.verdict == UNDECIDED else verdict.verdict


def _seen(first: Sighting) -> str:
    """One sentence: what the output was, must be, and the pins."""
    def short(digits: str) -> str:
        return digits if len(digits) <= _SHOWN_DIGITS else f"...{digits[-_SHOWN_DIGITS:]}"

    pins = " ".join(f"{name}={short(level)}" for name, level in first.pins.items())
    return f"{first.output} is {short(first.given)}, must be {short(first.expected)}; pins {pins or 'all low'}"


def _entry(checked: Checked) -> dict:
    """One simulator's part of the JSON file."""
    rules = []
    for verdict in checked.verdicts:
        found = verdict.finding
        rules.append({"name": verdict.rule.name, "number": verdict.rule.number, "says": verdict.rule.says,
                      "verdict": verdict.verdict, "reason": verdict.reason, "looks": found.looks,
                      "count": found.count if verdict.verdict == BROKEN else 0,
                      "first": asdict(found.first) if found.first and verdict.verdict == BROKEN else None})
    return {"engine": checked.engine, "clocks": checked.clocks, "seconds": round(checked.seconds, 3),
            "failure": checked.failure, "rules": rules}

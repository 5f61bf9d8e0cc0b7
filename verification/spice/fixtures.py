"""Fixtures of ngspice: made anew, compared with what the repository keeps, and with the numpy macro.

Run as ``make spice``; with ``ARGS=--write`` the kept ones are replaced. One JSON file a circuit in ``kept/``: SHA-256
of the netlist, version of ngspice, DC outputs, settling time, a few points of the trajectory. The last line sums up.
Exit code 1 where a fixture is not what is kept, or numpy is further off than the limits of
:mod:`verification.spice.measure`.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from verification.spice.cases import Case, cases
from verification.spice.measure import Difference, Measured, as_json, by_numpy, by_spice, difference, netlist_hash

from ohmloop.command import ends
from ohmloop.engines.tools import find
from ohmloop.errors import OhmloopError

KEPT = Path(__file__).with_name("kept")

SAME_V, SAME_SETTLING = 1e-6, 1e-3
"""What a fixture may differ by from itself, made by another version of ngspice."""


def kept(case: Case) -> tuple[str, Measured]:
    """Netlist hash and measurement as the repository has them."""
    path = KEPT / f"{case.name}.json"
    if not path.exists():
        raise OhmloopError(f"{path} is missing: make spice ARGS=--write")
    found = json.loads(path.read_text())
    return found["netlist_sha256"], Measured(**found["measured"])


def keep(case: Case, measured: Measured, version: str) -> None:
    """Write a fixture."""
    KEPT.mkdir(exist_ok=True)
    text = json.dumps({"netlist_sha256": netlist_hash(case), "ngspice": version, "measured": as_json(measured)},
                      indent=None, separators=(", ", ": "))
    (KEPT / f"{case.name}.json").write_text(text.replace('"measured"', '\n"measured"') + "\n")


def check(case: Case, write: bool) -> tuple[Difference, str]:
    """Make a fixture, compare; the difference of numpy, and what is wrong, or nothing."""
    tool = find("ngspice")
    measured = by_spice(case, tool.path)
    if write:
        keep(case, measured, tool.version)
    wrong = changed(case, measured)
    numpy = difference(measured, by_numpy(case))
    if not numpy.within:
        wrong = f"{wrong} numpy: {numpy}".strip()
    return numpy, wrong


def changed(case: Case, measured: Measured) -> str:
    """What is not as the repository keeps it, or nothing."""
    known_hash, known = kept(case)
    if known_hash != netlist_hash(case):
        return "another netlist than the kept one."
    found = difference(known, measured)
    if not found.same_kind or max(found.dc_V, found.trajectory_V) > SAME_V or found.settling > SAME_SETTLING:
        return f"not as kept: {found}."
    return ""


def main() -> int:
    """Parse the options, make all fixtures, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="replace the kept fixtures")
    parser.add_argument("--only", default="", metavar="TEXT", help="only those whose name has this in it")
    arguments = parser.parse_args()
    version = find("ngspice").version
    chosen = [case for case in cases() if arguments.only in case.name]
    started, failures, differences = time.monotonic(), 0, []
    with ProcessPoolExecutor(2) as pool:
        for case, (numpy, wrong) in zip(chosen, pool.map(check, chosen, [arguments.write] * len(chosen)), strict=True):
            differences.append(numpy)
            failures += bool(wrong)
            print(f"{case.name:28} DC {numpy.dc_V:8.1e} V, settling {numpy.settling:8.2%}, trajectory "
                  f"{numpy.trajectory_V:8.1e} V  {wrong}", flush=True)
    print(f"ngspice {version}, {time.monotonic() - started:.0f} s: {len(chosen)} fixtures, {failures} wrong; worst DC "
          f"difference {max(d.dc_V for d in differences):.1e} V, worst settling difference "
          f"{max(d.settling for d in differences):.3%}, worst trajectory difference "
          f"{max(d.trajectory_V for d in differences):.1e} V")
    return 1 if failures else 0


if __name__ == "__main__":
    ends("spice", main)

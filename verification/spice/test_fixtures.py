"""The kept fixtures of ngspice against the numpy macro, and a few of them made anew."""

import json
from dataclasses import replace

import pytest
from verification.spice.cases import Case, cases
from verification.spice.fixtures import KEPT, changed, kept
from verification.spice.measure import by_numpy, by_spice, difference, netlist_hash

from ohmloop.analog.spice.batch import SpiceError, operating_point
from ohmloop.engines.tools import find

CASES = {case.name: case for case in cases()}

MADE_ANEW = ("two-unknowns", "solve-4-bandwidth-0", "solve-8-no-node-pole", "multiply-8-wires", "solve-4-slew",
             "solve-16-detailed", "runaway-16-node-poles", "clip-8-multiply")


def test_every_fixture_is_kept_and_no_other():
    assert {path.stem for path in KEPT.glob("*.json")} == set(CASES)
    assert all(json.loads(path.read_text())["ngspice"] for path in KEPT.glob("*.json"))


@pytest.mark.parametrize("name", CASES)
def test_numpy_agrees_with_the_kept_fixture(name: str):
    """Needs no ngspice. The netlist is still the one that was measured, DC within 10 uV, settling time within 2 %."""
    netlist, measured = kept(CASES[name])
    assert netlist == netlist_hash(CASES[name]), "another netlist: make spice ARGS=--write"
    found = difference(measured, by_numpy(CASES[name]))
    assert found.within, found


@pytest.mark.parametrize("name", MADE_ANEW)
def test_ngspice_gives_what_is_kept(name: str):
    measured = by_spice(CASES[name], find("ngspice").path)
    assert changed(CASES[name], measured) == ""
    found = difference(measured, by_numpy(CASES[name]))
    assert found.within, found


@pytest.mark.parametrize(("name", "change"), [
    ("solve-4-bandwidth-0", dict(params=dict(gbw_Hz=19e6))),
    ("solve-8-no-node-pole", dict(params=dict(node_capacitance_F=0.1e-12))),
    ("solve-8-rails", dict(params=dict(inverter_sigma=0.011))),
    ("solve-8-wires", dict(params=dict(wire_ohm=19.0))),
    ("solve-4-slew", dict(params=dict(slew_V_per_s=2.1e5, node_capacitance_F=0.5e-12))),
    ("solve-8-warm", dict(params=dict(temperature_C=75.0, supply_V=1.3))),
    ("solve-8-raw-offset", dict(zeroed=True)),
    ("multiply-8-bandwidth-0", dict(feedback=2)),
    ("solve-4-range-3", dict(drive_range=2)),
    ("runaway-4-negative", dict(matrix="heat")),
    ("clip-4", dict(drive=30)),
])
def test_another_circuit_is_told_apart(name: str, change: dict):
    """The comparison sees each effect: a numpy macro that is off by this much does not pass."""
    case: Case = replace(CASES[name], **change)
    assert not difference(kept(CASES[name])[1], by_numpy(case)).within
    assert netlist_hash(case) != netlist_hash(CASES[name])


def test_a_circuit_that_ngspice_refuses_is_one_line():
    with pytest.raises(SpiceError, match=r"^ngspice: [^\n]+$"):
        operating_point(find("ngspice").path, "rfloating a b\n", ["a"])

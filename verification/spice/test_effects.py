"""Imperfections in every body: a share of ``make effects``, and that it sees a body that leaves one out."""

from dataclasses import replace

import pytest
from verification.spice.effects import ALONE, measure

from ohmloop.analog.spice import netlist
from ohmloop_hdl.config import CONFIGS


@pytest.mark.parametrize("name", ["gain 70 dB", "negative rails 0.2 %", "wires 2 ohm"])
def test_all_bodies_have_the_effect(name: str, tmp_path):
    effect = measure(name, CONFIGS["tiny"], tmp_path)
    assert list(effect.by_body_V) == ["numpy", "icarus", "ngspice"]
    assert effect.agrees, {body: effect.part(change) for body, change in effect.by_body_V.items()}


@pytest.mark.parametrize("name", ALONE)
def test_the_circuit_has_the_effect(name: str, tmp_path):
    assert measure(name, CONFIGS["lab"], tmp_path, ("numpy", "ngspice")).agrees


def test_a_body_without_the_effect_is_told(monkeypatch, tmp_path):
    """A netlist that knows nothing of wires."""
    original = netlist.circuit
    monkeypatch.setattr("verification.spice.effects.circuit", lambda die, setting, **options: original(
        replace(die, params=replace(die.params, wire_ohm=0.0)), setting, **options))
    effect = measure("wires 2 ohm", CONFIGS["tiny"], tmp_path, ("numpy", "ngspice"))
    assert not effect.agrees and effect.part(effect.by_body_V["ngspice"]) < 1e-6

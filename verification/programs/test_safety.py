"""Chips that should fail say so: a share of ``make safety``, and that it can see a wrong answer at all."""

import os
import random

import numpy as np
import pytest

from ohmloop.analog.macro import NumpyMacro
from ohmloop_hdl.config import CONFIGS
from verification.programs import safety


def seed_of_this_run() -> int:
    seed = int(os.environ.get("OHMLOOP_SEED", random.randrange(1 << 31)))
    print(f"OHMLOOP_SEED={seed}")
    return seed


@pytest.mark.parametrize("config, count", [("tiny", 240), ("lab", 24)])
def test_no_answer_is_silently_wrong(config: str, count: int):
    tally, silent = safety.campaign(CONFIGS[config], count, seed_of_this_run())
    assert silent == []
    assert tally["unstable"]["trap clip"] > 0.8 * tally["unstable"].total()
    assert tally["barely stable"]["right"] > 0
    assert tally["stuck cells"]["right"] < 0.5 * tally["stuck cells"].total()
    assert sum(counts.total() for counts in tally.values()) == count


def test_a_macro_that_lets_runaways_settle_is_found(monkeypatch):
    """Outputs of zero in place of a runaway: two scans agree, and nothing but the residual can tell."""
    def outputs(self):
        real = original(self)
        return np.zeros_like(real) if np.isnan(real).any() else real

    original = NumpyMacro._outputs
    monkeypatch.setattr(NumpyMacro, "_outputs", outputs)
    tally, _ = safety.campaign(CONFIGS["tiny"], 60, 1)
    assert tally["unstable"]["residual"] > 10 and tally["unstable"]["trap clip"] < 5


def test_a_wrong_answer_that_nothing_tells_counts_as_silent(monkeypatch):
    monkeypatch.setattr(safety, "RESIDUAL", float("inf"))
    original = NumpyMacro._outputs
    monkeypatch.setattr(NumpyMacro, "_outputs", lambda self: np.nan_to_num(original(self)))
    _, silent = safety.campaign(CONFIGS["tiny"], 60, 1)
    assert "unstable" in {kind for kind, _ in silent}

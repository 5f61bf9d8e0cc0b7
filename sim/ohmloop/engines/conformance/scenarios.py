"""All scenarios of the conformance kit, by rule."""

from ohmloop.engines.conformance.arrays import ArrayScenarios
from ohmloop.engines.conformance.clips import ClipScenarios
from ohmloop.engines.conformance.looks import Look
from ohmloop.engines.conformance.loops import LoopScenarios
from ohmloop.engines.conformance.readings import Acts

FULL_SIZE = 16
"""Largest N that gets every random system; above it a few, since tables of N x N take their time."""


class Scenarios(ArrayScenarios, LoopScenarios, ClipScenarios):
    """Scenarios of one chip; parameters are those of :class:`~ohmloop.engines.conformance.stimulus.Stimulus`."""

    def of(self, rule: str) -> Acts:
        """The scenario that decides a rule, from quiet pins."""
        yield from self.begin()
        yield from getattr(self, "decide_" + rule.replace("-", "_"))()

    def decide_sequence(self) -> Acts:
        """The stimulus that all bodies are compared with, looked at behind every step.

        While ``sample`` is high the contract does not say what the comparators see.
        """
        steps = self.everything(systems=1) if self.config.size <= FULL_SIZE else self.few()
        for step in steps:
            yield step
            yield Look(("clipped", "sense") if step.pins.sample else ("clipped", "sense", "above"))


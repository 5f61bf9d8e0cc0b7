"""The clock of the golden machine: phases, and in which clock the watchdog traps."""

import pytest
from verification.unit.simulation import seeded

from ohmloop.golden.run import Clock, Run, Trapped
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.sequencer.traps import TrapCause

Step = tuple[Phase, int, bool]
"""Phase, clocks, whether they are safe."""


def spend(limit: int, steps: list[Step]) -> tuple[dict[Phase, int], bool]:
    """Clocks by phase of one instruction, and whether the watchdog stopped it."""
    run = Run()
    clock = Clock(run, limit)
    clock.issue()
    try:
        for phase, clocks, safe in steps:
            clock.spend(phase, clocks, safe=safe)
    except Trapped as trap:
        assert trap.cause is TrapCause.WATCHDOG
        return dict(run.phases), True
    return dict(run.phases), False


def one_by_one(limit: int, steps: list[Step]) -> tuple[dict[Phase, int], bool]:
    """The same, clock by clock: the first clock that is not safe and comes no sooner than the limit is the last."""
    phases, number = {Phase.ISSUE: 2}, 2
    for phase, clocks, safe in steps:
        phases.setdefault(phase, 0)
        for _ in range(clocks):
            number += 1
            phases[phase] += 1
            if limit and number >= limit and not safe:
                return phases, True
    return phases, False


@pytest.mark.parametrize(("limit", "clocks", "spent", "traps"), [
    (0, 1_000_000, 1_000_000, False), (13, 10, 10, False), (12, 10, 10, True), (11, 10, 9, True), (4, 10, 2, True),
    # Fetch and decode are never stopped; the first clock behind them is.
    (3, 10, 1, True), (2, 10, 1, True), (1, 10, 1, True), (3, 0, 0, False), (1, 0, 0, False),
])
def test_the_last_clock_is_the_one_that_the_limit_names(limit: int, clocks: int, spent: int, traps: bool):
    phases, trapped = spend(limit, [(Phase.VECTOR, clocks, False)])
    assert (phases.get(Phase.VECTOR, 0), trapped) == (spent, traps)
    assert phases[Phase.ISSUE] == 2


@pytest.mark.parametrize(("limit", "store", "after", "traps"), [
    (10, 20, 0, False),   # all of it safe
    (10, 20, 1, True),    # the first clock behind
    (10, 20, 5, True), (23, 20, 1, True), (24, 20, 1, False), (24, 20, 2, True),
])
def test_safe_clocks_pass_and_the_next_other_one_traps(limit: int, store: int, after: int, traps: bool):
    phases, trapped = spend(limit, [(Phase.STORE, store, True), (Phase.VECTOR, after, False)])
    assert trapped == traps
    assert phases[Phase.STORE] == store
    assert phases[Phase.VECTOR] == (max(limit, 2 + store + 1) - 2 - store if traps else after)


def test_random_instructions_against_counting_one_by_one():
    random = seeded()
    stopped = 0
    for _ in range(500):
        steps = [(random.choice([Phase.DRIVE, Phase.SETTLE, Phase.STORE]), random.randrange(6), random.random() < 0.4)
                 for _ in range(random.randrange(1, 7))]
        limit = random.choice([0, random.randrange(1, 30), random.randrange(1, 12)])
        phases, trapped = spend(limit, steps)
        expected = one_by_one(limit, steps)
        assert ({p: n for p, n in phases.items() if n}, trapped) == (
            {p: n for p, n in expected[0].items() if n}, expected[1]), (limit, steps)
        stopped += trapped
    assert 100 < stopped < 400


def test_each_instruction_counts_from_its_fetch():
    run = Run()
    clock = Clock(run, 10)
    for _ in range(5):
        clock.issue()
        clock.spend(Phase.VECTOR, 7)
    assert run.phases == {Phase.ISSUE: 10, Phase.VECTOR: 35}
    assert run.events == {Event.FETCHED: 5} and run.cycles == 45
    clock.issue()
    with pytest.raises(Trapped, match="^WATCHDOG$"):
        clock.spend(Phase.VECTOR, 8)
    assert run.cycles == 45 + 10


@pytest.mark.parametrize(("limit", "clocks", "cause", "spent"), [
    (0, 6, TrapCause.PARITY, 6),
    (9, 6, TrapCause.PARITY, 6),
    (8, 6, TrapCause.PARITY, 6),    # both in the last clock: parity is the smaller number
    (7, 6, TrapCause.WATCHDOG, 5),
    (4, 6, TrapCause.WATCHDOG, 2),
    (3, 1, TrapCause.PARITY, 1),
])
def test_a_parity_fault_beats_the_watchdog_of_its_clock(limit: int, clocks: int, cause: TrapCause, spent: int):
    run = Run()
    clock = Clock(run, limit)
    clock.issue()
    with pytest.raises(Trapped) as trap:
        raise clock.fault(Phase.DRIVE, clocks, TrapCause.PARITY)
    assert trap.value.cause is cause
    assert run.phases == {Phase.ISSUE: 2, Phase.DRIVE: spent}


def test_waits_are_no_cycles():
    run = Run()
    run.phases.update({Phase.ISSUE: 2, Phase.STREAM: 7})
    assert run.cycles == 9

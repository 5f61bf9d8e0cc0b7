"""The loop controller: switches, the clocks of every sample, attempts, traps, and a reset from anywhere.

Clocks are counted as the macro counts them: clock 1 is the first rising edge that sees a close switch high, and a
sample belongs to the edge that sees ``sample`` high.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from amaranth.hdl import ResetInserter, Signal
from verification.unit.simulation import SHAPES, seeded, simulate

from ohmloop.golden import cycles
from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.loop.controller import LoopController

TINY = CONFIGS["tiny"]
SWITCHES = ("autozero", "close_solve", "close_multiply")


@dataclass(frozen=True)
class Case:
    """Settings of a run, and what its surroundings say.

    ``verdicts``: one letter a scan: ``y`` agrees, ``n`` does not, ``c`` an output clips; the last one repeats.
    ``clip_ranges``: attempts that may clip before the ranges are exhausted.
    ``loading``: clocks after ``start`` in which the DACs are not ready.
    """

    verdicts: Sequence[str] = "nny"
    config: ChipConfig = TINY
    multiply: bool = False
    interval: int = 40
    timeout: int = 100_000
    dead: int = 2
    autozero: int = 5
    loading: int = 0
    clip_ranges: int = 7
    loop_size: int | None = None
    clipped: int = 0b1000


@dataclass
class Timeline:
    """What the outputs did, one entry a clock from the clock after ``start`` until the run ended."""

    clocks: list[dict[str, int]] = field(default_factory=list)
    end: str = ""

    def phases(self) -> Counter[Phase]:
        """Clocks spent in each phase."""
        return Counter(Phase(clock["phase"]) for clock in self.clocks)

    def runs(self, name: str) -> list[int]:
        """Lengths of the runs of clocks in which the output is high."""
        lengths, high = [], 0
        for level in [*(clock[name] for clock in self.clocks), 0]:
            if high and not level:
                lengths.append(high)
            high = high + 1 if level else 0
        return lengths

    def closings(self) -> list[list[int]]:
        """For every closing of the loop, the macro's clock numbers of its samples."""
        closings, number = [], 0
        for clock in self.clocks:
            number = number + 1 if clock["closed"] else 0
            if number == 1:
                closings.append([])
            if clock["sample"]:
                closings[-1].append(number)
        return closings


class LoopBench:
    """A loop controller with a converter bank that is a counter, and clip flags that latch until the loop opens."""

    def __init__(self, config: ChipConfig = TINY):
        self.config = config
        self.loop = LoopController(config)
        self.reset = Signal()
        self.dut = ResetInserter(self.reset)(self.loop)

    def run(self, bench):
        simulate(self.dut, bench)

    def outputs(self, ctx) -> dict[str, int]:
        loop = self.loop
        names = (*SWITCHES, "sample", "closed", "convert", "done", "clip_trap", "settle_trap", "clip", "phase")
        return {name: int(ctx.get(getattr(loop, name))) for name in names}

    async def start(self, ctx, case: Case):
        loop = self.loop
        size = case.config.size if case.loop_size is None else case.loop_size
        for signal, value in ((loop.multiply, case.multiply), (loop.interval, case.interval), (loop.start, 1),
                              (loop.timeout, case.timeout), (loop.dead_cycles, case.dead), (loop.clipped, 0),
                              (loop.autozero_cycles, case.autozero), (loop.loop_size, size), (loop.converted, 0),
                              (loop.agree, 0),
                              (loop.loading, case.loading > 0)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(loop.start, 0)

    async def follow(self, ctx, case: Case, limit: int = 20_000) -> Timeline:
        """Play the surroundings until the run ends; at most ``limit`` clocks."""
        loop, timeline, scan, conversion, attempts = self.loop, Timeline(), 0, 0, 0
        for clock in range(limit):
            ctx.set(loop.loading, clock < case.loading)
            if conversion:
                conversion -= 1
                ctx.set(loop.converted, conversion == 0)
            else:
                ctx.set(loop.converted, 0)
            ctx.set(loop.exhausted, attempts == case.clip_ranges)
            now = self.outputs(ctx)
            timeline.clocks.append(now)
            if now["convert"]:
                verdict = case.verdicts[min(scan, len(case.verdicts) - 1)]
                scan += 1
                conversion = cycles.conversion_cycles(self.config)
            attempts += now["clip"]
            ends = [name for name in ("done", "clip_trap", "settle_trap") if now[name]]
            assert len(ends) <= 1
            await ctx.tick()
            if ends:
                timeline.end = ends[0]
                break
            # Flags change after the edge at which the macro sees the fall of ``sample``, and clear when it sees the
            # loop open.
            if not now["closed"]:
                ctx.set(loop.clipped, 0)
            elif now["convert"]:
                ctx.set(loop.agree, verdict == "y")
                ctx.set(loop.clipped, case.clipped if verdict == "c" else ctx.get(loop.clipped))
        return timeline


def run(case: Case) -> Timeline:
    """The timeline of one run; afterwards every switch must be open and stay so."""
    bench, timelines = LoopBench(case.config), []

    async def body(ctx):
        await ctx.tick()
        await bench.start(ctx, case)
        timelines.append(await bench.follow(ctx, case))
        for _ in range(5):
            after = bench.outputs(ctx)
            assert not any(after.values()), after
            await ctx.tick()

    bench.run(body)
    return timelines[0]


def predicted(case: Case) -> tuple[str, Counter[Phase], list[list[int]]]:
    """How the run ends, its phases and its samples, by the formulas of the cycle model."""
    phases: Counter[Phase] = Counter()
    closings, scan, loading = [], 0, case.loading
    while True:
        # A loop closes at the end of its last PREPARE clock, which is behind the last one that loads.
        phases[Phase.PREPARE] += max(cycles.prepare_cycles(case.dead, case.autozero), loading + 1)
        loading = 0
        clock = cycles.first_sample(case.interval)
        phases[Phase.SETTLE] += clock - 1
        samples = []
        while True:
            samples.append(clock)
            phases[Phase.CONVERT] += cycles.scan_cycles(case.config)
            verdict = case.verdicts[min(scan, len(case.verdicts) - 1)]
            scan += 1
            if verdict == "c" or verdict == "y" and len(samples) > 1:
                break
            if clock + cycles.conversion_cycles(case.config) + 1 >= case.timeout:
                return "settle_trap", phases, [*closings, samples]
            phases[Phase.SETTLE] += cycles.sample_spacing(case.config, case.interval) - cycles.scan_cycles(case.config)
            clock += cycles.sample_spacing(case.config, case.interval)
        closings.append(samples)
        if verdict == "y":
            return "done", phases, closings
        if len(closings) > case.clip_ranges:
            return "clip_trap", phases, closings


def check(case: Case) -> Timeline:
    """Run, compare with the prediction, and check what must hold in any run."""
    timeline = run(case)
    end, phases, closings = predicted(case)
    assert timeline.end == end
    assert timeline.closings() == closings
    assert timeline.phases() == phases
    for clock in timeline.clocks:
        assert sum(clock[name] for name in SWITCHES) <= 1
        assert not clock["sample"] or clock["closed"]
    mode, other = ("close_multiply", "close_solve") if case.multiply else ("close_solve", "close_multiply")
    assert len(timeline.runs(mode)) == len(closings) and not timeline.runs(other)
    assert timeline.runs("autozero") == [max(1, case.autozero)] * len(closings)
    return timeline


@pytest.mark.parametrize("dead", [0, 1, 2, 7, 255])
@pytest.mark.parametrize("multiply", [False, True])
def test_break_before_make_takes_the_programmed_dead_time(dead: int, multiply: bool):
    timeline = check(Case("cny", dead=dead, multiply=multiply))
    gaps, open_clocks, seen = [], 0, False
    for clock in timeline.clocks:
        if any(clock[name] for name in SWITCHES):
            if seen and open_clocks:
                gaps.append(open_clocks)
            seen, open_clocks = True, 0
        else:
            open_clocks += 1
    # Auto-zero to loop, loop to auto-zero of the second attempt, auto-zero to loop.
    assert gaps == [max(1, dead)] * 3


@pytest.mark.parametrize("autozero", [0, 1, 2, 300])
def test_auto_zero_takes_the_programmed_time(autozero: int):
    assert check(Case("ny", autozero=autozero)).runs("autozero") == [max(1, autozero)]


@pytest.mark.parametrize("loading", [0, 1, 7, 8, 9, 10, 50])
@pytest.mark.parametrize("verdicts", ["ny", "cny"])
def test_a_loop_closes_when_it_is_prepared_and_the_dacs_are_loaded(loading: int, verdicts: str):
    timeline = check(Case(verdicts, loading=loading))
    closing = next(i for i, clock in enumerate(timeline.clocks) if clock["close_solve"])
    # Dead time, auto-zero and dead time of 2, 5 and 2 clocks.
    assert closing == max(9, loading + 1)
    assert timeline.phases()[Phase.PREPARE] == closing + 9 * (len(timeline.closings()) - 1)


SCAN = cycles.scan_cycles(TINY)


@pytest.mark.parametrize("interval", [0, 1, 2, 3, 4, SCAN - 1, SCAN, SCAN + 1, SCAN + 2, 100, 1000])
@pytest.mark.parametrize("multiply", [False, True])
def test_the_clocks_of_the_samples(interval: int, multiply: bool):
    assert SCAN == 21, "2 outputs a converter, 8 bits and a store each, sample, hold, judge"
    timeline = check(Case("nnny", interval=interval, multiply=multiply))
    first, spacing = max(2, interval), max(21, interval)
    assert timeline.closings() == [[first, first + spacing, first + 2 * spacing, first + 3 * spacing]]


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_spacing_follows_the_scan_of_the_configuration(config: ChipConfig):
    scan = config.size // config.adcs * (config.adc_bits + 1) + 3
    assert check(Case("nny", config=config, interval=0)).closings() == [[2, 2 + scan, 2 + 2 * scan]]


def test_an_interval_of_more_than_sixteen_bits_is_kept():
    bench, samples = LoopBench(), []

    async def body(ctx):
        case = Case(interval=70_001)
        await bench.start(ctx, case)
        await ctx.tick().until(bench.loop.closed)
        # ``until`` returns after the edge that saw the switch: clock 1 has passed.
        clocks = 1
        while not ctx.get(bench.loop.sample):
            await ctx.tick()
            clocks += 1
        samples.append(clocks + 1)

    bench.run(body)
    assert samples == [70_001]


@pytest.mark.parametrize(("verdicts", "scans"), [
    ("yy", 2), ("yny", 3), ("nny", 3), ("ynnnny", 6), ("ny", 2),
])
def test_a_scan_is_judged_against_the_one_before(verdicts: str, scans: int):
    timeline = check(Case(verdicts))
    assert (timeline.end, len(timeline.closings()[0])) == ("done", scans)


@pytest.mark.parametrize("interval", [2, 40])
@pytest.mark.parametrize("scan", [1, 2, 3])
@pytest.mark.parametrize("early", [0, 1])
def test_the_time_out_counts_from_closing_to_the_verdict(interval: int, scan: int, early: int):
    sample = max(2, interval) + (scan - 1) * max(interval, SCAN)
    timeline = check(Case("n", interval=interval, timeout=sample + 19 + early))
    assert timeline.end == "settle_trap"
    assert len(timeline.closings()[0]) == scan + early


def test_agreement_in_the_scan_that_times_out_is_a_result():
    assert check(Case("ny", interval=40, timeout=80 + 19)).end == "done"
    assert check(Case("nn", interval=40, timeout=80 + 19)).end == "settle_trap"


def test_a_clip_in_the_scan_that_times_out_is_a_clip():
    timeline = check(Case("nc" + "ny", interval=40, timeout=80 + 19))
    assert timeline.end == "done" and len(timeline.closings()) == 2


@pytest.mark.parametrize("ranges", [0, 1, 3, 7])
def test_clips_are_tried_again_until_the_ranges_are_exhausted(ranges: int):
    timeline = check(Case("c", clip_ranges=ranges))
    assert timeline.end == "clip_trap" and timeline.closings() == [[40]] * (ranges + 1)
    assert sum(clock["clip"] for clock in timeline.clocks) == ranges + 1


def test_a_clip_wins_over_agreement_and_does_not_outlive_its_attempt():
    timeline = check(Case("nnccny"))
    assert [len(samples) for samples in timeline.closings()] == [3, 1, 2]
    assert timeline.end == "done"


@pytest.mark.parametrize(("loop_size", "clipped", "attempts"), [
    (4, 0b1000, 2), (3, 0b1000, 1), (3, 0b0100, 2), (1, 0b1110, 1), (1, 0b0001, 2), (0, 0b1111, 1),
])
def test_only_outputs_of_the_loop_clip(loop_size: int, clipped: int, attempts: int):
    bench = Case("cny", loop_size=loop_size, clipped=clipped)
    assert len(run(bench).closings()) == attempts


def test_a_clip_of_any_clock_of_the_scan_counts():
    bench, traps = LoopBench(), []
    case = Case("ny", clip_ranges=0)

    async def body(ctx):
        ctx.set(bench.loop.exhausted, 1)
        await bench.start(ctx, case)
        conversion = 0
        for _ in range(200):
            now = bench.outputs(ctx)
            ctx.set(bench.loop.converted, conversion == 1)
            conversion = cycles.conversion_cycles(TINY) if now["convert"] else max(0, conversion - 1)
            ctx.set(bench.loop.clipped, conversion == 9)
            if now["clip_trap"] or now["done"]:
                traps.append(now["clip_trap"])
                return
            await ctx.tick()

    bench.run(body)
    assert traps == [1]


def test_a_reset_opens_the_loop_from_every_state():
    bench, case = LoopBench(), Case("cny", interval=30, dead=3, autozero=4)
    length = len(check(case).clocks)
    wanted = predicted(case)

    async def body(ctx):
        for clocks in range(length):
            await bench.start(ctx, case)
            await bench.follow(ctx, case, limit=clocks)
            ctx.set(bench.reset, 1)
            await ctx.tick()
            ctx.set(bench.reset, 0)
            ctx.set(bench.loop.converted, 0)
            ctx.set(bench.loop.clipped, 0)
            for _ in range(3):
                assert not any(bench.outputs(ctx).values()), f"{clocks} clocks into the run"
                await ctx.tick()
        await bench.start(ctx, case)
        timeline = await bench.follow(ctx, case)
        assert (timeline.end, timeline.phases(), timeline.closings()) == wanted

    bench.run(body)


@pytest.mark.parametrize("round_number", range(12))
def test_random_runs_follow_the_cycle_model(round_number: int):
    random = seeded(round_number)
    config = random.choice(list(SHAPES.values()))
    case = Case(
        verdicts="".join(random.choice("nnyc") for _ in range(8)) + "ny",
        config=config,
        multiply=random.random() < 0.5,
        interval=random.choice([0, 2, random.randrange(3, 200)]),
        timeout=random.choice([0, random.randrange(1, 600), 100_000]),
        dead=random.randrange(0, 6),
        autozero=random.randrange(0, 20),
        loading=random.choice([0, random.randrange(40)]),
        clip_ranges=random.randrange(0, 8),
        clipped=1 << random.randrange(config.size),
    )
    print(case)
    check(case)


def test_one_run_after_another_does_not_remember():
    bench, first, second = LoopBench(), Case("cnny", multiply=True), Case("yy")
    ends = []

    async def body(ctx):
        for case in (first, second, replace(second, verdicts="n", timeout=1)):
            await bench.start(ctx, case)
            timeline = await bench.follow(ctx, case)
            ends.append((timeline.end, timeline.phases(), timeline.closings()) == predicted(case))

    bench.run(body)
    assert ends == [True] * 3

"""The Wishbone target on a memory: answers, strobes, errors, cycles back to back, dropped cycles."""

from dataclasses import dataclass, field

import pytest
from verification.unit.host.register_memory import WORDS, RegisterMemory, merged, untouched
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.host.wishbone import WishboneTarget


@dataclass
class Master:
    """A master of the target; a passive checker looks at every answer. ``answers``: ("ack" or "err", dat_r)."""

    dut: WishboneTarget = field(default_factory=WishboneTarget)
    answers: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self):
        self.memory = RegisterMemory(self.dut)

    def run(self, bench):
        simulate(self.dut, bench, self.check, beside=self.memory.run)

    async def check(self, ctx):
        wb = self.dut.wishbone
        async for _, _, cyc, stb, ack, err, data in ctx.tick().sample(wb.cyc, wb.stb, wb.ack, wb.err, wb.dat_r):
            assert not (ack and err)
            if ack or err:
                assert cyc and stb, "an answer needs a cycle"
                self.answers.append(("ack" if ack else "err", data))

    def ask(self, ctx, word: int, data: int | None = None, strobe: int = 0xF, low: int = 0):
        """Begin a cycle: a write if there is data."""
        wb = self.dut.wishbone
        ctx.set(wb.cyc, 1)
        ctx.set(wb.stb, 1)
        ctx.set(wb.we, data is not None)
        ctx.set(wb.adr, 4 * word + low)
        ctx.set(wb.dat_w, data or 0)
        ctx.set(wb.sel, strobe)

    def rest(self, ctx, cyc: int = 0, stb: int = 0):
        """No cycle. The other lines carry what must not be taken."""
        wb = self.dut.wishbone
        for signal, value in ((wb.cyc, cyc), (wb.stb, stb), (wb.we, 1), (wb.adr, 0xBAD0), (wb.dat_w, 0xBAD)):
            ctx.set(signal, value)

    async def answer(self, ctx) -> tuple[str, int, int]:
        """Wait for the end of the cycle: answer, data, clocks that the cycle took."""
        wb = self.dut.wishbone
        for clocks in range(1, 10):
            ack, err, data = ctx.get(wb.ack), ctx.get(wb.err), ctx.get(wb.dat_r)
            await ctx.tick()
            if ack or err:
                return "ack" if ack else "err", data, clocks
        raise AssertionError("the target hangs")

    async def cycle(self, ctx, word: int, data: int | None = None, strobe: int = 0xF, low: int = 0):
        self.ask(ctx, word, data, strobe, low)
        answer = await self.answer(ctx)
        self.rest(ctx)
        return answer


@pytest.mark.parametrize("wait", [0, 1])
def test_latency_and_answers(wait: int):
    """Three clocks, four where the bus takes two; the last word of the map, the low address bits ignored."""
    master = Master()
    master.memory.wait = lambda: wait
    top = WORDS - 1

    async def bench(ctx):
        for low in range(4):
            assert await master.cycle(ctx, top, low=low) == ("ack", untouched(top), 3 + wait)
            assert (await master.cycle(ctx, 5, 0xC0FF_EE00 + low, low=low))[::2] == ("ack", 3 + wait)
            assert await master.cycle(ctx, 5) == ("ack", 0xC0FF_EE00 + low, 3 + wait)

    master.run(bench)
    assert master.memory.accesses == [
        access for low in range(4) for access in (("r", top), ("w", 5, 0xC0FF_EE00 + low, 0xF), ("r", 5))]


def test_every_strobe_writes_its_bytes():
    master = Master()

    async def bench(ctx):
        for strobe in range(16):
            assert (await master.cycle(ctx, strobe, 0x0102_0304, strobe))[0] == "ack"

    master.run(bench)
    assert master.memory.words == {s: merged(untouched(s), 0x0102_0304, s) for s in range(16)}
    assert master.memory.words[0b0110] == untouched(6) & 0xFF00_00FF | 0x0002_0300


def test_a_refused_access_answers_err_and_the_next_one_ack():
    master = Master()
    master.memory.refused = {7}

    async def bench(ctx):
        for _ in range(2):
            assert (await master.cycle(ctx, 7))[::2] == ("err", 3)
            assert await master.cycle(ctx, 8) == ("ack", untouched(8), 3)
            assert (await master.cycle(ctx, 7, 1))[::2] == ("err", 3)
            assert (await master.cycle(ctx, 8, untouched(8)))[::2] == ("ack", 3)

    master.run(bench)
    assert len(master.memory.accesses) == 8
    assert master.memory.words == {8: untouched(8)}


def test_a_held_strobe_is_one_cycle_after_another():
    """Three clocks a cycle with the strobe never low; then it falls with the acknowledge, and nothing is left over."""
    master = Master()
    wanted = []

    async def bench(ctx):
        for number in range(8):
            wanted.append(("w", number, 0x100 + number, 0xF) if number % 3 else ("r", number))
            master.ask(ctx, number, 0x100 + number if number % 3 else None)
            assert (await master.answer(ctx))[::2] == ("ack", 3)
        master.rest(ctx)
        await ctx.tick().repeat(8)

    master.run(bench)
    assert master.memory.accesses == wanted
    assert len(master.answers) == 8


def test_a_strobe_held_on_one_address_repeats_the_access_once_a_cycle():
    """One clock more than the acknowledge is a new cycle, which the master here drops: two accesses, one answer."""
    master = Master()

    async def bench(ctx):
        master.ask(ctx, 3, 33)
        assert (await master.answer(ctx))[0] == "ack"
        await ctx.tick()
        master.rest(ctx)
        await ctx.tick().repeat(8)

    master.run(bench)
    assert master.memory.accesses == [("w", 3, 33, 0xF)] * 2
    assert [answer for answer, _ in master.answers] == ["ack"]


@pytest.mark.parametrize("cyc, stb", [(0, 0), (0, 1), (1, 0)])
def test_half_a_cycle_is_none(cyc: int, stb: int):
    master = Master()

    async def bench(ctx):
        master.rest(ctx, cyc, stb)
        await ctx.tick().repeat(10)

    master.run(bench)
    assert not master.memory.accesses and not master.answers


@pytest.mark.parametrize("wait, held", [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)])
@pytest.mark.parametrize("gap", [1, 2, 3, 4])
@pytest.mark.parametrize("cyc, stb", [(0, 0), (0, 1), (1, 0)])
@pytest.mark.parametrize("write", [False, True])
def test_a_dropped_cycle_is_not_answered_and_the_next_is(wait, held, gap, cyc, stb, write):
    """The master gives up after ``held`` clocks of a cycle that takes more, and begins another ``gap`` clocks later."""
    master = Master()
    master.memory.wait = lambda: wait

    async def bench(ctx):
        master.ask(ctx, 1, 11 if write else None)
        await ctx.tick().repeat(held)
        master.rest(ctx, cyc, stb)
        await ctx.tick().repeat(gap)
        assert await master.cycle(ctx, 2) == ("ack", untouched(2), max(3 + wait, 6 + 2 * wait - held - gap))
        assert await master.cycle(ctx, 1) == ("ack", 11 if write else untouched(1), 3 + wait)

    master.run(bench)
    assert master.memory.accesses == [("w", 1, 11, 0xF) if write else ("r", 1), ("r", 2), ("r", 1)]
    assert len(master.answers) == 2


def test_random_traffic():
    """Against a model that knows nothing of clocks: cycles of all kinds, dropped ones, pauses, errors, latencies."""
    random, master = seeded(), Master()
    pool = [0, 1, WORDS - 1, *(random.randrange(WORDS) for _ in range(9))]
    master.memory.wait = lambda: random.randrange(2)
    master.memory.refused = set(pool[3:6])
    model: dict[int, int] = {}
    accesses: list[tuple] = []
    counts: dict[str, int] = dict.fromkeys(("ack", "err", "dropped"), 0)

    def expect(word: int, data: int | None, strobe: int) -> tuple[str, int | None]:
        accesses.append(("r", word) if data is None else ("w", word, data, strobe))
        if word in master.memory.refused:
            return "err", None
        if data is not None:
            model[word] = merged(model.get(word, untouched(word)), data, strobe)
            return "ack", None
        return "ack", model.get(word, untouched(word))

    async def bench(ctx):
        drops = False
        for _ in range(1500):
            word, strobe = random.choice(pool), random.randrange(16)
            data = random.randrange(1 << 32) if random.random() < 0.5 else None
            master.ask(ctx, word, data, strobe, random.randrange(4))
            answer, content = expect(word, data, strobe)
            # Never two in a row: the second might fall where the target is still busy, and would not be carried out.
            drops = not drops and random.random() < 0.2
            if drops:
                await ctx.tick().repeat(random.randrange(1, 3))
                counts["dropped"] += 1
                master.rest(ctx, *random.choice([(0, 0), (0, 1), (1, 0)]))
                await ctx.tick().repeat(random.randrange(1, 5))
                continue
            got, read, clocks = await master.answer(ctx)
            assert got == answer and clocks <= 6
            assert content is None or read == content
            counts[got] += 1
            if random.random() < 0.5:
                master.rest(ctx, *random.choice([(0, 0), (0, 1), (1, 0)]))
                await ctx.tick().repeat(random.randrange(1, 4))
        master.rest(ctx)
        await ctx.tick().repeat(4)

    master.run(bench)
    assert master.memory.accesses == accesses
    assert master.memory.words == model
    assert len(master.answers) == counts["ack"] + counts["err"] == 1500 - counts["dropped"]
    assert min(counts.values()) > 100, counts

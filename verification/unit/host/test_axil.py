"""The AXI4-Lite target on a register bus that the test answers: turns, orders of arrival, held responses, errors."""

from dataclasses import dataclass, field

import pytest
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.host.axil import OKAY, SLVERR, AxiLiteTarget


@dataclass
class Target:
    """The target, and a bus that is done after ``wait`` clocks of a request.

    ``accesses``: every access that the bus finished, as (kind, address, data, strobe).
    """

    wait: int = 0
    refuse: bool = False
    dut: AxiLiteTarget = field(default_factory=AxiLiteTarget)
    accesses: list[tuple] = field(default_factory=list)

    def run(self, bench):
        simulate(self.dut, bench, beside=self.bus)

    async def bus(self, ctx):
        bus, clocks = self.dut.bus, 0
        while True:
            reads, writes = ctx.get(bus.r_stb), ctx.get(bus.w_stb)
            assert not (reads and writes)
            done = bool((reads or writes) and clocks >= self.wait)
            clocks = clocks + 1 if (reads or writes) and not done else 0
            if done:
                address = ctx.get(bus.address)
                self.accesses.append(("r", address) if reads else
                                     ("w", address, ctx.get(bus.w_data), ctx.get(bus.w_strobe)))
                ctx.set(bus.r_data, address * 3 + 1)
            ctx.set(bus.done, done)
            ctx.set(bus.error, done and self.refuse)
            await ctx.tick()

    def ask_read(self, ctx, address: int):
        ctx.set(self.dut.axil.araddr, address)
        ctx.set(self.dut.axil.arvalid, 1)

    def ask_write(self, ctx, address: int, data: int, strobe: int = 0xF):
        self.give_address(ctx, address)
        self.give_data(ctx, data, strobe)

    def give_address(self, ctx, address: int):
        ctx.set(self.dut.axil.awaddr, address)
        ctx.set(self.dut.axil.awvalid, 1)

    def give_data(self, ctx, data: int, strobe: int = 0xF):
        ctx.set(self.dut.axil.wdata, data)
        ctx.set(self.dut.axil.wstrb, strobe)
        ctx.set(self.dut.axil.wvalid, 1)

    async def clock(self, ctx) -> set[str]:
        """One clock; channels on which a beat passed in it. Drops ``valid`` of a request that was taken."""
        axil = self.dut.axil
        passed = {channel for channel in ("aw", "w", "b", "ar", "r")
                  if ctx.get(getattr(axil, f"{channel}valid")) and ctx.get(getattr(axil, f"{channel}ready"))}
        await ctx.tick()
        for channel in passed & {"aw", "w", "ar"}:
            ctx.set(getattr(axil, f"{channel}valid"), 0)
        return passed

    async def until(self, ctx, channel: str, limit: int = 40) -> int:
        """Clocks until a beat passes on the channel, that clock included."""
        for clocks in range(1, limit + 1):
            if channel in await self.clock(ctx):
                return clocks
        raise AssertionError(f"nothing passed on {channel} in {limit} clocks")


@pytest.mark.parametrize("wait", [0, 1, 5])
def test_a_read_brings_its_word(wait: int):
    target = Target(wait)
    axil = target.dut.axil

    async def bench(ctx):
        target.ask_read(ctx, 0x12344)
        ctx.set(axil.rready, 1)
        assert await target.until(ctx, "ar") == 2
        while not ctx.get(axil.rvalid):
            await target.clock(ctx)
        assert (ctx.get(axil.rdata), ctx.get(axil.rresp)) == (0x12344 * 3 + 1, OKAY)
        await target.clock(ctx)
        assert not ctx.get(axil.rvalid)

    target.run(bench)
    assert target.accesses == [("r", 0x12344)]


@pytest.mark.parametrize("strobe", [0, 1, 6, 15])
def test_a_write_carries_data_and_strobes(strobe: int):
    target = Target()

    async def bench(ctx):
        target.ask_write(ctx, 0x4C, 0xDEAD_BEEF, strobe)
        ctx.set(target.dut.axil.bready, 1)
        await target.until(ctx, "b")
        assert ctx.get(target.dut.axil.bresp) == OKAY

    target.run(bench)
    assert target.accesses == [("w", 0x4C, 0xDEAD_BEEF, strobe)]


@pytest.mark.parametrize("first", ["address", "data"])
def test_a_write_is_taken_when_both_halves_are_there(first: str):
    target = Target()
    axil = target.dut.axil

    async def bench(ctx):
        ctx.set(axil.bready, 1)
        halves = {"address": lambda: target.give_address(ctx, 8), "data": lambda: target.give_data(ctx, 77)}
        halves.pop(first)()
        for _ in range(6):
            assert not await target.clock(ctx)
        halves.popitem()[1]()
        assert not await target.clock(ctx), "ready must not depend on valid in the same clock"
        assert await target.clock(ctx) == {"aw", "w"}
        await target.until(ctx, "b")

    target.run(bench)
    assert target.accesses == [("w", 8, 77, 0xF)]


@pytest.mark.parametrize("half", ["address", "data"])
def test_a_read_passes_half_a_write(half: str):
    target = Target()

    async def bench(ctx):
        if half == "address":
            target.give_address(ctx, 8)
        else:
            target.give_data(ctx, 77)
        target.ask_read(ctx, 4)
        ctx.set(target.dut.axil.rready, 1)
        await target.until(ctx, "r")
        target.ask_write(ctx, 8, 77)
        ctx.set(target.dut.axil.bready, 1)
        await target.until(ctx, "b")

    target.run(bench)
    assert target.accesses == [("r", 4), ("w", 8, 77, 0xF)]


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("stall", [0, 1, 7])
@pytest.mark.parametrize("refuse", [False, True])
def test_a_response_holds_until_it_is_taken(kind: str, stall: int, refuse: bool):
    target = Target(refuse=refuse)
    axil = target.dut.axil
    channel, response = ("r", axil.rresp) if kind == "read" else ("b", axil.bresp)
    valid, ready = getattr(axil, f"{channel}valid"), getattr(axil, f"{channel}ready")

    async def bench(ctx):
        target.ask_read(ctx, 16) if kind == "read" else target.ask_write(ctx, 16, 5)
        while not ctx.get(valid):
            await target.clock(ctx)
        # A further request must wait meanwhile.
        target.ask_read(ctx, 20)
        target.ask_write(ctx, 24, 6)
        for _ in range(stall):
            assert not await target.clock(ctx)
            assert ctx.get(valid) and ctx.get(response) == (SLVERR if refuse else OKAY)
            assert kind == "write" or ctx.get(axil.rdata) == 49
        ctx.set(ready, 1)
        assert await target.clock(ctx) == {channel}
        assert not ctx.get(valid)

    target.run(bench)
    assert target.accesses == [("r", 16) if kind == "read" else ("w", 16, 5, 0xF)]


def test_the_response_follows_the_answer_of_each_access():
    target = Target()
    axil, responses = target.dut.axil, []

    async def bench(ctx):
        ctx.set(axil.bready, 1)
        ctx.set(axil.rready, 1)
        for refuse in (False, True, False):
            target.refuse = refuse
            target.ask_write(ctx, 4, 0)
            await target.until(ctx, "b")
            responses.append(ctx.get(axil.bresp))
            target.ask_read(ctx, 4)
            await target.until(ctx, "r")
            responses.append(ctx.get(axil.rresp))

    target.run(bench)
    assert responses == [OKAY, OKAY, SLVERR, SLVERR, OKAY, OKAY]


def test_reads_and_writes_that_wait_together_take_turns():
    target = Target()
    axil = target.dut.axil

    async def bench(ctx):
        ctx.set(axil.bready, 1)
        ctx.set(axil.rready, 1)
        for number in range(60):
            if not ctx.get(axil.arvalid):
                target.ask_read(ctx, 4 * number)
            if not ctx.get(axil.awvalid):
                target.ask_write(ctx, 4 * number, number)
            await target.clock(ctx)

    target.run(bench)
    kinds = [access[0] for access in target.accesses]
    assert len(kinds) >= 12
    assert all(a != b for a, b in zip(kinds, kinds[1:], strict=False)), kinds


@pytest.mark.parametrize("kind", ["r", "w"])
def test_one_kind_alone_never_waits_for_the_other(kind: str):
    target = Target()
    axil = target.dut.axil

    async def bench(ctx):
        ctx.set(axil.bready, 1)
        ctx.set(axil.rready, 1)
        for number in range(5):
            target.ask_read(ctx, number) if kind == "r" else target.ask_write(ctx, number, number)
            assert await target.until(ctx, "r" if kind == "r" else "b") <= 4

    target.run(bench)
    assert [access[:2] for access in target.accesses] == [(kind, number) for number in range(5)]


def test_random_traffic_loses_and_repeats_nothing():
    random, target = seeded(), Target()
    axil = target.dut.axil
    asked: dict[str, list[int]] = {"r": [], "w": []}
    answers: list[tuple[int, int]] = []

    async def bench(ctx):
        counts = {"r": 0, "b": 0}
        while min(len(asked["r"]), len(asked["w"])) < 60 or counts != {"r": len(asked["r"]), "b": len(asked["w"])}:
            asking = max(len(asked["r"]), len(asked["w"])) < 90 and min(len(asked["r"]), len(asked["w"])) < 60
            target.wait = random.randrange(3)
            if asking and not ctx.get(axil.arvalid) and random.random() < 0.3:
                asked["r"].append(random.randrange(1 << 20))
                target.ask_read(ctx, asked["r"][-1])
            if asking and not ctx.get(axil.awvalid) and not ctx.get(axil.wvalid) and random.random() < 0.3:
                asked["w"].append(random.randrange(1 << 20))
                target.ask_write(ctx, asked["w"][-1], asked["w"][-1] ^ 0xFFFF)
            ctx.set(axil.rready, random.random() < 0.5)
            ctx.set(axil.bready, random.random() < 0.5)
            data = ctx.get(axil.rdata)
            passed = await target.clock(ctx)
            counts["r"] += "r" in passed
            counts["b"] += "b" in passed
            if "r" in passed:
                answers.append((asked["r"][counts["r"] - 1] * 3 + 1 & 0xFFFF_FFFF, data))

    target.run(bench)
    assert [access[1] for access in target.accesses if access[0] == "r"] == asked["r"]
    assert [access[1:] for access in target.accesses if access[0] == "w"] == [(a, a ^ 0xFFFF, 0xF) for a in asked["w"]]
    assert all(wanted == got for wanted, got in answers) and len(answers) == len(asked["r"])


def test_latency():
    """Taken in clock 1, on the bus from clock 2, response in the clock after the bus is done."""
    target = Target()

    async def bench(ctx):
        ctx.set(target.dut.axil.rready, 1)
        ctx.set(target.dut.axil.bready, 1)
        for target.wait in (0, 1, 2):
            target.ask_read(ctx, 4)
            assert await target.until(ctx, "r") == 3 + target.wait
            target.ask_write(ctx, 4, 4)
            assert await target.until(ctx, "b") == 3 + target.wait

    target.run(bench)

"""cocotb bench: what only Wishbone has, with a master of our own that keeps ``stb`` high and drops cycles."""

from typing import Any

from verification.cosim.bus_model import WORD
from verification.cosim.chip_bench import Chip, chip_test
from verification.cosim.side_by_side import Host

LONGEST = 4
"""Clocks of a cycle: three, and one more for the read of a window."""


class Direct:
    """Drives the pins behind the falling edge; what it sees there is what the next rising edge takes."""

    def __init__(self, chip: Chip):
        self.chip, self.dut = chip, chip.dut

    def ask(self, address: int, word: int | None = None, sel: int = 0xF):
        """Begin a cycle, or go on with the next: a write if there is a word."""
        self._drive(cyc=1, stb=1, we=word is not None, adr=address, dat=word or 0, sel=sel)

    def rest(self, cyc: int = 0, stb: int = 0):
        """No cycle; the other pins carry what must not be taken."""
        self._drive(cyc=cyc, stb=stb, we=1, adr=0x10_0000, dat=0xBAD, sel=0xF)

    def _drive(self, **pins: Any):
        for name, value in pins.items():
            getattr(self.dut, f"s_wb_{name}_i").value = int(value)

    def answered(self) -> str | None:
        """The answer that stands now."""
        for name in ("ack", "err"):
            if int(getattr(self.dut, f"s_wb_{name}_o").value):
                return name
        return None

    async def answer(self) -> tuple[str, int, int]:
        """Wait for the answer: which, the data, and the clocks that the cycle took. Then the next may be asked for."""
        for clocks in range(LONGEST):
            await self.chip.clocks(1)
            if answer := self.answered():
                data = int(self.dut.s_wb_dat_o.value)
                await self.chip.clocks(1)
                return answer, data, clocks + 2
        raise AssertionError("the bus hangs")


@chip_test
async def back_to_back(chip: Chip):
    """Cycle behind cycle, ``cyc`` and ``stb`` high all the time: each gets its own answer, in three or four clocks."""
    host, direct = Host(chip), Direct(chip)
    await host.fill()
    rng, model = host.rng, host.model
    places = [window.base + WORD * place for window in model.windows.values() for place in (0, 1, window.words)]
    places += [0x00, 0x28, 0x2C, 0x54, 0x70, 0xD4, 0xFF_FFFC]
    refused = 0
    await chip.clocks(1)
    for _ in range(400):
        address, sel, low = rng.choice(places), rng.randrange(16), rng.randrange(WORD)
        word = rng.getrandbits(32) if rng.random() < 0.5 else None
        wanted = model.word(address)
        direct.ask(address + low, word, sel)
        answer, data, clocks = await direct.answer()
        if word is None:
            expected = wanted is not None
            assert wanted is None or data == int.from_bytes(wanted[0], "little"), f"{address:#x} reads {data:#x}"
        else:
            expected = model.write(address, word.to_bytes(WORD, "little"), sel)
        assert (answer == "ack") == expected, f"{address:#x}: {answer}"
        slow = word is None and expected and address >= 0x10_0000
        assert clocks == 3 + slow, f"{address:#x}: {clocks} clocks"
        refused += not expected
    direct.rest()
    assert 40 < refused < 300
    await host.check_everything()


@chip_test
async def dropped_cycles(chip: Chip):
    """A cycle that is dropped is not answered, a write among them is carried out; the next gets its own answer."""
    host, direct = Host(chip), Direct(chip)
    await host.fill()
    window = host.model.windows["mantissas"]
    for step in range(60):
        address = window.base + WORD * host.rng.randrange(window.words // 2, window.words)
        writes, drop = step % 2, step // 2 % 3
        word = host.rng.getrandbits(32) if writes else None
        # In the last of these clocks the answer stands, and the master takes the cycle away before it is taken.
        wait, answered = host.rng.choice(((1, None), (2, "ack")) if writes else ((1, None), (2, None), (3, "ack")))
        await chip.clocks(1)
        direct.ask(address, word)
        await chip.clocks(wait)
        assert direct.answered() == answered
        direct.rest(cyc=drop == 1, stb=drop == 2)
        for _ in range(host.rng.randrange(1, 4)):
            await chip.clocks(1)
            assert direct.answered() is None
        if word is not None:
            host.model.write(address, word.to_bytes(WORD, "little"))
        direct.ask(0x00)
        answer, data, _ = await direct.answer()
        direct.rest()
        assert (answer, data) == ("ack", 0x4F48_4D4C)
        await host.read(address, WORD)
    await host.check_everything()


@chip_test
async def half_a_cycle(chip: Chip):
    """``cyc`` without ``stb``, and ``stb`` without ``cyc``, are no cycle."""
    host, direct = Host(chip), Direct(chip)
    await host.fill()
    for cyc, stb in ((1, 0), (0, 1)):
        direct.rest(cyc, stb)
        for _ in range(20):
            await chip.clocks(1)
            assert direct.answered() is None
    direct.rest()
    await host.check_everything()

"""A memory on the register bus, for tests of what translates to it."""

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

from ohmloop_hdl.host.map import ADDRESS_BITS

WORDS = 1 << (ADDRESS_BITS - 2)
"""Words that an address can name."""


def untouched(word: int) -> int:
    """Content of a word that nobody has written: every word has its own, with every byte in use."""
    return (word + 1) * 0x9E37_79B1 & 0xFFFF_FFFF


def merged(old: int, data: int, strobe: int) -> int:
    """``old`` with the bytes of ``data`` that ``strobe`` chooses."""
    mask = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)
    return old & ~mask | data & mask


@dataclass
class RegisterMemory:
    """Answers the register bus of ``dut``, and checks that requests keep its rules.

    ``wait()``: clocks from a request to its answer. ``refused``: words that answer with an error.
    ``accesses``: every access that was done, as ("r", word) or ("w", word, data, strobe), refused ones included.
    """

    dut: Any
    wait: Callable[[], int] = lambda: 0
    refused: Set[int] = frozenset()
    words: dict[int, int] = field(default_factory=dict)
    accesses: list[tuple] = field(default_factory=list)

    def read(self, word: int) -> int:
        return self.words.get(word, untouched(word))

    async def run(self, ctx):
        """To run beside the bench."""
        bus = self.dut.bus
        request, clocks = (), 0
        while True:
            reads, writes = ctx.get(bus.r_stb), ctx.get(bus.w_stb)
            assert not (reads and writes)
            now = tuple(map(ctx.get, (bus.r_stb, bus.w_stb, bus.address, bus.w_data, bus.w_strobe)))
            if request:
                assert now == request, "a request stays until it is done"
            elif reads or writes:
                request, clocks = now, self.wait()
            done = bool(request) and clocks == 0
            ctx.set(bus.done, done)
            ctx.set(bus.error, 0)
            ctx.set(bus.r_data, 0x0BAD_0BAD)
            if done:
                self._carry_out(ctx, reads, *now[2:])
                request = ()
            clocks -= 1
            await ctx.tick()

    def _carry_out(self, ctx, reads: int, address: int, data: int, strobe: int):
        word = address >> 2
        self.accesses.append(("r", word) if reads else ("w", word, data, strobe))
        ctx.set(self.dut.bus.error, word in self.refused)
        if word in self.refused:
            return
        if reads:
            ctx.set(self.dut.bus.r_data, self.read(word))
        else:
            self.words[word] = merged(self.read(word), data, strobe)

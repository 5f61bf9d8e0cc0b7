"""Parity of memory words: one bit a byte, so that byte strobes need no read-modify-write."""

from amaranth.hdl import Cat, Value


def with_parity(granules: list[Value], invert: Value) -> Value:
    """Granules of a word with an even-parity bit above each; ``invert`` makes all of them wrong, to test the trap."""
    return Cat(Cat(granule, granule.xor() ^ invert) for granule in granules)


def checked(word: Value, granule: int) -> tuple[list[Value], Value]:
    """Granules of ``granule`` bits of a stored word, without their parity bits, and whether any parity is wrong."""
    count = len(word) // (granule + 1)
    parts = [word.word_select(i, granule + 1) for i in range(count)]
    return [part[:granule] for part in parts], Cat(part.xor() for part in parts).any()

"""cocotb bench: the host bus of the chip, whichever it is, against the byte model, case by case."""

import itertools

from verification.cosim.bus_model import ABORT, ADDRESS_SPACE, CLEAR, FLUSH, START, WORD, ZEROIZE
from verification.cosim.chip_bench import Chip, chip_test
from verification.cosim.side_by_side import Host

from ohmloop.golden.assembler import assemble
from ohmloop_hdl.events import Phase

REGISTERS_END = 0xD4
"""First address behind the last register."""

HOLES = (0x70, 0x7C, REGISTERS_END, 0xFF, 0x100, 0x8000, 0xF_FFFC, 0x10_0400, 0x1F_FFFC, 0xB0_0000, 0xC5_A5A5,
         ADDRESS_SPACE - WORD)
"""Addresses at which there is nothing, on every chip of less than full size."""

OUTPUTS = ("trace_", "m_axis_", "interrupt", "s_axil_b", "s_axil_r", "s_wb_ack", "s_wb_err", "s_wb_dat_o")
"""What the names of outputs begin with."""

LENGTHS = (1, 2, 3, 4, 5, 7, 11, 16)
"""Bytes of an access: less than a word, a word, and over the borders of up to four."""

LOOP_PHASES = (Phase.PROGRAM, Phase.DRIVE, Phase.PREPARE, Phase.SETTLE, Phase.CONVERT)
"""Phases of a solve that last long enough to be met."""


@chip_test
async def reset_values(chip: Chip):
    """Every register reads its reset value, and no interrupt is up."""
    host = Host(chip)
    await host.adopt()
    for address in host.model.registers:
        await host.read(address, WORD)
    await host.check_interrupt()
    assert chip.quiet()
    assert host.accesses == 49 and host.refused == 0
    await host.check_windows()


@chip_test
async def everything_is_known(chip: Chip):
    """After the wipe no output is unknown, whatever runs: memories begin as anything, and Icarus shows where that
    leaks."""
    host = Host(chip)
    outputs = [handle for handle in chip.dut if handle._name.startswith(OUTPUTS)]
    assert len(outputs) > 15
    await host.prepare_solve(interval=30)
    await host.write_program(assemble("PROG\nINV v2, v1\nAXPY v3, v1, k0, v2\nDOT k1, v1, v3\nST v3\nHALT 0"))
    await host.start()
    while chip.phase != Phase.IDLE:
        unknown = [handle._name for handle in outputs if not handle.value.is_resolvable]
        assert not unknown, f"{unknown} in {chip.phase.name}"
        await chip.clocks(1)
    assert await host.read_register("STATUS") == 1 | 5 << 8


@chip_test
async def unaligned_and_partial(chip: Chip):
    """1 to 16 bytes at every offset of a word, in every window and over the registers; neighbours keep theirs."""
    host = Host(chip)
    await host.fill()
    places = [(window.base, window.base + WORD * window.words) for window in host.model.windows.values()]
    places.append((0x28, 0x50))  # the configuration registers
    for low, high in places:
        for offset, length in itertools.product(range(WORD), LENGTHS):
            address = low + WORD * host.rng.randint(0, max(0, (high - low - 24) // WORD)) + offset
            length = min(length, high - address)
            await host.write(address, host.rng.randbytes(length))
            await host.read(max(low, address - 5), min(high, address + length + 5) - max(low, address - 5))
            await host.read(address, host.rng.randint(1, min(16, high - address)))
    await host.check_everything()
    # Only the bad-cell map refuses.
    assert host.refused == WORD * len(LENGTHS)


@chip_test
async def constants(chip: Chip):
    """Writes to v0 and k0 are answered and have no effect; the first byte behind them is the first that stores."""
    host = Host(chip)
    await host.fill()
    for window in ("mantissas", "exponents", "scalar_mantissas", "scalar_exponents"):
        base = host.model.windows[window].base
        end = base + WORD * (chip.config.size if window == "mantissas" else 1)
        before = await chip.read_words(base, (end - base) // WORD)
        await host.write(end - 3, b"\x11\x22\x33\x44\x55\x66")
        await host.write(base, b"\x07\x01\x02\x03")
        assert await chip.read_words(base, (end - base) // WORD) == before
        assert await chip.read_word(end) & 0x1FF == 0x144
    assert await chip.read_word(0x20_0000) == 0
    assert await chip.read_word(0x30_0000) == 0xFFFF_FE00
    assert await chip.read_word(0x60_0000) == 0x40_0000
    assert await chip.read_word(0x70_0000) == 1
    await host.check_everything()


@chip_test
async def strobes(chip: Chip):
    """All sixteen strobe patterns, the empty one included, in every window and register."""
    host = Host(chip)
    await host.fill()
    registers = [address for address, r in host.model.registers.items() if r.name not in ("CONTROL", "LOCK", "TEST")]
    for pattern in range(16):
        for window in host.model.windows.values():
            address = window.base + WORD * host.rng.randrange(window.words)
            await host.write_word(address, host.rng.getrandbits(32), pattern)
            await host.read(address, WORD)
        for address in host.rng.sample(registers, 6):
            await host.write_word(address, host.rng.getrandbits(32), pattern)
            await host.read(address, WORD)
    await host.check_everything()


@chip_test
async def low_address_bits(chip: Chip):
    """A word is found at all four of its byte addresses."""
    host = Host(chip)
    await host.fill()
    for base in (0x28, *(window.base for window in host.model.windows.values())):
        for low in range(WORD):
            word, strobe = host.rng.getrandbits(32), host.rng.randrange(16)
            okay = await host.bus.write_word(base + low, word, strobe)
            assert okay == host.model.write(base, word.to_bytes(WORD, "little"), strobe)
            await host.read(base, WORD)
    await host.check_everything()


@chip_test
async def edges(chip: Chip):
    """Blocks over the ends of windows, one past each end, everywhere out of the map, and what is read-only."""
    host = Host(chip)
    await host.fill()
    model, rng = host.model, host.rng
    for name, window in model.windows.items():
        end = window.base + WORD * window.words
        for address in (end, end + 1, end + 3, 2 * end - window.base, window.base + 0xF_FFFC):
            if model.window_at(address // WORD * WORD) is None:
                await host.write(address, rng.randbytes(1))
                await host.read(address, 1)
        for length in (5, 16, 24):
            await host.write(end - length // 2, rng.randbytes(length))
            await host.read(end - length // 2, length)
            await host.write(window.base - length // 2, rng.randbytes(length))
            await host.read(window.base - length // 2, length)
        before = host.refused
        await host.write(window.base, rng.randbytes(WORD))
        assert host.refused - before == (name == "bad_map")
    for address in HOLES:
        before = host.refused
        await host.write(address, rng.randbytes(WORD))
        await host.read(address, WORD)
        assert host.refused == before + 2, f"{address:#x}"
    await host.write(0x4C, rng.randbytes(12))  # RANGES, and what is read-only behind it
    for address, register in model.registers.items():
        if register.access == "read":
            await host.write(address, rng.randbytes(WORD))
    await host.check_everything()


@chip_test
async def interrupts(chip: Chip):
    """Test, state, enable and the line; a byte that is not strobed clears nothing."""
    host = Host(chip)
    await host.adopt()
    for enable, test in itertools.product(range(8), repeat=2):
        await host.write_register("INTR_ENABLE", enable)
        await host.write_register("INTR_TEST", test)
        await host.check_interrupt()
        await host.read(0x10, WORD)
        await host.write(0x11, b"\x07\x07\x07")
        await host.check_interrupt()
        await host.write_register("INTR_STATE", host.rng.randrange(8))
        await host.check_interrupt()
        await host.read(0x10, 12)
    await host.write_register("INTR_STATE", 7)
    await host.check_everything()


@chip_test
async def parity(chip: Chip):
    """A byte written under TEST makes its word refuse reads until that byte is written again, and no other word."""
    host = Host(chip)
    await host.fill()
    for name, window in host.model.windows.items():
        index = host.rng.randrange(window.words - 1)
        for lane in range(WORD if window.writable else 0):
            address = window.base + WORD * index
            await host.write_register("TEST", 1)
            await host.write_word(address, host.rng.getrandbits(32), 1 << lane)
            await host.write_register("TEST", 0)
            before = host.refused
            await host.read(address, WORD)
            assert host.refused - before == (lane < window.parity), f"{name}, byte {lane}"
            await host.read(address + WORD, WORD)
            await host.write_word(address, host.rng.getrandbits(32), 0xF ^ 1 << lane)
            await host.read(address, WORD)
            assert host.refused - before == 2 * (lane < window.parity), f"{name}, byte {lane}"
            await host.write_word(address, host.rng.getrandbits(32), 1 << lane)
            await host.read(address, WORD)
            assert host.refused - before == 2 * (lane < window.parity), f"{name}, byte {lane}"
    await host.write_register("TEST", 1)
    for window in host.model.windows.values():
        if window.writable:
            await host.write(window.base, host.rng.randbytes(WORD * min(3, window.words)))
    await host.check_everything()
    await host.zeroize()
    await host.check_everything()


@chip_test
async def lock(chip: Chip):
    """A lock closes the read-back of slots and codes, nothing else, until a reset, which wipes them."""
    host = Host(chip)
    await host.fill()
    await host.write_register("LOCK", 0)
    await host.write_word(host.model.address("LOCK"), 1, 0xE)
    await host.check_everything()
    await host.write_register("LOCK", 1)
    before = host.refused
    for name, window in host.model.windows.items():
        await host.write(window.base, host.rng.randbytes(WORD))
        await host.read(window.base, WORD)
        await host.read(window.base + WORD * window.words - 2, 1)
        assert host.refused - before == 2 * (name in ("codes", "slots")) + (name == "bad_map"), name
        before = host.refused
    await host.write_register("LOCK", 0)
    await host.read(host.model.address("LOCK"), WORD)
    await host.zeroize()
    await host.check_everything()
    await chip.reset()
    host.model.reset()
    await host.await_wipe()
    await host.fill()
    await host.check_everything()


@chip_test
async def shut_while_running(chip: Chip):
    """While a program runs: windows and configuration refuse, control and interrupts work, nothing changes."""
    host = Host(chip)
    await host.fill()
    await host.prepare_solve(interval=0xF_FFFF)
    memories = {name: bytes(window.stored) for name, window in host.model.windows.items()}
    guarded = [address for address, r in host.model.registers.items() if r.access == "halted"]
    for phase, write_cycles in ((Phase.PROGRAM, 255), (Phase.SETTLE, 1)):
        await host.write_register("ARRAY", write_cycles)
        await host.start()
        await chip.reach(phase)
        begun = await host.read_register("CYCLES")
        before, refused = host.accesses, host.refused
        for window in host.model.windows.values():
            for offset, length in ((0, 4), (1, 2), (WORD * window.words - 6, 12)):
                await host.write(window.base + offset, host.rng.randbytes(length))
                await host.read(window.base + offset, length)
        for address in guarded:
            register = host.model.registers[address]
            await host.write(address, (register.value ^ register.mask).to_bytes(WORD, "little"))
            await host.write(address + 1, b"\x5A")
        assert host.refused - refused == host.accesses - before == 6 * 10 + 2 * len(guarded)
        for name, value in (("INTR_ENABLE", 1), ("INTR_TEST", 7), ("INTR_STATE", 1), ("INTR_ENABLE", 6)):
            await host.write_register(name, value)
            await host.check_interrupt()
        await host.write_register("INTR_STATE", 7)
        await host.write_register("CONTROL", START | CLEAR | FLUSH)  # no effect
        for address in host.model.registers:
            await host.read(address, WORD)
        assert await host.read_register("CYCLES") > begun + 300, "a second start began the run anew"
        assert chip.phase == phase and chip.closed() == (phase == Phase.SETTLE)
        await host.abort()
        await host.check_everything()
        assert chip.quiet()
        assert {name: bytes(window.stored) for name, window in host.model.windows.items()} == memories
    await host.write_register("SOLVE_INTERVAL", 500)
    await host.start()
    await host.finish()
    await host.check_everything()


@chip_test
async def abort_anywhere(chip: Chip):
    """An abort in any phase opens the loop in the next clock and keeps memories and settings."""
    host = Host(chip)
    await host.fill()
    await host.prepare_solve(interval=2000)
    for phase in LOOP_PHASES:
        await host.start()
        await chip.reach(phase)
        await chip.clocks(host.rng.randrange(1, 8))
        await host.write_register("CONTROL", ABORT)
        await chip.clocks(1)
        assert chip.quiet(), f"not open after an abort in {phase.name}"
        await host.adopt()
        await host.adopt("VALID", "RANGES")
        await host.check_registers()
    await host.check_everything()
    await host.start()
    await host.finish()
    await host.check_everything()


@chip_test
async def reset_and_zeroize_anywhere(chip: Chip):
    """A reset of one clock, or a zeroize, in any phase opens the loop at once and wipes; then all is as ever."""
    host = Host(chip)
    for phase, zeroize in itertools.product(LOOP_PHASES, (False, True)):
        await host.prepare_solve(interval=2000)
        await host.write_register("INTR_ENABLE", 7)
        await host.start()
        await chip.reach(phase)
        await chip.clocks(host.rng.randrange(1, 8))
        if phase == Phase.SETTLE:
            assert chip.closed()
        if zeroize:
            await host.write_register("CONTROL", ZEROIZE)
        else:
            chip.dut.rst.value = 1
            await chip.clocks(1)
            chip.dut.rst.value = 0
            host.model.reset()
        await chip.clocks(zeroize)
        assert chip.quiet(), f"not open after {'zeroize' if zeroize else 'a reset'} in {phase.name}"
        await host.await_wipe()
        await host.adopt("RANGES")
        await host.check_everything()
    await host.prepare_solve(interval=400)
    await host.start()
    await host.finish()
    await host.check_everything()

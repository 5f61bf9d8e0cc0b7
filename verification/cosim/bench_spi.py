"""cocotb bench: the chip behind SPI: frames, bursts, refused words, a solve from load to result."""

from verification.cosim.bus_model import START, WORD, ZEROIZE
from verification.cosim.buses import SpiBus
from verification.cosim.chip_bench import COUNTED, Chip, chip_test
from verification.cosim.side_by_side import Host

from ohmloop_hdl.events import Phase


@chip_test
async def bursts(chip: Chip):
    """Whole memories in one frame each way; a frame ends at its first refused word, and what came before counts."""
    host, bus = Host(chip), chip.bus
    await host.adopt()
    bus.period = (4.0, 4.0)
    for window in host.model.windows.values():
        words = [host.rng.getrandbits(32) for _ in range(window.words)]
        data = b"".join(word.to_bytes(WORD, "little") for word in words)
        assert await bus.write_frame(window.base, words) == (len(words) if window.writable else 0)
        assert host.model.write(window.base, data) == window.writable
        read = await bus.read_frame(window.base, window.words + 3)
        assert len(read) == window.words, "a frame goes on beyond the window"
        assert [word.to_bytes(WORD, "little") for word in read] == [window.word(i) for i in range(window.words)]
    window = host.model.windows["offsets"]
    last = window.base + WORD * (window.words - 2)
    assert await bus.write_frame(last, [1, 2, 3, 4]) == 2
    host.model.write(last, (1).to_bytes(WORD, "little") + (2).to_bytes(WORD, "little"))
    await host.read(window.base, WORD * window.words)
    # From the identification on, over what pulses and counts.
    registers = await bus.read_frame(0x00, 64)
    assert [WORD * place for place in range(len(registers))] == [a for a in host.model.registers if a <= 0x6C]
    assert registers[0] == 0x4F48_4D4C
    await host.check_registers()


@chip_test
async def strobes_and_parts(chip: Chip):
    """Every strobe, every offset and some lengths, in registers and windows."""
    host = Host(chip)
    await host.adopt()
    for strobe in range(16):
        base = host.rng.choice((0x2C, 0x20_0000 + WORD * 5 * chip.config.size, 0x80_0000))
        await host.write_word(base, host.rng.getrandbits(32), strobe)
        await host.read(base, WORD)
    for window in host.model.windows.values():
        offset = host.rng.randrange(WORD)
        length = min(9, WORD * window.words - offset)
        await host.write(window.base + offset, host.rng.randbytes(length))
        await host.read(window.base, length + 3)
    await host.check_registers()


@chip_test
async def unknown_and_cut_frames(chip: Chip):
    """An unknown command does nothing and says so; a word that the end of its frame cuts short is not written."""
    host, bus = Host(chip), chip.bus
    await host.adopt()
    address = bytes.fromhex("20 00 40")
    for command in (0x00, 0x30, 0x40, 0x80, 0xFF):
        answer = await bus.frame(bytes([command]) + address + bytes(10))
        assert answer == bytes([SpiBus.ACCEPTED] * 4 + [SpiBus.REFUSED] * 10)
    for length in range(4):
        await bus.frame(b"\x2F" + address + b"\xFF" * length)
    await host.read(0x20_0000, 4 * 20)
    await host.check_registers()


@chip_test
async def while_wiping(chip: Chip):
    """Registers answer, windows refuse."""
    host = Host(chip)
    host.bus.period = (4.0, 4.0)
    for base in (0x14, 0x28, 0x20_0040, 0x40_0000):
        await host.write_register("CONTROL", ZEROIZE)
        await chip.clocks(1)
        assert chip.phase == Phase.WIPE
        await host.write(base, b"1234")
    assert host.refused == 3
    await host.wipe_over()
    await host.check_registers()
    for base in (0x20_0000, 0x40_0000, 0xA0_0000):
        await host.read(base, 2 * WORD)


@chip_test
async def solve_from_load_to_result(chip: Chip):
    """The program, the matrix and the vector over the wire, the run, the interrupt, the result back: at a quarter of
    the clock and slower, with no relation to it."""
    host, bus = Host(chip), chip.bus
    for period in ((4.0, 4.0), (4.0, 9.0)):
        bus.period = period
        await host.prepare_solve(interval=300)
        await host.write_register("INTR_STATE", 7)
        await host.write_register("INTR_ENABLE", 1)
        begun = chip.time()
        await host.write_register("CONTROL", START)
        while not await host.read_register("INTR_STATE"):
            assert chip.time() - begun < 50_000
        assert int(chip.dut.interrupt.value) == 1
        await host.finish()
        await host.check_registers()
        await host.read(0x20_0000, WORD * 4 * chip.config.size)
        await host.read(0x30_0000, WORD * 4)
    print(f"{COUNTED}{bus.frames} frames, {bus.words} words, {chip.time()} clocks")

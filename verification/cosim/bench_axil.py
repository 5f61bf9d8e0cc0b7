"""cocotb bench: what only AXI4-Lite has: responses that wait, reads and writes at the same time."""

import cocotb
from cocotb.triggers import gather
from verification.cosim.bus_model import WORD
from verification.cosim.chip_bench import Chip, chip_test
from verification.cosim.side_by_side import Host


@chip_test
async def responses_wait(chip: Chip):
    """A response stays, unchanged and alone, until the master takes it."""
    host = Host(chip)
    await host.fill()
    dut, master = chip.dut, chip.bus.master
    channels = (
        (master.read_if.r_channel, "r", lambda: host.read(0x20_0040, 8), ("rdata", "rresp")),
        (master.read_if.r_channel, "r", lambda: host.read(0x0, 4), ("rdata", "rresp")),
        (master.write_if.b_channel, "b", lambda: host.write(0x20_0040, b"12345678"), ("bresp",)),
        (master.write_if.b_channel, "b", lambda: host.write(0x50_0000, b"1234"), ("bresp",)))
    for channel, letter, access, payload in channels:
        channel.pause = True
        await chip.clocks(3)
        task = cocotb.start_soon(access())
        await chip.clocks(12)
        valid = getattr(dut, f"s_axil_{letter}valid")
        held = [int(getattr(dut, f"s_axil_{name}").value) for name in payload]
        for _ in range(30):
            assert int(valid.value) == 1
            assert [int(getattr(dut, f"s_axil_{name}").value) for name in payload] == held
            assert not (int(dut.s_axil_arready.value) or int(dut.s_axil_awready.value) or int(dut.s_axil_wready.value))
            await chip.clocks(1)
        channel.pause = False
        await task
        await chip.clocks(5)
        assert int(valid.value) == 0, "a response nobody asked for"
    await host.check_windows()


@chip_test
async def at_the_same_time(chip: Chip):
    """Reads and writes wait together: all are served in turns, and a read sees the old or the new word, never a mix."""
    host = Host(chip)
    await host.fill()
    large = [window for window in host.model.windows.values() if window.writable and window.words > 4]
    for _ in range(60):
        target, source = host.rng.sample(large, 2)
        writes = [host.write(target.base + WORD * host.rng.randrange(target.words - 4),
                             host.rng.randbytes(host.rng.randint(1, 16))) for _ in range(2)]
        reads = [host.read(source.base + host.rng.randrange(WORD * (source.words - 4)),
                           host.rng.randint(1, 16)) for _ in range(2)]
        await gather(*writes, *reads)
    address = 0x20_0000 + WORD * 3 * chip.config.size
    for step in range(40):
        old = await chip.read_word(address)
        if step % 2:  # whoever went last waits, so that each comes first in half of the steps
            await host.write(0x10_0000, b"1234")
        new = host.rng.getrandbits(32)
        now, _ = await gather(chip.read_word(address), host.write(address, new.to_bytes(WORD, "little")))
        assert now == (old if step % 2 else new)
    # A long read and a long write at once: neither may starve the other.
    span = WORD * 3 * chip.config.size
    done = []

    async def timed(access, name):
        await access
        done.append(name)

    await gather(timed(host.read(0x10_0000, 400), "read"), timed(host.read(0x30_0000, 4), "short"),
                 timed(host.write(0x20_0000 + span, host.rng.randbytes(400)), "write"))
    assert done[0] == "read" and set(done[1:]) == {"write", "short"}
    await host.check_everything()

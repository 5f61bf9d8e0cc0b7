"""The register bank against its description: every register and field, derived from ``registers.rdl``."""

import pytest
from systemrdl.node import FieldNode, RegNode
from systemrdl.rdltypes.builtin_enums import OnWriteType
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.config import CONFIGS, ChipConfig
from ohmloop_hdl.events import Event
from ohmloop_hdl.host.map import address_map, elaborate_rdl
from ohmloop_hdl.host.registers import RegisterBank

TINY = CONFIGS["tiny"]
REGISTERS: dict[str, RegNode] = {node.inst_name: node for node in elaborate_rdl(TINY).children()
                                 if isinstance(node, RegNode)}
FIELDS: dict[str, FieldNode] = {f"{name}.{field.inst_name}": field
                                for name, register in REGISTERS.items() for field in register.fields()}


def kind(field: FieldNode) -> str:
    """``wire``: driven by hardware; ``fixed``: a constant; ``event``: write one to clear; ``latch``: write one to set,
    for good; ``pulse``: one clock; ``plain``: storage that software writes."""
    if field.get_property("onwrite") == OnWriteType.woclr:
        return "event"
    if field.get_property("onwrite") == OnWriteType.woset:
        return "latch"
    if field.get_property("singlepulse"):
        return "pulse"
    if field.is_sw_writable:
        return "plain"
    return "wire" if field.is_hw_writable else "fixed"


KINDS = {key: kind(field) for key, field in FIELDS.items()}
READ_ONLY = [name for name, register in REGISTERS.items() if not any(f.is_sw_writable for f in register.fields())]
GUARDED = [name for name, register in REGISTERS.items() if any(f.get_property("swwe") for f in register.fields())]
PLAIN = [name for name in REGISTERS if all(KINDS[f"{name}.{f.inst_name}"] == "plain" for f in REGISTERS[name].fields())]


def mask(name: str) -> int:
    """Bits of a register that belong to a field."""
    return sum(((1 << field.width) - 1) << field.low for field in REGISTERS[name].fields())


def reset_word(name: str) -> int:
    """What a register reads after a reset while the hardware drives nothing."""
    return sum(field.reset << field.low for field in address_map(TINY).fields.values() if field.register == name)


class RegistersBench:
    """A register bank with the machine halted."""

    def __init__(self, config: ChipConfig = TINY):
        self.bank = RegisterBank(config)

    def run(self, bench):
        async def body(ctx):
            ctx.set(self.bank.writable, 1)
            await bench(ctx)

        simulate(self.bank, body)

    def request(self, ctx, name: str | int, word: int | None = None, strobe: int = 0xF) -> tuple[int, int]:
        """Put an access on the bus; error and data, which must be there in the same clock."""
        bus = self.bank.bus
        ctx.set(bus.address, REGISTERS[name].absolute_address if isinstance(name, str) else name)
        ctx.set(bus.w_data, word or 0)
        ctx.set(bus.w_strobe, strobe)
        ctx.set(bus.r_stb, word is None)
        ctx.set(bus.w_stb, word is not None)
        assert ctx.get(bus.done)
        return ctx.get(bus.error), ctx.get(bus.r_data)

    async def access(self, ctx, name: str | int, word: int | None = None, strobe: int = 0xF) -> tuple[int, int]:
        answer = self.request(ctx, name, word, strobe)
        await ctx.tick()
        ctx.set(self.bank.bus.r_stb, 0)
        ctx.set(self.bank.bus.w_stb, 0)
        assert not ctx.get(self.bank.bus.done)
        return answer

    async def read(self, ctx, name: str) -> int:
        error, word = await self.access(ctx, name)
        assert not error
        return word

    def value(self, ctx, name: str) -> int:
        """The register's word as the hardware sees its storage."""
        return sum(ctx.get(self.bank.value[f"{name}.{field.inst_name}"]) << field.low
                   for field in REGISTERS[name].fields())


def byte_mask(strobe: int) -> int:
    return sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_identity_and_capabilities(config: ChipConfig):
    bench = RegistersBench(config)

    async def run(ctx):
        assert await bench.read(ctx, "ID") == 0x4F48_4D4C
        assert await bench.read(ctx, "VERSION") == 0x0000_0100
        assert await bench.read(ctx, "CAPS0") == config.size | config.adcs << 10 | config.lanes << 20
        assert await bench.read(ctx, "CAPS1") == (config.cell_bits | config.dac_bits << 4 | config.adc_bits << 8
                                                  | config.codes_per_word << 12)
        assert await bench.read(ctx, "CAPS2") == config.slots | 16 << 5 | 16 << 10 | 256 << 16
        assert await bench.read(ctx, "SIZES") == config.size | config.size << 16

    bench.run(run)


def test_addresses_are_fixed():
    assert {name: register.absolute_address for name, register in REGISTERS.items()} == address_map(TINY).registers
    names = list(REGISTERS)
    assert names[-len(Event):] == [f"EVENT_{event.name}" for event in Event]
    assert names[:-len(Event)] == [
        "ID", "VERSION", "CAPS0", "CAPS1", "INTR_STATE", "INTR_ENABLE", "INTR_TEST", "CONTROL", "STATUS", "CYCLES",
        "ENTRY", "SIZES", "SOLVE_INTERVAL", "MULTIPLY_INTERVAL", "TIMEOUT", "TOLERANCE", "SWITCHES", "ARRAY",
        "BANDWIDTH", "RANGES", "BAD_CELLS", "VALID", "STREAM_WAITS", "WATCHDOG", "LOCK", "TEST", "REPAIRS", "CAPS2",
    ]
    assert list(address_map(TINY).registers.values()) == [*range(0, 0x70, 4), *(0x80 + 4 * event for event in Event)]


def test_reset_values():
    bench = RegistersBench()

    async def run(ctx):
        for name, register in REGISTERS.items():
            readable = any(field.is_sw_readable for field in register.fields())
            assert await bench.read(ctx, name) == (reset_word(name) if readable else 0), name

    bench.run(run)


def test_reset_values_that_drivers_count_on():
    fields = address_map(TINY).fields
    assert {key: fields[key].reset for key in fields if KINDS[key] in ("plain", "latch")} == {
        "INTR_ENABLE.done": 0, "INTR_ENABLE.trap": 0, "INTR_ENABLE.wiped": 0, "ENTRY.pc": 0,
        "SIZES.loop_size": 4, "SIZES.vector_size": 4,
        "SOLVE_INTERVAL.clocks": 256, "MULTIPLY_INTERVAL.clocks": 64, "TIMEOUT.clocks": 65536, "TOLERANCE.lsb": 1,
        "SWITCHES.dead": 2, "SWITCHES.autozero": 16, "ARRAY.write_cycles": 4, "ARRAY.retries": 3, "ARRAY.bad_limit": 0,
        "BANDWIDTH.k": 0, "RANGES.drive_range": 0, "RANGES.feedback": 0, "WATCHDOG.clocks": 1 << 28,
        "LOCK.matrices": 0, "TEST.bad_parity": 0,
    }


@pytest.mark.parametrize("name", PLAIN)
def test_every_bit_of_a_plain_register_writes_and_reads_and_no_other(name: str):
    bench = RegistersBench()

    async def run(ctx):
        for word in [1 << bit for bit in range(32)] + [0, 0xFFFF_FFFF]:
            assert (await bench.access(ctx, name, word))[0] == 0
            assert await bench.read(ctx, name) == word & mask(name)
            assert bench.value(ctx, name) == word & mask(name)

    bench.run(run)


@pytest.mark.parametrize("name", PLAIN)
def test_strobes_choose_the_bytes_of_a_plain_register(name: str):
    bench, random = RegistersBench(), seeded(name)

    async def run(ctx):
        for strobe in range(16):
            before, word = random.getrandbits(32), random.getrandbits(32)
            await bench.access(ctx, name, before)
            await bench.access(ctx, name, word, strobe)
            written = byte_mask(strobe)
            assert await bench.read(ctx, name) == (before & ~written | word & written) & mask(name)

    bench.run(run)


@pytest.mark.parametrize("name", PLAIN)
def test_a_write_changes_its_own_register_only(name: str):
    bench = RegistersBench()

    async def run(ctx):
        await bench.access(ctx, name, ~reset_word(name) & 0xFFFF_FFFF)
        for other in PLAIN:
            changed = ~reset_word(name) & mask(name) if other == name else reset_word(other)
            assert await bench.read(ctx, other) == changed

    bench.run(run)


@pytest.mark.parametrize("low", [1, 2, 3])
def test_the_low_two_address_bits_are_ignored(low: int):
    bench = RegistersBench()

    async def run(ctx):
        address = REGISTERS["TIMEOUT"].absolute_address
        assert (await bench.access(ctx, address + low, 0x1234))[0] == 0
        assert await bench.access(ctx, address + low) == (0, 0x1234)

    bench.run(run)


def test_configuration_registers_are_the_guarded_ones():
    assert GUARDED == ["ENTRY", "SIZES", "SOLVE_INTERVAL", "MULTIPLY_INTERVAL", "TIMEOUT", "TOLERANCE", "SWITCHES",
                       "ARRAY", "BANDWIDTH", "RANGES", "WATCHDOG", "TEST"]


@pytest.mark.parametrize("name", GUARDED)
def test_a_running_machine_refuses_configuration(name: str):
    bench = RegistersBench()

    async def run(ctx):
        ctx.set(bench.bank.writable, 0)
        assert (await bench.access(ctx, name, ~reset_word(name) & 0xFFFF_FFFF))[0] == 1
        assert await bench.read(ctx, name) == reset_word(name)
        assert bench.value(ctx, name) == reset_word(name)
        ctx.set(bench.bank.writable, 1)
        assert (await bench.access(ctx, name, 0))[0] == 0
        assert await bench.read(ctx, name) == 0

    bench.run(run)


@pytest.mark.parametrize("name", [name for name in REGISTERS if name not in GUARDED + READ_ONLY])
def test_control_and_interrupts_can_be_written_while_running(name: str):
    bench = RegistersBench()

    async def run(ctx):
        ctx.set(bench.bank.writable, 0)
        assert (await bench.access(ctx, name, 0))[0] == 0

    bench.run(run)


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_read_only_register_refuses_writes(name: str):
    bench = RegistersBench()

    async def run(ctx):
        before = await bench.read(ctx, name)
        assert (await bench.access(ctx, name, 0xFFFF_FFFF))[0] == 1
        assert await bench.read(ctx, name) == before

    bench.run(run)


def test_status_fields_show_what_the_hardware_drives():
    bench = RegistersBench()

    async def run(ctx):
        for key in [key for key, which in KINDS.items() if which == "wire"]:
            field = FIELDS[key]
            for value in [1 << bit for bit in range(field.width)] + [(1 << field.width) - 1, 0]:
                ctx.set(bench.bank.drive[key], value)
                assert await bench.read(ctx, key.split(".")[0]) == value << field.low, key

    bench.run(run)


@pytest.mark.parametrize("address", [0x70, 0x7C, 0xD4, 0x100, 0x4000, 0xFFFFC])
def test_addresses_without_a_register_are_refused(address: int):
    bench = RegistersBench()

    async def run(ctx):
        assert await bench.access(ctx, address) == (1, 0)
        assert await bench.access(ctx, address, 0xFFFF_FFFF) == (1, 0)
        for name in PLAIN:
            assert await bench.read(ctx, name) == reset_word(name)

    bench.run(run)


@pytest.mark.parametrize("key", [key for key, which in KINDS.items() if which == "pulse"])
def test_a_pulse_lasts_one_clock_and_reads_zero(key: str):
    bench = RegistersBench()
    name, value = key.split(".")[0], bench.bank.value[key]

    async def run(ctx):
        assert (await bench.access(ctx, name, 0xFFFF_FFFF & ~field_mask(key)))[0] == 0
        assert not ctx.get(value)
        await ctx.tick()
        await bench.access(ctx, name, field_mask(key))
        assert ctx.get(value) == 1
        await ctx.tick()
        assert ctx.get(value) == 0
        await bench.access(ctx, name, field_mask(key), strobe=0b1110)
        assert ctx.get(value) == 0, "no strobe, no pulse"
        assert await bench.read(ctx, name) == 0

    bench.run(run)


@pytest.mark.parametrize("key", [key for key, which in KINDS.items() if which == "pulse"])
@pytest.mark.parametrize(("word", "strobe"), [(0, 0xF), (0xFFFF_FFFF, 0), (0xFFFF_FFFF, 0b1110)])
def test_a_write_right_behind_does_not_lengthen_a_pulse(key: str, word: int, strobe: int):
    bench = RegistersBench()
    name, value = key.split(".")[0], bench.bank.value[key]

    async def run(ctx):
        await bench.access(ctx, name, field_mask(key))
        assert ctx.get(value) == 1
        await bench.access(ctx, name, word, strobe)
        assert ctx.get(value) == 0

    bench.run(run)


def field_mask(key: str) -> int:
    field = FIELDS[key]
    return ((1 << field.width) - 1) << field.low


EVENTS = [key for key, which in KINDS.items() if which == "event"]
ALL_EVENTS = 0b111


def test_interrupt_state_collects_events():
    assert EVENTS == ["INTR_STATE.done", "INTR_STATE.trap", "INTR_STATE.wiped"]


@pytest.mark.parametrize("key", EVENTS)
def test_an_event_sets_stays_and_clears_with_a_one(key: str):
    bench, bit = RegistersBench(), field_mask(key)
    drive = bench.bank.drive[key]

    async def run(ctx):
        ctx.set(drive, 1)
        await ctx.tick()
        ctx.set(drive, 0)
        assert await bench.read(ctx, "INTR_STATE") == bit
        for word, strobe in ((0, 0xF), (~bit & 0xFFFF_FFFF, 0xF), (bit, 0), (bit, 0b1110)):
            assert (await bench.access(ctx, "INTR_STATE", word, strobe))[0] == 0
            assert await bench.read(ctx, "INTR_STATE") == bit
        await bench.access(ctx, "INTR_STATE", bit)
        assert await bench.read(ctx, "INTR_STATE") == 0

    bench.run(run)


@pytest.mark.parametrize("key", EVENTS)
def test_an_event_beats_a_clear_of_the_same_clock(key: str):
    bench = RegistersBench()

    async def run(ctx):
        for event in EVENTS:
            ctx.set(bench.bank.drive[event], 1)
        await ctx.tick()
        for event in EVENTS:
            ctx.set(bench.bank.drive[event], event == key)
        await bench.access(ctx, "INTR_STATE", ALL_EVENTS)
        ctx.set(bench.bank.drive[key], 0)
        assert await bench.read(ctx, "INTR_STATE") == field_mask(key), "the others clear"

    bench.run(run)


def test_an_event_of_one_bit_leaves_the_others():
    bench = RegistersBench()

    async def run(ctx):
        for key in EVENTS:
            ctx.set(bench.bank.drive[key], 1)
            await ctx.tick()
            ctx.set(bench.bank.drive[key], 0)
        assert await bench.read(ctx, "INTR_STATE") == ALL_EVENTS

    bench.run(run)


def test_the_interrupt_line_is_state_and_enable():
    bench = RegistersBench()

    async def run(ctx):
        for state in range(8):
            for enable in range(8):
                await bench.access(ctx, "INTR_STATE", ALL_EVENTS)
                await bench.access(ctx, "INTR_ENABLE", enable)
                for bit, key in enumerate(EVENTS):
                    ctx.set(bench.bank.drive[key], state >> bit & 1)
                await ctx.tick()
                for key in EVENTS:
                    ctx.set(bench.bank.drive[key], 0)
                assert ctx.get(bench.bank.interrupt) == bool(state & enable), (state, enable)

    bench.run(run)


@pytest.mark.parametrize("key", ["RANGES.drive_range", "RANGES.feedback"])
def test_ranges_are_written_from_both_sides(key: str):
    bench, field = RegistersBench(), FIELDS[key]
    top = (1 << field.width) - 1

    async def run(ctx):
        ctx.set(bench.bank.drive[key], top)
        await ctx.tick()
        assert await bench.read(ctx, "RANGES") == 0, "no load, no change"
        ctx.set(bench.bank.load[key], 1)
        await ctx.tick()
        ctx.set(bench.bank.load[key], 0)
        assert await bench.read(ctx, "RANGES") == top << field.low
        await bench.access(ctx, "RANGES", 1 << field.low)
        assert await bench.read(ctx, "RANGES") == 1 << field.low
        ctx.set(bench.bank.drive[key], 0)
        ctx.set(bench.bank.load[key], 1)
        await ctx.tick()
        ctx.set(bench.bank.load[key], 0)
        assert await bench.read(ctx, "RANGES") == 0, "a load of zero counts"

    bench.run(run)


def test_a_lock_is_set_with_a_one_and_stays():
    assert [key for key, which in KINDS.items() if which == "latch"] == ["LOCK.matrices"]
    bench = RegistersBench()
    locked = bench.bank.value["LOCK.matrices"]

    async def run(ctx):
        for word, strobe in ((0, 0xF), (0xFFFF_FFFE, 0xF), (1, 0), (0xFFFF_FFFF, 0b1110)):
            assert (await bench.access(ctx, "LOCK", word, strobe))[0] == 0
            assert not ctx.get(locked) and await bench.read(ctx, "LOCK") == 0
        ctx.set(bench.bank.writable, 0)
        assert (await bench.access(ctx, "LOCK", 1, 0b0001))[0] == 0, "a program that runs does not matter"
        for word, strobe in ((0, 0xF), (0xFFFF_FFFE, 0xF), (1, 0xF), (0, 0)):
            assert ctx.get(locked) and await bench.read(ctx, "LOCK") == 1
            assert (await bench.access(ctx, "LOCK", word, strobe))[0] == 0
        for name in PLAIN:
            await bench.access(ctx, name, 0)
        assert ctx.get(locked)

    bench.run(run)


def test_an_idle_bus_answers_nothing():
    bench = RegistersBench()

    async def run(ctx):
        for register in REGISTERS.values():
            ctx.set(bench.bank.bus.address, register.absolute_address)
            assert not ctx.get(bench.bank.bus.done) and not ctx.get(bench.bank.bus.error)

    bench.run(run)

"""The register bank, made from ``registers.rdl``."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from systemrdl.node import FieldNode, RegNode
from systemrdl.rdltypes.builtin_enums import OnWriteType

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.host.bus import RegisterBus
from ohmloop_hdl.host.map import elaborate_rdl, field_key, reset_value


class RegisterBank(wiring.Component):
    """Every field of the register description as storage or as a wire; the blocks behind it know no addresses.

    A field is named ``REGISTER.field`` and reaches the hardware through three tables:

    * ``value["R.f"]``: its value, for fields that the hardware reads;
    * ``drive["R.f"]``: what the hardware puts there: the value itself where the field has no storage, the next value
      where ``load["R.f"]`` is high, an event where the field collects events (``hwset``);
    * ``load["R.f"]``: the hardware's write enable of a field that both sides write.

    Where an event and a write-one-to-clear meet, the event wins. A register with a field under ``swwe`` refuses writes
    while ``writable`` is low; so does a register that has nothing to write, always.

    Members
    -------
    bus : In(RegisterBus)
        Addresses below the windows.
    writable : In(1)
        The machine is halted: configuration may change.
    interrupt : Out(1)
        A bit is set in INTR_STATE and in INTR_ENABLE.

    Latency
    -------
    ``done`` in the clock of the request; a written value is visible in the next.
    """

    bus: In(RegisterBus())
    writable: In(1)
    interrupt: Out(1)

    def __init__(self, config: ChipConfig):
        super().__init__()
        self.value: dict[str, Signal] = {}
        self.drive: dict[str, Signal] = {}
        self.load: dict[str, Signal] = {}
        self._registers = [node for node in elaborate_rdl(config).children() if isinstance(node, RegNode)]
        for register in self._registers:
            for field in register.fields():
                self._declare(field)

    def _declare(self, field: FieldNode):
        key, shape = field_key(field), field.width
        name = key.replace(".", "_").lower()
        if field.implements_storage:
            self.value[key] = Signal(shape, name=name, init=reset_value(field))
        if field.is_hw_writable or field.get_property("hwset"):
            self.drive[key] = Signal(shape, name=f"{name}_drive")
        if field.get_property("we"):
            self.load[key] = Signal(name=f"{name}_load")

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        request = bus.r_stb | bus.w_stb
        m.d.comb += [bus.done.eq(request), bus.error.eq(request)]
        for register in self._registers:
            fields = list(register.fields())
            guarded = any(field.get_property("swwe") for field in fields)
            read_only = not any(field.is_sw_writable for field in fields)
            selected = Signal(name=f"{register.inst_name.lower()}_selected")
            m.d.comb += selected.eq(bus.address[2:] == register.absolute_address >> 2)
            allowed = self.writable if guarded else not read_only
            with m.If(selected):
                m.d.comb += bus.error.eq(bus.w_stb & ~allowed if guarded else bus.w_stb & int(read_only))
                for field in fields:
                    if field.is_sw_readable:
                        m.d.comb += bus.r_data[field.low:field.high + 1].eq(self._read_value(field))
            write = selected & bus.w_stb & allowed
            for field in fields:
                self._storage(m, field, write)
        m.d.comb += self.interrupt.eq(Cat(
            self.value[f"INTR_STATE.{field.inst_name}"] & self.value[f"INTR_ENABLE.{field.inst_name}"]
            for register in self._registers if register.inst_name == "INTR_STATE" for field in register.fields()).any())
        return m

    def _read_value(self, field: FieldNode):
        key = field_key(field)
        if key in self.value:
            return self.value[key]
        return self.drive[key] if key in self.drive else reset_value(field)

    def _storage(self, m: Module, field: FieldNode, write):
        key = field_key(field)
        if key not in self.value:
            return
        value = self.value[key]
        mask = Cat(self.bus.w_strobe[byte // 8] for byte in range(field.low, field.high + 1))
        written = self.bus.w_data[field.low:field.high + 1] & mask
        if field.get_property("singlepulse"):
            m.d.sync += value.eq(0)
        if field.is_sw_writable:
            with m.If(write):
                if field.get_property("onwrite") == OnWriteType.woclr:
                    m.d.sync += value.eq(value & ~written)
                elif field.get_property("onwrite") == OnWriteType.woset:
                    m.d.sync += value.eq(value | written)
                elif field.get_property("singlepulse"):
                    m.d.sync += value.eq(written)
                else:
                    m.d.sync += value.eq(value & ~mask | written)
        if key in self.load:
            with m.If(self.load[key]):
                m.d.sync += value.eq(self.drive[key])
        elif key in self.drive:
            with m.If(self.drive[key].any()):
                m.d.sync += value.eq(
                    Mux(write, value & ~written, value) | self.drive[key]
                    if field.is_sw_writable else self.drive[key])

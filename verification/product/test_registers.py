"""What is made of the register description for others: pages, a C header, IP-XACT. All must say what the map says."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ohmloop_hdl.config import config_named
from ohmloop_hdl.host.map import address_map

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("tiny", "chip64hp")


@cache
def written(config: str, hash_seed: str = "0") -> dict[str, bytes]:
    """Files of ``scripts/registers.py`` by name, from a process of its own in a folder of its own."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "scripts" / "registers.py"), "--config", config, "--out", "out"]
        done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True,
                              text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        out = Path(folder) / "out"
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_the_same_everywhere_and_no_machine_in_it():
    first, second = written("tiny"), written("tiny", "7")
    assert first == second
    for name, content in first.items():
        for place in (str(ROOT), sys.prefix, "/tmp/"):
            assert place.encode() not in content, name


@pytest.mark.parametrize("config", CONFIGS)
def test_header_compiles_and_agrees_with_the_map(config: str, tmp_path: Path):
    chip = address_map(config_named(config))
    (tmp_path / "ohmloop.h").write_bytes(written(config)["ohmloop.h"])
    places = [*chip.registers, *chip.windows]
    fields = [(key, key.replace(".", "__").upper()) for key in chip.fields]
    lines = ["#include <stddef.h>", "#include <stdio.h>", '#include "ohmloop.h"', "int main(void) {"]
    lines += [f'    printf("{name} %zu\\n", offsetof(ohmloop_t, {name}));' for name in places]
    lines += [f'    printf("{name} %zu\\n", sizeof(((ohmloop_t *)0)->{name}));' for name in places]
    lines += [f'    printf("{key} %lu\\n", (unsigned long)OHMLOOP__{name}_{what});'
              for key, name in fields for what in ("bm", "bp", "bw")]
    (tmp_path / "print.c").write_text("\n".join([*lines, "    return 0;", "}", ""]))
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "print.c", "-o", "print"], cwd=tmp_path,
                   check=True)
    shown = subprocess.run([tmp_path / "print"], capture_output=True, text=True, check=True).stdout.splitlines()
    expected = [f"{name} {address}" for name, address in chip.registers.items()]
    expected += [f"{name} {window.address}" for name, window in chip.windows.items()]
    expected += [f"{name} 4" for name in chip.registers]
    expected += [f"{name} {4 * window.words}" for name, window in chip.windows.items()]
    expected += [f"{key} {value}" for key, field in chip.fields.items()
                 for value in (field.mask, field.low, field.width)]
    assert shown == expected
    resets = dict(re.findall(r"#define OHMLOOP__(\w+)_reset (0x[0-9a-f]+)", written(config)["ohmloop.h"].decode()))
    assert {name for name, value in resets.items() if int(value, 16)} == {
        name for key, name in fields if chip.fields[key].reset}
    assert all(int(resets[name], 16) == chip.fields[key].reset for key, name in fields if name in resets)


@pytest.mark.parametrize("config", CONFIGS)
def test_ipxact_has_every_register_and_window(config: str):
    chip = address_map(config_named(config))
    root = ElementTree.fromstring(written(config)["ohmloop.xml"])
    space = root.tag.removesuffix("component")
    assert space == "{http://www.accellera.org/XMLSchema/IPXACT/1685-2014}"

    def text(element: ElementTree.Element, path: str) -> str:
        return element.findtext("/".join(space + part for part in path.split("/")), "")

    def number(element: ElementTree.Element, path: str) -> int:
        return int(text(element, path).removeprefix("'h"), 16)

    first, *windows = root.iter(space + "addressBlock")
    registers = list(first.iter(space + "register"))
    assert {text(r, "name"): number(r, "addressOffset") for r in registers} == chip.registers
    fields = {f"{text(r, 'name')}.{text(f, 'name')}": (int(text(f, "bitOffset")), int(text(f, "bitWidth")))
              for r in registers for f in r.iter(space + "field")}
    assert fields == {key: (field.low, field.width) for key, field in chip.fields.items()}
    access = {f"{text(r, 'name')}.{text(f, 'name')}": (text(f, "access"), text(f, "modifiedWriteValue"))
              for r in registers for f in r.iter(space + "field")}
    assert access["STATUS.halted"] == ("read-only", "") and access["ENTRY.pc"] == ("read-write", "")
    assert access["CONTROL.start"] == ("write-only", "")
    assert access["INTR_STATE.done"] == ("read-write", "oneToClear")
    assert access["LOCK.matrices"] == ("read-write", "oneToSet")
    assert {text(w, "name"): (number(w, "baseAddress"), number(w, "range"), text(w, "access"))
            for w in windows} == {
        name: (window.address, 4 * window.words, "read-write" if window.writable else "read-only")
        for name, window in chip.windows.items()}
    ends = [number(block, "baseAddress") + number(block, "range") for block in (first, *windows)]
    assert all(end <= number(block, "baseAddress") for end, block in zip(ends, windows, strict=False)), "blocks overlap"
    assert number(first, "baseAddress") == 0


@pytest.mark.parametrize("config", CONFIGS)
def test_pages_name_every_register_and_window(config: str):
    files = written(config)
    chip = address_map(config_named(config))
    assert b"<html" in files["html/index.html"]
    index = files["html/data/data_index.js"].decode() + "".join(
        content.decode() for name, content in files.items() if re.match(r"html/data/.*json", name))
    pages = [content.decode() for name, content in files.items() if name.startswith("html/content/")]
    for name in (*chip.registers, *chip.windows):
        assert f'"{name}"' in index, name
    assert len(pages) == 1 + len(chip.registers) + len(chip.windows)
    everything = "".join(pages)
    for key, field in chip.fields.items():
        assert f'id="{field.name}"' in everything, key

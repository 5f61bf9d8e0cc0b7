#!/usr/bin/env python3
"""Writes what others make of the register description: pages in HTML, a C header, and IP-XACT.

``make registers CONFIG=lab`` writes into ``build/registers``: ``html/index.html``, ``ohmloop.h``, ``ohmloop.xml``. The
same description and configuration give the same files everywhere.
"""

import argparse
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from peakrdl_cheader.exporter import CHeaderExporter
from peakrdl_html import HTMLExporter
from peakrdl_ipxact import IPXACTExporter
from systemrdl.compiler import RDLCompiler
from systemrdl.messages import MessagePrinter, Severity
from systemrdl.node import AddrmapNode, MemNode

from ohmloop.engines.cache import digest
from ohmloop_hdl.config import CONFIGS, ChipConfig, config_named
from ohmloop_hdl.host.map import RDL_FILE, WINDOW_LOW, address_map, rdl_parameters

HEADER, COMPONENT, PAGES = "ohmloop.h", "ohmloop.xml", "html"
"""Names of what is written."""

IPXACT = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
"""XML name space of the standard."""


class ErrorsOnly(MessagePrinter):
    """No warnings: those that there are say that windows are left out of IP-XACT, and :func:`ipxact` puts them back."""

    def print_message(self, severity, text, src_ref):
        """Print a message of the compiler or of an exporter."""
        if severity not in (Severity.WARNING, Severity.INFO):
            super().print_message(severity, text, src_ref)


def elaborated(config: ChipConfig) -> AddrmapNode:
    """The register description for a configuration."""
    compiler = RDLCompiler(message_printer=ErrorsOnly())
    compiler.compile_file(str(RDL_FILE))
    top = compiler.elaborate("ohmloop", parameters={**rdl_parameters(config)}).top
    assert isinstance(top, AddrmapNode)
    return top


def html(top: AddrmapNode, config: ChipConfig, folder: Path) -> None:
    """Pages with all registers; replaces the folder. The stamp by which browsers know new pages comes from what is in
    them, not from the clock, and no page links to a place on this machine."""
    shutil.rmtree(folder, ignore_errors=True)
    exporter = HTMLExporter(
        user_context={"build_ts": int(digest(RDL_FILE, repr(config))[:8], 16)}, generate_source_links=False,
        extra_doc_properties=["secret"])
    exporter.export(top, str(folder), title=f"Ohmloop, configuration {config.name}")  # type: ignore


def c_header(top: AddrmapNode, file: Path) -> None:
    """Masks, places and resets of all fields, each under the name of its register, and one structure over the map."""
    CHeaderExporter().export(top, str(file), reuse_typedefs=False)


def ipxact(top: AddrmapNode, config: ChipConfig, file: Path) -> None:
    """A component with one block of registers and one block a window.

    The exporter takes the map as one block and leaves out the windows, so they are put behind it.
    """
    fields = address_map(config).fields
    version = ".".join(str(fields[f"VERSION.{part}"].reset) for part in ("major", "minor", "patch"))
    IPXACTExporter(vendor="ohmloop", library="ohmloop", version=version).export(top, str(file))
    ElementTree.register_namespace("ipxact", IPXACT)
    ElementTree.register_namespace("xsi", "http://www.w3.org/2001/XMLSchema-instance")
    tree = ElementTree.parse(file)
    memory_map = _found(tree.getroot(), "memoryMap")
    _found(memory_map, "addressBlock/{*}range").text = f"'h{1 << WINDOW_LOW:x}"
    places = list(memory_map)
    behind = places.index(_found(memory_map, "addressBlock")) + 1
    for window in reversed([child for child in top.children() if isinstance(child, MemNode)]):
        memory_map.insert(behind, _block(window))
    ElementTree.indent(tree)
    file.write_text(ElementTree.tostring(tree.getroot(), "unicode", xml_declaration=True) + "\n", encoding="utf-8")


def _found(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(f".//{{*}}{path}")
    assert found is not None, path
    return found


def _block(window: MemNode) -> ElementTree.Element:
    """A window as a block of memory, its children in the order of the standard."""
    block = ElementTree.Element(f"{{{IPXACT}}}addressBlock")
    for name, text in (
            ("name", window.inst_name), ("displayName", window.get_property("name")),
            ("description", window.get_property("desc")), ("baseAddress", f"'h{window.absolute_address:x}"),
            ("range", f"'h{window.size:x}"), ("width", "32"), ("usage", "memory"),
            ("access", "read-write" if window.is_sw_writable else "read-only")):
        ElementTree.SubElement(block, f"{{{IPXACT}}}{name}").text = text
    return block


def write_outputs(config: ChipConfig, out: Path) -> None:
    """Write all three for a configuration."""
    out.mkdir(parents=True, exist_ok=True)
    top = elaborated(config)
    html(top, config, out / PAGES)
    c_header(top, out / HEADER)
    ipxact(top, config, out / COMPONENT)


def main() -> None:
    """Parse the options and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", default="chip64", choices=CONFIGS)
    parser.add_argument("--out", type=Path, default=Path("build/registers"))
    options = parser.parse_args()
    write_outputs(config_named(options.config), options.out)
    print(f"registers: {options.out / HEADER}, {options.out / COMPONENT}, pages in {options.out / PAGES}")
    # Browsers keep these pages from loading their parts as mere files.
    print(f"to read the pages: python3 -m http.server -d {options.out / PAGES}")


if __name__ == "__main__":
    main()

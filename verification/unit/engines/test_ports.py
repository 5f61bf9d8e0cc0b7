"""Port names from both header styles."""

from pathlib import Path

import pytest

from ohmloop.engines.ports import port_names
from ohmloop.errors import InputError


def names(tmp_path: Path, text: str, module: str = "top") -> list[str]:
    source = tmp_path / "source.v"
    source.write_text(text)
    return port_names([source], module)


@pytest.mark.parametrize(("text", "expected"), [
    ("module top(a, b, \\odd.name );\n input a; output b; endmodule", ["a", "b", "odd.name"]),
    ("module top (input wire clk, // a clock, not b\n output logic [3:0] q [0:1], inout z = 1'b0);", ["clk", "q", "z"]),
    ("module top import pkg::*; #(parameter int N = (2), M = 3) (input [N-1:0] a, b);", ["a", "b"]),
    ("(* top = 1 *)\nmodule top(\n`ifdef X\n`endif\n  input a /* , c */\n);", ["a"]),
    ("module other(x); endmodule module top; endmodule", []),
    ("module top #(parameter N = 1);", []),
    ("module topper(x); endmodule\nmodule top(y); endmodule", ["y"]),
])
def test_port_names(tmp_path: Path, text: str, expected: list[str]):
    assert names(tmp_path, text) == expected


def test_missing_module_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"must be a module of the sources \(source.v\), not 'top'"):
        names(tmp_path, "module other; endmodule")

"""Port names of a Verilog module, read from its source text."""

import re
from collections.abc import Sequence
from pathlib import Path

from ohmloop.errors import InputError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\(\*(?!\s*\)).*?\*\)", re.DOTALL)
_DIRECTIVE = re.compile(r"^\s*`[^\n]*$", re.MULTILINE)
_NAME = re.compile(r"\\\S+|[A-Za-z_][\w$]*")
_OPEN, _CLOSE = "([{", ")]}"


def port_names(sources: Sequence[Path], module: str) -> list[str]:
    """Names of the ports of ``module``, in order, whichever of the two header styles the source uses.

    Reads headers as people and generators write them; names made by macros, or ports chosen by `` `ifdef``, are beyond
    it. :class:`InputError` when no source has the module.
    """
    header = re.compile(rf"\b(?:module|macromodule)\s+(?:automatic\s+|static\s+)?{re.escape(module)}\b")
    for source in sources:
        text = source.read_text(encoding="utf-8", errors="replace")
        if module not in text:
            continue
        text = _DIRECTIVE.sub("", _COMMENT.sub(" ", text))
        match = header.search(text)
        if match:
            return _names_in_list(_port_list(text, match.end()))
    raise InputError(f"toplevel must be a module of the sources ({_listed(sources)}), not {module!r}")


def _port_list(text: str, start: int) -> str:
    """What stands between the parentheses of the port list; empty when the module has none."""
    end_of_header = start
    while True:
        opening = re.compile(r"\s*(?:import\b[^;]*;|(#)\s*\(|(\()|;)").match(text, end_of_header)
        if opening is None or opening.group().strip() == ";":
            return ""
        if opening.group(1) is None and opening.group(2) is None:
            end_of_header = opening.end()
            continue
        closing = _matching(text, opening.end() - 1)
        if opening.group(2):
            return text[opening.end() : closing]
        end_of_header = closing + 1


def _matching(text: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(text)):
        if text[place] in _OPEN:
            depth += 1
        elif text[place] in _CLOSE:
            depth -= 1
            if depth == 0:
                return place
    return len(text)


def _names_in_list(ports: str) -> list[str]:
    names: list[str] = []
    depth = 0
    plain = ""  # the current port, without what stands in brackets
    for letter in ports + ",":
        if letter in _OPEN:
            depth += 1
        elif letter in _CLOSE:
            depth -= 1
        elif letter == "," and depth == 0:
            words = _NAME.findall(plain.partition("=")[0])
            if words:
                names.append(words[-1].removeprefix("\\"))
            plain = ""
        elif depth == 0:
            plain += letter
    return names


def _listed(sources: Sequence[Path]) -> str:
    return ", ".join(source.name for source in sources)

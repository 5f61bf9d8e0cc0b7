"""Examples of the pages: Python runs and prints what stands below it, command lines are accepted and run."""

import io
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import scipy.io
import scipy.sparse
import typer
from verification.product.test_docs import PAGES, ROOT

from ohmloop import cli
from ohmloop.ensembles import heat

_PART = re.compile(r"^```(?P<kind>\S*)\n(?P<text>.*?)^```$|^#+ (?P<heading>[^\n]+)$", re.DOTALL | re.MULTILINE)
_TYPED = re.compile(r"`((?:\.venv/bin/)?ohmloop [^`\n]+)`")
_SIZE = re.compile(r"-?\d+(?:\.\d+)?e[+-]?\d+")

KNOWN = typer.main.get_command(cli.app).commands  # pyright: ignore[reportAttributeAccessIssue]
"""Commands by name."""

RUN = {"solve": (), "report": (), "sweep": ("--chips", "2", "--systems", "1", "--workers", "1")}
"""Commands that are run, each with what makes it short. The others write Verilog or build a simulation, which their own
tests do: they are only read."""

SAME_SIZE = 10.0
"""What a number with an exponent may be off by: it is a residual or an error, made of rounding."""


@dataclass
class Block:
    """Python, the line of the page that it begins in, and what it prints, where the page says so."""

    code: str
    line: int
    shown: str | None = None


@dataclass
class Example:
    """What stands below one heading: blocks that share their names."""

    page: Path
    heading: str
    blocks: list[Block] = field(default_factory=list)


def examples(page: Path) -> list[Example]:
    """Those with Python. A ``text`` block right behind Python is what it prints."""
    text, found, behind = page.read_text(), [Example(page, "")], 0
    for part in _PART.finditer(text):
        blocks = found[-1].blocks
        if part["heading"]:
            found.append(Example(page, part["heading"]))
        elif part["kind"] == "python":
            blocks.append(Block(part["text"], text.count("\n", 0, part.start("text"))))
            behind = part.end()
        elif part["kind"] == "text" and blocks and text[behind:part.start()].isspace():
            blocks[-1].shown = part["text"]
    return [example for example in found if example.blocks]


def commands(page: Path) -> list[list[str]]:
    """Words of each ``ohmloop`` line of the shell blocks of a page, without the program itself and comments."""
    blocks = [part["text"] for part in _PART.finditer(page.read_text()) if part["kind"] == "sh"]
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words and Path(words[0]).name == "ohmloop"]


def agree(printed: str, shown: str) -> bool:
    """Whether all is the same, but that numbers with an exponent need only be of the same size."""
    if _SIZE.sub("size", printed) != _SIZE.sub("size", shown):
        return False
    pairs = zip(_SIZE.findall(printed), _SIZE.findall(shown), strict=True)
    return all(float(b) / SAME_SIZE <= float(a) <= float(b) * SAME_SIZE for a, b in pairs)


EXAMPLES = [example for page in PAGES for example in examples(page)]
COMMANDS = [page for page in PAGES if commands(page)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that looks like that of the project to who works in it."""
    (tmp_path / "verification").symlink_to(ROOT / "verification")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.page.name}: {example.heading}")
@pytest.mark.usefixtures("folder")
def test_python_examples_run(example: Example):
    names: dict = {}
    for block in example.blocks:
        printed = io.StringIO()
        with redirect_stdout(printed):
            # Empty lines in front, so that an error names the line of the page.
            exec(compile("\n" * block.line + block.code, str(example.page), "exec"), names)
        where = f"{example.page.name}, line {block.line + 1}"
        assert not printed.getvalue() or block.shown is not None, f"{where}: prints what the page does not show"
        same = agree(printed.getvalue(), block.shown or "")
        assert same, f"{where} prints\n{printed.getvalue()}where the page shows\n{block.shown}"


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.name)
def test_command_examples_run(page: Path, folder: Path):
    for name, *words in commands(page):
        KNOWN[name].make_context(name, [word for word in words if word != "..."])
        for file in (word for word in words if word.endswith(".mtx")):
            scipy.io.mmwrite(folder / file, scipy.sparse.csr_array(heat(16)))
        if name in RUN and "..." not in words:
            with redirect_stdout(io.StringIO()):
                assert not cli.app([name, *words, *RUN[name]], standalone_mode=False), f"{name} {' '.join(words)}"


def test_commands_in_the_text_exist():
    for page in PAGES:
        for typed in _TYPED.findall(page.read_text()):
            words = shlex.split(typed)[1:]
            taken = [] if words[0].startswith("--") else KNOWN[words[0]].params
            options = {"--help"} | {option for held in taken for option in (*held.opts, *held.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= options, f"{page.name}: {typed}"

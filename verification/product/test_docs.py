"""The documentation: generated blocks are current, links lead somewhere, targets and pins exist."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ohmloop_hdl.config import config_named
from ohmloop_hdl.macro.pins import MacroPins

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def update_docs() -> ModuleType:
    """``scripts/update_docs.py`` as a module."""
    spec = importlib.util.spec_from_file_location("update_docs", ROOT / "scripts" / "update_docs.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as the documentation builder makes them."""
    prose = _FENCE.sub("", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in _HEADING.findall(prose)}


def makefile_targets() -> set[str]:
    """Targets that a user can name."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_generated_blocks_are_current():
    updated, blocks = update_docs().updated, set()
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text()
        blocks |= set(re.findall(r"<!-- generated: ([\w-]+) -->", text))
        assert updated(text) == text, \
            f"{page.relative_to(ROOT)} is not current; run: .venv/bin/python scripts/update_docs.py"
    assert blocks == set(update_docs().BLOCKS), "a block that no page has, or a page with an unknown block"


@each_page
def test_links_lead_somewhere(page: Path):
    prose = _CODE.sub("", _FENCE.sub("", page.read_text()))
    for link in _LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT) and target.exists(), f"{page.name}: {link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page.name}: no heading for {link}"


@each_page
def test_targets_exist(page: Path):
    text = page.read_text()
    named = {name for code in [*_CODE.findall(text), *_FENCE.findall(text)]
             for name in re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )*([a-z]+)", code, re.MULTILINE)}
    assert named <= makefile_targets(), f"{page.name}: no target {', '.join(sorted(named - makefile_targets()))}"


def test_every_target_is_in_the_toolchain_page():
    table = set(re.findall(r"^\| `make ([a-z]+)", (ROOT / "docs" / "toolchain.md").read_text(), re.MULTILINE))
    assert table == makefile_targets() - {"help"}


def test_every_pin_of_the_macro_is_explained():
    text = (ROOT / "docs" / "macro.md").read_text()
    missing = [pin for pin in MacroPins(config_named("chip64")).members if f"`{pin}`" not in text]
    assert not missing


def test_pages_need_no_network(tmp_path: Path):
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-d", tmp_path / "trees",
                           ROOT / "docs", tmp_path / "html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {page.stem: page.read_text() for page in (tmp_path / "html").glob("*.html")}
    assert "<math" in pages["solvers"] and "<math" in pages["energy"]
    for name, text in pages.items():
        assert not re.search(r"<(?:script|img|link)[^>]*(?:src|href)=.https?:", text), name

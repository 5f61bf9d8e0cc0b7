"""What every test run says first: the simulators that it found."""

from ohmloop.engines.cosim import ENGINES
from ohmloop.engines.tools import ToolMissing, find


def pytest_report_header() -> list[str]:
    """The simulators that the tests found."""
    return [f"simulator: {_found(name)}" for name in ENGINES]


def _found(name: str) -> str:
    try:
        tool = find(name)
    except ToolMissing as missing:
        return f"none, {missing}"
    return f"{tool.name} {tool.version} ({tool.origin})"

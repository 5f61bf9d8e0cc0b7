"""Ohmloop: models, golden machine, engines and host side of a closed-loop analogue solver.

Everyday use needs three names::

    import ohmloop

    solution = ohmloop.solve(A, b)                      # to 1e-10, on the golden machine, with a certificate
    with ohmloop.Device("chip64", engine="rtl") as d:   # one chip, any engine
        d.program(A)
        x = d.invert(b)                                 # one analogue solve
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ohmloop.host.device import Device
    from ohmloop.solvers.solve import Solution, solve

__all__ = ["Device", "Solution", "solve"]

_HOMES = {"Device": "ohmloop.host.device", "Solution": "ohmloop.solvers.solve", "solve": "ohmloop.solvers.solve"}


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line and its --help need neither.
    if name not in _HOMES:
        raise AttributeError(f"module 'ohmloop' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

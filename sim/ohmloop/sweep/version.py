"""Which code computes: results of one version are never mixed with those of another."""

import hashlib
from functools import cache
from pathlib import Path

import numpy
import scipy

import ohmloop
import ohmloop_hdl

SUFFIXES = (".py", ".s", ".rdl")


@cache
def code_version() -> str:
    """Digest of all sources of the product, and the versions of NumPy and SciPy."""
    digest = hashlib.sha256()
    for package in (ohmloop, ohmloop_hdl):
        root = Path(str(package.__file__)).parent
        for path in sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return f"{digest.hexdigest()[:16]}, numpy {numpy.__version__}, scipy {scipy.__version__}"

"""Where the real matrices are that some tests and campaigns use, and that are not part of this project."""

from pathlib import Path

MATRICES = Path(__file__).resolve().parents[2] / "shared" / "matrices"
"""Files of the SuiteSparse Matrix Collection, ``mesh1e1.mtx`` and others, in ``../shared/matrices`` seen from the
project. Where the folder is not there, what needs it is left out, and says so."""

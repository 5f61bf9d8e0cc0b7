"""Builds the library of the ``rtl`` engine: the chip and its macro through Verilator and a C++ compiler, once."""

import ctypes
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from ohmloop.engines.cache import cached_build, digest
from ohmloop.engines.cosim import BuildError, processor, run_group
from ohmloop.engines.rtl.sleep import with_sleep
from ohmloop.engines.tools import find, run_environment
from ohmloop.errors import InputError
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.verilog import REAL_FLAGS, TOP, WAIVERS, chip_verilog, macro_build, write_project

LIBRARY = "libohmloop.so"

TOP_LEVEL, WRAPPER = "ohmloop_rtl.sv", "ohmloop_rtl.cpp"

MACRO = macro_build(dpi=True)

WORDS, BEATS = 4096, 1 << 16
"""Words of the longest write or read, and beats that may wait in a stream: parameters of :data:`TOP_LEVEL`."""

_FLAGS = [
    "--cc", "--exe", "--build", "--top-module", TOP_LEVEL.removesuffix(".sv"), f"-GWORDS={WORDS}", f"-GBEATS={BEATS}",
    "-Wall", "-O3",
    # Over waits, counters of the chip are moved on from outside, and units asleep keep what they show.
    "-Wno-MULTIDRIVEN", "-Wno-LATCH",
    # Unrolled, the loops of the macro become tens of megabytes of C++ that compile for minutes.
    "--unroll-count", "1",
    # Files of a size that all cores share.
    "--output-split", "5000", "--output-split-cfuncs", "500",
    # The clock is a loop inside one evaluation.
    "--converge-limit", "1000000",
    # What ends a simulation comes back as an exception.
    "-CFLAGS", " ".join(["-fPIC -march=native -DVL_USER_FATAL -DVL_USER_STOP -DVL_USER_FINISH",
                         *REAL_FLAGS]),
    # Its own functions are called directly: through a table each call of the loop costs as much as a small one does.
    "-LDFLAGS", "-shared -Wl,-Bsymbolic", *(f"+define+{name}" for name in MACRO.defines),
]


@contextmanager
def library(config: ChipConfig, work: Path) -> Iterator[ctypes.CDLL]:
    """The library for a configuration, built in ``work`` unless it is there.

    Errors: :class:`~ohmloop.engines.tools.ToolMissing` without Verilator, :class:`BuildError` with the end of the log.
    """
    tool, environment, work = find("verilator"), run_environment(), work.resolve()
    if re.search(r"\s", str(work)):
        raise InputError(f"work must have no spaces in its path for verilator, not {work}")
    own = [files("ohmloop.engines.rtl").joinpath(name).read_text() for name in (TOP_LEVEL, WRAPPER)]
    hardware = [files("ohmloop_hdl.macro").joinpath(name).read_text() for name in MACRO.sources]
    described = json.dumps([str(tool), _FLAGS, environment["MAKEFLAGS"], processor()])
    chip = with_sleep(chip_verilog(config))
    key = digest(described, *own, *hardware, chip)

    def build(folder: Path) -> None:
        sources = {path.name: path for path in write_project(config, folder / "verilog")}
        sources[f"{TOP}.v"].write_text(chip)
        order = [sources[name] for name in (WAIVERS, *MACRO.sources, f"{TOP}.v")]
        with as_file(files("ohmloop.engines.rtl")) as ours, (folder / "build.log").open("wb") as log:
            command = [str(tool.path), *_FLAGS, "-j", str(os.cpu_count() or 1), "--Mdir", str(folder / "obj"),
                       "-o", str(folder / LIBRARY), *map(str, order), str(ours / TOP_LEVEL), str(ours / WRAPPER)]
            code = run_group(command, folder, environment, log)
        if code:
            raise BuildError(f"building the rtl library of {config.name} failed", folder / "build.log")
        shutil.rmtree(folder / "obj")

    with cached_build(work, f"rtl-{config.name}", key, build) as folder:
        yield _loaded(folder / LIBRARY)


@cache
def _loaded(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    chip, word = ctypes.c_void_p, ctypes.c_uint32
    for name, result, arguments in (
        ("open", chip, [ctypes.c_char_p]), ("close", None, [chip]), ("message", ctypes.c_char_p, [chip]),
        ("start", None, [chip, word, word, word, word]), ("go", ctypes.c_int, [chip]),
        ("buffer", ctypes.POINTER(word), [chip]), ("source", ctypes.POINTER(ctypes.c_uint64), [chip]),
        ("sink", ctypes.POINTER(ctypes.c_uint64), [chip]), ("pause", None, [chip, word, word, word]),
        ("put_source", None, [chip, word]), ("take_sink", None, [chip, word]),
        ("source_begin", word, [chip]), ("sink_end", word, [chip]), ("objects", word, [chip]),
        ("clocks", ctypes.c_uint64, [chip]), ("leapt", ctypes.c_uint64, [chip]), ("violations", word, [chip]),
    ):
        function = getattr(loaded, f"ohm_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded

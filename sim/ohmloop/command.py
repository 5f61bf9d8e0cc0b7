"""How a command ends: what goes wrong is one line on stderr and an exit code.

Exit codes: 0 done, 2 bad input, 3 not solved or a tool is missing, 130 interrupted; 1 is anything that is our fault, a
simulation that failed, or a campaign that found a difference.
"""

import sys
from collections.abc import Callable
from typing import NoReturn

from ohmloop.analog.params import ParamsError
from ohmloop.errors import InputError, OhmloopError
from ohmloop_hdl.config import ConfigError

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def ends(name: str, command: Callable[[], int | None]) -> NoReturn:
    """Run ``command`` and leave the program with what it returns, or with the code of the error that it raises."""
    try:
        code, message = command() or 0, ""
    except (ConfigError, ParamsError) as error:
        code, message = InputError.exit_code, str(error)
    except OhmloopError as error:
        # What follows the first line, such as the end of a log, is for tests; the line says where the log is.
        code, message = error.exit_code, str(error).partition("\n")[0]
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        code, message = InputError.exit_code, where
    except KeyboardInterrupt:
        code, message = INTERRUPTED, "interrupted"
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        # Typer has turned the interrupt into this exit code without a word.
        code, message = INTERRUPTED, "interrupted"
    if message:
        print(f"{name}: {message}", file=sys.stderr)
    sys.exit(code)
